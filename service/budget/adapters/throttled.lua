#!lua flags=allow-oom
-- Times: integer microseconds on Redis's clock. Shares: 0..1 of the full rate.
-- KEYS: budget (hash). Halves the share in use, at most once a second, down to a twentieth.
-- Returns: the share in use in millionths
local FLOOR_SHARE, CLIMB_US, PAUSE_US, KEEP_MS = 0.05, 30000000, 1000000, 60000

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local kept = redis.call('HMGET', KEYS[1], 'low', 'since')
local low, since = tonumber(kept[1]) or 1, tonumber(kept[2]) or 0
local share = math.min(1, low + (1 - low) * math.max(0, now - since) / CLIMB_US)
if now - since >= PAUSE_US then
  share = math.max(FLOOR_SHARE, share / 2)
  redis.call('HSET', KEYS[1], 'low', tostring(share), 'since', string.format('%.0f', now))
  redis.call('PEXPIRE', KEYS[1], math.max(KEEP_MS, redis.call('PTTL', KEYS[1])))
end
return math.floor(share * 1000000)
