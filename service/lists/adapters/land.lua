-- Times: ttl in milliseconds, earliest and latest in unix seconds.
-- KEYS: list, pin, flight
-- ARGV: kind (list | pin | none), value, ttl_ms, token (empty when this replica does not lead), channel, message,
--       message of an abandoned flight, earliest, latest (a list made between them stands in for a pin), envelope
--       version, pin version, pin_ms
-- Returns: whether Redis was too full to keep the value (0|1), the pin that was here before, how long it lasts, the list
--          that was (pin and list may be false)
--
-- All answers to a user pass here before they are given, so the first one decides what all parts of a message show.
-- No shebang: flags are for whole scripts, and here only the value may be refused when Redis is full.
local kind, full, list = ARGV[1], 0, false
local pin = redis.call('GET', KEYS[2])
if pin and string.byte(pin) ~= tonumber(ARGV[11]) then pin = false end
local lasts = pin and math.max(0, redis.call('PTTL', KEYS[2])) or 0
-- Redis's clock was set back since: it would last until the clock is where it was.
if lasts > 2 * ARGV[12] then pin, lasts = false, 0 end
if kind == 'pin' and not pin then
  list = redis.call('GET', KEYS[1])
  -- 11 bytes are the envelope's fixed header; created_at is the big-endian double behind version and flags.
  if list and #list >= 11 and string.byte(list) == tonumber(ARGV[10]) then
    local made_at = struct.unpack('>d', list, 3)
    if made_at < tonumber(ARGV[8]) or made_at > tonumber(ARGV[9]) then list = false end
  else
    list = false
  end
end
if kind == 'list' or (kind == 'pin' and not pin and not list) then
  local kept = redis.pcall('SET', kind == 'list' and KEYS[1] or KEYS[2], ARGV[2], 'PX', ARGV[3])
  if type(kept) == 'table' and kept.err then
    if not string.find(kept.err, 'OOM', 1, true) then return kept end
    full = 1
  end
end
local flight = redis.call('GET', KEYS[3])
if ARGV[4] ~= '' and (flight == ARGV[4] or flight == ARGV[4] .. '+') then redis.call('DEL', KEYS[3]) end
-- Every replica hears every message, so nothing is said of a flight that nobody has boarded since it began. Whether
-- somebody has boarded one that is gone, nobody knows.
if not flight or string.sub(flight, -1) == '+' then
  -- Followers hear that they are to look for what was here before.
  redis.call('PUBLISH', ARGV[5], (pin or list) and ARGV[7] or ARGV[6])
end
return {full, pin, lasts, list}
