#!lua flags=allow-oom
-- Times: integer microseconds, points on Redis's clock. Rates: transactions per second. Shares of the rate: 0..1.
-- KEYS: budget (hash), this process's signs of life (sorted set), the replicas' shares (hash), see heartbeat.lua
-- ARGV: tps, lane (1 no list, 2 stale, 3 prewarm), slots wanted, after_us (no slot sooner: the way back takes so long),
--       within_us, not_after, patience_us (from sending to not_after), latest (when the latest slot begins that this
--       process knows of; 0: none), seen_recently (0|1), horizon_us, quiet_us, replica, registered (0|1), serves (0|1)
-- Returns: slots granted (-1 too late or too early, -2 replica unknown), now, wait_us until the first, interval_us,
--          rate in use in millionths, whether a reservation was not believed (0|1)
--
-- The rule is SlotSchedule's. rebase.lua moves these times when Redis's clock is set.
-- allow-oom: a full Redis must not stop the budget, which is one small hash.
local CLIMB_US, KEPT_BACK_SHARE, KEEP_MS = 30000000, 0.25, 60000

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local text = string.format('%.0f', now)
local lane, slots, after, within = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
-- Nobody waits for this answer any more, and the replica may be on its own share by now; or the clock was set back.
local left = tonumber(ARGV[6]) - now
if left < 0 or left > 2 * tonumber(ARGV[7]) then return {-1, text} end
local horizon, quiet = tonumber(ARGV[10]), tonumber(ARGV[11])

if ARGV[14] == '1' then
  local mine = redis.call('HGET', KEYS[3], ARGV[12])
  if not mine then return {-2, text} end
  local share, own_until = string.match(mine, '^(%d+) %d+ (%d+)$')
  redis.call('HSET', KEYS[3], ARGV[12], string.format('%s %s %s', share, text, own_until))
end

local kept = redis.call('HMGET', KEYS[1], 'next_free', 'last', 'low', 'since', 'stale_until', 'lost', 'looked', 'heard',
  'own')
local next_free, last, odd = tonumber(kept[1]), tonumber(kept[2]) or 0, 0
local low, since = tonumber(kept[3]) or 1, tonumber(kept[4]) or 0
local share = math.min(1, low + (1 - low) * math.max(0, now - since) / CLIMB_US)
local full = tonumber(ARGV[1]) * share
if not next_free then
  -- Missing is usual after a quiet minute. If this replica holds slots, or its sign of life is gone too, or a heartbeat
  -- has noticed it, Redis has lost its memory. Slots already given away may be used until the horizon.
  local lost = ARGV[9] == '1' or (ARGV[13] == '1' and not redis.call('ZSCORE', KEYS[2], ARGV[12]))
  next_free = lost and now + horizon or math.min(now, tonumber(kept[6]) or 0) + horizon
elseif last > now + horizon then
  -- Nobody may reserve a slot that begins so late: the clock was set back, and nobody has said by how much.
  next_free, odd = now + horizon, 1
  redis.call('HSET', KEYS[1], 'rebased', text, 'since', string.format('%.0f', math.min(since, now)))
end
-- A Redis that took over may not have heard of the latest slots. One beyond the horizon is of a clock that was set.
local latest = tonumber(ARGV[8])
if latest <= now + horizon then
  next_free = math.max(next_free, latest + math.ceil(1000000 / tonumber(ARGV[1])))
end

local begins = math.max(next_free, now + after)
-- Replicas that may be on their own share when the slot begins. A quarter of their shares was kept back for this.
-- Of the last look are kept: when it was, the oldest sign of life, and the latest own slot of anybody. Signs of life only
-- get younger, and heartbeat.lua has a new look taken where one does not. So most reservations need not look at all.
local missing = 0
local looked, heard_from, own_to = tonumber(kept[7]), tonumber(kept[8]), tonumber(kept[9])
if not looked or looked > now or begins > heard_from + quiet or begins <= own_to then
  heard_from, own_to = now, 0
  for _, one in ipairs(redis.call('HVALS', KEYS[3])) do
    local part, heard, own_until = string.match(one, '^(%d+) (%d+) (%d+)$')
    part, heard, own_until = tonumber(part), tonumber(heard), tonumber(own_until)
    if part > 0 then
      -- A sign of life from the future tells nothing: the clock was set back.
      if begins <= own_until or begins > heard + quiet or heard > now then missing = missing + 1 / part end
      if heard > now then heard = 0 end
      heard_from, own_to = math.min(heard_from, heard), math.max(own_to, own_until)
    end
  end
  redis.call('HSET', KEYS[1], 'looked', text, 'heard', string.format('%.0f', heard_from), 'own',
    string.format('%.0f', own_to))
end
local rate = full * (1 - (1 - KEPT_BACK_SHARE) * math.min(1, missing))
local interval = math.ceil(1000000 / rate)

local wait = begins - now
local stale_until = tonumber(kept[5]) or 0
local granted = wait <= within and math.min(slots, 1 + math.floor((within - wait) / interval)) or 0
if lane == 2 and granted < slots then
  stale_until = now + math.max(wait, within) + interval
elseif lane == 3 and stale_until > now and stale_until <= now + 2 * horizon + interval then
  granted, wait = 0, math.max(wait, stale_until - now)
end
if granted > 0 then
  next_free = begins + granted * interval
  last = next_free - interval
else
  last = math.min(last, now + horizon)
end

redis.call('HSET', KEYS[1], 'next_free', string.format('%.0f', next_free), 'last', string.format('%.0f', last),
  'stale_until', string.format('%.0f', stale_until))
redis.call('PEXPIRE', KEYS[1], KEEP_MS + math.ceil((horizon + math.max(0, next_free - now)) / 1000))
return {granted, text, wait, interval, math.floor(rate * 1000000), odd}
