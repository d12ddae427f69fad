-- Enters a member of this node. Returns whether it is the first of its user.
-- KEYS: members of this node, users of this node, users of the others. ARGV: field, entry, user, time in ms.
local function user_of(entry)
  local length, from = string.match(entry, '^(%d+):()')
  return string.sub(entry, from, from + tonumber(length) - 1)
end
local before = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
local first = 1
if before and user_of(before) == ARGV[3] then
  first = 0
else
  if before and redis.call('HINCRBY', KEYS[2], user_of(before), -1) <= 0 then
    redis.call('HDEL', KEYS[2], user_of(before))
  end
  if redis.call('HINCRBY', KEYS[2], ARGV[3], 1) > 1 then first = 0 end
end
for other = 3, #KEYS do
  if first == 1 and redis.call('HEXISTS', KEYS[other], ARGV[3]) == 1 then first = 0 end
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return first
