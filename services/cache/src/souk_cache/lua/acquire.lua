-- A value, or the right to load it. KEYS 5 value, 6 lease. ARGV 2 token, 3 milliseconds of a lease, 4 mode, 5 namespace.
-- mode: read (no lease), load (a lease where there is no value), refresh (a lease although there is a value).
-- -> epoch, seq, source token, status, …
--    hit, data, names, seq, age in ms, version, 1 where a lease was given too | lease | wait, ms that the lease lasts | miss
local mode = ARGV[4]
local value = believed(KEYS[5])
local source = position(redis.call('HGET', META, 's:' .. ARGV[5])) or ''

local function grant()
  redis.call('SET', KEYS[6], EPOCH .. ' ' .. ARGV[2] .. ' ' .. string.format('%d', SEQ), 'PX', ARGV[3])
end

if value then
  local granted = 0
  if mode == 'refresh' and not lease(KEYS[6]) then
    grant()
    granted = 1
  end
  return {EPOCH, SEQ, source, 'hit', value[1], value[2], value[3], math.max(0, clock() - value[4]), value[5], granted}
end
if mode == 'read' then return {EPOCH, SEQ, source, 'miss'} end
if lease(KEYS[6]) then return {EPOCH, SEQ, source, 'wait', redis.call('PTTL', KEYS[6])} end
grant()
return {EPOCH, SEQ, source, 'lease'}
