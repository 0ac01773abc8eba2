#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Tagged and encapsulated frames of a raw sender, IPv6, and answers in IP fragments, live."""
import json
import signal
import socket
import time

import frames
import lab
from lab import check

BODY = 2500
TOLD = ("vlan", "tunnel", "encapsulation")
V4, V6 = ("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")
TUNNEL = {True: ("198.51.100.1", "198.51.100.2"), False: ("198.51.100.2", "198.51.100.1")}


def in_gre(is_up, packet):
    return frames.gre(*TUNNEL[is_up], packet)


def in_vxlan(is_up, packet):
    return frames.vxlan(*TUNNEL[is_up], 42, frames.ethernet(is_up, packet))


def in_erspan(is_up, packet):
    return frames.erspan(*TUNNEL[is_up], 9, frames.ethernet(is_up, packet))


def in_geneve(is_up, packet):
    return frames.geneve(*TUNNEL[is_up], 42, frames.ethernet(is_up, packet))


def in_gtpu(is_up, packet):
    return frames.gtpu(*TUNNEL[is_up], 77, packet)


def in_mpls(_, packet):
    return frames.mpls(200, packet)


def in_pppoe(_, packet):
    return frames.pppoe(5, packet)


def in_vxlan_in_gre(is_up, packet):
    return frames.gre(*TUNNEL[is_up], in_vxlan(is_up, packet))


def plain(is_up, packet):
    return packet


# name: (addresses, encapsulation, tags, members of the record's connection)
WAYS = {
    "plain": (V4, plain, (), {}),
    "ipv6": (V6, plain, (), {}),
    "vlan": (V4, plain, ((frames.VLAN, 100),), {"vlan": [100]}),
    "vlan6": (V6, plain, ((frames.VLAN, 101),), {"vlan": [101]}),
    "qinq": (V4, plain, ((frames.QINQ, 200), (frames.VLAN, 100)), {"vlan": [200, 100]}),
    "gre": (V4, in_gre, (), {"tunnel": "gre"}),
    "gre6": (V6, in_gre, (), {"tunnel": "gre"}),
    "vxlan": (V4, in_vxlan, (), {"tunnel": "vxlan:42"}),
    "erspan": (V4, in_erspan, (), {"tunnel": "erspan:9"}),
    "geneve6": (V6, in_geneve, (), {"tunnel": "geneve:42"}),
    "gtpu": (V4, in_gtpu, (), {"tunnel": "gtpu:77"}),
    "mpls": (V4, in_mpls, ((frames.VLAN, 7),),
             {"vlan": [7], "tunnel": "mpls:200", "encapsulation": ["vlan:7", "mpls:100", "mpls:200"]}),
    "pppoe6": (V6, in_pppoe, (), {"tunnel": "pppoe:5"}),
    "vxlan6vlan": (V6, in_vxlan, ((frames.VLAN, 7),),
                   {"vlan": [7], "tunnel": "vxlan:42", "encapsulation": ["vlan:7", "vxlan:42"]}),
    "nested": (V4, in_vxlan_in_gre, (),
               {"tunnel": "vxlan:42", "encapsulation": ["gre", "vxlan:42"]}),
}


def send_frames(l, namespace, interface):
    with l.inside(namespace):
        out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with out:
        out.bind((interface, 0))
        for port, (name, (ends, around, tags, _)) in enumerate(WAYS.items(), 40000):
            for is_up, packet in frames.http(ends[0], port, ends[1], f"/{name}", b"x" * BODY):
                out.send(frames.ethernet(is_up, around(is_up, packet), tags))
                time.sleep(0.0005)


def check_frames(records):
    got = {r["request"]["path"][1:]: r for r in records if r["protocol"] == "http"}
    check(sorted(got) == sorted(WAYS), f"records of {sorted(got)}")
    for name, (_, _, _, members) in WAYS.items():
        record = got[name]
        have = {k: record["connection"].get(k) for k in TOLD}
        want = {k: members.get(k) for k in TOLD}
        check(record["status"] == "ok" and record["response"]["body_bytes"] == BODY,
              f"{name}: {json.dumps(record)}")
        check(have == want, f"{name}: {have} instead of {want}")


def run(l):
    lab.need("unbound", "dig")
    client, server = l.pair()
    texts = [f'big.tap.test. TXT "{n:03} {"t" * 90}"' for n in range(30)]
    l.unbound(server, texts)
    watch = l.watch(server, "--ifaces", "s0")
    send_frames(l, client, "c0")
    answers = [l.on(client, "dig", "+tries=1", "+notcp", "+ignore", "+bufsize=4096", f"@{address}",
                    "big.tap.test", "TXT") for address in (lab.HTTP, "fd00:99::2")]
    l.await_lines(len(WAYS) + len(answers), "watch.json")
    status = l.stop(watch, signal.SIGINT)
    records = l.records("watch.json")
    summary = watch.log.read_text()
    print(summary)
    check(status == 0, f"watch ended with {status}")
    check("dropped by the kernel" not in summary, "the kernel dropped packets of a slow sender")
    check_frames(records)
    dns = [r for r in records if r["protocol"] == "dns"]
    for answer in answers:
        check("MSG SIZE  rcvd: 3" in answer, f"dig got no large answer: {answer[-300:]}")
    check(len(dns) == 2, f"{len(dns)} DNS records: {dns}")
    for record in dns:
        check(record["status"] == "ok" and record["response"]["answer_count"] == 30 and
              record["response"]["bytes"] > 3000, f"{json.dumps(record)[:600]}")


lab.main(run)
