#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""1, 2 and 4 workers beside each other on one interface: the same records."""
import signal

import lab
from lab import check

CONNECTIONS = 32
# Each request is its own, so that the sets can be compared.
SCRIPT = """
local n = 0
function delay() return 8 end
function request()
  n = n + 1
  return wrk.format("GET", "/?n=" .. n)
end
"""


def run(l):
    lab.need("wrk", "nginx")
    client, server = l.pair()
    l.nginx(server)
    file = l.folder / "script.lua"
    file.write_text(SCRIPT)
    probes = {}
    for workers in (1, 2, 4):
        probes[workers] = l.watch(server, "--ifaces", "s0", "--workers", workers,
                                  "--roundtrips.file", l.folder / f"w{workers}.json",
                                  "--roundtrips.size", 1000)
    l.on(client, "wrk", "-t1", f"-c{CONNECTIONS}", "-d2s", "-s", file, f"http://{lab.HTTP}/")
    sets, answered = {}, l.nginx_requests(server)
    for workers, probe in probes.items():
        l.await_lines(answered, f"w{workers}.json", seconds=10)
        status = l.stop(probe, signal.SIGINT)
        check(status == 0, f"{workers} workers: ended with {status}")
        records = l.records(f"w{workers}.json")
        sets[workers] = sorted((r["client"]["port"], (r["request"] or {}).get("target", ""),
                                r["status"], (r["response"] or {}).get("bytes", 0))
                               for r in records)
    summary = probe.log.read_text()
    lost = any(word in summary for word in ("dropped by the kernel", "ring full", "no buffer"))
    by_nginx = l.nginx_requests(server)
    print({w: len(s) for w, s in sets.items()}, "records, nginx", by_nginx, "with losses" if lost
          else "without a loss")
    for workers, rows in sets.items():
        check(len(rows) > 500, f"{workers} workers: {len(rows)} records")
        if not lost:
            odd = set(rows) ^ set(sets[1])
            check(rows == sets[1], f"{workers} workers: other records than one: {list(odd)[:5]}")
            check(by_nginx <= len(rows) <= by_nginx + CONNECTIONS, f"{len(rows)}, nginx {by_nginx}")


lab.main(run)
