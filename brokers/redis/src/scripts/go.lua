-- Removes a member of this node. Returns 0 if it was not there, 1 if others of its user are left, 2 if it was the last.
-- KEYS: members of this node, users of this node, users of the others. ARGV: field.
local before = redis.call('HGET', KEYS[1], ARGV[1])
if not before then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
local length, from = string.match(before, '^(%d+):()')
local user = string.sub(before, from, from + tonumber(length) - 1)
if redis.call('HINCRBY', KEYS[2], user, -1) > 0 then return 1 end
redis.call('HDEL', KEYS[2], user)
for other = 3, #KEYS do
  if redis.call('HEXISTS', KEYS[other], user) == 1 then return 1 end
end
return 2
