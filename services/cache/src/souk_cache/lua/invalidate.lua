-- Invalidate names. KEYS 5… values and leases that go at once. ARGV 2 level, 3 namespaces of the source token, 4 source token
-- or '', 5… names.
-- -> epoch, seq, milliseconds until every member has acknowledged, at the latest
local names = {}
for i = 5, #ARGV do names[#names + 1] = ARGV[i] end
for i = 5, #KEYS do redis.call('UNLINK', KEYS[i]) end
local told = ''
if ARGV[4] ~= '' then
  for _, namespace in ipairs(split(ARGV[3])) do
    raise_source(namespace, ARGV[4])
    told = told .. '\n^' .. namespace .. '=' .. ARGV[4]
  end
end
invalidate(names, told)
return {EPOCH, SEQ, remaining(SEQ, tonumber(ARGV[2]))}
