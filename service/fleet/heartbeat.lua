#!lua flags=allow-oom
-- Times: integer microseconds, points on Redis's clock.
-- KEYS: this process's signs of life, the replicas' (sorted sets, score = the last one; the same key for a replica),
--       shares (hash), budget (hash), version of the replicas (string)
-- ARGV: replica, not_after (0: only look), patience_us (from sending to not_after), own_us (until the replica's last
--       own slot), held, careful (0|1), known (1: Redis has known this process), seen (a newcomer: '', then the last
--       sign of life of others that it found; '-': it waits for none), forget_us, silence_us, version that it knows,
--       names (1: all that it knows of the others follow), then replica and share of each other one known before
-- Returns: state (0 known, 1 was unknown, -1 too late or too early, 2 only looked, 3 wait for another, 4 name the others),
--          now, replicas alive; unless all of it is known: share, position, replicas, version, then replica and share of
--          each other one known; 3: now, their last sign
--
-- The version changes with every replica that comes, goes or holds another share. As long as it does not, a beat looks
-- at its own replica only, however many there are.
--
-- A share of n is one part in n; 0 is none. shares: replica -> "share heard own_until". A replica may be on its own
-- share from `heard` and the quiet time on; it may have been until `own_until`. reserve.lua keeps its share out of what
-- it hands out. All shares together are never more than one: a larger share counts until its replica says that it holds
-- another.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local text = string.format('%.0f', now)
local me, not_after = ARGV[1], tonumber(ARGV[2])
if not_after == 0 then
  redis.call('ZADD', KEYS[1], 'XX', text, me)
  return {2, text}
end
-- The sender has given the message up, and may be on its own share by now; or the clock was set back.
if now > not_after or not_after > now + 2 * tonumber(ARGV[3]) then return {-1, text} end

local own, held = tonumber(ARGV[4]), tonumber(ARGV[5])
local forget, silence = tonumber(ARGV[9]), tonumber(ARGV[10])
if ARGV[8] ~= '-' and not redis.call('ZSCORE', KEYS[1], me) then
  -- The clock may have just been set, or Redis may have lost its memory. Only those who were here before can tell.
  local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')[2] or '0'
  if ARGV[8] == '' or ARGV[8] == last then return {3, text, last} end
end
local forgotten = ARGV[7] == '1' and not redis.call('ZSCORE', KEYS[1], me)
-- Redis has lost its memory, most likely, and nobody else may know the others.
if forgotten and ARGV[12] == '0' and KEYS[1] == KEYS[2] then return {4, text} end
local gone = 0
for _, key in ipairs(KEYS[1] == KEYS[2] and {KEYS[1]} or {KEYS[1], KEYS[2]}) do
  gone = gone + redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('(%.0f', now - forget))
end
local added = redis.call('ZADD', KEYS[1], text, me)
local alive_from = string.format('%.0f', now - silence)
for key = 1, 3 do redis.call('PEXPIRE', KEYS[key], math.ceil(forget / 1000) * 2) end
redis.call('PEXPIRE', KEYS[5], math.ceil(forget / 1000) * 2)
local version = redis.call('GET', KEYS[5]) or ''
local mine = redis.call('HGET', KEYS[3], me)
if KEYS[1] == KEYS[2] and added + gone + own == 0 and held > 0 and mine
  and version ~= '' and ARGV[11] == version .. ':' .. redis.call('ZCARD', KEYS[2]) then
  local counted, own_until = string.match(mine, '^(%d+) %d+ (%d+)$')
  if tonumber(counted) == held then
    redis.call('HSET', KEYS[3], me, string.format('%s %s %s', counted, text, own_until))
    return {0, text, redis.call('ZCOUNT', KEYS[2], alive_from, '+inf')}
  end
end
local changed = version == '' or added + gone > 0
if forgotten and not redis.call('HGET', KEYS[4], 'lost') then
  -- Redis has lost its memory, most likely. The first to ask for a slot is to hear of it.
  redis.call('HSET', KEYS[4], 'lost', text)
  redis.call('PEXPIRE', KEYS[4], math.max(60000, redis.call('PTTL', KEYS[4])))
end
if KEYS[1] == KEYS[2] then
  if added == 1 then
    -- Redis may have lost its memory. The replicas known before are missing until they say so themselves.
    redis.call('HDEL', KEYS[4], 'looked')
    for at = 13, #ARGV, 2 do
      if redis.call('ZADD', KEYS[2], 'NX', text, ARGV[at]) == 1 then
        redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1] .. ' 0 0')
      end
    end
    if ARGV[6] == '1' and redis.call('ZCARD', KEYS[2]) == 1 then
      -- There may be others that nobody knows. They have a second to come back: '*' holds all shares until then.
      redis.call('ZADD', KEYS[2], string.format('%.0f', now - forget + 1000000), '*')
      redis.call('HSET', KEYS[3], '*', '1 0 0')
    elseif #ARGV > 12 then
      redis.call('ZREM', KEYS[2], '*')
    end
  end
end

local ids = redis.call('ZRANGE', KEYS[2], 0, -1)
table.sort(ids)
local known, kept = {}, {}
local flat = redis.call('HGETALL', KEYS[3])
for at = 1, #flat, 2 do kept[flat[at]] = flat[at + 1] end
local count, position, others, members = 0, 0, 0, {}
for _, id in ipairs(ids) do
  known[id] = true
  local share = tonumber(string.match(kept[id] or '0 0 0', '^(%d+)'))
  if id == me then
    position = count
  else
    if share > 0 then others = others + 1 / share end
    if id ~= '*' then
      members[#members + 1] = id
      members[#members + 1] = share
    end
  end
  if id ~= '*' then count = count + 1 end
end
for id in pairs(kept) do
  if not known[id] then redis.call('HDEL', KEYS[3], id) end
end

local share = 0
if KEYS[1] == KEYS[2] then
  local fits = function(one) return one > 0 and others + 1 / one <= 1.000001 end
  share = fits(count) and count or fits(held) and held or 0
  local counted = share == 0 and held or held == 0 and share or math.min(share, held)
  local before, own_until = string.match(kept[me] or '0 0 0', '^(%d+) %d+ (%d+)$')
  own_until = tonumber(own_until)
  if own > 0 then
    own_until = math.max(own_until, now + own)
    redis.call('HDEL', KEYS[4], 'looked')
  end
  changed = changed or tonumber(before) ~= counted
  redis.call('HSET', KEYS[3], me, string.format('%d %.0f %.0f', counted, now, own_until))
end
if changed then
  version = text
  redis.call('SET', KEYS[5], version, 'PX', math.ceil(forget / 1000) * 2)
end
for key = 1, 3 do redis.call('PEXPIRE', KEYS[key], math.ceil(forget / 1000) * 2) end
local alive = redis.call('ZCOUNT', KEYS[2], alive_from, '+inf')
version = version .. ':' .. redis.call('ZCARD', KEYS[2])
return {added, text, alive, share, position, count, version, unpack(members)}
