-- Prolongs a lease, or puts it back when the table has lost it.
--
-- KEYS[1]  route of the stream: hash {owner, node, epoch, claim}
-- KEYS[2]  highest epoch that the stream has had: string
-- ARGV[1]  owner that renews
-- ARGV[2]  its node
-- ARGV[3]  claim record (msgpack), written anew
-- ARGV[4]  lease in ms
-- ARGV[5]  how long the epoch is remembered, in ms
-- ARGV[6]  channel of announcements
-- ARGV[7]  announcement, open at its end: the epoch (msgpack) completes it
-- ARGV[8]  epoch of the lease
-- Returns  "kept", "restored" or "lost".

-- Whole numbers only as far as a Lua number holds them exactly; anything else counts as none.
local function epoch_of(text)
  local epoch = tonumber(text or '')
  if epoch and epoch >= 0 and epoch < 2 ^ 53 then
    return epoch
  end
end

local epoch = tonumber(ARGV[8])
local held = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'claim')
local held_epoch = epoch_of(held[2]) or 0
local last = epoch_of(redis.call('GET', KEYS[2])) or 0
local kept = held[1] == ARGV[1] and held_epoch == epoch

-- Equal epochs of two owners: two claims in one millisecond with a flush between them. Who is in
-- the table stays, so that exactly one of them goes on.
if not kept and (last > epoch or held_epoch >= epoch) then
  return 'lost'
end

-- The usual case. Nothing is written, so a Redis that is full (OOM) still does it, and streams that
-- run stay in the table.
if kept and held[3] == ARGV[3] and last >= epoch then
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
  return 'kept'
end

redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'node', ARGV[2], 'epoch', ARGV[8], 'claim', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('SET', KEYS[2], string.format('%.0f', math.max(last, epoch)), 'PX', ARGV[5])
if kept then
  return 'kept'
end
redis.call('PUBLISH', ARGV[6], ARGV[7] .. cmsgpack.pack(epoch))
return 'restored'
