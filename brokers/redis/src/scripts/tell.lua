-- Tells where a channel stands and a part of what was said; drops what is too old.
-- KEYS: top, log. ARGV: epoch for a new log, size, age and epoch's time in ms, limit, direction, offset or ''.
local size, limit = tonumber(ARGV[2]), tonumber(ARGV[5])
local epoch = redis.call('HGET', KEYS[1], 'e')
if not epoch then
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[1], 'e', ARGV[1], 'o', '0')
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  return {ARGV[1], '0', {}}
end
local top = redis.call('HGET', KEYS[1], 'o')
if limit == 0 then return {epoch, top, {}} end
local function number(it) return string.format('%.0f', it) end
local function parts(entry)
  local offset, time = string.match(entry[1], '^(%d+)%-(%d+)$')
  return tonumber(offset), tonumber(time)
end
local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
if not first then return {epoch, top, {}} end
local time = redis.call('TIME')
local oldest = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) - tonumber(ARGV[3])
local low, said = parts(first)
if said <= oldest then
  -- Offsets are dense, and times grow with them: the first that is young enough lies behind `low`, at `high` or before.
  local high = tonumber(top) + 1
  while high - low > 1 do
    local middle = math.floor((low + high) / 2)
    local entry = redis.call('XRANGE', KEYS[2], number(middle), number(middle), 'COUNT', 1)[1]
    local _, at
    if entry then _, at = parts(entry) end
    if at and at > oldest then high = middle else low = middle end
  end
  redis.call('XTRIM', KEYS[2], 'MINID', number(high))
end
local lowest = math.max(tonumber(top) - size + 1, 1)
local since = tonumber(ARGV[7])
if ARGV[6] == 'forward' then
  if since then lowest = math.max(lowest, since + 1) end
  return {epoch, top, redis.call('XRANGE', KEYS[2], number(lowest), '+', 'COUNT', limit)}
end
local highest = '+'
if since then
  if since <= lowest then return {epoch, top, {}} end
  highest = number(since - 1)
end
return {epoch, top, redis.call('XREVRANGE', KEYS[2], highest, number(lowest), 'COUNT', limit)}
