-- Begins a new epoch if a channel does not hold what a node heard in it: the server has come back with an older state.
-- KEYS: top, log. ARGV: epoch, offset, when it was said in ms or 0, epoch for a new log.
if redis.call('HGET', KEYS[1], 'e') ~= ARGV[1] then return 0 end
local behind = tonumber(redis.call('HGET', KEYS[1], 'o')) < tonumber(ARGV[2])
if not behind and ARGV[3] ~= '0' then
  -- It may have been overtaken already: then something else lies there.
  local entry = redis.call('XRANGE', KEYS[2], ARGV[2], ARGV[2], 'COUNT', 1)[1]
  behind = entry and entry[1] ~= ARGV[2] .. '-' .. ARGV[3]
end
if not behind then return 0 end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[1], 'e', ARGV[4], 'o', '0')
return 1
