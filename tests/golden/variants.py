# SPDX-License-Identifier: Apache-2.0
"""Writes one capture in other clothes: tags, tunnels, link types, file formats, copies, fragments.
What the applications said to each other stays the same, so must the records."""
import gzip
import struct

ETHERNET, RAW, SLL, SLL2 = 1, 101, 113, 276
OUTER_MACS = bytes.fromhex("020000000002020000000001")


def read(path):
    """[(seconds, microseconds, frame)] of a little-endian pcap file of Ethernet frames."""
    data = path.read_bytes()
    magic, link = struct.unpack_from("<I16xI", data)
    if magic != 0xa1b2c3d4 or link != ETHERNET:
        raise ValueError(f"{path}: not a capture as scripts/record-captures makes them")
    packets, at = [], 24
    while at < len(data):
        seconds, fraction, length, wire = struct.unpack_from("<IIII", data, at)
        if length != wire:
            raise ValueError(f"{path}: a packet is cut")
        packets.append((seconds, fraction, data[at + 16:at + 16 + length]))
        at += 16 + length
    return packets


def pcap(packets, link=ETHERNET, order="<", nanoseconds=False):
    magic = 0xa1b23c4d if nanoseconds else 0xa1b2c3d4
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link)]
    for seconds, micros, frame in packets:
        fraction = micros * 1000 if nanoseconds else micros
        out.append(struct.pack(order + "IIII", seconds, fraction, len(frame), len(frame)) + frame)
    return b"".join(out)


def pcapng(packets):
    """Big-endian, nanoseconds by if_tsresol."""
    def block(kind, body):
        body += bytes(-len(body) % 4)
        return struct.pack(">II", kind, len(body) + 12) + body + struct.pack(">I", len(body) + 12)
    out = [block(0x0a0d0d0a, struct.pack(">IHHq", 0x1a2b3c4d, 1, 0, -1)),
           block(1, struct.pack(">HHI", ETHERNET, 0, 0) + struct.pack(">HHB3xHH", 9, 1, 9, 0, 0))]
    for seconds, micros, frame in packets:
        stamp = seconds * 10**9 + micros * 1000
        out.append(block(6, struct.pack(">IIIII", 0, stamp >> 32, stamp & 0xffffffff, len(frame),
                                        len(frame)) + frame))
    return b"".join(out)


def each(packets, change):
    return [(seconds, micros, change(frame)) for seconds, micros, frame in packets]


def is_ip(frame):
    return frame[12:14] in (b"\x08\x00", b"\x86\xdd")


def checksum(header):
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ipv4(protocol, payload):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0,
                       bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2]))
    head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
    return OUTER_MACS + b"\x08\x00" + head + payload


def tagged(*tags):
    inserted = b"".join(struct.pack(">HH", kind, vlan) for kind, vlan in tags)
    return lambda frame: frame[:12] + inserted + frame[12:]


def in_gre(frame):
    if not is_ip(frame):
        return frame
    return ipv4(47, struct.pack(">H2sI", 0x2000, frame[12:14], 7) + frame[14:])


def in_vxlan(frame):
    datagram = struct.pack(">HHHHII", 50000, 4789, 16 + len(frame), 0, 0x08000000, 42 << 8) + frame
    return ipv4(17, datagram)


def as_sll(frame):
    return struct.pack(">HHH6s2x", 0, 1, 6, frame[6:12]) + frame[12:]


def as_sll2(frame):
    return frame[12:14] + struct.pack(">2xIHBB6s2x", 1, 1, 0, 6, frame[6:12]) + frame[14:]


def twice(packets):
    return [packet for packet in packets for _ in range(2)]


def fragments(frame, ident):
    """UDP datagrams as fragments of 24 bytes, the last first; other frames as they are."""
    kind, out, step = frame[12:14], [], 24
    if kind == b"\x08\x00" and frame[14] == 0x45 and frame[23] == 17:
        length = struct.unpack_from(">H", frame, 16)[0]
        head, body = frame[14:34], frame[34:14 + length]
        for at in range(0, len(body), step):
            part = body[at:at + step]
            more = 0x2000 if at + step < len(body) else 0
            new = head[:2] + struct.pack(">HHH", 20 + len(part), ident, more | at // 8) + \
                head[8:10] + b"\0\0" + head[12:]
            new = new[:10] + struct.pack(">H", checksum(new)) + new[12:]
            out.append(frame[:14] + new + part)
    elif kind == b"\x86\xdd" and frame[20] == 17:
        length = struct.unpack_from(">H", frame, 18)[0]
        head, body = frame[14:54], frame[54:54 + length]
        for at in range(0, len(body), step):
            part = body[at:at + step]
            more = 1 if at + step < len(body) else 0
            fragment = struct.pack(">BBHI", 17, 0, at | more, ident)
            out.append(frame[:14] + head[:4] + struct.pack(">HB", 8 + len(part), 44) + head[7:] +
                       fragment + part)
    return out[::-1] or [frame]


def fragmented(packets):
    return [(seconds, micros, part) for ident, (seconds, micros, frame) in enumerate(packets)
            for part in fragments(frame, ident + 1)]


# Name -> (the file's bytes, members of `connection` that the records must have in addition).
def variants(packets):
    ip_only = [packet for packet in packets if is_ip(packet[2])]
    yield "vlan", pcap(each(packets, tagged((0x8100, 100)))), {"vlan": [100]}
    yield "qinq", pcap(each(packets, tagged((0x88a8, 7), (0x8100, 100)))), {"vlan": [7, 100]}
    yield "gre", pcap(each(packets, in_gre)), {"tunnel": "gre:7"}
    yield "vxlan", pcap(each(packets, in_vxlan)), {"tunnel": "vxlan:42"}
    yield "sll", pcap(each(packets, as_sll), SLL), {}
    yield "sll2", pcap(each(packets, as_sll2), SLL2), {}
    yield "raw", pcap(each(ip_only, lambda frame: frame[14:]), RAW), {}
    yield "nanoseconds-big-endian", pcap(packets, order=">", nanoseconds=True), {}
    yield "pcapng", pcapng(packets), {}
    yield "gzip", gzip.compress(pcap(packets), 1), {}
    yield "twice", pcap(twice(packets)), {}
    yield "fragments", pcap(fragmented(packets)), {}
