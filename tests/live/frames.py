# SPDX-License-Identifier: Apache-2.0
"""Ethernet frames by hand, for what this kernel does not send by itself: VLAN tags, tunnels."""
import socket
import struct

CLIENT_MAC, SERVER_MAC = bytes.fromhex("0200000000c1"), bytes.fromhex("020000000051")
IPV4, IPV6, VLAN, QINQ, MPLS, PPPOE = 0x0800, 0x86dd, 0x8100, 0x88a8, 0x8847, 0x8864


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def packed(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def ip(source, target, protocol, payload):
    """(EtherType, an IPv4 or IPv6 packet)"""
    a, b = packed(source), packed(target)
    if len(a) == 16:
        return IPV6, struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + a + b + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0x4000, 64, protocol, 0, a, b)
    return IPV4, head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def with_checksum(source, target, protocol, segment, at):
    a, b = packed(source), packed(target)
    pseudo = a + b + struct.pack("!IHBB", len(segment), 0, 0, protocol)
    value = checksum(pseudo + segment)
    return segment[:at] + struct.pack("!H", value) + segment[at + 2:]


def udp(source, source_port, target, target_port, payload):
    segment = struct.pack("!HHHH", source_port, target_port, 8 + len(payload), 0) + payload
    return ip(source, target, 17, with_checksum(source, target, 17, segment, 6))


def tcp(source, source_port, target, target_port, seq, ack, flags, payload=b""):
    segment = struct.pack("!HHIIBBHHH", source_port, target_port, seq & 0xffffffff,
                          ack & 0xffffffff, 5 << 4, flags, 65000, 0, 0) + payload
    return ip(source, target, 6, with_checksum(source, target, 6, segment, 16))


def http(client, port, server, path, body):
    """A whole connection: handshake, one request and its response, close.
    [(from client?, (EtherType, packet))]"""
    request = f"GET {path} HTTP/1.1\r\nHost: raw.test\r\n\r\n".encode()
    response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    seq, ack = 0xffffff00, 1000  # the client's numbers wrap
    rows = [(True, 2, 0, 0, b""), (False, 18, 0, 1, b""), (True, 16, 1, 1, b""),
            (True, 24, 1, 1, request)]
    sent = 1 + len(request)
    for at in range(0, len(response), 1000):
        rows.append((False, 24, 1 + at, sent, response[at:at + 1000]))
    got = 1 + len(response)
    rows += [(True, 17, sent, got, b""), (False, 17, got, sent + 1, b""), (True, 16, sent + 1, got + 1, b"")]
    out = []
    for up, flags, own, other, data in rows:
        if up:
            out.append((True, tcp(client, port, server, 80, seq + own, ack + other if other or flags != 2 else 0,
                                  flags, data)))
        else:
            out.append((False, tcp(server, 80, client, port, ack + own, seq + other, flags, data)))
    return out


def ethernet(is_up, packet, tags=()):
    """tags: (TPID, VLAN id) from the outside inwards"""
    kind, data = packet
    macs = SERVER_MAC + CLIENT_MAC if is_up else CLIENT_MAC + SERVER_MAC
    return macs + b"".join(struct.pack("!HH", *tag) for tag in tags) + struct.pack("!H", kind) + data


def gre(source, target, inner):
    kind, data = inner
    return ip(source, target, 47, struct.pack("!HH", 0, kind) + data)


def erspan(source, target, session, frame):
    head = struct.pack("!HHIHHI", 0x1000, 0x88be, 1, 0x1000, session, 0)
    return ip(source, target, 47, head + frame)


def geneve(source, target, vni, frame):
    return udp(source, 50000, target, 6081, struct.pack("!HHI", 0, 0x6558, vni << 8) + frame)


def gtpu(source, target, tunnel, packet):
    data = packet[1]
    return udp(source, 2152, target, 2152, struct.pack("!BBHI", 0x30, 255, len(data), tunnel) + data)


def mpls(label, packet):
    return MPLS, struct.pack("!II", 100 << 12 | 0x40, label << 12 | 0x140) + packet[1]


def pppoe(session, packet):
    kind = 0x21 if packet[0] == IPV4 else 0x57
    return PPPOE, struct.pack("!HHHH", 0x1100, session, len(packet[1]) + 2, kind) + packet[1]


def vxlan(source, target, vni, frame):
    return udp(source, 50000, target, 4789, struct.pack("!II", 0x08000000, vni << 8) + frame)
