#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""librdkafka's mock cluster with kcat and python3-kafka over loopback: the records are what the
clients say that they sent, with the versions, and what the mock answered."""
import collections
import re
import subprocess
import sys
import time

import lab
from lab import check

MOCK = sys.argv.pop() if len(sys.argv) > 2 else None
# What clients call otherwise than Kafka does.
NAMES = {"ApiVersion": "ApiVersions", "GroupCoordinator": "FindCoordinator", "Offset": "ListOffsets"}
NOT_LEADER, GROUP_LOADING = 6, 14


class Cluster:
    def __init__(self, l, namespace):
        self.child = l.start(namespace, MOCK, "2", log="mock.log", stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
        self.address = self.child.stdout.readline().decode().strip()
        check(self.address, "the mock cluster does not start")

    def tell(self, line):
        self.child.stdin.write(line.encode() + b"\n")
        self.child.stdin.flush()
        check(self.child.stdout.readline() == b"done\n", f"the mock did not obey: {line}")


def python_clients(address, calls, expected):
    """Each request that kafka-python sends is counted in `calls` as (API, version)."""
    try:
        import kafka
        import kafka.conn
    except ImportError:
        raise lab.Skip("python3-kafka is not installed")
    send = kafka.conn.BrokerConnection._send

    def counted(self, request, blocking=True):
        future = send(self, request, blocking)
        if not (future.failed() and isinstance(future.exception, kafka.errors.KafkaConnectionError)):
            name = re.sub(r"Request(_v\d+)?$", "", type(request).__name__)
            calls[NAMES.get(name, name), request.API_VERSION] += 1
        return future

    kafka.conn.BrokerConnection._send = counted
    try:
        produce(kafka, address, expected)
        consume(kafka, address, expected)
    finally:
        kafka.conn.BrokerConnection._send = send


def produce(kafka, address, expected):
    for acks, codec, count in ((1, None, 40), ("all", "gzip", 40), (0, None, 25)):
        producer = kafka.KafkaProducer(bootstrap_servers=address, acks=acks, client_id=f"p-{acks}",
                                       compression_type=codec, api_version=(0, 11, 0))
        for n in range(count):
            future = producer.send("orders", b"v" * (n + 1), partition=n % 2)
            if acks != 0:
                future.get(10)
        producer.flush(10)
        expected["records", str(acks)] += count
        producer.close()


def consume(kafka, address, expected):
    consumer = kafka.KafkaConsumer(bootstrap_servers=address, client_id="c-1", group_id="readers",
                                   auto_offset_reset="earliest", consumer_timeout_ms=4000,
                                   api_version=(0, 11, 0), fetch_max_wait_ms=300)
    consumer.subscribe(["orders"])
    count = 0
    for _ in consumer:
        count += 1
        if count == expected["records", "1"] + expected["records", "all"] + \
                expected["records", "0"]:
            break
    expected["consumed"] = count
    consumer.commit()
    consumer.close(autocommit=False)


def kcat(l, namespace, cluster, calls, expected):
    """kcat says what it sends under -d protocol."""
    def run(*arguments, text=None):
        done = subprocess.run(["ip", "netns", "exec", namespace, "kcat", "-b", cluster.address,
                               "-X", "client.id=cat", "-d", "protocol", *arguments], input=text,
                              capture_output=True, text=True, timeout=60)
        check(done.returncode == 0, f"kcat {arguments}: {done.stderr[-400:]}")
        for name, version in re.findall(r"Sent (\w+?)Request \(v(\d+),", done.stderr):
            calls[NAMES.get(name, name), int(version)] += 1
        return done.stdout

    cluster.tell(f"fail 0 {NOT_LEADER} 2")
    cluster.tell(f"fail 10 {GROUP_LOADING} 1")
    lines = "".join(f"line {n}\n" for n in range(300))
    for codec in ("none", "snappy", "lz4", "zstd"):
        run("-P", "-t", "lines", "-z", codec, "-H", "traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-"
            "00f067aa0ba902b7-01", "-X", "retry.backoff.ms=50", text=lines)
    expected["lines"] = 1200
    got = run("-C", "-t", "lines", "-o", "beginning", "-e", "-q").count("\n")
    check(got == expected["lines"], f"kcat got {got} lines")
    run("-G", "cats", "lines", "-e", "-X", "auto.offset.reset=earliest", "-c", "100")
    run("-L")


def run(l):
    lab.need("kcat")
    if MOCK is None:
        raise lab.Skip("librdkafka-dev was not there when this was built")
    host = l.namespace("k")
    # What the test itself asks of the agent goes over the same interface.
    agent = l.agent(host, ["interface: lo"], "  filter: not port 9091\n")
    cluster = Cluster(l, host)
    cluster.tell("topic orders 2")
    cluster.tell("topic lines 4")
    calls, expected = collections.Counter(), collections.Counter()
    with l.inside(host):
        python_clients(cluster.address, calls, expected)
    kcat(l, host, cluster, calls, expected)
    time.sleep(0.3)
    own, seen, status = l.settled(host)
    losses = lab.check_books(own, seen, status)
    l.stop(agent)
    judge([r for r in l.records() if r["protocol"] == "kafka"], calls, expected, losses)


def judge(records, calls, expected, losses):
    requests = [r for r in records if r["request"]]
    found = collections.Counter((r["request"]["api"], r["request"]["api_version"])
                                for r in requests)
    print(f"{len(records)} records of {len(found)} kinds, {lab.count_by(records, 'status')}, "
          f"lost {losses}")
    if sum(losses.values()) > 0:
        print("the probe lost packets: only the books are checked")
        return
    for kind in sorted(set(calls) | set(found)):
        check(calls[kind] == found[kind],
              f"{kind}: {calls[kind]} sent by the clients, {found[kind]} recorded")

    def total(key, half="request", **fields):
        return sum((r[half] or {}).get(key, 0) for r in records
                   if r["status"] in ("ok", "one_way") and r["request"] and
                   all(r["request"].get(k) == v for k, v in fields.items()))

    for acks in ("1", "all", "0"):
        want = expected["records", acks]
        got = total("records", api="Produce", client_id=f"p-{acks}")
        check(got == want, f"acks {acks}: {want} records sent, {got} recorded")
    got = total("records", api="Produce", client_id="cat")
    check(got == expected["lines"], f"{expected['lines']} lines produced, {got} recorded")
    got = total("records", "response", api="Fetch", client_id="c-1")
    check(got >= expected["consumed"] > 0, f"{expected['consumed']} consumed, {got} recorded")
    details(records)


def details(records):
    def having(**fields):
        return [r for r in records if r["request"] and
                all(r["request"].get(k) == v for k, v in fields.items())]

    silent = having(api="Produce", acks=0)
    check(silent and all(r["status"] == "one_way" for r in silent), "acks 0 is not one way")
    failed = [r for r in having(api="Produce", client_id="cat") if r["status"] == "server_error"]
    check(len(failed) == 2 and all(r["response"]["error"] == "NOT_LEADER_OR_FOLLOWER" and
                                   r["response"]["partitions_in_error"] >= 1 for r in failed),
          f"{len(failed)} refused Produce requests of 2")
    loading = [r for r in having(api="FindCoordinator") if r["status"] == "server_error"]
    check(len(loading) >= 1, "no refused FindCoordinator")
    codecs = {r["request"].get("compression") for r in having(api="Produce", client_id="cat")}
    check(codecs >= {"none", "snappy", "lz4"}, f"codecs {codecs}")
    traced = [r for r in having(api="Produce", client_id="cat", compression="none")
              if r.get("trace", {}).get("trace_id") == "4bf92f3577b34da6a3ce929d0e0e4736"]
    check(traced, "no trace context from record headers")
    waiting = [r for r in having(api="Fetch") if r["timing"].get("wait_ns", 0) > 100e6]
    check(waiting and all(r["timing"]["wait_ns"] <= r["timing"]["server_ns"] for r in waiting),
          "no long poll")
    joined = having(api="JoinGroup", client_id="c-1")
    check(joined and all(r["request"]["group_id"] == ["readers"] for r in joined), "no group")
    # The mock answers even where no answer is wanted. It refuses ApiVersions 3, in a form of its own.
    orphans = [r for r in records if r["status"] == "orphan"]
    check(len(orphans) == len(silent), f"{len(orphans)} orphans, {len(silent)} one way")
    errors = collections.Counter((r["request"]["api"], r["response"]["error"]) for r in records
                                 if r["status"] == "client_error")
    check(set(errors) <= {("ApiVersions", "UNSUPPORTED_VERSION")}, f"errors {errors}")
    pending = [r for r in records if r["status"] == "unanswered"]
    check(all(r["request"]["api"] == "Fetch" for r in pending), "unanswered")
    check(not any("gap" in r.get("flags", []) for r in records), "gaps without losses")
    print(f"{len(silent)} one way, {len(failed) + len(loading)} refused, {len(waiting)} long polls, "
          f"{len(traced)} traced")


lab.main(run)
