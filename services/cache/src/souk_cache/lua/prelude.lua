-- What every script begins with: which epoch this is, and what may be believed.
--
-- KEYS  1 meta (hash: run, epoch, seq, floor, rotated, quiet, m:<member>, s:<namespace>)
--       2 counters (hash: what was invalidated -> seq of its last invalidation; '' -> epoch)
--       3 older counters, as they were when counters became too many
--       4 stream of invalidations, ids <seq>-0
-- ARGV  1 milliseconds that a member's read lease may last, and those that it gives its clients, with a margin for clocks
--
-- An epoch lasts as long as the data of one Redis process: a script that sees another run_id, or counters without their mark,
-- begins a new one, and whatever carries the old one counts as absent.

local META, COUNTERS, OLDER, STREAM = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local LEASE_MS, CLIENT_MS = string.match(ARGV[1], '^(%d+) (%d+)$')
local RUN = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local EPOCH, SEQ, FLOOR, ROTATED

local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- The number that `text` is; nil where it is none, for somebody else may have written it.
local function whole(text)
  return text and string.match(text, '^%d+$') and tonumber(text)
end

-- The version or source token that `text` is: 20 digits that fit 64 bits with a sign, compared as text; nil where it is none.
local function position(text)
  return text and #text == 20 and whole(text) and text <= '09223372036854775807' and text or nil
end

local function begin_epoch()
  local time = redis.call('TIME')
  local before = redis.pcall('HGETALL', META) -- an error where it is something else
  EPOCH, SEQ, FLOOR, ROTATED = RUN .. '.' .. time[1] .. string.format('%06d', time[2]), 0, 0, 0
  redis.call('DEL', META, COUNTERS, OLDER, STREAM)
  -- members of the epoch before are not known here: they, and their clients after them, may trust what they hold for one lease more
  redis.call('HSET', META, 'run', RUN, 'epoch', EPOCH, 'seq', '0', 'floor', '0', 'rotated', '0', 'quiet',
    string.format('%d', clock() + LEASE_MS))
  redis.call('HSET', COUNTERS, '', EPOCH)
  for i = 1, #before, 2 do -- the database is the same one
    if string.match(before[i], '^s:') and position(before[i + 1]) then redis.call('HSET', META, before[i], before[i + 1]) end
  end
end

-- Loads of a namespace must see at least `token` from now on.
local function raise_source(namespace, token)
  local field = 's:' .. namespace
  local before = position(redis.call('HGET', META, field))
  if not before or token > before then redis.call('HSET', META, field, token) end
end

do
  local meta = redis.pcall('HMGET', META, 'run', 'epoch', 'seq', 'floor', 'rotated') -- an error where it is something else
  EPOCH, SEQ, FLOOR, ROTATED = meta[2], whole(meta[3]), whole(meta[4]), whole(meta[5])
  if meta[1] ~= RUN or not (EPOCH and SEQ and FLOOR and ROTATED) then begin_epoch() end
end

local function split(text)
  local parts = {}
  for part in string.gmatch(text, '[^\n]+') do parts[#parts + 1] = part end
  return parts
end

-- The latest invalidation of any of `names`. Counters that have lost their mark, or are no numbers, begin a new epoch, in which
-- nothing old counts.
local function invalidated(names)
  local latest = 0
  for first = 1, #names, 1000 do
    local last = math.min(first + 999, #names)
    local now = redis.pcall('HMGET', COUNTERS, '', unpack(names, first, last))
    local before = ROTATED > 0 and redis.pcall('HMGET', OLDER, '', unpack(names, first, last)) or nil
    local intact = now[1] == EPOCH and (not before or before[1] == EPOCH)
    for i = 2, #now do
      local here, earlier = whole(now[i] or '0'), whole(before and before[i] or '0')
      intact = intact and here and earlier
      latest = math.max(latest, here or 0, earlier or 0)
    end
    if not intact then
      begin_epoch()
      return math.huge
    end
  end
  return latest
end

-- The value at `key` if it may be believed: {data, names, seq, at, version}; else nil. Anything else that is there goes away.
local function believed(key)
  local value = redis.pcall('HMGET', key, 'e', 's', 'n', 'd', 'a', 'r')
  if value.err then
    redis.call('DEL', key)
    return nil
  end
  local seq = whole(value[2])
  if not value[1] then return nil end
  if value[1] ~= EPOCH or not seq or seq < FLOOR or seq > SEQ or not value[3] or not value[4] then return nil end
  if invalidated(split(value[3])) > seq then return nil end
  if seq < ROTATED then -- it is valid now, so let it outlive the older counters
    seq = SEQ
    redis.call('HSET', key, 's', string.format('%d', seq))
  end
  return {value[4], value[3], seq, whole(value[5]) or 0, position(value[6]) or ''}
end

local function store(key, data, names, seq, milliseconds, version)
  redis.call('DEL', key)
  redis.call('HSET', key, 'e', EPOCH, 's', string.format('%d', seq), 'n', names, 'd', data, 'a', string.format('%d', clock()), 'r', version)
  redis.call('PEXPIRE', key, milliseconds)
end

-- The lease at `key`: its token and the seq when it was given; nil where there is none of this epoch.
local function lease(key)
  local text = redis.pcall('GET', key)
  if type(text) ~= 'string' then return nil end
  local epoch, token, seq = string.match(text, '^(%S+) (%S+) (%d+)$')
  if epoch == EPOCH and tonumber(seq) <= SEQ then return token, tonumber(seq) end
end

-- Count one invalidation of `names`, and tell the members of it and of the lines `told`. Where the counters or the stream are something else, an epoch begins with it.
local function invalidate(names, told)
  local function try(...)
    local reply = redis.pcall(...)
    return not (type(reply) == 'table' and reply.err)
  end
  local done = true
  SEQ = SEQ + 1
  redis.call('HSET', META, 'seq', string.format('%d', SEQ))
  local seq = string.format('%d', SEQ)
  for first = 1, #names, 1000 do
    local fields = {}
    for i = first, math.min(first + 999, #names) do
      fields[#fields + 1] = names[i]
      fields[#fields + 1] = seq
    end
    done = done and try('HSET', COUNTERS, unpack(fields))
  end
  if not (done and try('XADD', STREAM, 'MAXLEN', '~', '100000', seq .. '-0', 'n', table.concat(names, '\n') .. (told or ''))) then
    begin_epoch()
    return invalidate(names, told)
  end
  if redis.call('HLEN', COUNTERS) > 200000 then
    redis.call('UNLINK', OLDER)
    redis.call('RENAME', COUNTERS, OLDER)
    redis.call('HSET', COUNTERS, '', EPOCH)
    FLOOR, ROTATED = ROTATED, SEQ
    redis.call('HSET', META, 'floor', string.format('%d', FLOOR), 'rotated', string.format('%d', ROTATED))
  end
end

-- What is known of a member: seq that it serves, that its clients keep, that it was told; until when it may serve, and its clients may.
-- One that cannot be read has applied nothing, and may serve for a lease from now on.
local function member(name, text)
  local served, kept, told, own, clients = string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
  if not served then
    served, kept, told, own = 0, 0, 0, clock() + LEASE_MS
    clients = own + CLIENT_MS
    redis.call('HSET', META, name, string.format('0 0 0 %d %d', own, clients))
  end
  return tonumber(served), tonumber(kept), tonumber(told), tonumber(own), tonumber(clients)
end

-- Milliseconds until every member has acknowledged `seq`, at the latest; 0: all have. A member whose lease is over is forgotten.
-- level 1: what the member serves itself; 2: what its clients keep too.
local function remaining(seq, level)
  local now, longest = clock(), 0
  local meta = redis.call('HGETALL', META)
  for i = 1, #meta, 2 do
    local name, text = meta[i], meta[i + 1]
    if name == 'quiet' then
      if not whole(text) then
        text = string.format('%d', now + LEASE_MS)
        redis.call('HSET', META, 'quiet', text)
      end
      longest = math.max(longest, tonumber(text) + (level - 1) * CLIENT_MS - now)
    elseif string.sub(name, 1, 2) == 'm:' then
      local served, kept, _, own, clients = member(name, text)
      if clients <= now then
        redis.call('HDEL', META, name)
      elseif level == 1 and served < seq then
        longest = math.max(longest, own - now)
      elseif level == 2 and kept < seq then
        longest = math.max(longest, clients - now)
      end
    end
  end
  return math.max(longest, 0)
end
