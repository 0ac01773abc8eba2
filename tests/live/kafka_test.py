#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""librdkafka's mock cluster with kcat and python3-kafka over loopback: the records are what the
clients say that they sent, with the versions, and what the mock answered."""
import collections
import contextlib
import re
import subprocess
import sys

import lab
from lab import check

MOCK = sys.argv.pop() if len(sys.argv) > 2 else None
# What clients call otherwise than Kafka does.
NAMES = {"ApiVersion": "ApiVersions", "GroupCoordinator": "FindCoordinator", "Offset": "ListOffsets"}
NOT_LEADER, GROUP_LOADING = 6, 14
PATIENCE = 60  # seconds: a busy machine is no fault


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


class Wire:
    """What a client wrote to its sockets, and which answers it read: counted by (API, version).
    A request that was made but not written (its connection was closed first) is none."""

    def __init__(self):
        self.sent, self.answered = collections.Counter(), collections.Counter()

    def unread(self, kind):
        return self.sent[kind] - self.answered[kind]

    def watch_kafka_python(self, stack):
        """Until `stack` is left."""
        import kafka.conn
        import kafka.protocol.parser
        protocol, connection = kafka.protocol.parser.KafkaProtocol, kafka.conn.BrokerConnection

        def kind(request):
            name = re.sub(r"Request(_v\d+)?$", "", type(request).__name__)
            return NAMES.get(name, name), request.API_VERSION

        def encode(method):
            def send_request(self, request, *arguments, **options):
                key = method(self, request, *arguments, **options)
                self.queued = getattr(self, "queued", 0) + len(self.bytes_to_send[-1])
                self.unwritten = getattr(self, "unwritten", collections.deque())
                self.unwritten.append((self.queued, kind(request)))
                return key
            return send_request

        def write(method):
            def send_bytes(self, data):
                count = method(self, data)
                parser = self._protocol
                parser.written = getattr(parser, "written", 0) + count
                waiting = getattr(parser, "unwritten", ())
                while waiting and waiting[0][0] <= parser.written:
                    self_wire.sent[waiting.popleft()[1]] += 1
                return count
            return send_bytes

        def decode(method):
            def _process_response(self, buffer):
                request = self.in_flight_requests[0][1] if self.in_flight_requests else None
                response = method(self, buffer)
                self_wire.answered[kind(request)] += 1
                return response
            return _process_response

        self_wire = self
        for owner, name, wrap in ((protocol, "send_request", encode), (connection, "_send_bytes", write),
                                  (connection, "_send_bytes_blocking", write),
                                  (protocol, "_process_response", decode)):
            method = getattr(owner, name)
            setattr(owner, name, wrap(method))
            stack.callback(setattr, owner, name, method)

    def read_kcat(self, log):
        """What -d protocol says."""
        for counts, word in ((self.sent, r"Sent (\w+?)Request"),
                             (self.answered, r"Received (\w+?)Response")):
            for name, version in re.findall(word + r" \(v(\d+),", log):
                counts[NAMES.get(name, name), int(version)] += 1


def python_clients(address, wire, expected):
    try:
        import kafka
    except ImportError:
        raise lab.Skip("python3-kafka is not installed")
    with contextlib.ExitStack() as stack:
        wire.watch_kafka_python(stack)
        produce(kafka, address, expected)
        consume(kafka, address, expected)


def produce(kafka, address, expected):
    for acks, codec, count in ((1, None, 40), ("all", "gzip", 40)):
        producer = kafka.KafkaProducer(bootstrap_servers=address, acks=acks, client_id=f"p-{acks}",
                                       compression_type=codec, api_version=(0, 11, 0))
        for n in range(count):
            producer.send("orders", b"v" * (n + 1), partition=n % 2).get(PATIENCE)
        expected["records", str(acks)] += count
        producer.close()


def consume(kafka, address, expected):
    """The mock lets the first member of a group wait for others for 3 s."""
    wanted = expected["records", "1"] + expected["records", "all"]
    consumer = kafka.KafkaConsumer(bootstrap_servers=address, client_id="c-1", group_id="readers",
                                   auto_offset_reset="earliest",
                                   consumer_timeout_ms=PATIENCE * 1000, api_version=(0, 11, 0),
                                   fetch_max_wait_ms=300)
    consumer.subscribe(["orders"])
    for _ in consumer:
        expected["consumed"] += 1
        if expected["consumed"] == wanted:
            break
    consumer.commit()
    consumer.close(autocommit=False)
    check(expected["consumed"] == wanted, f"consumed {expected['consumed']} of {wanted}")


def kcat(l, namespace, cluster, wire, expected):
    def run(*arguments, text=None, client="cat"):
        done = subprocess.run(["ip", "netns", "exec", namespace, "kcat", "-b", cluster.address, "-m",
                               str(PATIENCE), "-X", f"client.id={client}", "-d", "protocol",
                               *arguments], input=text, capture_output=True, text=True,
                              timeout=2 * PATIENCE)
        check(done.returncode == 0, f"kcat {arguments}: {done.stderr[-1500:]}")
        wire.read_kcat(done.stderr)
        return done.stdout

    cluster.tell(f"fail 0 {NOT_LEADER} 2")
    cluster.tell(f"fail 10 {GROUP_LOADING} 1")
    lines = "".join(f"line {n}\n" for n in range(300))
    for codec in ("none", "snappy", "lz4", "zstd"):
        # What is sent in small pieces isn't compressed: kcat gathers them for a while.
        run("-P", "-t", "lines", "-z", codec, "-H", "traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-"
            "00f067aa0ba902b7-01", "-X", "retry.backoff.ms=50", "-X", "linger.ms=200", text=lines)
    expected["lines"] = 1200
    got = run("-C", "-t", "lines", "-o", "beginning", "-e", "-q").count("\n")
    check(got == expected["lines"], f"kcat got {got} lines")
    run("-G", "cats", "lines", "-e", "-X", "auto.offset.reset=earliest", "-c", "100")
    run("-L")
    # The mock answers even where no answer is wanted: kcat takes no notice, kafka-python would
    # close the connection with what it had not written yet. It comes last, as nobody knows when
    # the mock has read it.
    run("-P", "-t", "quick", "-X", "acks=0", "-X", "batch.num.messages=5",
        text="".join(f"{n}\n" for n in range(25)), client="p-0")
    expected["records", "0"] = 25


def run(l):
    lab.need("kcat")
    if MOCK is None:
        raise lab.Skip("librdkafka-dev was not there when this was built")
    host = l.namespace("k")
    # What the test itself asks of the agent goes over the same interface.
    agent = l.agent(host, ["interface: lo"], "  filter: not port 9091\n")
    cluster = Cluster(l, host)
    cluster.tell("topic orders 2")
    cluster.tell("topic quick 1")
    cluster.tell("topic lines 4")
    wire, expected = Wire(), collections.Counter()
    with l.inside(host):
        python_clients(cluster.address, wire, expected)
    kcat(l, host, cluster, wire, expected)
    own, seen, status = l.settled(host)
    losses = lab.check_books(own, seen, status)
    l.stop(agent)
    judge([r for r in l.records() if r["protocol"] == "kafka"], wire, expected, losses)


def judge(records, wire, expected, losses):
    requests = [r for r in records if r["request"]]
    found = collections.Counter((r["request"]["api"], r["request"]["api_version"])
                                for r in requests)
    print(f"{len(records)} records of {len(found)} kinds, {lab.count_by(records, 'status')}, "
          f"lost {losses}")
    if sum(losses.values()) > 0:
        print("the probe lost packets: only the books are checked")
        return
    for kind in sorted(set(wire.sent) | set(found)):
        check(wire.sent[kind] == found[kind],
              f"{kind}: {wire.sent[kind]} sent by the clients, {found[kind]} recorded")
    # A client that leaves doesn't wait for all answers; each that it read is in a record.
    pending, silent = (collections.Counter((r["request"]["api"], r["request"]["api_version"])
                                           for r in requests if r["status"] in statuses)
                       for statuses in (("unanswered", "reset", "timeout"), ("one_way",)))
    for kind, count in pending.items():
        check(count <= wire.unread(kind) - silent[kind],
              f"{kind}: {count} unanswered, the clients miss {wire.unread(kind) - silent[kind]}")

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
    # The mock's answers to what wants none, unless the connection was closed before.
    orphans = [r for r in records if r["status"] == "orphan"]
    quick = {r["connection"]["id"] for r in silent}
    check(len(orphans) <= len(silent) and all(r["connection"]["id"] in quick for r in orphans),
          f"{len(orphans)} orphans, {len(silent)} one way")
    # The mock refuses ApiVersions 3, in a form of its own.
    errors = collections.Counter((r["request"]["api"], r["response"]["error"]) for r in records
                                 if r["status"] == "client_error")
    check(set(errors) <= {("ApiVersions", "UNSUPPORTED_VERSION")}, f"errors {errors}")
    check(not any("gap" in r.get("flags", []) for r in records), "gaps without losses")
    print(f"{len(silent)} one way, {len(failed) + len(loading)} refused, {len(waiting)} long polls, "
          f"{len(traced)} traced")


lab.main(run)
