#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""dnsperf against unbound over UDP and TCP: as many records as queries, the same answer codes."""
import re

import lab
from lab import check

DATA = ["www.tap.test. A 192.0.2.10", "www.tap.test. AAAA 2001:db8::10",
        "tap.test. MX 10 mail.tap.test.", 'tap.test. TXT "v=spf1 -all"']
QUERIES = "www.tap.test A\nwww.tap.test AAAA\nnothing.tap.test A\ntap.test MX\ntap.test TXT\n"


def phase(l, client, server, transport, *options):
    agent = l.agent(server, ["interface: s0"])
    queries = l.folder / "queries"
    queries.write_text(QUERIES)
    text = l.on(client, "dnsperf", "-s", lab.HTTP, "-d", queries, "-m", transport, "-t", "2",
                *options)
    sent = int(re.search(r"Queries sent:\s+(\d+)", text)[1])
    completed = int(re.search(r"Queries completed:\s+(\d+)", text)[1])
    codes = {m[1]: int(m[2]) for m in re.finditer(
        r"([A-Z]{3,}) (\d+) \(", re.search(r"Response codes:(.*)", text)[1])}
    rate = float(re.search(r"Queries per second:\s+([\d.]+)", text)[1])
    own, seen, status = l.settled(server)
    losses = lab.check_books(own, seen, status)
    l.stop(agent)
    records = [r for r in l.records() if r["protocol"] == "dns"]
    by_code = {code: count for code, count in
               seen.by("dns_request_duration_seconds_count", "rcode").items() if count}
    recorded = sum(seen.by("dns_requests_total", "status").values())
    print(f"{transport}: dnsperf {sent} sent, {completed} answered {codes} ({rate:.0f}/s), records "
          f"{recorded} {by_code}, written {len(records)}, lost {losses}")
    lost = sum(losses.values()) - losses["records"]
    # Without a loss at the probe: exactly the queries, and every answer that arrived.
    check(abs(recorded - sent) <= lost, f"{sent} queries, {recorded} records")
    for code in codes.keys() | by_code.keys():
        # What dnsperf no longer waited for was still seen by the probe.
        off = by_code.get(code, 0) - codes.get(code, 0)
        check(-lost <= off <= sent - completed, f"{code}: dnsperf {codes}, records {by_code}")
    # Queries whose answer the probe lost wait for it until the agent stops.
    waiting = own.sum("tapline_requests_open")
    check(recorded + waiting == len(records) + losses["records"],
          f"{recorded} records and {waiting} open, {len(records)} written")


def run(l):
    lab.need("dnsperf", "unbound")
    client, server = l.pair()
    l.unbound(server, DATA)
    phase(l, client, server, "udp", "-q", "20", "-l", "2", "-Q", "2000")
    phase(l, client, server, "udp", "-q", "50", "-l", "1")
    phase(l, client, server, "tcp", "-q", "50", "-c", "4", "-l", "1")


lab.main(run)
