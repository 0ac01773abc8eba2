#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""redis-server with python3-redis, redis-cli in RESP2 and RESP3 and redis-benchmark: the records
are what the clients sent, and what INFO commandstats counts (docs/protocols/redis.md); latencies
are the client's but for what lies between it and the probe.

usage: redis_server.py TAPLINE [--record FILE]   writes what is on the wire into FILE, of few calls"""
import collections
import re
import socket
import statistics
import sys
import time

import lab
from lab import check

RECORDS = "--record" in sys.argv
BENCHMARKED = 64 if RECORDS else 5120  # whole batches: redis-benchmark sends no part of one
BLOB = 400 if RECORDS else 40000       # repetitions
TIMED = 300
# Client's latency less the probe's: never below 0, and at most this in the median and for 99 of 100,
# also where others compete for the CPUs. redis-benchmark counts in microseconds, by three digits.
BOUND_MS = (20, 250)
BENCH_TIMED = 600  # more GETs than any other connection has
CONTAINERS = ("CLIENT", "CONFIG", "COMMAND", "OBJECT", "SCRIPT")


def server(l, namespace):
    lab.need("redis-server", "redis-cli", "redis-benchmark")
    l.start(namespace, "redis-server", "--port", "6379", "--bind", lab.HTTP, "127.0.0.1", "--save",
            "", "--protected-mode", "no", log="redis.log", cwd=l.folder)
    lab.wait_for("redis-server", lambda: l.answers(namespace, lab.HTTP, 6379))
    l.on(namespace, "redis-cli", "CONFIG", "RESETSTAT")


def name_of(words):
    words = [str(w).upper() for w in " ".join(map(str, words[:2])).split()]
    return " ".join(words[:2]) if words[0] in CONTAINERS else words[0]


def python_client(calls):
    """Each command that the client sends is counted in `calls`; it must run in the namespace."""
    try:
        import redis
    except ImportError:
        raise lab.Skip("python3-redis is not installed")

    class Connection(redis.Connection):
        def send_command(self, *args, **options):
            calls[name_of(args)] += 1
            return super().send_command(*args, **options)

        def pack_commands(self, commands):
            commands = list(commands)
            calls.update(name_of(c) for c in commands)
            return super().pack_commands(commands)

    pool = redis.ConnectionPool(connection_class=Connection, host=lab.HTTP, db=3)
    client = redis.Redis(connection_pool=pool)
    blob = b"a\r\n$5\r\nx" * BLOB
    client.set("blob", blob)
    check(client.get("blob") == blob, "the value came back otherwise")
    for n in range(200):
        client.set(f"k{n}", n)
    pipe = client.pipeline(transaction=False)
    for n in range(500):
        pipe.get(f"k{n % 200}")
    pipe.execute()
    with client.pipeline() as pipe:
        pipe.incr("n").incr("n").execute()
    for bad in (("LPUSH", "n", "x"), ("NO.SUCH", "x"), ("GET",)):
        try:
            client.execute_command(*bad)
        except redis.ResponseError:
            pass
    client.blpop("empty", timeout=0.1)
    client.eval("return redis.call('incr', KEYS[1])", 1, "n")
    subscriber = client.pubsub()
    subscriber.subscribe("a", "b")
    for kind in ("subscribe", "subscribe", "message", "unsubscribe", "unsubscribe"):
        message = lab.wait_for(kind, subscriber.get_message)
        check(message["type"] == kind, f"{message} instead of a {kind}")
        if message["type"] == "subscribe" and message["data"] == 2:
            client.publish("a", "hello")
        elif message["type"] == "message":
            subscriber.unsubscribe()
    subscriber.close()
    pool.disconnect()


def timed_client(calls):
    """Latencies in ms of GETs, one at a time, by the client's own clock."""
    latencies = []
    with socket.create_connection((lab.HTTP, 6379)) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for n in range(TIMED):
            begin = time.perf_counter()
            s.sendall(b"*2\r\n$4\r\nECHO\r\n$7\r\ntimed%02d\r\n" % (n % 100))
            reply = s.recv(4096)
            latencies.append((time.perf_counter() - begin) * 1e3)
            check(reply == b"$7\r\ntimed%02d\r\n" % (n % 100), f"ECHO gave {reply}")
    calls["ECHO"] += TIMED
    return latencies


def timed_benchmark(l, namespace, calls):
    """redis-benchmark's own average, smallest and largest latency of GETs, one at a time, in ms."""
    out = l.on(namespace, "redis-benchmark", "-h", lab.HTTP, "-c", "1", "-n", BENCH_TIMED, "-t", "get",
               "--csv")
    calls["GET"] += BENCH_TIMED
    return [float(n) for n in re.search(r'"GET",(.*)', out)[1].replace('"', "").split(",")]


def check_benchmark(figures, records):
    by_connection = collections.defaultdict(list)
    for r in records:
        if (r.get("request") or {}).get("command") == "GET":
            by_connection[r["connection"]["id"]].append(r["duration_ns"] / 1e6)
    probed = max(by_connection.values(), key=len)
    check(len(probed) == BENCH_TIMED, f"{BENCH_TIMED} timed calls, {len(probed)} records")
    mine = (statistics.mean(probed), min(probed), max(probed))
    theirs = (figures[1], figures[2], figures[6])
    print("redis-benchmark's latency less the probe's: " + ", ".join(
        f"{name} {a:.3f} - {b:.3f} ms" for name, a, b in zip(("mean", "least", "most"), theirs, mine)))
    for name, a, b, most in zip(("mean", "least", "most"), theirs, mine, (*BOUND_MS[:1], *BOUND_MS)):
        check(-0.002 - 0.005 * a <= a - b <= most, f"the {name} latency: {a} ms by the client, {b}")


def check_latency(latencies, records):
    probed = [r["duration_ns"] / 1e6 for r in sorted(records, key=lambda r: r["time"])]
    check(len(probed) == len(latencies), f"{len(latencies)} timed calls, {len(probed)} records")
    rest = sorted(a - b for a, b in zip(latencies, probed))
    print(f"client's latency less the probe's: {rest[0]:.3f} to {rest[-1]:.3f} ms, median "
          f"{statistics.median(rest):.3f} ms, of {len(rest)}")
    check(rest[0] >= 0, "the probe's latency is longer than the client's")
    check(statistics.median(rest) <= BOUND_MS[0], f"the median is over {BOUND_MS[0]} ms")
    check(rest[len(rest) * 99 // 100] <= BOUND_MS[1], f"too many over {BOUND_MS[1]} ms")


def commandstats(l, namespace):
    counts = collections.Counter()
    for name, rest in re.findall(r"cmdstat_(\S+?):(\S+)", l.on(namespace, "redis-cli", "INFO",
                                                                "commandstats")):
        numbers = dict(pair.split("=") for pair in rest.split(","))
        counts[name.upper().replace("|", " ")] = int(numbers["calls"]) + \
            int(numbers["rejected_calls"])
    return counts


def run(l):
    client, host = l.pair(offload=False)
    server(l, host)
    agent = l.agent(host, ["interface: s0"])
    if RECORDS:
        lab.need("tcpdump")
        dump = l.start(client, "tcpdump", "-Z", "root", "-i", "c0", "-U", "--immediate-mode", "-s",
                       "0", "-w", sys.argv[sys.argv.index("--record") + 1], "tcp port 6379",
                       log="tcpdump.log")
        lab.wait_for("tcpdump", lambda: "listening on" in dump.log.read_text())
    calls = collections.Counter()
    latencies, figures = [], []
    with l.inside(client):
        python_client(calls)
        if not RECORDS:
            latencies = timed_client(calls)
    if not RECORDS:
        figures = timed_benchmark(l, client, calls)
    for protocol, count in (("-2", 60), ("-3", 40)):
        lines = "".join(f"HSET h f{n} v\nHGETALL h\n" for n in range(count))
        l.on(client, "redis-cli", "-h", lab.HTTP, protocol, input=lines)
        calls.update({"HSET": count, "HGETALL": count, "HELLO": protocol == "-3"})
    l.on(client, "redis-benchmark", "-h", lab.HTTP, "-P", "16", "-c", "4", "-n", BENCHMARKED, "-t",
         "mset,lpop", "-q")
    calls.update({"MSET": BENCHMARKED, "LPOP": BENCHMARKED})
    counted = commandstats(l, host)
    own, seen, status = l.settled(host)
    if RECORDS:
        l.stop(dump)
    losses = lab.check_books(own, seen, status)
    l.stop(agent)
    records = [r for r in l.records() if r["protocol"] == "redis"]
    found = collections.Counter(r["request"]["command"] for r in records
                                if "command" in (r.get("request") or {}))
    pushes = [r for r in records if (r.get("request") or {}).get("push")]
    print(f"{len(records)} records of {len(found)} commands, {len(pushes)} message, "
          f"{lab.count_by(records, 'status')}, lost {losses}")
    if sum(losses.values()) > 0:
        print("the probe lost packets: only the books are checked")
        return
    # redis-benchmark asks for the configuration by itself, redis-cli may for the commands.
    for name in calls:
        check(calls[name] == found[name], f"{name}: {calls[name]} sent, {found[name]} recorded")
    # By the mapping: what the script called is not on the wire, an unknown command not counted;
    # CONFIG RESETSTAT and INFO were asked beside the probe.
    counted["INCR"] -= 1
    counted["NO.SUCH"] += 1
    for name in set(counted) - {"INFO", "CONFIG RESETSTAT"}:
        check(counted[name] == found[name], f"{name}: {counted[name]} by the server, {found[name]}")
    if latencies:
        check_latency(latencies, [r for r in records
                                  if (r.get("request") or {}).get("command") == "ECHO"])
        check_benchmark(figures, records)
    check(len(pushes) == 1, f"{len(pushes)} messages recorded")
    check(lab.count_by(records, "status").get("client_error") == 3, "not three errors")


if __name__ == "__main__":
    lab.main(run)
