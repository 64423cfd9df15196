"""What python3-redis does with a store: `python-client.py OPTIONS` (JSON of redis.Redis); prints `ok` at the end."""

import json
import sys
import threading

import redis
from redis.exceptions import LockError, ResponseError, WatchError

options = json.loads(sys.argv[1])
r = redis.Redis(decode_responses=True, **options)
raw = redis.Redis(**options)
r.flushall()

# Types and binary values.
every_byte = bytes(range(256))
raw.set("bytes", every_byte, px=100_000)
assert raw.get("bytes") == every_byte
assert 99_000 < r.pttl("bytes") <= 100_000
assert r.hset("hash", mapping={"a": 1, "b": 2}) == 2 and r.hgetall("hash") == {"a": "1", "b": "2"}
assert r.zadd("zset", {"a": 1.5, "b": float("-inf")}) == 2
assert r.zrange("zset", 0, -1, withscores=True) == [("b", float("-inf")), ("a", 1.5)]
assert r.rpush("list", *range(10)) == 10 and r.lrange("list", 0, -1) == [str(n) for n in range(10)]
assert r.sadd("set", "x", "y") == 2 and r.smembers("set") == {"x", "y"}
assert r.geoadd("places", (13.4, 52.5, "Berlin")) == 1 and r.geopos("places", "Berlin")[0][0] - 13.4 < 0.001
assert r.bitfield("bits").set("u8", 0, 200).incrby("u8", 0, 100).execute() == [0, 44]
assert r.pfadd("unique", *range(100)) == 1 and abs(r.pfcount("unique") - 100) < 5
assert {key for key in r.scan_iter(match="*s*", count=3)} == {"bytes", "hash", "zset", "list", "set", "places", "bits"}
assert r.info("server")["redis_version"] and r.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
assert r.command_count() > 200 and r.command()["get"]["arity"] == 2
assert r.object("encoding", "hash") in ("listpack", "ziplist")

# Pipelines, transactions, WATCH.
with r.pipeline(transaction=False) as pipe:
    for n in range(5000):
        pipe.set(f"many:{n}", n)
    assert pipe.execute() == [True] * 5000
with r.pipeline() as pipe:
    assert pipe.incr("n").incr("n").lpush("hash", 1).execute(raise_on_error=False)[:2] == [1, 2]
with r.pipeline() as pipe:
    pipe.watch("n")
    r.set("n", 100)
    pipe.multi()
    pipe.set("n", 0)
    try:
        pipe.execute()
        raise AssertionError("the watched key was changed")
    except WatchError:
        pass
assert r.transaction(lambda pipe: pipe.multi() or pipe.incr("n"), "n") == [101]

# Scripts: by their digest, also after they are gone.
add = r.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1]) + 0.7")
assert add(keys=["sum"], args=[5]) == 5
r.script_flush()
assert add(keys=["sum"], args=[5]) == 10
try:
    r.eval("return redis.call('LPUSH', 'sum', 1)", 0)
    raise AssertionError("a list command on a string")
except ResponseError as error:
    assert str(error).startswith("WRONGTYPE"), error

# Locks.
lock = r.lock("lock", timeout=10, blocking_timeout=0.2)
assert lock.acquire() and not r.lock("lock", timeout=10).acquire(blocking=False)
assert lock.extend(5) and lock.owned()
lock.release()
try:
    lock.release()
    raise AssertionError("it is released already")
except LockError:
    pass
counter = [0]


def locked():
    for _ in range(20):
        with r.lock("shared", timeout=10, sleep=0.001):
            counter[0] += 1


threads = [threading.Thread(target=locked) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert counter[0] == 80

# Channels.
listener = r.pubsub(ignore_subscribe_messages=True)
listener.subscribe("news")
listener.psubscribe("weather.*")
while not (r.pubsub_numsub("news") == [("news", 1)] and r.pubsub_numpat() == 1):
    listener.get_message(timeout=0.1)
r.publish("news", "hello")
r.publish("weather.rain", "soon")
got = []
while len(got) < 2:
    message = listener.get_message(timeout=10)
    if message is not None:
        got.append((message["type"], message["channel"], message["data"]))
assert got == [("message", "news", "hello"), ("pmessage", "weather.rain", "soon")], got
listener.close()

# Streams with groups, blocking.
first = r.xadd("stream", {"field": "value"})
r.xgroup_create("stream", "group", id="0")
assert r.xreadgroup("group", "me", {"stream": ">"}, count=10) == [["stream", [(first, {"field": "value"})]]]
assert r.xpending("stream", "group")["pending"] == 1
assert r.xautoclaim("stream", "group", "other", min_idle_time=0)[1] == [(first, {"field": "value"})]
assert r.xack("stream", "group", first) == 1
threading.Timer(0.1, lambda: r.xadd("stream", {"field": "later"})).start()
assert r.xreadgroup("group", "me", {"stream": ">"}, block=10_000)[0][1][0][1] == {"field": "later"}
threading.Timer(0.1, lambda: r.rpush("queue", "job")).start()
assert r.blpop("queue", timeout=10) == ("queue", "job")
assert r.xinfo_groups("stream")[0]["name"] == "group"

# MONITOR and the administration of clients.
with r.monitor() as monitor:
    r.set("seen", "1")
    seen = monitor.next_command()["command"]
    assert seen == "SET seen 1", seen
assert any(client["addr"] for client in r.client_list())
assert r.acl_whoami() == options.get("username", "default")
dump = raw.dump("hash")
assert raw.restore("copy", 0, dump) and r.hgetall("copy") == r.hgetall("hash")
print("ok")
