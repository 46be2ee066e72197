#!lua flags=allow-oom
-- Times: unix seconds. An event is kept once for each id, in one step with what is known of its user.
-- KEYS: stream, known events of the user (JSON: type -> list of {item, at}, the oldest first)
-- ARGV: prefix of the seen ids, seconds to keep an id, seconds to keep what is known, most events of a type, user prefix,
--       whether to send on (0|1), then id, type, item, at, lifts (0|1) and packed event of each
-- Returns: for each event 1 if it is new, else 0
local stream, known_key = KEYS[1], KEYS[2]
local most = tonumber(ARGV[4])
local packed_known = redis.call('GET', known_key)
local known = packed_known and cjson.decode(packed_known) or {}
local changed, result = false, {}
for at = 7, #ARGV, 6 do
  local id, kind, item, moment, lifts, packed = unpack(ARGV, at, at + 5)
  if redis.call('SET', ARGV[1] .. id, '1', 'NX', 'EX', ARGV[2]) then
    result[#result + 1] = 1
    redis.call('XADD', stream, '*', 'user', ARGV[5], 'type', kind, 'item', item, 'at', moment, 'lifts', lifts,
      'send', lifts == '1' and '0' or ARGV[6], 'event', packed)
    if item ~= '' then
      local list, kept = known[kind] or {}, {}
      local newest = tonumber(moment)
      for _, one in ipairs(list) do
        if one[1] ~= item then kept[#kept + 1] = one else newest = math.max(newest, one[2]) end
      end
      if lifts ~= '1' then kept[#kept + 1] = {item, newest} end
      while #kept > most do table.remove(kept, 1) end
      known[kind] = #kept > 0 and kept or nil
      changed = true
    end
  else
    result[#result + 1] = 0
  end
end
if changed then redis.call('SET', known_key, cjson.encode(known), 'EX', ARGV[3]) end
return result
