-- Store a value that a writer knows to be the newest. KEYS 5 value, 6 lease, 7… values of its aliases. ARGV 2 data, 3 names,
-- 4 milliseconds to keep, 5 version or '', 6 what it invalidates: the names of the key itself and of its aliases, 7 epoch and 8 seq that
-- the node knew when the writer came, 9 data of the aliases, 10… names of each alias.
-- -> epoch, seq, stored | tainted (invalidated since the writer came: the key is left without a value) | older, milliseconds until
--    every member knows
if ARGV[5] ~= '' then
  local value = believed(KEYS[5])
  if value and value[5] > ARGV[5] then -- it was loaded after this write, and stays; copies from before both may be anywhere
    invalidate(split(ARGV[6]))
    redis.call('HSET', KEYS[5], 's', string.format('%d', SEQ))
    return {EPOCH, SEQ, 'older', remaining(SEQ, 1)}
  end
end
local current = ARGV[7] == EPOCH and invalidated(split(ARGV[3])) <= tonumber(ARGV[8])
redis.call('DEL', KEYS[5], KEYS[6])
invalidate(split(ARGV[6]))
if current then
  store(KEYS[5], ARGV[2], ARGV[3], SEQ, ARGV[4], ARGV[5])
  for i = 7, #KEYS do store(KEYS[i], ARGV[9], ARGV[i + 3], SEQ, ARGV[4], '') end
end
return {EPOCH, SEQ, current and 'stored' or 'tainted', remaining(SEQ, 1)}
