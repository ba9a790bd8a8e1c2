-- Store what was loaded with a lease. KEYS 5 value, 6 the lease it was loaded with (its own, or that of an alias), 7… values of its
-- aliases. ARGV 2 token, 3 data, 4 names that invalidate it, 5 milliseconds to keep, 6 version or '', 7 1: it is only given back, and
-- nothing is stored, 8 data of the aliases, 9… names of each alias, which are among those of the value.
-- -> epoch, seq, stored | lease (not the holder's) | tainted (invalidated since) | older (there is a newer version), seq of the value
local token, seq = lease(KEYS[6])
if token ~= ARGV[2] then return {EPOCH, SEQ, 'lease', 0} end
redis.call('DEL', KEYS[6])
if ARGV[7] == '1' then return {EPOCH, SEQ, 'released', 0} end
if seq < FLOOR or invalidated(split(ARGV[4])) > seq then return {EPOCH, SEQ, 'tainted', 0} end
if ARGV[6] ~= '' then
  local value = believed(KEYS[5])
  if value and value[5] > ARGV[6] then return {EPOCH, SEQ, 'older', 0} end
end
store(KEYS[5], ARGV[3], ARGV[4], seq, ARGV[5], ARGV[6])
for i = 7, #KEYS do store(KEYS[i], ARGV[8], ARGV[i + 2], seq, ARGV[5], '') end
return {EPOCH, SEQ, 'stored', seq}
