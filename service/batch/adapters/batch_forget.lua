-- KEYS: prefix of the sets
-- ARGV: bucket, first bytes of the fields in it
-- Returns: lists deleted. The lines of a load still to come are deleted when it is switched.
local deleted = 0
local current = redis.call('GET', KEYS[1] .. ':current')
local loading = redis.call('HGET', KEYS[1] .. ':loading', 'set')
for _, set in ipairs({current or loading, loading}) do
  if set then
    local bucket = KEYS[1] .. ':' .. set .. ':' .. ARGV[1]
    for _, field in ipairs(redis.call('HKEYS', bucket)) do
      if string.sub(field, 1, #ARGV[2]) == ARGV[2] then deleted = deleted + redis.call('HDEL', bucket, field) end
    end
  end
end
return deleted
