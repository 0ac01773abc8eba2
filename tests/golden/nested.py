#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Encapsulations in encapsulations: the record of a DNS question in each of them names all layers, with
one and two workers, and from a device with two queues that part the fragments of a datagram.

usage: nested.py TAPLINE"""
import json
import pathlib
import struct
import sys
import tempfile

import golden
import variants

MACS = bytes.fromhex("02000000000202000000000a")
FIRST_PORT = 50000
QUEUES = 2


def udp(source_port, target_port, payload):
    return struct.pack(">HHHH", source_port, target_port, 8 + len(payload), 0) + payload


def dns(number, is_up):
    """The question of a case, or its answer."""
    ends = [bytes([10, 0, 0, 1]), bytes([10, 0, 0, 53])]
    ports = [FIRST_PORT + number, 53]
    if not is_up:
        ends, ports = ends[::-1], ports[::-1]
    question = b"\6nested\4test\0" + struct.pack(">HH", 1, 1)
    message = struct.pack(">6H", number, 0x0100 if is_up else 0x8180, 1, not is_up, 0, 0) + question
    if not is_up:
        message += struct.pack(">HHHIH4s", 0xc00c, 1, 1, 60, 4, bytes([192, 0, 2, 9]))
    segment = udp(*ports, message)
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 0, 0, 64, 17, 0, *ends)
    head = head[:10] + struct.pack(">H", variants.checksum(head)) + head[12:]
    return MACS + b"\x08\x00" + head + segment


def in_mpls(frame, *labels):
    stack = b"".join(struct.pack(">I", label << 12 | 64 | (0x100 if last else 0))
                     for label, last in zip(labels, [False] * (len(labels) - 1) + [True]))
    return frame[:12] + b"\x88\x47" + stack + frame[14:]


def in_erspan(frame, session):
    return variants.ipv4(47, struct.pack(">HHIHHI", 0x1000, 0x88be, 1, 0x1000, session, 0) + frame)


def in_gtpu(frame, tunnel):
    packet = frame[14:]
    head = struct.pack(">BBHI", 0x30, 255, len(packet), tunnel)
    return variants.ipv4(17, udp(2152, 2152, head + packet))


def in_ip(frame):
    return variants.ipv4(4, frame[14:])


def vlan(*ids):
    return variants.tagged(*((0x8100, number) for number in ids))


def in_many(frame, *_):
    for number in range(6):
        frame = vlan(number + 1)(variants.in_vxlan(frame))
    return [frame]


def question_in_pieces(frame, number, _):
    return [vlan(5)(variants.in_gre(variants.in_vxlan(part)))
            for part in variants.fragments(frame, number)]


def carrier_in_pieces(frame, number, _):
    return [vlan(5)(variants.in_gre(part))
            for part in variants.fragments(variants.in_vxlan(frame), number)]


NESTED = {"vlan": [5], "tunnel": "vxlan:42", "encapsulation": ["vlan:5", "gre:7", "vxlan:42"]}
MANY = [layer for number in range(6, 0, -1) for layer in (f"vlan:{number}", "vxlan:42")]
# The frames of a packet, and what its record says.
CASES = [
    (lambda f, *_: [f], {}),
    (lambda f, *_: [vlan(3, 4)(f)], {"vlan": [3, 4]}),
    (lambda f, *_: [variants.in_vxlan(f)], {"tunnel": "vxlan:42"}),
    (lambda f, *_: [in_mpls(f, 100)], {"tunnel": "mpls:100"}),
    (lambda f, *_: [vlan(5)(variants.in_gre(variants.in_vxlan(f)))], NESTED),
    (lambda f, *_: [in_mpls(variants.in_vxlan(f), 16004, 100)],
     {"tunnel": "vxlan:42", "encapsulation": ["mpls:16004", "mpls:100", "vxlan:42"]}),
    (lambda f, *_: [in_mpls(f, 16004, 100, 0)],
     {"tunnel": "mpls:100", "encapsulation": ["mpls:16004", "mpls:100"]}),
    (lambda f, *_: [in_erspan(vlan(8)(f), 9)],
     {"vlan": [8], "tunnel": "erspan:9", "encapsulation": ["erspan:9", "vlan:8"]}),
    # A tunnel whose id is another one for each direction: the first packet's is kept.
    (lambda f, _, is_up: [vlan(1, 2)(in_gtpu(f, 70 if is_up else 71))],
     {"vlan": [1, 2], "tunnel": "gtpu:70", "encapsulation": ["vlan:1", "vlan:2", "gtpu:70"]}),
    (lambda f, *_: [variants.in_gre(in_ip(f))],
     {"tunnel": "ipip", "encapsulation": ["gre:7", "ipip"]}),
    (in_many, {"vlan": [6, 5, 4, 3], "tunnel": "vxlan:42", "encapsulation": MANY}),
    (lambda f, *_: in_many(vlan(9)(f)),
     {"vlan": [6, 5, 4, 3], "tunnel": "vxlan:42", "encapsulation": MANY, "encapsulation_length": 13}),
    (question_in_pieces, NESTED),
    (carrier_in_pieces, NESTED),
]


def capture(cases, sides):
    packets = []
    for number, (wrap, _) in enumerate(cases):
        for is_up in sides:
            for frame in wrap(dns(number, is_up), number, is_up):
                packets.append((1700000000, len(packets) * 100, frame))
    return packets


def check(tapline, cases, what, *arguments):
    found = {record["client"]["port"] - FIRST_PORT: record for record in
             map(json.loads, golden.run(tapline, "watch", "-q", *arguments).splitlines())}
    good = len(found) == len(cases)
    for number, (_, want) in enumerate(cases):
        connection = found.get(number, {}).get("connection", {"none": 0})
        got = {key: value for key, value in connection.items() if key not in ("id", "port")}
        if got != want:
            print(f"     case {number}: {got}, not {want}")
            good = False
    print(f"{'ok  ' if good else 'FAIL'} {what}: {len(found)} records of {len(cases)} cases")
    return good


def main():
    tapline, good = sys.argv[1], True
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        file = folder / "nested.pcap"
        file.write_bytes(variants.pcap(capture(CASES, (True, False))))
        for workers in ("1", "2"):
            good &= check(tapline, CASES, f"{workers} workers", "--pcap-file", str(file),
                          "--workers", workers)
        # Questions alone, as a datagram that is put together may come late.
        pieces = [(question_in_pieces, NESTED)] * 8 + [(carrier_in_pieces, NESTED)] * 8
        packets = capture(pieces, (True,))
        for queue in range(QUEUES):
            (folder / f"q{queue}").write_bytes(variants.pcap(packets[queue::QUEUES]))
        device = ",".join(["net_pcap0"] + [f"rx_pcap={folder}/q{queue}" for queue in range(QUEUES)])
        good &= check(tapline, pieces, f"{QUEUES} queues", "--device", device,
                      "--workers", str(QUEUES))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
