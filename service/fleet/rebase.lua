#!lua flags=allow-oom
-- Times: integer microseconds, points on Redis's clock.
-- KEYS: budget (hash), signs of life of the replicas and of prewarms (sorted sets), shares (hash)
-- ARGV: shift_us (by how much the clock was set), within_us (it was set so long ago at most)
-- Returns: whether the times were moved (0: another replica has done it)
--
-- Redis has no other clock than the machine's, which may be set. Every time kept here is then wrong by the same shift.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local shift, within = tonumber(ARGV[1]), tonumber(ARGV[2])
local rebased = tonumber(redis.call('HGET', KEYS[1], 'rebased') or 0)
if rebased <= now and rebased >= now - within then return 0 end

local moved = function(time)
  return string.format('%.0f', tonumber(time) > 0 and math.max(0, time + shift) or time)
end
for _, field in ipairs({'next_free', 'last', 'since', 'stale_until', 'lost'}) do
  local time = redis.call('HGET', KEYS[1], field)
  if time then redis.call('HSET', KEYS[1], field, moved(time)) end
end
redis.call('HDEL', KEYS[1], 'looked')
redis.call('HSET', KEYS[1], 'rebased', string.format('%.0f', now))
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], 60000) end
for set = 2, 3 do
  local beats = redis.call('ZRANGE', KEYS[set], 0, -1, 'WITHSCORES')
  for at = 1, #beats, 2 do redis.call('ZADD', KEYS[set], moved(beats[at + 1]), beats[at]) end
end
local shares = redis.call('HGETALL', KEYS[4])
for at = 1, #shares, 2 do
  local share, heard, own_until = string.match(shares[at + 1], '^(%d+) (%d+) (%d+)$')
  redis.call('HSET', KEYS[4], shares[at], string.format('%s %s %s', share, moved(heard), moved(own_until)))
end
return 1
