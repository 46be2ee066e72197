-- Times: milliseconds.
-- KEYS: list, pin, flight
-- ARGV: kind (list | pin | none), value, ttl_ms, token (empty when this replica does not lead), channel, message
-- Returns: whether Redis was too full to keep the value (0|1)
--
-- No shebang: flags are for whole scripts, and here only the value may be refused when Redis is full.
local full = 0
if ARGV[1] ~= 'none' then
  local key = ARGV[1] == 'list' and KEYS[1] or KEYS[2]
  local kept
  if ARGV[1] == 'pin' then
    -- The first answer of a moment is the one repeated.
    kept = redis.pcall('SET', key, ARGV[2], 'NX', 'PX', ARGV[3])
  else
    kept = redis.pcall('SET', key, ARGV[2], 'PX', ARGV[3])
  end
  if type(kept) == 'table' and kept.err then
    if not string.find(kept.err, 'OOM', 1, true) then return kept end
    full = 1
  end
end
if ARGV[4] ~= '' and redis.call('GET', KEYS[3]) == ARGV[4] then redis.call('DEL', KEYS[3]) end
redis.call('PUBLISH', ARGV[5], ARGV[6])
return full
