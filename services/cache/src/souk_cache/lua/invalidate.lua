-- Invalidate names. KEYS 5… values and leases that go at once. ARGV 2 level, 3 namespaces of the source token, 4 source token
-- or '', 5… names.
-- -> epoch, seq, milliseconds until every member has acknowledged, at the latest
local names = {}
for i = 5, #ARGV do names[#names + 1] = ARGV[i] end
for i = 5, #KEYS do redis.call('UNLINK', KEYS[i]) end
if ARGV[4] ~= '' then
  for _, namespace in ipairs(split(ARGV[3])) do
    local field = 's:' .. namespace
    if ARGV[4] > (redis.call('HGET', META, field) or '') then redis.call('HSET', META, field, ARGV[4]) end
  end
end
invalidate(names)
return {EPOCH, SEQ, remaining(SEQ, tonumber(ARGV[2]))}
