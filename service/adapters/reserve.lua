#!lua flags=allow-oom
-- Times: integer microseconds, points on Redis's clock. Rates: transactions per second. Shares: 0..1 of the full rate.
-- KEYS: budget (hash), replicas, where this process's heartbeats go (sorted sets, score = last heartbeat)
-- ARGV: tps, lane (1 no list, 2 stale, 3 ahead), within_us, earliest_us, expected_replicas, seen_recently (0|1),
--       horizon_us, replica, registered (0|1)
-- Returns: granted (0|1), wait_us, rate in use in millionths
--
-- The rule is SlotSchedule's. allow-oom: a full Redis must not stop the budget, which is one small hash.
local CREDIT_SHARE, CLIMB_US, HEARTBEAT_US, KEEP_MS = 0.25, 30000000, 5000000, 60000

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local lane, within = tonumber(ARGV[2]), tonumber(ARGV[3])
local earliest, horizon = tonumber(ARGV[4]), tonumber(ARGV[7])

local kept = redis.call('HMGET', KEYS[1], 'next_free', 'low', 'since', 'stale_until')
local next_free = tonumber(kept[1])
if not next_free then
  -- Missing is usual after a quiet minute. If this replica holds slots, or its heartbeat is gone too, then Redis has
  -- lost its memory and slots already given away may be used until the horizon.
  local lost = ARGV[6] == '1' or (ARGV[9] == '1' and not redis.call('ZSCORE', KEYS[3], ARGV[8]))
  next_free = lost and now + horizon or 0
end
-- Kept even if this ask is refused: slots of this replica's own lie before it.
if earliest > 0 then next_free = math.max(next_free, now + earliest) end

local low, since = tonumber(kept[2]) or 1, tonumber(kept[3]) or 0
local share = math.min(1, low + (1 - low) * math.max(0, now - since) / CLIMB_US)
local alive = math.max(1, redis.call('ZCOUNT', KEYS[2], string.format('%.0f', now - HEARTBEAT_US), '+inf'))
-- Replicas expected but not back yet still spend their own share.
local rate = tonumber(ARGV[1]) * share * alive / math.max(alive, tonumber(ARGV[5]))
local interval = math.ceil(1000000 / rate)

local credit = lane == 1 and 0 or math.floor(interval * CREDIT_SHARE)
local start = math.max(next_free, now - credit)
local wait = math.max(0, start - now)
local stale_until = tonumber(kept[4]) or 0
local granted
if lane == 1 then
  granted = wait <= within
elseif lane == 2 then
  granted = wait == 0
  if not granted then stale_until = now + wait + interval end
else
  granted = wait == 0 and stale_until <= now
  if stale_until > now then wait = math.max(wait, stale_until - now) end
end
if granted then next_free = start + interval end

redis.call('HSET', KEYS[1], 'next_free', string.format('%.0f', next_free),
  'stale_until', string.format('%.0f', stale_until))
redis.call('PEXPIRE', KEYS[1], KEEP_MS + math.ceil((horizon + math.max(0, next_free - now)) / 1000))
return {granted and 1 or 0, wait, math.floor(rate * 1000000)}
