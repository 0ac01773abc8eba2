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
import sys
import threading

import lab
import thinning
from lab import check

PORT = 8000
SEEDS = int(sys.argv[2]) if len(sys.argv) > 2 else 3
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
    data, total = thinning.record(l, server, lambda: converse(l, client, server))
    thinning.hold(l, data, total, SEEDS, "http: {response_headers: [x-nonce]}", judge)


lab.main(run)
