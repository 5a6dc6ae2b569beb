-- Gives a stream up, if it is still ours: compare-and-delete on the route.
--
-- KEYS[1]  route of the stream: hash {owner, node, epoch, claim}
-- KEYS[2]  highest epoch that the stream has had: string
-- ARGV[1]  owner that releases
-- ARGV[2]  epoch of the lease
-- ARGV[3]  how long the epoch is remembered, in ms
-- ARGV[4]  channel of announcements
-- ARGV[5]  announcement, open at its end: the epoch (msgpack) completes it
-- Returns  1 when released, 0 when the stream was not ours any more.

-- Whole numbers only as far as a Lua number holds them exactly; anything else counts as none.
local function epoch_of(text)
  local epoch = tonumber(text or '')
  if epoch and epoch >= 0 and epoch < 2 ^ 53 then
    return epoch
  end
end

local epoch = tonumber(ARGV[2])
local held = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
if held[1] ~= ARGV[1] or epoch_of(held[2]) ~= epoch then
  return 0
end

redis.call('DEL', KEYS[1])
-- One more than the epoch that ended: a renewal that was under way when the stream was released
-- (and arrives later, over another connection) must not bring it back to life.
local last = epoch_of(redis.call('GET', KEYS[2])) or 0
redis.call('SET', KEYS[2], string.format('%.0f', math.max(last, epoch + 1)), 'PX', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[5] .. cmsgpack.pack(epoch))
return 1
