#!lua flags=allow-oom
-- Times: integer microseconds, points on Redis's clock. Rates: transactions per second. Shares of the rate: 0..1.
-- KEYS: budget (hash), this process's signs of life (sorted set), the replicas' shares (hash), see heartbeat.lua
-- ARGV: tps, lane (1 no list, 2 stale, 3 prewarm), within_us, not_after, seen_recently (0|1), horizon_us, quiet_us,
--       replica, registered (0|1), serves (0|1)
-- Returns: granted (0|1, -1 too late, -2 replica unknown), wait_us, rate in use in millionths; too late: now
--
-- The rule is SlotSchedule's. allow-oom: a full Redis must not stop the budget, which is one small hash.
local CREDIT_SHARE, CLIMB_US, KEPT_BACK_SHARE, KEEP_MS = 0.25, 30000000, 0.25, 60000

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
-- Nobody waits for this answer any more, and the replica may be on its own share by now.
if now > tonumber(ARGV[4]) then return {-1, string.format('%.0f', now), 0} end
local lane, within = tonumber(ARGV[2]), tonumber(ARGV[3])
local horizon, quiet = tonumber(ARGV[6]), tonumber(ARGV[7])

if ARGV[10] == '1' then
  local mine = redis.call('HGET', KEYS[3], ARGV[8])
  if not mine then return {-2, 0, 0} end
  local share, own_until = string.match(mine, '^(%d+) %d+ (%d+)$')
  redis.call('HSET', KEYS[3], ARGV[8], string.format('%s %.0f %s', share, now, own_until))
end

local kept = redis.call('HMGET', KEYS[1], 'next_free', 'low', 'since', 'stale_until')
local next_free = tonumber(kept[1])
if not next_free then
  -- Missing is usual after a quiet minute. If this replica holds slots, or its sign of life is gone too, Redis has lost
  -- its memory, and slots already given away may be used until the horizon.
  local lost = ARGV[5] == '1' or (ARGV[9] == '1' and not redis.call('ZSCORE', KEYS[2], ARGV[8]))
  next_free = lost and now + horizon or 0
end

local low, since = tonumber(kept[2]) or 1, tonumber(kept[3]) or 0
local share = math.min(1, low + (1 - low) * math.max(0, now - since) / CLIMB_US)
local full = tonumber(ARGV[1]) * share
local credit = lane == 1 and 0 or math.floor(math.ceil(1000000 / full) * CREDIT_SHARE)
local begins = math.max(next_free, now - credit)
-- Replicas that may be on their own share when the slot begins. A quarter of their shares was kept back for this.
local missing = 0
for _, one in ipairs(redis.call('HVALS', KEYS[3])) do
  local part, heard, own_until = string.match(one, '^(%d+) (%d+) (%d+)$')
  part = tonumber(part)
  if part > 0 and (begins <= tonumber(own_until) or begins > tonumber(heard) + quiet) then
    missing = missing + 1 / part
  end
end
local rate = full * (1 - (1 - KEPT_BACK_SHARE) * math.min(1, missing))
local interval = math.ceil(1000000 / rate)

local wait = math.max(0, begins - now)
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
if granted then next_free = begins + interval end

redis.call('HSET', KEYS[1], 'next_free', string.format('%.0f', next_free),
  'stale_until', string.format('%.0f', stale_until))
redis.call('PEXPIRE', KEYS[1], KEEP_MS + math.ceil((horizon + math.max(0, next_free - now)) / 1000))
return {granted and 1 or 0, wait, math.floor(rate * 1000000)}
