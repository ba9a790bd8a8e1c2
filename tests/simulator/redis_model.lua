-- As much of Redis as the scripts call, on a clock that is set from outside. A string is {s = …}, a hash {h = …, n = fields in
-- order}, a stream {x = …}; `expires` has the ms when a key goes.
local now, run_id, data, expires = 0, '', {}, {}
local commands = {}
local WRONGTYPE = 'WRONGTYPE Operation against a key holding the wrong kind of value'

local function typed(key, kind)
  local value = data[key]
  if value and not value[kind] then error({err = WRONGTYPE}) end
  return value
end
local function text(value)
  if type(value) == 'number' then return string.format('%.17g', value) end
  return value
end
local function drop(key)
  local there = data[key] ~= nil
  data[key], expires[key] = nil, nil
  return there and 1 or 0
end

function commands.TIME() return {string.format('%d', math.floor(now / 1000)), string.format('%d', math.floor(now % 1000 * 1000))} end
function commands.INFO() return '# Server\r\nredis_version:6.2\r\nrun_id:' .. run_id .. '\r\n' end
function commands.GET(key) local value = typed(key, 's'); return value and value.s or false end
function commands.SET(key, value, px, ms)
  data[key] = {s = text(value)}
  expires[key] = px == 'PX' and now + tonumber(ms) or nil
  return {ok = 'OK'}
end
function commands.PTTL(key)
  if not data[key] then return -2 end
  return expires[key] and math.floor(expires[key] - now) or -1
end
function commands.PEXPIRE(key, ms)
  if not data[key] then return 0 end
  expires[key] = now + tonumber(ms)
  return 1
end
function commands.DEL(...)
  local gone = 0
  for _, key in ipairs({...}) do gone = gone + drop(key) end
  return gone
end
commands.UNLINK = commands.DEL
function commands.RENAME(key, new)
  if not data[key] then error({err = 'ERR no such key'}) end
  drop(new)
  data[new], expires[new] = data[key], expires[key]
  drop(key)
  return {ok = 'OK'}
end
function commands.HGET(key, field) local value = typed(key, 'h'); return value and value.h[field] or false end
function commands.HMGET(key, ...)
  local value, found = typed(key, 'h'), {}
  for i, field in ipairs({...}) do found[i] = value and value.h[field] or false end
  return found
end
function commands.HGETALL(key)
  local value, found = typed(key, 'h'), {}
  if value then
    for field, each in pairs(value.h) do found[#found + 1] = field; found[#found + 1] = each end
  end
  return found
end
function commands.HSET(key, ...)
  local value, pairs_, added = typed(key, 'h'), {...}, 0
  if not value then value = {h = {}, n = 0}; data[key] = value end
  for i = 1, #pairs_, 2 do
    if value.h[pairs_[i]] == nil then added = added + 1 end
    value.h[pairs_[i]] = text(pairs_[i + 1])
  end
  value.n = value.n + added
  return added
end
function commands.HDEL(key, ...)
  local value, gone = typed(key, 'h'), 0
  for _, field in ipairs({...}) do
    if value and value.h[field] ~= nil then value.h[field] = nil; gone = gone + 1 end
  end
  if value then
    value.n = value.n - gone
    if value.n == 0 then drop(key) end
  end
  return gone
end
function commands.HLEN(key) local value = typed(key, 'h'); return value and value.n or 0 end
function commands.XADD(key, maxlen, about, limit, id, ...)
  local value, number = typed(key, 'x'), tonumber(string.match(id, '^(%d+)-0$'))
  if not value then value = {x = {}}; data[key] = value end
  local last = value.x[#value.x]
  if last and last[1] >= number then
    error({err = 'ERR The ID specified in XADD is equal or smaller than the target stream top item'})
  end
  value.x[#value.x + 1] = {number, {...}}
  while #value.x > tonumber(limit) do table.remove(value.x, 1) end
  return id
end
function commands.XRANGE(key, first, last, count, limit)
  local value, found, from = typed(key, 'x'), {}, tonumber(string.match(first, '^(%d+)'))
  for _, entry in ipairs(value and value.x or {}) do
    if entry[1] >= from and #found < tonumber(limit) then found[#found + 1] = {string.format('%d-0', entry[1]), entry[2]} end
  end
  return found
end

local function command(name, ...)
  for key, at in pairs(expires) do
    if at <= now then drop(key) end
  end
  return commands[name](...)
end
redis = {}
function redis.call(...)
  local done, reply = pcall(command, ...)
  if not done then error(type(reply) == 'table' and reply.err or reply, 0) end
  return reply
end
function redis.pcall(...)
  local done, reply = pcall(command, ...)
  if not done and type(reply) ~= 'table' then error(reply, 0) end
  return reply
end

local function copied(value)
  if type(value) ~= 'table' then return value end
  local made = {}
  for key, each in pairs(value) do made[key] = copied(each) end
  return made
end
local model = {}
function model.set(ms, id) now, run_id = ms, id end
function model.copy() return {data = copied(data), expires = copied(expires)} end
function model.replace(snapshot) data, expires = snapshot.data, snapshot.expires end
function model.clear() data, expires = {}, {} end
function model.put(key, value) data[key] = {s = value} end
-- The entries of a stream from `from` on, and a field of a hash, for those who watch.
function model.entries(key, from)
  local found = {}
  for _, entry in ipairs(data[key] and data[key].x or {}) do
    if entry[1] >= from then found[#found + 1] = {entry[1], entry[2][2]} end
  end
  return found
end
function model.field(key, field) return data[key] and data[key].h[field] or '' end
return model
