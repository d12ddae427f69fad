-- Says something in a channel: looks for its identifier, gives it a position, keeps it and publishes it, in one step.
-- KEYS: top, log, identifier.
-- ARGV: epoch for a new log, size, age and epoch's time in ms, identifier's time in ms or 0, publish command,
--       channel, channel for patterns or '', what stands before the body there, body
local size, window = tonumber(ARGV[2]), tonumber(ARGV[5])
if window > 0 then
  local said = redis.call('GET', KEYS[3])
  if said then return {1, said} end
end
local head, place = 'n', ''
if size > 0 then
  local epoch = redis.call('HGET', KEYS[1], 'e')
  if not epoch then
    epoch = ARGV[1]
    redis.call('DEL', KEYS[1], KEYS[2])
    redis.call('HSET', KEYS[1], 'e', epoch)
  end
  local offset = string.format('%.0f', redis.call('HINCRBY', KEYS[1], 'o', 1))
  local time = redis.call('TIME')
  local id = offset .. '-' .. time[1] .. string.format('%03d', math.floor(tonumber(time[2]) / 1000))
  redis.call('XADD', KEYS[2], 'MAXLEN', '=', ARGV[2], id, 'b', ARGV[10])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
  place = epoch .. offset
  head = 'p' .. epoch .. id .. ':'
end
if window > 0 then redis.call('SET', KEYS[3], place, 'PX', ARGV[5]) end
local message = head .. ARGV[10]
local nodes = redis.call(ARGV[6], ARGV[7], message)
if ARGV[8] ~= '' then redis.call('PUBLISH', ARGV[8], ARGV[9] .. message) end
return {0, place, nodes}
