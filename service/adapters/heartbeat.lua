#!lua flags=allow-oom
-- Times: integer microseconds on Redis's clock.
-- KEYS: replicas (sorted set, score = last heartbeat). ARGV: replica, silence_us after which a replica counts as gone
-- Returns: whether this replica was unknown (0|1), the replicas alive
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local silence = tonumber(ARGV[2])
local added = redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now - silence))
redis.call('PEXPIRE', KEYS[1], math.ceil(silence / 1000) * 2)
return {added, redis.call('ZRANGE', KEYS[1], 0, -1)}
