# SPDX-License-Identifier: Apache-2.0
"""HTTP conversations as capture files, small enough to say in a test what they contain."""
import ipaddress
import struct
import zlib

NS = 1_000_000_000
START_NS = 1_700_000_000 * NS
CLIENT, SERVER = "10.1.0.1", "10.1.0.2"
HEADER = struct.pack("<IHHiIII", 0xa1b23c4d, 2, 4, 0, 0, 262144, 1)  # nanoseconds, Ethernet


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def ip(source, destination, payload):
    a, b = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    if a.version == 6:
        return 0x86dd, struct.pack(">IHBB", 6 << 28, len(payload), 6, 64) + a.packed + b.packed + payload
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, 6, 0) + a.packed + b.packed
    head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
    return 0x0800, head + payload


def tcp(source, destination, sport, dport, seq, ack, flags, data=b"", vlan=()):
    segment = struct.pack(">HHIIBBHHH", sport, dport, seq, ack, 0x50, flags, 65535, 0, 0) + data
    ethertype, packet = ip(source, destination, segment)
    tag = b"".join(struct.pack(">HH", 0x8100, number) for number in vlan)
    return b"\2\0\0\0\0\1\2\0\0\0\0\2" + tag + struct.pack(">H", ethertype) + packet


def in_vxlan(frame):
    payload = struct.pack(">II", 0x08000000, 42 << 8) + frame
    datagram = struct.pack(">HHHH", 50000, 4789, 8 + len(payload), 0) + payload
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 0, 0x4000, 64, 17, 0,
                       b"\xc0\xa8\0\1", b"\xc0\xa8\0\2")
    head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
    return [b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0" + head + datagram]


def in_fragments(frame):
    """Two fragments of an untagged IPv4 packet whose payload is long enough for it."""
    head, payload = frame[14:34], frame[34:]
    if len(payload) < 32:
        return [frame]
    number = zlib.crc32(frame) & 0xffff
    pieces = []
    for at, piece in ((0, payload[:24]), (24, payload[24:])):
        more = 0x2000 if at == 0 else 0
        own = struct.pack(">BBHHH", 0x45, 0, 20 + len(piece), number, at // 8 | more) + head[8:10] + b"\0\0" + head[12:]
        own = own[:10] + struct.pack(">H", checksum(own)) + own[12:]
        pieces.append(frame[:14] + own + piece)
    return pieces


def record(time_ns, frame):
    return struct.pack("<IIII", time_ns // NS, time_ns % NS, len(frame), len(frame)) + frame


class Conversation:
    """One connection; every request is answered after `server_ns`."""

    def __init__(self, port=20000, server_port=80, client=CLIENT, server=SERVER, vlan=(),
                 time_ns=START_NS, wrap=None):
        self.ends, self.vlan, self.time_ns = (client, server, port, server_port), vlan, time_ns
        self.wrap = wrap or (lambda frame: [frame])
        self.seq = [1000, 5000]
        self.out = []
        self.send(0, 0x02)
        self.send(1, 0x12)
        self.send(0, 0x10)

    def send(self, lane, flags, data=b"", after_ns=1000):
        client, server, port, server_port = self.ends
        self.time_ns += after_ns
        arguments = ((client, server, port, server_port), (server, client, server_port, port))[lane]
        frame = tcp(*arguments, self.seq[lane], self.seq[1 - lane], flags, data, self.vlan)
        self.out += [record(self.time_ns, one) for one in self.wrap(frame)]
        self.seq[lane] += len(data) + (flags & 3 != 0)

    def request(self, path="/", status=200, server_ns=1_000_000, host="test.example", after_ns=1000):
        self.send(0, 0x18, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), after_ns)
        if status:
            reason = {200: "OK", 404: "Not Found", 500: "Internal Server Error"}[status]
            self.send(1, 0x18, f"HTTP/1.1 {status} {reason}\r\nContent-Length: 2\r\n\r\nok".encode(),
                      server_ns)
            self.send(0, 0x10)
        return self

    def close(self):
        self.send(0, 0x11)
        self.send(1, 0x11)
        self.send(0, 0x10)
        return self

    def bytes(self):
        """The records since the last call."""
        out, self.out = b"".join(self.out), []
        return out


def capture(*conversations):
    return HEADER + b"".join(c.bytes() for c in conversations)
