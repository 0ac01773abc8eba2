#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Devices whose queues part conversations, the two ports of a TAP, and net_af_xdp's drops, live.

For the first another process (feed_queues) has the other end of a
net_memif or net_virtio_user device and sends a capture on two or four queues as a card with an
asymmetric RSS key would. The records are those of the file, and the device is found out."""
import collections
import json
import pathlib
import subprocess
import sys
import time

import frames
import lab
import vdevs
from lab import check

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "golden"))
import variants

CAPTURES = pathlib.Path(__file__).resolve().parent.parent / "captures"
CAPTURE, DNS = CAPTURES / "quickstart.pcap", CAPTURES / "dns-unbound.pcap"
DEVICES = {  # our end, the feeder's, whether the feeder makes the socket
    "net_memif": ("net_memif0,role=server,socket-abstract=no,socket={socket}",
                  "net_memif0,role=client,socket-abstract=no,socket={socket}", False),
    "net_virtio_user": ("net_virtio_user0,path={socket},queues={queues}",
                        "net_vhost0,iface={socket},queues={queues}", True),
}


def is_tcp(frame):
    return frame[12:14] == b"\x08\x00" and frame[23] == 6


def of_file(l, capture):
    done = subprocess.run([l.tapline, "watch", "-q", "--output", "json", "--pcap-file", capture,
                           "--workers", "1"], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def request_of(record):
    request = record["request"]
    return (record["client"]["address"], record["client"]["port"], request.get("method") or request.get("qtype"),
            request.get("target") or request.get("question"))


def compare(records, base, late):
    """No answer is with another's request, however late a worker that was scheduled away reads, and stamps,
    its packets. What is later than anybody waits for is missing: then a counter says so, and the file's
    requests need not all be there. golden-steered compares everything, by the files' stamps."""
    pairs = [{(*request_of(r), r["response"].get("status_code")) for r in some if r["request"] and r["response"]}
             for some in (records, base)]
    check(pairs[0] <= pairs[1], f"pairs that the file has not: {sorted(pairs[0] - pairs[1])[:4]}")
    seen, wanted = (collections.Counter(request_of(r) for r in some if r["request"])
                    for some in (records, base))
    check(not seen - wanted, f"requests that the file has not: {sorted((seen - wanted))[:4]}")
    check(late > 0 or not wanted - seen, f"requests are missing: {sorted((wanted - seen))[:4]}")


def attempts(l, what, *arguments):
    """On a busy machine a reader may be away for longer than packets wait for it. Five times in a row only
    a fault looks like that."""
    for left in range(4, -1, -1):
        try:
            return what(l, *arguments)
        except lab.Failed as failure:
            if left == 0:
                raise
            print(f"again: {failure}")
        for child in list(l.children):
            l.stop(child)


def one(l, feeder, capture, base, flows, name, queues, card=None):
    """With `card` the device says that it keeps conversations together, and does so with what it sees."""
    here, there, feeder_first = DEVICES[name]
    inside = l.namespace(f"q{len(l.names)}")
    socket = l.folder / f"{len(l.names)}.sock"
    end = {"socket": socket, "queues": queues}

    def feed():
        return l.start(inside, feeder, there.format(**end), capture, queues, *(["symmetric"] if card else []),
                       log=f"feed{len(l.names)}.log", stdin=subprocess.PIPE)
    child = feed() if feeder_first else None
    if feeder_first:
        lab.wait_for("the feeder's socket", socket.exists, 60)
    agent = l.agent(inside, [f'device: "{here.format(**end)}"'], f"  workers: {queues}\n",
                    ["env", f"LD_PRELOAD={card}"] if card else [])
    child = child or feed()

    def is_sent():
        check(child.poll() is None, f"the feeder ended: {child.log.read_text()}")
        return f"queue {queues - 1}" in child.log.read_text()
    lab.wait_for("all packets sent", is_sent, 120)
    l.await_lines(len(base), seconds=60)
    own, _, status = l.settled(inside)
    port = status["ports"][0]
    print(f"{name}, {queues} queues: {len(l.records())} records; {port['rss']}; "
          f"{child.log.read_text().split()[2::4]} packets on the queues; "
          f"{own.sum('tapline_stream_gaps_total')} times too late")
    check(sum(port["dropped"].values()) == 0, f"losses: {port}")
    check(port["rss"]["verdict"] == ("symmetric" if card else "asymmetric") and port["rss"]["steered"] > 0,
          f"{port}")
    opened = own.sum("tapline_flows_opened_total")
    check(opened == flows, f"{opened} flows on all workers, {flows} in the capture")
    compare(l.records(), base, own.sum("tapline_stream_gaps_total"))
    check(l.stop(agent) == 0, "the agent did not end in order")
    child.stdin.close()
    check(child.wait(60) == 0, f"the feeder: {child.log.read_text()}")


def a_tap(l, workers):
    """Requests on one port, responses on the other."""
    requests = 100
    inside = l.namespace(f"t{len(l.names)}")
    l.on(inside, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
    for letter in "ab":
        l.veth(inside, f"{letter}0", inside, f"{letter}1", offload=False)
    agent = l.agent(inside, ["interface: a1", "interface: b1"], f"  workers: {workers}\n")
    with vdevs.sender(l, inside, "a0") as up, vdevs.sender(l, inside, "b0") as down:
        for number in range(requests):
            for is_up, packet in frames.http("192.0.2.1", 20000 + number, "192.0.2.2", "/", b"x" * 500):
                (up if is_up else down).send(frames.ethernet(is_up, packet))
                time.sleep(0.0005)
    l.await_lines(requests)
    statuses = lab.count_by(l.records(), "status")
    print(f"two ports of a TAP, {workers} workers: {statuses}")
    check(statuses == {"ok": requests}, f"two ports of a TAP: {statuses}")
    check(l.stop(agent) == 0, "the agent did not end in order")


def readers(l):
    """Three threads share an interface: each packet is seen once, each conversation whole; a filter
    changes for all of them."""
    requests = 200
    inside = l.namespace(f"r{len(l.names)}")
    l.on(inside, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
    l.veth(inside, "a0", inside, "a1", offload=False)
    agent = l.agent(inside, ["interface: a1"], "  workers: 2\n  readers: 3\n")

    def talk(out, first):
        for number in range(requests):
            for is_up, packet in frames.http("192.0.2.1", first + number, "192.0.2.2", "/", b"x" * 500):
                out.send(frames.ethernet(is_up, packet))
                sent[0] += 1
            time.sleep(0.001)

    def rows():
        return json.loads(l.get(inside, "/api/v1/status"))

    def all_read():
        read = [row["packets"] for row in rows()["lcores"] if row["role"] == "rx"]
        return read if sum(read) >= sent[0] else None

    sent = [0]
    with vdevs.sender(l, inside, "a0") as out:
        talk(out, 20000)
        l.await_lines(requests)
        read = lab.wait_for("all packets", all_read)
        statuses = lab.count_by(l.records(), "status")
        print(f"three readers: {read} packets of {sent[0]}, {statuses}")
        check(len(read) == 3 and min(read) > 0 and sum(read) == sent[0], f"{read} of {sent[0]}")
        check(statuses == {"ok": requests}, f"{statuses}")
        # Another filter, while they read.
        conf = l.folder / "tapline.yaml"
        conf.write_text(conf.read_text().replace("readers: 3", "readers: 3\n  filter: udp port 9"))
        l.on(inside, "curl", "-sf", "-X", "POST", "http://127.0.0.1:9091/-/reload")
        talk(out, 30000)
        marker = frames.ethernet(True, frames.udp("192.0.2.1", 40000, "192.0.2.2", 9, b"x" * 100))
        out.send(marker)
    lab.wait_for("the marker", lambda: sum(p["packets"] for p in rows()["ports"]) > sum(read))
    now = sum(p["packets"] for p in rows()["ports"])
    check(now == sum(read) + 1, f"{now - sum(read)} packets passed the filter, 1 should")
    page = lab.Page(l.get(inside, "/metrics"))
    check(page.sum("tapline_port_dropped_packets_total") == 0, "losses")
    check(l.stop(agent) == 0, "the agent did not end in order")


def xdp(l):
    """It takes 1024 packets while nobody reads; the interface's driver counts the others."""
    try:
        vdevs.kernel_drops_are_told(l, "net_af_xdp0,iface=s0", 1024)
    except lab.Failed as failure:
        if "DPDK can't" not in str(failure):
            raise
        print(f"skipped: no AF_XDP here: {failure}")


def in_mirror(frame):
    """A packet of another client in VXLAN, whose source port a switch takes from the packet, ports and all:
    it differs by direction."""
    inner = bytearray(frame)
    client = 26 if frame[34:36] > frame[36:38] else 30
    inner[client] ^= 0x40
    source = 50000 + sum(frame[26:38]) % 1000 + (client == 26) * 1001
    vxlan = b"\x08\0\0\0\0\0\x2a\0" + bytes(inner)
    udp = source.to_bytes(2, "big") + (4789).to_bytes(2, "big") + (8 + len(vxlan)).to_bytes(2, "big") + b"\0\0"
    return variants.ipv4(17, udp + vxlan)


def symmetric(l, feeder, card, packets):
    """Conversations as they are, in VXLAN, and in fragments: the last two are where the card put them by what
    it sees, which is not where they belong."""
    dns = [p for p in variants.read(DNS) if p[2][12:14] == b"\x08\x00" and p[2][23] == 17]
    capture = l.folder / "mixed.pcap"
    capture.write_bytes(variants.pcap([*packets, *variants.fragmented(dns),
                                       *((s, u, in_mirror(f)) for s, u, f in packets)]))
    base = of_file(l, capture)
    protocols = lab.count_by(base, "protocol")
    tunnelled = sum("tunnel" in r["connection"] for r in base)
    check(protocols.get("dns", 0) >= 10 and 0 < tunnelled < len(base), f"{protocols}, {tunnelled} in tunnels")
    flows = len({(r["connection"]["id"]) for r in base})
    for queues in (2, 4):
        attempts(l, one, feeder, capture, base, flows, "net_memif", queues, card)


def run(l):
    xdp(l)
    readers(l)
    for workers in (1, 2):
        attempts(l, a_tap, workers)
    check(len(sys.argv) == 4, "usage: queues.py TAPLINE FEED_QUEUES SYMMETRIC_CARD")
    packets = [p for p in variants.read(CAPTURE) if is_tcp(p[2])]
    capture = l.folder / "tcp.pcap"
    capture.write_bytes(variants.pcap(packets))
    base = of_file(l, capture)
    flows = len({frozenset((p[2][26:30] + p[2][34:36], p[2][30:34] + p[2][36:38])) for p in packets})
    for name in DEVICES:
        for queues in (2, 4):
            attempts(l, one, sys.argv[2], capture, base, flows, name, queues)
    symmetric(l, sys.argv[2], sys.argv[3], packets)


lab.main(run)
