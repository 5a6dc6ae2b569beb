-- Takes a stream for a publish session: compare-and-set on the route.
--
-- KEYS[1]  route of the stream: hash {owner, node, epoch, claim}
-- KEYS[2]  highest epoch that the stream has had: string
-- ARGV[1]  owner that claims
-- ARGV[2]  its node
-- ARGV[3]  claim record (msgpack)
-- ARGV[4]  lease in ms
-- ARGV[5]  how long the epoch is remembered, in ms
-- ARGV[6]  channel of announcements
-- ARGV[7]  announcement, open at its end: the epoch (msgpack) completes it
-- ARGV[8]  policy: only "takeover" wins over another owner …
-- ARGV[9]  … or a claim over exactly this epoch, of a holder found dead; "0": over none
-- ARGV[10] for how long, in ms, the publisher has been there; "0": he comes now
-- Returns  {epoch, ""}, or {0, node of the holder} when it is taken.

-- Whole numbers only as far as a Lua number holds them exactly; anything else counts as none.
local function epoch_of(text)
  local epoch = tonumber(text or '')
  if epoch and epoch >= 0 and epoch < 2 ^ 53 then
    return epoch
  end
end

local held = redis.call('HMGET', KEYS[1], 'owner', 'node', 'epoch')
local held_epoch = epoch_of(held[3])
-- The clock keeps epochs growing when the counter was lost (flush, failover); the counter
-- keeps them growing when the clock goes back or two claims fall into one millisecond.
local time = redis.call('TIME')
local age_ms = tonumber(ARGV[10])
local came_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) - age_ms
-- Who could not claim when he came does not throw out who has come since.
local is_late = age_ms > 0 and (held_epoch or 0) > came_ms
local epoch

if held[1] == ARGV[1] and held_epoch then
  epoch = held_epoch
elseif held[1] and held[1] ~= ARGV[1] and held[3] ~= ARGV[9]
  and (ARGV[8] ~= 'takeover' or is_late) then
  return {0, held[2] or held[1]}
else
  local last = epoch_of(redis.call('GET', KEYS[2])) or 0
  epoch = math.max(last + 1, (held_epoch or 0) + 1, came_ms)
end

local digits = string.format('%.0f', epoch)
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'node', ARGV[2], 'epoch', digits, 'claim', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('SET', KEYS[2], digits, 'PX', ARGV[5])
redis.call('PUBLISH', ARGV[6], ARGV[7] .. cmsgpack.pack(epoch))
return {epoch, ''}
