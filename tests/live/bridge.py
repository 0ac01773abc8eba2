#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two containers on a bridge, seen from the host by `any`: each packet comes several times, each
request is one record, and no copy is taken for a retransmission."""

import lab
from lab import check

REQUESTS = 200
QUERIES = 100


def kernel_retransmissions(l, *namespaces):
    """TcpRetransSegs of the kernel itself: what tapline may count."""
    count = 0
    for namespace in namespaces:
        rows = [line.split() for line in l.on(namespace, "cat", "/proc/net/snmp").splitlines()
                if line.startswith("Tcp:")]
        count += int(dict(zip(*rows))["RetransSegs"])
    return count


def run(l):
    lab.need("nginx", "unbound", "dnsperf")
    host, client, server = l.namespace("h"), l.namespace("c"), l.namespace("s")
    l.ip(host, "link add br0 type bridge")
    l.ip(host, "link set br0 up")
    for namespace, name, number in ((client, "c0", 1), (server, "s0", 2)):
        l.veth(namespace, name, host, f"v{name}")
        l.ip(host, f"link set v{name} master br0")
        l.ip(namespace, f"addr add 10.99.0.{number}/24 dev {name}")
        l.ip(namespace, f"addr add fd00:99::{number}/64 dev {name} nodad")
    l.ip(host, "addr add 10.99.0.254/24 dev br0")
    l.nginx(server)
    l.unbound(server, ["www.tap.test. A 192.0.2.10"])
    lab.wait_for("the bridge forwards", lambda: l.answers(client, lab.HTTP, 80))
    agent = l.agent(host, ["interface: any"], "  filter: not port 9091\n")
    l.on(client, "curl", "-s", "-o", "/dev/null", f"http://{lab.HTTP}/?n=[1-{REQUESTS}]")
    l.on(client, "curl", "-s", "-g", "-o", "/dev/null", "http://[fd00:99::2]/?v6")
    # From the host itself: out of br0 and of one member.
    l.on(host, "curl", "-s", "-o", "/dev/null", f"http://{lab.HTTP}/?host")
    queries = l.folder / "queries"
    queries.write_text("www.tap.test A\n")
    for transport in ("udp", "tcp"):
        l.on(client, "dnsperf", "-s", lab.HTTP, "-d", queries, "-m", transport, "-n", QUERIES,
             "-Q", "2000")
    own, seen, status = l.settled(host)
    losses = lab.check_books(own, seen, status)
    l.stop(agent)
    records = l.records()
    paths = lab.count_by([r for r in records if r["protocol"] == "http"], "request", "target")
    copies = own.by("tapline_duplicate_packets_total", "l4")
    repeats = seen.sum("tcp_retransmitted_segments_total")
    kernel = kernel_retransmissions(l, client, server, host)
    packets = status["ports"][0]["packets"]
    tcp, udp = (seen.sum(f"{l4}_received_packets_total") for l4 in ("tcp", "udp"))
    print(f"{packets} packets, TCP {tcp}, UDP {udp}, copies {copies}, retransmitted {repeats} "
          f"(kernel {kernel}), records {lab.count_by(records, 'protocol')} "
          f"{lab.count_by(records, 'status')}, lost {losses}")
    check(copies["tcp"] > 0 and copies["udp"] > 0, f"no copies counted: {copies}")
    if sum(losses.values()) > 0:
        print("the probe lost packets: only the books are checked")
        return
    check(repeats <= kernel, f"{repeats} retransmissions, the kernel made {kernel}")
    wanted = {f"/?n={n}": 1 for n in range(1, REQUESTS + 1)} | {"/?v6": 1, "/?host": 1}
    check(paths == wanted, f"not once each: {set(paths.items()) ^ set(wanted.items())}")
    dns = [r for r in records if r["protocol"] == "dns" and
           r["request"].get("question") == "www.tap.test"]
    check(len(dns) == 2 * QUERIES, f"{len(dns)} DNS records of {2 * QUERIES}")
    check(set(lab.count_by(records, "status")) == {"ok"}, "not all ok")


lab.main(run)
