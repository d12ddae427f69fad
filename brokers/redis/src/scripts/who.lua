-- Lists members. KEYS: members of each node. ARGV: limit. Returns for each node fields and entries by turns.
local left, all = tonumber(ARGV[1]), {}
for node = 1, #KEYS do
  local found = {}
  if left > 0 and redis.call('HLEN', KEYS[node]) <= left then
    found = redis.call('HGETALL', KEYS[node])
  elseif left > 0 then
    local cursor = '0'
    repeat
      local page = redis.call('HSCAN', KEYS[node], cursor, 'COUNT', left)
      cursor = page[1]
      for place = 1, #page[2] do
        if #found < 2 * left then found[#found + 1] = page[2][place] end
      end
    until cursor == '0' or #found >= 2 * left
  end
  left = left - #found / 2
  all[node] = found
end
return all
