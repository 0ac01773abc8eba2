#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""wrk against nginx, paced and at full speed, the agent on the server's interface: what is not
counted as lost is recorded, and every ledger of the agent closes."""
import re

import lab
from lab import check

CONNECTIONS = 16
# wrk's hook for a pause before each request of a connection, in ms.
PACED = "function delay() return 4 end\n"


def phase(l, client, server, name, seconds, script):
    agent = l.agent(server, ["interface: s0"])
    before = l.nginx_requests(server)
    file = l.folder / "script.lua"
    file.write_text(script)
    text = l.on(client, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", file,
                f"http://{lab.HTTP}/")
    by_wrk = int(re.search(r"(\d+) requests in", text)[1])
    own, seen, status = l.settled(server)
    by_nginx = l.nginx_requests(server) - before
    losses = lab.check_books(own, seen, status)
    by_metrics = sum(seen.by("http_requests_total", "status").values())
    recorded = own.sum("tapline_records_total")
    l.stop(agent)
    records = l.records()
    statuses = lab.count_by(records, "status")
    print(f"{name}: wrk {by_wrk} ({by_wrk / seconds:.0f}/s), nginx {by_nginx}, recorded {recorded},"
          f" written {len(records)} {statuses}, packets {status['ports'][0]['packets']}, "
          f"lost {losses}")
    packets = sum(losses.values()) - losses["records"]
    # wrk leaves with up to a request per connection on the way: nginx has read it or not.
    low, high = by_nginx - packets, by_nginx + CONNECTIONS + packets
    check(low <= recorded <= high, f"{recorded} records are not within {low} and {high}")
    if packets == 0:
        ok = seen.sum("http_requests_total", status="ok")
        check(ok >= by_wrk, f"wrk had {by_wrk} answers, ok are {ok}")
        check(recorded - ok <= CONNECTIONS, f"{recorded - ok} not ok without a loss")
    check(by_metrics == recorded, f"metrics {by_metrics}, records {recorded}")
    # What was open when the agent was asked to stop is recorded at the stop.
    waiting = own.sum("tapline_requests_open")
    check(recorded + waiting == len(records) + losses["records"],
          f"{recorded} completed and {waiting} open, {len(records)} written")
    for record in records:
        check(record["request"] is None or record["request"]["path"] == "/", f"{record}")


def run(l):
    lab.need("wrk", "nginx")
    client, server = l.pair()
    l.nginx(server)
    phase(l, client, server, "paced", 2, PACED)
    phase(l, client, server, "full speed", 2, "")


lab.main(run)
