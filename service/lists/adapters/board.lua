#!lua flags=allow-oom
-- Times: cutoff in unix seconds, leases in milliseconds.
-- KEYS: list, pin, flight
-- ARGV: cutoff (a list made since then is fresh), envelope version, token, lease_ms, pin version
-- Returns: the list, the pin (either may be false), whether the lead is taken (0|1), how long another may hold it
--
-- allow-oom: a full Redis must not cost two transactions for one user; the flight is a few bytes and short-lived.
local list, pin = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
if pin and string.byte(pin) == tonumber(ARGV[5]) then return {list, pin, 0, 0} end
-- 11 bytes are the envelope's fixed header; created_at is the big-endian double behind version and flags.
if list and #list >= 11 and string.byte(list) == tonumber(ARGV[2])
  and struct.unpack('>d', list, 3) >= tonumber(ARGV[1]) then
  return {list, pin, 0, 0}
end
if redis.call('SET', KEYS[3], ARGV[3], 'NX', 'PX', ARGV[4]) then return {list, pin, 1, 0} end
return {list, pin, 0, math.max(0, redis.call('PTTL', KEYS[3]))}
