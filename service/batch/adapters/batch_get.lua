-- KEYS: prefix of the sets; prefix:current names the active one
-- ARGV: bucket, field
-- Returns: created_at (unix seconds) and the item ids, best first; false when there is no list.
-- One step, so that the list, its dictionary and the name of the set belong together. `codes.py` is the format.
local set = redis.call('GET', KEYS[1] .. ':current')
if not set then return false end
local base = KEYS[1] .. ':' .. set .. ':'
local packed = redis.call('HGET', base .. ARGV[1], ARGV[2])
if not packed or #packed < 4 then return false end
local out = {(struct.unpack('>I4', packed))}
local at = 5
while at <= #packed do
  local number, scale, byte = 0, 1, nil
  repeat
    byte = string.byte(packed, at)
    if not byte then return false end
    number, scale, at = number + byte % 128 * scale, scale * 128, at + 1
  until byte < 128
  local item
  if number >= 2 then
    local place = number - 2
    item = redis.call('HGET', base .. 'items:' .. math.floor(place / 128), place % 128)
  elseif number == 1 then
    local hex = string.gsub(string.sub(packed, at, at + 15), '.', function(c) return string.format('%02x', string.byte(c)) end)
    item = table.concat({hex:sub(1, 8), hex:sub(9, 12), hex:sub(13, 16), hex:sub(17, 20), hex:sub(21)}, '-')
    at = at + 16
  else
    local high, low = string.byte(packed, at, at + 1)
    if not low then return false end
    item = string.sub(packed, at + 2, at + 1 + high * 256 + low)
    at = at + 2 + high * 256 + low
  end
  -- A dictionary that was evicted in part: no list rather than a wrong one.
  if not item then return false end
  out[#out + 1] = item
end
return out
