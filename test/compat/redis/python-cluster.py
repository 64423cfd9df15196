"""What python3-redis does with a cluster: one argument, the port of a node. Prints ok."""

import sys

from redis.cluster import RedisCluster

cluster = RedisCluster(host="127.0.0.1", port=int(sys.argv[1]))
assert len(cluster.get_primaries()) == 3, cluster.get_primaries()
assert len(cluster.get_replicas()) == 3, cluster.get_replicas()
for n in range(100):
    assert cluster.set(f"py:{n}", n)
assert [cluster.get(f"py:{n}") for n in range(100)] == [str(n).encode() for n in range(100)]
pipeline = cluster.pipeline()
for n in range(100):
    pipeline.incr(f"py:{n}")
assert pipeline.execute() == [n + 1 for n in range(100)]
assert cluster.mset_nonatomic({f"py:{n}": "x" for n in range(100)})
assert cluster.cluster_keyslot("foo") == 12182
assert cluster.eval("return redis.call('GET', KEYS[1])", 1, "py:1") == b"x"
assert sum(1 for _ in cluster.scan_iter("py:*", count=100)) == 100
readers = RedisCluster(host="127.0.0.1", port=int(sys.argv[1]), read_from_replicas=True)
assert readers.get("py:1") in (b"x", None)  # a replica may be behind
print("ok")
