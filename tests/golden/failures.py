#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What packetd is known to get wrong in TCP, DNS, HTTP/1 and the protocols of databases, through the
whole program.

usage: failures.py TAPLINE [--write FILE | --check FILE]

Each case is traffic of a client address of its own in one capture, with the records that are right.
--write puts the table of cases into a document between its markers, --check says whether it stands
there. Exit status 1 if a case is wrong.
"""
import collections
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import failures_databases
import variants

BEGIN = "<!-- begin: tests/golden/failures.py --write -->\n"
END = "<!-- end of cases -->\n"
SERVER = bytes([10, 9, 0, 1])
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
OK1 = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
Case = collections.namedtuple("Case", "name packetd right also")


def get(path, host=b"x", version=b"1.1"):
    return b"GET " + path + b" HTTP/" + version + b"\r\nHost: " + host + b"\r\n\r\n"


class Network:
    """Frames in order of time, 1 ms apart unless told otherwise."""

    def __init__(self):
        self.packets = []
        self.micros = 0
        self.cases = {}

    def ip(self, source, target, protocol, payload, step=1000):
        self.micros += step
        head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), len(self.packets) & 0xffff,
                           0, 64, protocol, 0, source, target)
        head = head[:10] + struct.pack(">H", variants.checksum(head)) + head[12:]
        frame = variants.OUTER_MACS + b"\x08\x00" + head + payload
        self.packets.append((1700000000 + self.micros // 10**6, self.micros % 10**6, frame))

    def case(self, name, packetd, right, also=""):
        client = bytes([10, 1, 0, len(self.cases) + 1])
        self.cases[".".join(map(str, client))] = Case(name, packetd, right, also)
        return client


class Connection:
    def __init__(self, network, client, port=40000, to=80, isn=(1000, 5000)):
        self.network, self.client, self.port, self.to = network, client, port, to
        self.seq = list(isn)

    def segment(self, side, flags, payload=b"", seq=None, step=1000):
        at = self.seq[side] if seq is None else seq
        ports = (self.port, self.to) if side == 0 else (self.to, self.port)
        ends = (self.client, SERVER) if side == 0 else (SERVER, self.client)
        ack = self.seq[1 - side] if flags & ACK else 0
        head = struct.pack(">HHIIBBHHH", *ports, at & 0xffffffff, ack & 0xffffffff, 0x50, flags,
                           0xffff, 0, 0)
        self.network.ip(*ends, 6, head + payload, step)
        if seq is None:
            self.seq[side] += len(payload) + bool(flags & (SYN | FIN))

    def open(self):
        self.segment(0, SYN)
        self.segment(1, SYN | ACK)
        self.segment(0, ACK)
        return self

    def say(self, *turns):
        """Bytes of the client and the server by turns; a list is several segments."""
        for i, turn in enumerate(turns):
            for payload in turn if isinstance(turn, list) else [turn]:
                self.segment(i % 2, PSH | ACK, payload)
        return self

    def close(self, first=0):
        self.segment(first, FIN | ACK)
        self.segment(1 - first, FIN | ACK)
        self.segment(first, ACK)
        return self


def whole(network, client, *turns, first=0, to=80):
    Connection(network, client, to=to).open().say(*turns).close(first)


def tcp_cases(n):
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + b"a" * 20
    c = Connection(n, n.case("swapped segments of one response", "0", ["ok GET /swap 200 20"],
                             "unit: tcp")).open().say(get(b"/swap"))
    at = c.seq[1]
    c.segment(1, PSH | ACK, long[30:], seq=at + 30)
    c.segment(1, PSH | ACK, long[:30])
    c.seq[1] = at + len(long)
    c.close()

    c = Connection(n, n.case("sequence numbers wrap inside a response", "0",
                             ["ok GET /wrap 200 20", "ok GET /after 200 1"], "unit: tcp"),
                   isn=(0xfffffff0, 0xffffffe0)).open()
    c.say(get(b"/wrap"), [long[:25], long[25:40], long[40:]], get(b"/after"), OK1 + b"z").close()

    c = Connection(n, n.case("half-close: the request ends with FIN, then the response comes", "0",
                             ["ok GET /half 200 20"], "unit: tcp; sweep")).open()
    c.segment(0, PSH | ACK | FIN, get(b"/half"))
    c.segment(1, ACK)
    c.segment(0, ACK)
    c.segment(1, PSH | ACK, long)
    c.segment(1, FIN | ACK)
    c.segment(0, ACK)

    client = n.case("a port used again after RST, each time with a lower ISN", "1 of 6",
                    [f"ok GET /{i} 200 1" for i in range(6)], "unit: tcp")
    for i in range(6):
        c = Connection(n, client, isn=(900000 - 100000 * i, 700000 - 100000 * i)).open()
        c.say(get(b"/%d" % i), OK1 + b"x").segment(0, RST | ACK)

    client = n.case("a scan: SYNs alone", "a connection each", [], "unit: engine")
    for port in range(100):
        Connection(n, client, port=20000 + port, to=1000 + port).segment(0, SYN)

    c = Connection(n, n.case("a late ACK after the end", "a ghost connection",
                             ["ok GET /late 200 1"], "unit: engine")).open()
    c.say(get(b"/late"), OK1 + b"x").close().segment(0, ACK)

    c = Connection(n, n.case("request and response with one time stamp", "0",
                             ["ok GET /same 200 1"])).open()
    c.segment(0, PSH | ACK, get(b"/same"))
    c.segment(1, PSH | ACK, OK1 + b"x", step=0)
    c.close()

    c = Connection(n, n.case("one response of three is not captured", "1",
                             ["unanswered GET /lost - -", "ok GET /2 200 1", "ok GET /3 200 1"],
                             "sweep: every gap")).open().say(get(b"/lost"))
    c.seq[1] += len(OK1) + 1  # the client acknowledges what the tap did not see
    c.segment(0, ACK)
    c.say(get(b"/2"), OK1 + b"x", get(b"/3"), OK1 + b"x").close()


def http_cases(n):
    def case(*words, turns, first=0):
        whole(n, n.case(*words), *turns, first=first)
    three = [get(b"/1"), get(b"/2"), get(b"/3")]
    answers = [OK1 + b"x"] * 3
    right3 = [f"ok GET /{i} 200 1" for i in (1, 2, 3)]
    case("3 requests in one segment, 3 responses in one", "0", right3, "sweep",
         turns=(b"".join(three), b"".join(answers)))
    case("3 requests in segments of their own", "1", right3, "sweep", turns=(three, answers))
    head = b"HEAD /h HTTP/1.1\r\nHost: x\r\n\r\n"
    case("HEAD with a Content-Length, then two GETs", "0",
         ["ok HEAD /h 200 0", "ok GET /1 200 1", "ok GET /2 200 1"], "sweep",
         turns=(head, b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", three[0], answers[0],
                three[1], answers[1]))
    case("the request line in two segments", "0", ["ok GET /split 200 1"], "sweep: every cut",
         turns=([b"GET /sp", get(b"/split")[7:]], answers[0]))
    case("CR and LF of the blank line in two segments", "0", ["ok GET /crlf 200 1"],
         "sweep: every cut", turns=([get(b"/crlf")[:-1], b"\n"], answers[0]))
    post = b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
    case("a body and the next request in one segment", "0", ["ok POST /p 200 1", "ok GET /1 200 1"],
         "sweep", turns=(post + three[0], answers[0] + answers[0]))
    case("HTTP/1.0 in both directions", "0", ["ok GET /old 200 5"], "sweep",
         turns=(get(b"/old", version=b"1.0"), b"HTTP/1.0 200 OK\r\n\r\nhello"), first=1)
    case("lines that end with LF alone", "0", ["ok GET /lf 200 1"], "sweep",
         turns=(b"GET /lf HTTP/1.1\nHost: x\n\n", b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx"))
    case("a body up to the end of the connection", "size 0", ["ok GET /close 200 11"], "sweep",
         turns=(get(b"/close"), b"HTTP/1.1 200 OK\r\n\r\nhello world"), first=1)
    case("103 Early Hints before 200", "103", ["ok GET /hints 200 1"], "sweep",
         turns=(get(b"/hints"), b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK1 + b"x"))
    expect = b"POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    case("100 Continue after the body was sent", "100", ["ok POST /e 200 1"], "sweep",
         turns=([expect, b"body"], [b"HTTP/1.1 100 Continue\r\n\r\n", OK1 + b"x"]))

    def chunked(name, packetd, body, size, coding=b"chunked"):
        case(name, packetd, [f"ok GET /c 200 {size}", "ok GET /1 200 1"], "sweep; unit: http",
             turns=(get(b"/c"), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + coding + b"\r\n\r\n" +
                    body, three[0], answers[0]))
    chunked("chunks of 3 and 3 bytes", "size 3", b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n", 6)
    chunked("chunks of 20 and 20 bytes", "size 42",
            (b"14\r\n" + b"a" * 20 + b"\r\n") * 2 + b"0\r\n\r\n", 40)
    chunked("a line of data that is `0`", "ends early", b"9\r\nab\r\n0\r\ncd\r\n0\r\n\r\n", 9)
    chunked("a line of data that is a short hex number", "subtracted",
            b"8\r\n1f\r\nabcd\r\n0\r\n\r\n", 8)
    chunked("Transfer-Encoding: gzip, chunked", "an error", b"2\r\n\x1f\x8b\r\n0\r\n\r\n", 2,
            b"gzip, chunked")
    chunked("trailers", "ignored", b"1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n", 1)
    case("Upgrade: bytes behind 101 are no HTTP", "scanned for ever", ["ok GET /ws 101 0"], "sweep",
         turns=(b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
                b"\r\n", b"\x81\x82\0\0\0\0hi", b"\x81\x02hi"))
    case("CONNECT: the tunnel is no HTTP", "scanned for ever", ["ok CONNECT x:1 200 0"], "sweep",
         turns=(b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n",
                b"\1\2\3\4" * 8, b"\5\6\7\b" * 8))


def dns_cases(n):
    def datagram(client, side, message, port=40000):
        ports, ends = ((port, 53), (client, SERVER)) if side == 0 else ((53, port), (SERVER, client))
        n.ip(*ends, 17, struct.pack(">HHHH", *ports, 8 + len(message), 0) + message)

    def query(ident, kind):
        return struct.pack(">HHHHHH", ident, 0x100, 1, 0, 0, 0) + \
            b"\x01a\x07example\0" + struct.pack(">HH", kind, 1)

    def answer(ident, kind, data):
        return struct.pack(">HHHHHH", ident, 0x8180, 1, 1, 0, 0) + query(ident, kind)[12:] + \
            struct.pack(">HHHIH", 0xc00c, kind, 1, 60, len(data)) + data
    ipv4, ipv6 = bytes([192, 0, 2, 7]), bytes(15) + b"\1"
    client = n.case("A and AAAA over one socket: each answer with its own size and data",
                    "the second carries both", ["ok a.example A NOERROR 43 192.0.2.7",
                                                "ok a.example AAAA NOERROR 55 ::1"], "unit: dns")
    datagram(client, 0, query(1, 1))
    datagram(client, 1, answer(1, 1, ipv4))
    datagram(client, 0, query(2, 28))
    datagram(client, 1, answer(2, 28, ipv6))
    client = n.case("a query sent again is one record", "a stale entry",
                    ["ok a.example A NOERROR 43 192.0.2.7"], "unit: dns")
    datagram(client, 0, query(3, 1))
    datagram(client, 0, query(3, 1))
    datagram(client, 1, answer(3, 1, ipv4))
    client = n.case("an answer whose second record is damaged", "dropped whole",
                    ["ok a.example A NOERROR 47 192.0.2.7"], "unit: dns")
    damaged = answer(4, 1, ipv4)
    datagram(client, 0, query(4, 1))
    datagram(client, 1, damaged[:6] + b"\0\2" + damaged[8:] + b"\xff\xff\xff\xff")
    client = n.case("DNS over TCP, two queries in one segment", "0",
                    ["ok a.example A NOERROR 43 192.0.2.7", "ok a.example AAAA NOERROR 55 ::1"],
                    "unit: dns; sweep")

    def framed(*messages):
        return b"".join(struct.pack(">H", len(m)) + m for m in messages)
    c = Connection(n, client, to=53).open()
    c.say(framed(query(6, 1), query(7, 28)), framed(answer(6, 1, ipv4), answer(7, 28, ipv6))).close()
    client = n.case("type HTTPS", "its number, no data",
                    ["ok a.example HTTPS NOERROR 49 1 . alpn=h2"], "unit: dns")
    datagram(client, 0, query(8, 65))
    datagram(client, 1, answer(8, 65, b"\0\1\0" + struct.pack(">HHB", 1, 3, 2) + b"h2"))


def words(record):
    if record["protocol"] in ("mysql", "postgresql", "redis"):
        return failures_databases.words(record)
    request, response = record.get("request") or {}, record.get("response") or {}
    if record["protocol"] == "dns":
        answers = [answer["data"] for answer in response.get("answers", [])]
        found = (request.get("question"), request.get("qtype"), response.get("rcode"),
                 response.get("body_bytes"), *answers)
    else:
        found = (request.get("method"), request.get("target"), response.get("status_code"),
                 response.get("body_bytes"))
    return " ".join([record["status"]] + ["-" if word is None else str(word) for word in found])


def put(path, content, write):
    text = path.read_text()
    before, rest = text.split(BEGIN)
    wanted = before + BEGIN + content + END + rest.split(END)[1]
    if write:
        path.write_text(wanted)
    return write or text == wanted


def run(tapline, packets):
    with tempfile.TemporaryDirectory() as folder:
        capture = pathlib.Path(folder) / "failures.pcap"
        capture.write_bytes(variants.pcap(packets))
        out = subprocess.run([tapline, "watch", "-q", "-o", "json", "-r", capture], check=True,
                             capture_output=True, timeout=60).stdout
        report = subprocess.run([tapline, "stats", "-o", "json", "-r", capture], check=True,
                                capture_output=True, timeout=60).stdout
    return [json.loads(line) for line in out.splitlines()], json.loads(report)


def main():
    network = Network()
    tcp_cases(network)
    http_cases(network)
    dns_cases(network)
    failures_databases.mysql_cases(network, whole)
    failures_databases.postgresql_cases(network, whole)
    failures_databases.redis_cases(network, whole)
    records, report = run(sys.argv[1], network.packets)
    found = collections.defaultdict(list)
    for record in sorted(records, key=lambda record: record["time"]):
        found[record["client"]["address"]].append(words(record))
    wrong = 0
    lines = ["| case | packetd | right | tapline | also in |", "|---|---|---|---|---|"]
    for client, case in network.cases.items():
        got = found.pop(client, [])
        good = sorted(got) == sorted(case.right)
        wrong += not good
        print(f"{'ok  ' if good else 'FAIL'} {case.name}: {got}" +
              ("" if good else f" instead of {case.right}"))
        right = "; ".join(f"{count} times `{line}`" if count > 1 else f"`{line}`"
                          for line, count in collections.Counter(case.right).items()) or "no record"
        lines.append(f"| {case.name} | {case.packetd} | {right} | "
                     f"{'as it is right' if good else '; '.join(got)} | {case.also} |")
    # The scan and the late ACK begin no connection: one per handshake.
    handshakes = report["counters"]["tcp_handshakes_total"]
    flows = report["counters"]['tapline_flows_opened_total{l4="tcp"}']
    print(f"{flows} TCP connections of {handshakes} handshakes; others: {dict(found)}")
    wrong += flows != handshakes or len(found) != 0
    for option, write in (("--write", True), ("--check", False)):
        if option in sys.argv:
            path = pathlib.Path(sys.argv[sys.argv.index(option) + 1])
            if not put(path, "\n".join(lines) + "\n", write):
                print(f"{path}: its table of cases is old: failures.py TAPLINE --write {path}")
                wrong += 1
    print(f"{len(network.cases)} cases, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
