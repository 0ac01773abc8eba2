#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the packet, defrag, capture_file and conversation corpora, and of what sinks
and scrapes read, from nothing but this text."""
import gzip
import os
import struct

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")


def write(target, name, data):
    os.makedirs(os.path.join(HERE, target), exist_ok=True)
    with open(os.path.join(HERE, target, name), "wb") as f:
        f.write(data)


def tcp(payload, options=b""):
    return struct.pack(">HHIIBBHHH", 40000, 80, 1, 2, (20 + len(options)) << 2, 0x18, 512, 0,
                       0) + options + payload


def udp(payload, port=53):
    return struct.pack(">HHHH", 40000, port, 8 + len(payload), 0) + payload


def ipv4(protocol, payload, fragment=0, ident=7):
    return struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(payload), ident, fragment, 64, protocol,
                       0, 0x0a000001, 0x0a000002) + payload


def ipv6(protocol, payload):
    return struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + bytes(31) + b"\1" + \
        payload


def eth(kind, payload):
    return bytes(12) + struct.pack(">H", kind) + payload


def packets():
    web = ipv4(6, tcp(b"GET / HTTP/1.1\r\n\r\n", b"\1\1\x08\x0a" + bytes(8)))
    syn = ipv4(6, tcp(b"", b"\2\4\5\xb4\1\3\3\7"))
    dns = ipv6(17, udp(b"\0\1\1\0\0\1" + bytes(6)))
    vxlan = ipv4(17, udp(b"\x08\0\0\0\0\0\x2a\0" + eth(0x0800, web), 4789))
    extended = ipv6(0, b"\x3c\0" + bytes(6) + b"\x2c\0" + bytes(6) + b"\x11\0\0\0\0\0\0\1" +
                    udp(b"x" * 9))
    mpls, tag = b"\0\x06\x41\x40", b"\0\x64\x10\x05"
    stack = eth(0x0800, web)
    return {
        "mpls": (0, eth(0x8847, b"\0\0\x90\x40" + mpls + web)),
        "mpls-pseudowire": (0, eth(0x8847, mpls + bytes(4) + stack)),
        "pppoe": (0, eth(0x8864, struct.pack(">BBHHH", 0x11, 0, 5, len(web) + 2, 0x21) + web)),
        "pbb": (0, eth(0x88e7, b"\0\0\0\x2a" + stack)),
        "vntag": (0, eth(0x8926, b"\0\x2a\0\0\x08\0" + web)),
        "etag": (0, eth(0x893f, b"\0\0\0\x2a\0\0\x08\0" + web)),
        "nsh": (0, eth(0x894f, b"\x0f\xc6\1\3\0\0\x2a\xff" + bytes(16) + stack)),
        "erspan1": (5, ipv4(47, b"\0\0\x88\xbe" + stack)),
        "erspan2": (5, ipv4(47, b"\x10\0\x88\xbe" + bytes(4) + tag + bytes(4) + stack)),
        "erspan3": (5, ipv4(47, b"\x10\0\x22\xeb" + bytes(4) + b"\x20" + tag[1:] + bytes(7) + b"\1" +
                            bytes(8) + stack)),
        "gpe": (5, ipv4(17, udp(b"\x0c\0\0\4\0\0\x2a\0" + b"\x0f\xc2\1\1\0\0\7\xff" + web, 4790))),
        "geneve": (5, ipv4(17, udp(b"\2\0\x65\x58\0\0\x2a\0" + bytes(8) + stack, 6081))),
        "gtpu": (5, ipv4(17, udp(struct.pack(">BBHI", 0x36, 255, len(web) + 8, 42) +
                                 b"\0\1\0\x85\1\0\0\0" + web, 2152))),
        "teredo": (5, ipv4(17, udp(b"\0\1\0\0" + bytes(9) + bytes(8) + dns, 3544))),
        "l2tp": (5, ipv4(17, udp(struct.pack(">HHHHHHHH", 0x4a02, len(web) + 18, 1, 2, 3, 4, 0, 0xff03) +
                                 b"\0\x21" + web, 1701))),
        "ethernet": (0, eth(0x0800, web)), "syn": (0, eth(0x0800, syn)),
        "qinq": (0, eth(0x88a8, b"\0\5\x81\0\0\6\x86\xdd" + dns)), "vxlan": (0, eth(0x0800, vxlan)),
        "gre": (0, eth(0x0800, ipv4(47, b"\xb0\0\x65\x58" + bytes(12) + eth(0x0800, web)))),
        "ipip": (2, ipv4(4, ipv4(41, dns))), "extensions": (2, extended),
        "ah": (5, ipv4(51, b"\6\4" + bytes(22) + tcp(b"x"))),
        "null": (1, b"\2\0\0\0" + web), "loop": (3, b"\0\0\0\x1e" + dns),
        "sll": (4, bytes(14) + b"\x08\0" + web), "sll2": (7, b"\x86\xdd" + bytes(18) + dns),
        "long": (0, eth(0x0800, ipv4(6, tcp(b"a" * 900)))),
        "deep": (2, ipv4(4, ipv4(4, ipv4(4, ipv4(4, ipv4(4, ipv4(4, ipv4(4, ipv4(4, ipv4(
            4, web)))))))))),
        "arp": (0, eth(0x0806, bytes(46))), "fragment": (2, ipv4(17, bytes(24), 0x2003)),
    }


def fragments():
    whole = udp(bytes(range(72)))
    parts = [ipv4(17, whole[0:32], 0x2000), ipv4(17, whole[24:56], 0x2003),
             ipv4(17, whole[56:], 7)]
    yield "ordered", parts
    yield "reversed", parts[::-1]
    yield "twice", parts[:2] * 2 + parts[2:] + parts
    yield "many", [ipv4(17, bytes(64), 0x2000 | i * 256, i) for i in range(40)]
    head = b"\x11\0\0\1\0\0\0\5"
    yield "ipv6", [ipv6(44, head + whole[:40]), ipv6(44, b"\x11\0\0\x28\0\0\0\5" + whole[40:])]
    inner = ipv4(4, parts[0]), ipv4(4, parts[2])
    yield "nested", [ipv4(4, inner[0][:48], 0x2000, 9), ipv4(4, inner[0][48:], 6, 9), inner[1]]


def block(order, kind, body):
    length = 12 + len(body)
    return struct.pack(order + "II", kind, length) + body + struct.pack(order + "I", length)


def pcapng(order):
    data = block(order, 0x0a0d0d0a, struct.pack(order + "IHHq", 0x1a2b3c4d, 1, 0, -1))
    options = struct.pack(order + "HHBxxxHHqHH", 9, 1, 9, 14, 8, 5, 0, 0)
    data += block(order, 1, struct.pack(order + "HHI", 1, 0, 0) + options)
    data += block(order, 5, bytes(40))
    data += block(order, 6, struct.pack(order + "IIIII", 0, 1, 2, 8, 60) + b"abcdefgh")
    data += block(order, 3, struct.pack(order + "I", 8) + b"abcdefgh")
    data += block(order, 2, struct.pack(order + "HHIIII", 0, 0, 1, 2, 8, 8) + b"abcdefgh")
    return data


def captures():
    for order, name in (("<", "little"), (">", "big")):
        for magic in (0xa1b2c3d4, 0xa1b23c4d, 0xa1b2cd34):
            more = bytes(8) if magic == 0xa1b2cd34 else b""
            record = struct.pack(order + "IIII", 1, 2, 8, 60) + more + b"abcdefgh"
            yield f"pcap-{magic:x}-{name}", struct.pack(order + "IHHIIII", magic, 2, 4, 0, 0, 65535,
                                                        1) + record * 3
        yield "pcapng-" + name, pcapng(order)
    yield "pcapng-both", pcapng("<") + pcapng(">")
    yield "gzip", gzip.compress(pcapng("<"), mtime=0) + gzip.compress(pcapng(">"), mtime=0)


def dns(ident, flags, name, kind, *records):
    labels = b"".join(bytes([len(p)]) + p for p in name.split(b".")) + b"\0"
    head = struct.pack(">6H", ident, flags, 1, len(records), 0, 0)
    return head + labels + struct.pack(">HH", kind, 1) + b"".join(records)


def record(kind, data):
    return struct.pack(">HHHIH", 0xc00c, kind, 1, 60, len(data)) + data


def conversations():
    client, server, hole = 0, 1, 2
    ask = [(client, dns(7, 0x100, b"www.example", kind)) for kind in (1, 252, 251, 65)]
    soa = record(6, b"\0\0" + bytes(20))
    many = [record(kind, bytes(range(1, 24))) for kind in list(range(1, 66)) + [99, 256, 257]]
    tell = [(server, dns(7, 0x8180, b"www.example", kind, *data)) for kind, data in
            ((1, [record(1, b"\x0a\0\0\1")]), (252, [soa, soa]), (251, [soa]), (65, many))]
    for i, pair in enumerate(zip(ask, tell)):
        yield f"dns-udp-{i}", 1, 1, pair
        yield f"dns-tcp-{i}", 1, 0, [(k, struct.pack(">H", len(d)) + d) for k, d in pair]
    yield "mdns", 2, 1, [ask[0], tell[0]]
    get = (client, b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n")
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    yield "http", 0, 0, [get, (server, chunked), get, (server, b"HTTP/1.1 204 No\r\n\r\n")]
    yield "http-hole", 0, 0, [get, (server | hole, chunked), get, (server, chunked)]
    yield "http-elsewhere", 3, 0, [get, (server, chunked)]


def bulk_answers():
    """Number of documents, answer of _bulk."""
    def items(*statuses):
        return b",".join(b'{"create":{"status":%d%s}}' % (
            s, b',"error":{"type":"mapper","reason":"no"}' if s >= 300 else b"") for s in statuses)
    yield "ok", 3, b'{"errors":false}'
    yield "created", 2, b'{"errors":true,"items":[%s]}' % items(201, 409)
    yield "mixed", 4, b'{"errors":true,"items":[%s]}' % items(201, 429, 400, 503)
    yield "blocked", 2, b'{"errors":true,"items":[{"create":{"status":403,"error":{"type":' \
        b'"cluster_block_exception"}}},{"index":{"status":"no"}}]}'
    yield "short", 5, b'{"errors":true,"items":[%s]}' % items(400)
    yield "odd", 3, b'{"errors":1,"items":[[],{},{"create":7}]}'
    yield "cut", 3, b'{"errors":true,"items":[{"crea'
    yield "deep", 2, b"[" * 3000


def field(number, *parts):
    """A length-delimited field of protobuf."""
    data = b"".join(parts)
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def otlp_payloads():
    span = field(2, field(1, b"t" * 16), field(2, b"s" * 8), field(5, b"GET"))
    spans = field(1, field(2, span, span)) + field(1, field(2, span))
    metric = field(2, field(1, b"a_total"), field(7, field(1, b"\x19" + bytes(8))))
    gauge = field(2, field(1, b"g"), field(5, field(1, b""), field(1, b"")))
    metrics = field(1, field(2, metric, gauge))
    yield "partial", field(1, b"\x08\x03", field(2, b"too old"))
    yield "negative", field(1, b"\x08" + b"\xff" * 9 + b"\x01")
    yield "spans", spans
    yield "metrics", metrics
    yield "gzip", gzip.compress(spans, mtime=0)
    yield "gzip-metrics", gzip.compress(metrics, mtime=0)
    yield "gzip-cut", gzip.compress(spans, mtime=0)[:-9]
    yield "pairs", b"x-tenant=a%20b, x=%zz%4,=,key,,y = z"


def accept_headers():
    yield "prometheus", b"application/openmetrics-text;version=1.0.0;q=0.8," \
        b"application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    yield "escaping", b"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5"
    yield "quoted", b'application/openmetrics-text; version="1.0.0" ; q=1 , text/*;q=0.3'
    yield "browser", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    yield "many", b"text/plain;q=0.001," * 70 + b"application/openmetrics-text"


# RFC 7541, appendix C: requests and responses, plain and in Huffman code.
HPACK_BLOCKS = {
    "requests": (0, "828684410f7777772e6578616d706c652e636f6d", "828684be58086e6f2d6361636865",
                 "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565"),
    "requests-huffman": (0, "828684418cf1e3c2e5f23a6ba0ab90f4ff", "828684be5886a8eb10649cbf",
                         "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"),
    "responses": (0, "3fe101", "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad1718"
                  "63c78f0b97c8e9ae82ae43d3", "4883640effc1c0bf",
                  "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7"
                  "b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007"),
    "late": (1, "828684be", "410161", "be", "bf", "7f000178", "be", "bf"),
    "sizes": (0, "20", "3fe11f", "4004786f6e6503616263", "20be", "ff8080808001", "8220", "007fffffff7f00"),
    "padding": (0, "0083ffffff0161", "0081000161", "0084fffffffc0161", "400a6375"),
    "grpc": (0, "4088f2b24b50ea4f85ff8e8b4ab342", "40889acac8b21234da8f8107bf", "0f0d023939"),
}


def hpack_blocks():
    for name, (late, *blocks) in HPACK_BLOCKS.items():
        yield name, bytes([late]) + b"".join(bytes([1, len(b) // 2]) + bytes.fromhex(b) for b in blocks)


def h2(where, kind, flags, payload=b""):
    return bytes([where, kind, flags]) + struct.pack("<H", len(payload)) + payload


def http2_frames():
    server, connection, pushed = 1, 2, 4
    get, post = bytes.fromhex("828684410178"), bytes.fromhex("838684410178")
    call = post + bytes.fromhex("5f") + bytes([16]) + b"application/grpc"
    text = post + bytes.fromhex("5f") + bytes([25]) + b"application/grpc-web-text"
    status = b"\x00\x0bgrpc-status\x015"
    settings = h2(connection, 4, 0) + h2(server | connection, 4, 0)
    yield "get", settings + h2(0, 1, 5, get) + h2(server, 1, 4, b"\x88") + h2(server, 0, 1, b"body")
    yield "padding", h2(0, 1, 0x2d, b"\3\0\0\0\0\7" + get + bytes(3)) + \
        h2(server, 1, 0, b"\x88") + h2(server, 9, 4, b"\x0f\x0d\1\x30") + h2(server, 0, 9, b"\1ok\0")
    yield "push", h2(0, 1, 5, get) + h2(server, 5, 4, b"\0\0\0\2" + get) + h2(server | pushed, 1, 5, b"\x88") + \
        h2(server, 1, 5, b"\x8d")
    yield "ends", h2(0, 1, 5, get) + h2(8, 1, 5, get) + h2(16, 1, 4, post) + h2(16, 3, 0, b"\0\0\0\x08") + \
        h2(server | connection, 7, 0, b"\0\0\0\1\0\0\0\2") + h2(server, 3, 0, b"\0\0\0\2")
    yield "grpc", h2(0, 1, 4, call) + h2(0, 0, 1, b"\0\0\0\0\2ab") + h2(server, 1, 4, b"\x88") + \
        h2(server, 0, 0, b"\0\0\0\0\5abcde") + h2(server, 1, 5, status)
    yield "grpc-web-text", h2(0, 1, 4, text) + h2(0, 0, 1, b"AAAAAAE9") + h2(server, 1, 4, b"\x88") + \
        h2(server, 0, 1, b"AAAAAAJoaQ==gAAAAA5ncnBjLXN0YXR1czo1DQo=")
    yield "unknown", h2(0, 0x5f, 0xff, b"x" * 9) + h2(0, 9, 4, get) + h2(0, 1, 4, b"\xbe") + h2(0, 6, 0, bytes(8))
    yield "interim", h2(0, 1, 5, get) + h2(server, 1, 4, b"\x08\x03100") + h2(server, 1, 5, b"\x88")


def sql_texts():
    """Dialect (MySQL, PostgreSQL, each with and without backslashes), text."""
    yield "select", 0, "SELECT a, `b` FROM `s`.t1 x JOIN t2 USING (i) WHERE c IN (1,-2,'it''s') # x\n"
    yield "insert", 0, "INSERT INTO t VALUES (1,'a\\'b',NULL,0x1f),(2,\"c\",NOW(),_utf8'd')" + ",(3,4)" * 9
    yield "code", 0, "/*!40101 SET x=1 */; SELECT /*+ hint */ @a:=1.5e-3 -- c\n/*M!100100 a*/"
    yield "trace", 0, "SELECT 1 /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/"
    yield "body", 0, "CREATE DEFINER=`a`@`b` PROCEDURE p() BEGIN SELECT 1; DELETE FROM t; END"
    yield "strings", 1, "SELECT $1, $x$ $y$ $x$, E'b\\'c', U&'d', 'e' 'f', \"N\"::int8 /* a /* b */ c */"
    yield "with", 1, "WITH x AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT max(replace(c)) FROM x"
    yield "several", 1, "begin; update s.t set x=1 where y = ANY ($1);;commit;"
    yield "plain", 2, "SELECT 'a\\', \"b\\\", 'secret"
    yield "escapes", 3, "SELECT 'it\\'s', \"n\\\", 1"
    yield "deep", 1, "SELECT " + "(" * 20 + "1,'a'" + ")" * 20 + "," + "(" * 9 + "2"
    yield "long", 0, "SELECT '" + "x" * 300 + "', größe_" + "n" * 120 + " FROM " + "t" * 130 + ", u"


def record_values():
    """Protocol, side and at the end is_cut, values: by their ids, whatever these mean there."""
    def value(field, data, more=0):
        return struct.pack("<BBHI", field, 0, len(data), len(data) + more) + data + bytes(-len(data) % 4)

    number = struct.pack("<Q", 4711)
    for protocol in range(10):
        yield f"fields-{protocol}", protocol, protocol % 2, b"".join(
            value(field, number if field % 3 == 0 else b"some text") for field in range(40))
    yield "twice", 1, 0, value(0, b"a") + value(1, b"b") + value(0, b"c") + value(1, b"d", 9)
    for protocol in range(10):
        yield f"map-{protocol}", protocol, 0x80, b"".join(
            value(field, b"name-%d\0text \xc3\xa9 \xe2\x82" % (field % 5), 7) for field in range(40))
    yield "escapes", 0, 0, bytes(range(256))
    yield "cut", 0, 0x80, b"0123456 \"\\\n\x7f \xf0\x9f\x98\x80 \xed\xa0\x80 \xe2\x82"


for seed, data in hpack_blocks():
    write("hpack", seed, data)
for seed, data in http2_frames():
    write("http2_frames", seed, data)
for seed, (link, data) in packets().items():
    write("packet", seed, bytes([link, 0]) + data)
for seed, parts in fragments():
    write("defrag", seed, b"".join(struct.pack("<H", len(p)) + p for p in parts))
for seed, data in captures():
    write("capture_file", seed, data)
for seed, port, is_udp, said in conversations():
    write("conversation", seed, bytes([port, is_udp]) + b"".join(
        struct.pack(">BH", kind, len(d)) + d for kind, d in said))
for seed, dialect, text in sql_texts():
    write("sql", seed, struct.pack("<BH", dialect, 40) + text.encode())
for seed, count, data in bulk_answers():
    write("bulk_answer", seed, bytes([count - 1]) + data)
for seed, data in otlp_payloads():
    write("otlp_answer", seed, data)
for seed, data in accept_headers():
    write("scrape_header", seed, data)
for seed, protocol, side, data in record_values():
    write("record", seed, bytes([protocol, side]) + data)
