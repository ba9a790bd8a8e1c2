-- Store what was loaded with a lease. KEYS 5 value, 6 the lease it was loaded with, 7 (where that was the lease of an alias) the
-- alias's value. ARGV 2 token, 3 data, 4 names that invalidate it, 5 milliseconds to keep, 6 version or '', 7 data of the alias,
-- 8 names of the alias, 9 1: only what was loaded is told, nothing is stored.
-- -> epoch, seq, stored | lease (not the holder's) | tainted (invalidated since) | older (there is a newer version), seq of the value
local token, seq = lease(KEYS[6])
if token ~= ARGV[2] then return {EPOCH, SEQ, 'lease', 0} end
redis.call('DEL', KEYS[6])
if ARGV[9] == '1' then return {EPOCH, SEQ, 'released', 0} end
if seq < FLOOR or invalidated(split(ARGV[4])) > seq or (KEYS[7] and invalidated(split(ARGV[8])) > seq) then
  return {EPOCH, SEQ, 'tainted', 0}
end
if ARGV[6] ~= '' then
  local value = believed(KEYS[5])
  if value and value[5] > ARGV[6] then return {EPOCH, SEQ, 'older', 0} end
end
store(KEYS[5], ARGV[3], ARGV[4], seq, ARGV[5], ARGV[6])
if KEYS[7] then store(KEYS[7], ARGV[7], ARGV[8], seq, ARGV[5], '') end
return {EPOCH, SEQ, 'stored', seq}
