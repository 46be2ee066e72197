#!lua flags=allow-oom
-- Times and stamps: integer microseconds. A stamp is Redis's clock, or one more than the last stamp if that is later, so
-- that the later of two changes has the higher one whatever the clock does.
-- KEYS: entries, removals (sorted sets: name -> stamp), merged (the stamp of the last merge; missing: Redis is new, or
--       has lost its memory)
-- ARGV: keep_us of an entry (0: for ever), keep_us of a removal, max of each, last stamp known, cursor, page,
--       merging (0|1), then kind (+ entry, - removal), name, stamp ('': now) of each change
-- Returns: now, merged, entries, removals, oldest entry's stamp, entries after the cursor, removals after the cursor (each
--          name, stamp, ...; at most a page)
--
-- allow-oom: what was blocked or forgotten must not depend on room. Both sets are bounded.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local keep = {tonumber(ARGV[1]), tonumber(ARGV[2])}
local most = tonumber(ARGV[3])
local text = function(stamp) return string.format('%.0f', stamp) end

-- Most only look, and what they find is mostly empty: whatever a look does not need is left out.
local last = tonumber(ARGV[4])
if #ARGV > 7 or ARGV[7] == '1' then
  for set = 1, 2 do
    local top = redis.call('ZRANGE', KEYS[set], -1, -1, 'WITHSCORES')
    if top[2] then last = math.max(last, tonumber(top[2])) end
  end
end

for at = 8, #ARGV, 3 do
  local set = ARGV[at] == '+' and 1 or 2
  local name, stamp = ARGV[at + 1], tonumber(ARGV[at + 2])
  if not stamp then
    last = math.max(now, last + 1)
    stamp = last
  end
  local known = math.max(
    tonumber(redis.call('ZSCORE', KEYS[1], name) or 0), tonumber(redis.call('ZSCORE', KEYS[2], name) or 0))
  if stamp > known then
    redis.call('ZADD', KEYS[set], text(stamp), name)
    redis.call('ZREM', KEYS[3 - set], name)
  end
end

local since, page = '(' .. ARGV[5], ARGV[6]
local counts, new, oldest = {}, {{}, {}}, {}
for set = 1, 2 do
  local count = redis.call('ZCARD', KEYS[set])
  if count > 0 and keep[set] > 0 then
    count = count - redis.call('ZREMRANGEBYSCORE', KEYS[set], '-inf', '(' .. text(now - keep[set]))
  end
  if count > most then
    redis.call('ZREMRANGEBYRANK', KEYS[set], 0, count - most - 1)
    count = most
  end
  if count > 0 then
    if set == 1 then oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES') end
    new[set] = redis.call('ZRANGE', KEYS[set], since, '+inf', 'BYSCORE', 'LIMIT', 0, page, 'WITHSCORES')
  end
  counts[set] = count
end
if ARGV[7] == '1' then redis.call('SET', KEYS[3], text(math.max(now, last + 1))) end

return {text(now), redis.call('GET', KEYS[3]), counts[1], counts[2], oldest[2] or '0', new[1], new[2]}
