-- As much of Redis as the scripts call, on a clock that is set from outside. A string is {s = …}, a hash {h = …, n = fields in
-- order}, a stream {x = …}; `expires` has the ms when a key goes, and none goes before `soonest`.
local now, info, data, expires, soonest, appended = 0, '', {}, {}, 0, false
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
local function expire(key, ms)
  expires[key] = ms
  if ms and ms < soonest then soonest = ms end
end
local function drop(key)
  local there = data[key] ~= nil
  data[key], expires[key] = nil, nil
  return there and 1 or 0
end

function commands.TIME() return {string.format('%d', math.floor(now / 1000)), string.format('%d', math.floor(now % 1000 * 1000))} end
function commands.INFO() return info end
function commands.GET(key) local value = typed(key, 's'); return value and value.s or false end
function commands.SET(key, value, px, ms)
  data[key] = {s = text(value)}
  expire(key, px == 'PX' and now + tonumber(ms) or nil)
  return {ok = 'OK'}
end
function commands.PTTL(key)
  if not data[key] then return -2 end
  return expires[key] and math.floor(expires[key] - now) or -1
end
function commands.PEXPIRE(key, ms)
  if not data[key] then return 0 end
  expire(key, now + tonumber(ms))
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
  appended = true
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

local function forget_expired()
  soonest = math.huge
  for key, at in pairs(expires) do
    if at <= now then drop(key) elseif at < soonest then soonest = at end
  end
end
redis = {}
function redis.call(name, ...) return commands[name](...) end
function redis.pcall(name, ...)
  local done, reply = pcall(commands[name], ...)
  if not done and type(reply) ~= 'table' then error(reply, 0) end
  return reply
end

-- A reply as Redis returns it: tables end at the first nil, numbers lose their fraction.
local function plain(value)
  if type(value) == 'number' then return value < 0 and math.ceil(value) or math.floor(value) end
  if type(value) ~= 'table' then return value end
  local made = {}
  for i, each in ipairs(value) do made[i] = plain(each) end
  return made
end
local function copied(value)
  if type(value) ~= 'table' then return value end
  local made = {}
  for key, each in pairs(value) do made[key] = copied(each) end
  return made
end
collectgarbage('setpause', 1000)
local model = {}
-- Run a script with `count` keys. -> whether it added to a stream, what it returns
function model.run(script, ms, count, ...)
  local given, keys, args = {...}, {}, {}
  for i = 1, count do keys[i] = given[i] end
  for i = count + 1, #given do args[i - count] = given[i] end
  now, appended = ms, false
  if now >= soonest then forget_expired() end
  local reply = script(keys, args)
  if type(reply) == 'table' then return appended, unpack(plain(reply)) end
end
function model.begin(run_id) info = '# Server\r\nredis_version:6.2\r\nrun_id:' .. run_id .. '\r\n' end
function model.copy() return {data = copied(data), expires = copied(expires)} end
function model.replace(snapshot) data, expires, soonest = snapshot.data, snapshot.expires, 0 end
function model.clear() data, expires, soonest = {}, {}, 0 end
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
