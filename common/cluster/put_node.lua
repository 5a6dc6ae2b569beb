-- Writes what a node is and does; announces that it drains when that is new.
--
-- KEYS[1]  node: hash {state, record}
-- KEYS[2]  load of the node: string
-- ARGV[1]  state: "serving" or "draining"
-- ARGV[2]  node record (msgpack)
-- ARGV[3]  load record (msgpack)
-- ARGV[4]  time to live of both, in ms
-- ARGV[5]  channel of announcements
-- ARGV[6]  announcement that the node drains, complete
-- Returns  1 when the announcement was made, else 0.

local before = redis.call('HGET', KEYS[1], 'state')
redis.call('HSET', KEYS[1], 'state', ARGV[1], 'record', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
if ARGV[1] == 'draining' and before ~= 'draining' then
  redis.call('PUBLISH', ARGV[5], ARGV[6])
  return 1
end
return 0
