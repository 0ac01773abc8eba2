#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The tap loses packets that the peers got: a request is never paired with another's response.

A real conversation is recorded once. Every path has a nonce that the response's X-Nonce repeats.
Then random packets are taken out of the capture, singly or in runs, with fixed seeds, and the
agent reads what is left. A record whose nonces differ fails the test at any rate of loss.

    loss.py TAPLINE [SEEDS]     more seeds look closer, by hand"""
import random
import re
import socket
import struct
import sys
import threading
import time

import lab
from lab import check

PORT = 8000
SEEDS = int(sys.argv[2]) if len(sys.argv) > 2 else 3
# (name, share of the TCP packets, longest run)
LOSSES = [("none", 0, 1), ("0.1 %", 0.001, 1), ("1 %", 0.01, 1), ("5 %", 0.05, 1),
          ("1 % in runs of up to 12", 0.01, 12)]
WORDS = ("amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath\r\n", "inlet\n")


# ---- the conversation ----------------------------------------------------------------------

def read_message(stream):
    """The head of a message and its body by Content-Length; None at the end."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return None
        head += line
    length = re.search(rb"content-length: (\d+)", head, re.I)
    body = stream.read(int(length[1])) if length else b""
    return head, body


def answer(head, nonce):
    """Sizes from nothing to 40 KB, by Content-Length or chunked, in a way the nonce decides."""
    rng = random.Random(nonce)
    size = rng.choice((0, 17, 900, 3000, 9000, 40000))
    body = " ".join(rng.choices(WORDS, k=size // 4 + 1)).encode()[:size]
    start = rng.choice((b"200 OK", b"200 OK", b"200 OK", b"404 Not Found", b"503 Busy"))
    out = b"HTTP/1.1 %s\r\nContent-Type: text/plain\r\nX-Nonce: %d\r\n" % (start, nonce)
    if head.startswith(b"HEAD"):
        return out + b"Content-Length: %d\r\n\r\n" % size
    if rng.random() < 0.7:
        return out + b"Content-Length: %d\r\n\r\n" % size + body
    out += b"Transfer-Encoding: chunked\r\n\r\n"
    for at in range(0, size, 1500):
        piece = body[at:at + 1500]
        out += b"%x\r\n%s\r\n" % (len(piece), piece)
    return out + b"0\r\n\r\n"


def serve(connection):
    with connection, connection.makefile("rb") as stream:
        while (message := read_message(stream)) is not None:
            nonce = int(re.match(rb"\w+ /n/(\d+)", message[0])[1])
            connection.sendall(answer(message[0], nonce))


def listen(listener):
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def request(rng, nonce):
    method = rng.choice(("GET", "GET", "GET", "HEAD", "POST"))
    body = b"p" * rng.choice((10, 2000, 6000)) if method == "POST" else b""
    head = f"{method} /n/{nonce} HTTP/1.1\r\nHost: loss.test\r\nX-Filler: {'f' * rng.choice((3, 700))}\r\n"
    if body:
        head += f"Content-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def read_answer(stream, wanted):
    """Reads one response; what it says its nonce is must be what was asked for."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        check(line, "the server went away")
        head += line
    check(int(re.search(rb"X-Nonce: (\d+)", head)[1]) == wanted[0], "the server mixed them up")
    if wanted[1]:
        return
    if b"chunked" in head:
        while (size := int(stream.readline(), 16)) >= 0:
            stream.read(size + 2)
            if size == 0:
                return
    stream.read(int(re.search(rb"Content-Length: (\d+)", head)[1]))


def talk(connections, numbers, depth, count, failures):
    """Requests over each connection in turn, `depth` at a time."""
    try:
        for connection in connections:
            with connection, connection.makefile("rb") as stream:
                for _ in range(0, count, depth):
                    batch, waiting = b"", []
                    for _ in range(depth):
                        nonce = next(numbers)
                        data = request(random.Random(nonce * 7), nonce)
                        batch += data
                        waiting.append((nonce, data.startswith(b"HEAD")))
                    connection.sendall(batch)
                    for wanted in waiting:
                        read_answer(stream, wanted)
    except (lab.Failed, OSError, ValueError) as failure:
        failures.append(failure)


def converse(l, client, server):
    """(requests made)"""
    with l.inside(server):
        listener = socket.create_server((lab.HTTP, PORT), backlog=64)
    threading.Thread(target=listen, args=(listener,), daemon=True).start()
    threads, failures, total = [], [], 0
    # (clients, connections of each, requests per connection, of them at once)
    for clients, each, count, depth in ((4, 1, 250, 1), (3, 2, 120, 4), (2, 40, 4, 1), (1, 1, 160, 16)):
        for _ in range(clients):
            with l.inside(client):
                sockets = [socket.create_connection((lab.HTTP, PORT)) for _ in range(each)]
            numbers = iter(range(total + 1, total + each * count + 1))
            total += each * count
            threads.append(threading.Thread(target=talk, daemon=True,
                                            args=(sockets, numbers, depth, count, failures)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        check(not thread.is_alive(), "the conversation hangs")
    listener.close()
    check(not failures, f"the conversation failed: {failures[:1]}")
    return total


def record(l, client, server):
    lab.need("tcpdump")
    capture = l.folder / "all.pcap"
    dump = l.start(server, "tcpdump", "-Z", "root", "-i", "s0", "-s", "0", "-U", "-B", "65536",
                   "--immediate-mode", "-w", capture, "tcp", log="tcpdump.log")
    lab.wait_for("tcpdump", lambda: "listening on" in dump.log.read_text())
    total = converse(l, client, server)
    time.sleep(0.3)
    l.stop(dump)
    check("\n0 packets dropped by kernel" in dump.log.read_text(), "tcpdump lost packets itself")
    return capture.read_bytes(), total


# ---- the loss ------------------------------------------------------------------------------

def thin_out(data, share, run, seed):
    """The capture without some packets, and how many were left out. `share` is of all packets."""
    rng = random.Random(seed)
    kept, lost, at, skip = [data[:24]], 0, 24, 0
    while at < len(data):
        end = at + 16 + struct.unpack_from("<I", data, at + 8)[0]
        if skip == 0 and rng.random() < share / ((1 + run) / 2):
            skip = rng.randint(1, run)
        if skip > 0:
            skip -= 1
            lost += 1
        else:
            kept.append(data[at:end])
        at = end
    return b"".join(kept), lost


def read_back(l, capture):
    """Records of the agent, with the header of the option."""
    path, out, conf = l.folder / "some.pcap", l.folder / "out.json", l.folder / "file.yaml"
    path.write_bytes(capture)
    out.unlink(missing_ok=True)
    conf.write_text(f"""capture:
  ports: [{{file: {path}}}]
protocols:
  http: {{response_headers: [x-nonce]}}
server: {{enabled: false}}
exporters:
  roundtrips: [{{filename: {out}, max_size: 0}}]
""")
    l.sh(l.tapline, "agent", "--config", conf)
    return lab.read_records(out)


def judge(records):
    """What became of the requests; pairs with unequal nonces are returned whole."""
    counts = {"matched": 0, "unknown": 0, "alone": 0, "orphan": 0, "flagged": 0}
    wrong = []
    for r in records:
        if r.get("flags"):
            counts["flagged"] += 1
        if r["request"] is None or r["response"] is None:
            counts["orphan" if r["request"] is None else "alone"] += 1
            continue
        asked = re.match(r"/n/(\d+)$", r["request"].get("target", ""))
        nonce = r["response"].get("headers", {}).get("x-nonce")
        if asked is None or nonce is None:
            counts["unknown"] += 1  # the hole was in the head; the record must say so
            if not r.get("flags"):
                wrong.append(r)
        elif asked[1] == nonce:
            counts["matched"] += 1
        else:
            wrong.append(r)
    return counts, wrong


def run(l):
    client, server = l.pair(offload=False)
    data, total = record(l, client, server)
    bad = []
    for name, share, longest in LOSSES:
        sums, lost = {}, 0
        for seed in range(SEEDS if share else 1):
            capture, missing = thin_out(data, share, longest, seed)
            lost += missing
            counts, wrong = judge(read_back(l, capture))
            if share == 0:
                check(counts["matched"] == total and sum(counts.values()) == total,
                      f"without a loss: {counts} of {total}")
            bad += [(name, seed, r) for r in wrong]
            for key, value in counts.items():
                sums[key] = sums.get(key, 0) + value
        made = total * (SEEDS if share else 1)
        print(f"loss {name}: {lost} packets, {made} requests, matched "
              f"{sums['matched'] * 100 / made:.2f} %, without an answer {sums['alone']}, orphans "
              f"{sums['orphan']}, nonce unknown {sums['unknown']}, flagged {sums['flagged']}, "
              f"wrong {sum(1 for b in bad if b[0] == name)}")
    for name, seed, r in bad[:5]:
        print(f"wrong: loss {name}, seed {seed}: {r}")
    check(not bad, f"{len(bad)} records are not what they say")


lab.main(run)
