#!lua flags=allow-oom
-- Times: integer microseconds on Redis's clock.
-- KEYS: where this process's heartbeats go, the replicas (sorted sets, score = last heartbeat); the same for a replica
-- ARGV: replica, silence_us after which one counts as gone
-- Returns: whether this process was unknown (0|1), the replicas alive
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local silence = tonumber(ARGV[2])
local added = redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
for _, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('(%.0f', now - silence))
end
redis.call('PEXPIRE', KEYS[1], math.ceil(silence / 1000) * 2)
return {added, redis.call('ZRANGE', KEYS[2], 0, -1)}
