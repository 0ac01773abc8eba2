#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""gRPC-Web over HTTP/1 by sonora, its server and its client, bodies in bytes and in base64: the records
are the client's own list of calls.

usage: grpc_web.py TAPLINE

sonora comes from PyPI; where that can't be reached, the test is skipped with exit status 77.
"""
import collections
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "live"))
import lab  # noqa: E402
from lab import check  # noqa: E402

PEER = HERE / "grpc_web_peer.py"
PACKAGES = ("sonora==0.2.3", "urllib3==2.2.3")
CODES = {0: "ok", 5: "client_error", 7: "client_error", 13: "server_error", 16: "client_error"}
PORT = "8090"


def install(folder):
    """Without dependencies: grpcio is Debian's."""
    try:
        done = subprocess.run(["/usr/bin/python3", "-m", "pip", "install", "-q", "--no-deps", "--target",
                               folder, *PACKAGES], capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        raise lab.Skip("PyPI takes longer than 180 s")
    if done.returncode != 0:
        raise lab.Skip(f"no sonora from PyPI: {done.stderr.strip()[-300:]}")


def called(call):
    return call["method"], CODES[call["code"]], call["code"], call["kind"], 1, call["received"]


def recorded(record):
    request, response = record["request"], record["response"] or {}
    return (request["method"], record["status"], response.get("grpc_status"), request["content_type"],
            request.get("messages"), response.get("messages"))


def run(l):
    client, host = l.pair(offload=False)
    install(l.folder / "site")
    environment = {**os.environ, "PYTHONPATH": str(l.folder / "site")}
    l.start(host, "/usr/bin/python3", PEER, "serve", lab.HTTP, PORT, log="server.log", env=environment)
    lab.wait_for("the gRPC-Web server", lambda: l.answers(host, lab.HTTP, int(PORT)))
    agent = l.agent(host, ["interface: s0"])
    said = l.on(client, "/usr/bin/python3", PEER, "call", lab.HTTP, PORT, env=environment)
    calls = [json.loads(line) for line in said.splitlines()]
    own, seen, status = l.settled(host)
    losses = lab.check_books(own, seen, status)
    l.stop(agent)
    records = [r for r in l.records() if r["protocol"] == "grpc"]
    print(f"{len(calls)} calls, {len(records)} records {lab.count_by(records, 'status')}, lost {losses}")
    if sum(losses.values()) > 0:
        print("the probe lost packets: only the books are checked")
        return
    want = collections.Counter(map(called, calls))
    got = collections.Counter(map(recorded, records))
    check(want == got, f"only called {want - got}, only recorded {got - want}")
    for record in records:
        check(record["request"]["service"] == "tap.test.Web", record)
        if record["status"] != "ok":
            check(record["response"].get("grpc_message") == "went wrong: 100% \u00e9", record)


lab.main(run)
