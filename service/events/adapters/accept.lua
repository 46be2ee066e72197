#!lua flags=allow-oom
-- Times: unix seconds. An event is kept once for each id, in one step with what is known of its user.
-- KEYS: stream, names (hash: digest of an item or a type -> itself), then what is known of each user of the call; such a key ends
--       with the 8 bytes of the user prefix
-- ARGV: prefix of the seen ids, day, seconds to keep seen ids, seconds to keep what is known, most events of a type,
--       most types of a user, most entries of the stream, most seen ids of a set, then of each event: number of its user,
--       digest of its id (4 hex digits, then a whole number), type, digest of the type, item, digest of the item, time, lifts (0|1), whether to send it on (0|1), packed event
-- Returns: for each event 1 if it is new, else 0; only -1 if the stream is full, and then nothing was kept
--
-- Seen ids are sets of whole numbers, one set for each day and first two bytes. Redis packs so small sets of such into 8
-- bytes for each; one that is full forgets an id for each new one. A day's sets end in small parts.
-- What is known of a user is packed: for each type its digest (3 bytes), the number of items (1 byte), and of each item
-- the digest (6 bytes) and the time (4 bytes), the oldest first.
local stream, names = KEYS[1], KEYS[2]
local seen, day, seen_seconds, known_seconds = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local most, most_types, most_entries = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local most_seen = tonumber(ARGV[8])
local FIRST, WIDTH, KIND, DIGEST, ENTRY = 9, 10, 3, 6, 10

if redis.call('XLEN', stream) + (#ARGV - FIRST + 1) / WIDTH > most_entries then return {-1} end

local function unpacked(packed)
  local types, entries, at = {}, {}, 1
  while at + KIND <= #packed do
    local kind = string.sub(packed, at, at + KIND - 1)
    at = at + KIND
    local bytes = string.byte(packed, at) * ENTRY
    -- Of bytes that were cut, what is whole.
    local there = math.min(bytes, #packed - at)
    types[#types + 1], entries[kind] = kind, string.sub(packed, at + 1, at + there - there % ENTRY)
    at = at + 1 + bytes
  end
  return types, entries
end

local function with_item(listed, item, moment, lifts)
  local kept, newest = {}, moment
  for at = 1, #listed, ENTRY do
    local entry = string.sub(listed, at, at + ENTRY - 1)
    if string.sub(entry, 1, DIGEST) == item then
      newest = math.max(newest, struct.unpack('>I4', entry, DIGEST + 1))
    else
      kept[#kept + 1] = entry
    end
  end
  if not lifts then
    local place = #kept + 1
    while place > 1 and struct.unpack('>I4', kept[place - 1], DIGEST + 1) > newest do place = place - 1 end
    table.insert(kept, place, item .. struct.pack('>I4', newest))
  end
  while #kept > most do table.remove(kept, 1) end
  return table.concat(kept)
end

local users, result = {}, {}
for at = FIRST, #ARGV, WIDTH do
  local user, id, name, kind, item, digest, moment, lifts, sends, packed = unpack(ARGV, at, at + WIDTH - 1)
  local known_key = KEYS[2 + tonumber(user)]
  local shard = ':' .. string.sub(id, 1, 4)
  id = string.sub(id, 5)
  local is_new = true
  -- Also tomorrow's: another replica's clock may be a little fast.
  for one = day - 2, day + 1 do
    if is_new and redis.call('SISMEMBER', seen .. one .. shard, id) == 1 then is_new = false end
  end
  result[#result + 1] = is_new and 1 or 0
  if is_new then
    local today = seen .. day .. shard
    if redis.call('SCARD', today) >= most_seen then redis.call('SPOP', today) end
    redis.call('SADD', today, id)
    redis.call('PEXPIRE', today, seen_seconds * 1000)
    redis.call('XADD', stream, '*', 'user', string.sub(known_key, -8), 'type', name, 'item', item, 'at', moment,
      'lifts', lifts, 'send', sends, 'event', packed)
    if item ~= '' then
      local found = users[known_key]
      if not found then
        found = {}
        found.types, found.entries = unpacked(redis.call('GET', known_key) or '')
        users[known_key] = found
      end
      if not found.entries[kind] and #found.types < most_types then
        found.types[#found.types + 1], found.entries[kind] = kind, ''
      end
      if found.entries[kind] then
        local seconds = math.max(0, math.min(4294967295, math.floor(tonumber(moment))))
        found.entries[kind] = with_item(found.entries[kind], digest, seconds, lifts == '1')
        redis.call('HSET', names, digest, item, kind, name)
      end
    end
  end
end
for known_key, found in pairs(users) do
  local parts = {}
  for _, kind in ipairs(found.types) do
    local listed = found.entries[kind]
    if #listed > 0 then
      parts[#parts + 1] = kind .. string.char(#listed / ENTRY) .. listed
    end
  end
  if #parts > 0 then
    redis.call('SET', known_key, table.concat(parts), 'EX', known_seconds)
  else
    redis.call('DEL', known_key)
  end
end
return result
