-- Times: milliseconds. The first answer to a part of a message is the one that all show.
-- KEYS: pin, what the user was shown in the last sends, digests of the pins of one list
-- ARGV: packed pin, items asked for by the pin that it takes the place of (0: none), pin_ms, digest of the send, digests
--       of the items shown, shown_ms, most sends, bytes of a digest, most items of a send, digest of the pin (empty: nobody
--       asks for the pins of a list), most pins of a list
-- Returns: the pin of another replica that was first, or false
local pin = redis.call('GET', KEYS[1])
if pin and #pin >= 2 and struct.unpack('>I2', pin) ~= tonumber(ARGV[2]) then return pin end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
local pinned = ARGV[10]
if pinned ~= '' then
  local before, kept = redis.call('GET', KEYS[3]) or '', pinned
  for first = 1, #before, #pinned do
    local other = string.sub(before, first, first + #pinned - 1)
    if other ~= pinned and #kept < tonumber(ARGV[11]) * #pinned then kept = kept .. other end
  end
  redis.call('SET', KEYS[3], kept, 'PX', ARGV[3])
end
local packed, most, width = redis.call('GET', KEYS[2]) or '', tonumber(ARGV[7]), tonumber(ARGV[8])
local sends, items, at = {}, {}, 1
while at + width <= #packed do
  local send, count = string.sub(packed, at, at + width - 1), string.byte(packed, at + width)
  if not items[send] then sends[#sends + 1] = send end
  items[send] = string.sub(packed, at + width + 1, at + width + count * width)
  at = at + width + 1 + count * width
end
local send, new = ARGV[4], ARGV[5]
if not items[send] then
  sends[#sends + 1], items[send] = send, ''
end
for first = 1, #new, width do
  local item, known = string.sub(new, first, first + width - 1), false
  for other = 1, #items[send], width do
    if string.sub(items[send], other, other + width - 1) == item then known = true end
  end
  if not known and #items[send] / width < tonumber(ARGV[9]) then items[send] = items[send] .. item end
end
local parts = {}
for place = math.max(1, #sends - most + 1), #sends do
  local one = items[sends[place]]
  parts[#parts + 1] = sends[place] .. string.char(#one / width) .. one
end
redis.call('SET', KEYS[2], table.concat(parts), 'PX', ARGV[6])
return false
