#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""python3-grpcio in its four call shapes, by itself and through nginx, and a connection that is
joined late: the records are the client's own list of calls."""
import collections
import json
import pathlib
import subprocess
import time

import lab
from lab import check

PEER = pathlib.Path(__file__).with_name("grpc_peer.py")
CODES = {0: "ok", 1: "cancelled", 4: "timeout", 5: "client_error", 7: "client_error",
         12: "server_error", 13: "server_error", 16: "client_error"}


class Caller:
    """A client process that does a round of calls whenever it is told to."""

    def __init__(self, l, namespace, address, rounds):
        self.child = l.start(namespace, "/usr/bin/python3", PEER, "call", address, rounds, log="client.log",
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def round(self):
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        calls = []
        while line := self.child.stdout.readline().strip():
            calls.append(json.loads(line))
        check(calls, "the client made no call")
        return calls


def wanted(call):
    return (call["method"], CODES[call["code"]], call["sent"])


def found(record, may_be_unknown=False):
    request = record["request"]
    return (request["method"], record["status"], request.get("messages"))


def compare(calls, records, through):
    want = collections.Counter(map(wanted, calls))
    got = collections.Counter(map(found, records))
    check(want == got, f"{through}: only called {want - got}, only recorded {got - want}")
    # Deadlines and cancellations are RST_STREAM, which the server's status may overtake.
    codes = collections.Counter(c["code"] for c in calls if c["code"] not in (1, 4))
    sent = collections.Counter(r["response"]["grpc_status"] for r in records
                               if (r["response"] or {}).get("grpc_status", 4) not in (1, 4))
    check(codes == sent, f"{through}: grpc-status {sent}, the client saw {codes}")
    received = sum(c["received"] for c in calls if c["code"] == 0)
    counted = sum(r["response"]["messages"] for r in records if r["status"] == "ok")
    check(received == counted, f"{through}: {counted} messages recorded, {received} received")
    shapes = {(r["request"]["method"], r["response"].get("call_type")) for r in records
              if r["status"] == "ok"}
    check(shapes == {("Unary", "unary"), ("Up", "client_stream"), ("Down", "server_stream"),
                     ("Both", "bidi_stream")}, f"{through}: {shapes}")
    for r in records:
        check(r["request"]["service"] == "tap.test.Shapes", r)
        if r["status"] == "timeout":
            check(r["reason"] == "deadline" and 300e6 < int(r["request"]["timeout_ns"]) <= 410e6, r)
        if r["response"] and r["response"].get("grpc_status") == 5:
            check(r["response"]["grpc_message"] == "went wrong: 100% \u00e9", r)


def run(l):
    client, host = l.pair(offload=False)
    try:
        import grpc  # noqa: F401
    except ImportError:
        raise lab.Skip("python3-grpcio is not installed")
    l.start(host, "/usr/bin/python3", PEER, "serve", "0.0.0.0:50051", log="server.log")
    lab.wait_for("the gRPC server", lambda: l.answers(host, lab.HTTP, 50051))
    l.nginx(host, http=f"""
  server {{ listen {lab.HTTP}:8082 http2; location / {{ client_max_body_size 0; grpc_pass grpc://127.0.0.1:50051; }} }}""")
    early = Caller(l, client, f"{lab.HTTP}:50051", 3)
    early.round()  # the probe does not see it: the tables of both sides are full of it
    agent = l.agent(host, ["interface: s0"])
    late_calls = early.round() + early.round()
    direct = Caller(l, client, f"{lab.HTTP}:50051", 1)
    direct_calls = direct.round()
    proxied = Caller(l, client, f"{lab.HTTP}:8082", 1)
    proxied_calls = proxied.round()
    time.sleep(2)  # the sleepers of the server
    own, seen, status = l.settled(host)
    losses = lab.check_books(own, seen, status)
    l.stop(agent)
    records = l.records()
    print(f"{len(records)} records, {lab.count_by(records, 'protocol')}, {lab.count_by(records, 'status')}, "
          f"lost {losses}")
    if sum(losses.values()) > 0:
        print("the probe lost packets: only the books are checked")
        return
    late = [r for r in records if "late_join" in r.get("flags", [])]
    calls = [r for r in records if r["protocol"] == "grpc" and r not in late]
    compare(direct_calls, [r for r in calls if r["server"]["port"] == 50051], "grpcio")
    compare(proxied_calls, [r for r in calls if r["server"]["port"] == 8082], "through nginx")
    check_late(late_calls, late)


def check_late(calls, records):
    """Every call since the join is a record; what only earlier bytes told is <unknown>."""
    calls_seen = [r for r in records if r["protocol"] == "grpc" and r["request"]]
    check(len(calls_seen) == len(calls), f"joined late: {len(calls)} calls, {len(calls_seen)} records, "
          f"{lab.count_by(records, 'protocol')} {lab.count_by(records, 'status')}")
    methods = {r["request"]["method"] for r in calls_seen}
    check(methods <= {"Unary", "Up", "Down", "Both", "Missing", "<unknown>"}, f"invented: {methods}")
    sent = sum(c["sent"] for c in calls)
    counted = sum(r["request"].get("messages", 0) for r in calls_seen)
    check(sent >= counted > 0, f"joined late: {counted} messages, {sent} sent")
    codes = collections.Counter(c["code"] for c in calls if c["code"] not in (1, 4))
    told = collections.Counter(r["response"]["grpc_status"] for r in calls_seen
                               if (r["response"] or {}).get("grpc_status", 4) not in (1, 4))
    check(not told - codes, f"joined late: grpc-status {told}, the client saw {codes}")
    unknown = sum(r["request"]["method"] == "<unknown>" for r in calls_seen)
    print(f"joined late: {len(calls_seen)} calls, {unknown} of unknown method, {sum(told.values())} with status")


lab.main(run)
