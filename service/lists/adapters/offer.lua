-- Times: ttl in milliseconds, earliest and latest in unix seconds.
-- KEYS: list
-- ARGV: value, ttl_ms, earliest, latest (a list made between them is fresh), envelope version
-- Returns: the fresh list that is here already; false if the value is kept now
--
-- Which of two lists of one user stays is whose came first: then all replicas show the same.
local list = redis.call('GET', KEYS[1])
-- 11 bytes are the envelope's fixed header; created_at is the big-endian double behind version and flags.
if list and #list >= 11 and string.byte(list) == tonumber(ARGV[5]) then
  local made_at = struct.unpack('>d', list, 3)
  if made_at >= tonumber(ARGV[3]) and made_at <= tonumber(ARGV[4]) then return list end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
