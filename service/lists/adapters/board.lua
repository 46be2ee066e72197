#!lua flags=allow-oom
-- Times: earliest and latest in unix seconds, leases in milliseconds.
-- KEYS: list, pin, flight
-- ARGV: earliest, latest (a list made between them is fresh), envelope version, token, lease_ms, pin version (0: a
--       flight for nobody, which a pin does not answer), pin_ms
-- Returns: the list, the pin (either may be false), whether the lead is taken (0|1), how long another may hold it or the
--          pin lasts, the token of the other (or false)
--
-- allow-oom: a full Redis must not cost two transactions for one user; the flight is a few bytes and short-lived.
local list, pin = redis.call('GET', KEYS[1]), ARGV[6] ~= '0' and redis.call('GET', KEYS[2])
if pin and string.byte(pin) == tonumber(ARGV[6]) then
  local lasts = redis.call('PTTL', KEYS[2])
  -- Redis's clock was set back since: it would last until the clock is where it was.
  if lasts <= 2 * ARGV[7] then return {list, pin, 0, math.max(0, lasts), false} end
  redis.call('DEL', KEYS[2])
  pin = false
end
-- 11 bytes are the envelope's fixed header; created_at is the big-endian double behind version and flags.
if list and #list >= 11 and string.byte(list) == tonumber(ARGV[3]) then
  local made_at = struct.unpack('>d', list, 3)
  if made_at >= tonumber(ARGV[1]) and made_at <= tonumber(ARGV[2]) then return {list, pin, 0, 0, false} end
end
if redis.call('SET', KEYS[3], ARGV[4], 'NX', 'PX', ARGV[5]) then return {list, pin, 1, 0, false} end
-- Who leads need only publish the end if somebody waits for it: a '+' at the token's end says so to land.lua.
local held = redis.call('GET', KEYS[3])
if string.sub(held, -1) ~= '+' then redis.call('SET', KEYS[3], held .. '+', 'KEEPTTL') end
return {list, pin, 0, math.max(0, redis.call('PTTL', KEYS[3])), held}
