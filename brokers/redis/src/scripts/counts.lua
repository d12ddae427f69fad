-- Counts members and users. KEYS: members of each node, then users of each node.
local nodes, sessions, users = #KEYS / 2, 0, 0
local seen = {}
for node = 1, nodes do
  local here = redis.call('HLEN', KEYS[node])
  sessions = sessions + here
  if here > 0 then
    for _, user in ipairs(redis.call('HKEYS', KEYS[nodes + node])) do
      if not seen[user] then
        seen[user] = true
        users = users + 1
      end
    end
  end
end
return {sessions, users}
