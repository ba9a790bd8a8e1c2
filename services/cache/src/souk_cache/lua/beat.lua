-- A member's heartbeat: what it has applied, for what it has not. ARGV 2 member, 3 its epoch or '', 4 seq that it has applied,
-- 5 seq that its clients have applied, 6 all: it leaves, clients: it leaves while its clients may still serve, 7 events at the most,
-- 8 seq that it waits for or '', 9 level of that, 10 lines of <namespace>=<source token> that a new epoch may have lost.
-- -> epoch, seq, status, events {seq, names …}, ms until the awaited is known everywhere
--    status: ok (the lease is renewed) | flush (it must drop what it holds; then all is known) | behind (apply the events and beat again)
local name = 'm:' .. ARGV[2]
for _, line in ipairs(split(ARGV[10])) do raise_source(string.match(line, '^(.+)=(%d+)$')) end
local function left()
  return ARGV[8] ~= '' and remaining(tonumber(ARGV[8]), tonumber(ARGV[9])) or 0
end
if ARGV[6] == 'all' then
  redis.call('HDEL', META, name)
  return {EPOCH, SEQ, 'ok', {}, left()}
end
local served, kept, now = tonumber(ARGV[4]), tonumber(ARGV[5]), clock()
local status, events, told = 'ok', {}, served
if ARGV[3] ~= EPOCH or served > SEQ then
  status, served, kept, told = 'flush', 0, 0, SEQ
elseif served < SEQ then
  local entries = redis.pcall('XRANGE', STREAM, string.format('%d-0', served + 1), '+', 'COUNT', ARGV[7])
  if #entries == 0 or entries[1][1] ~= string.format('%d-0', served + 1) then
    status, told = 'flush', SEQ
  else
    for i = 1, #entries do events[i] = {served + i, entries[i][2][2]} end
    told = served + #entries
    if told < SEQ then status = 'behind' end
  end
end
local own, clients = now + LEASE_MS, 0
local before = redis.call('HGET', META, name)
if ARGV[6] == 'clients' then
  if before and ARGV[3] == EPOCH then
    local _, _, _, _, until_clients = member(name, before)
    redis.call('HSET', META, name, string.format('%d %d %d 0 %d', SEQ, kept, SEQ, until_clients))
  end
  return {EPOCH, SEQ, 'ok', {}, left()}
end
if before then
  local _, _, earlier, until_own, until_clients = member(name, before)
  clients = until_clients
  -- one that does not apply what it was told, or has yet to say that it dropped all, holds no writer up for ever
  if status == 'flush' or served < earlier then own = until_own end
  if status == 'ok' and served < earlier then status = 'behind' end
elseif status == 'flush' then
  own = now -- it has no lease of this epoch
end
if status ~= 'flush' then clients = math.max(clients, own + CLIENT_MS) end
redis.call('HSET', META, name, string.format('%d %d %d %d %d', served, kept, told, own, math.max(own, clients)))
return {EPOCH, SEQ, status, events, left()}
