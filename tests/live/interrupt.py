#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""SIGINT and SIGTERM under full load: an end soon, status 0, whole lines."""
import signal
import time

import lab
from lab import check

SECONDS_MAX = 10.0  # 0.1 here; this machine may be busy with other tests


def stop(l, child, number, what):
    begun = time.monotonic()
    status = l.stop(child, number)
    took = time.monotonic() - begun
    check(status == 0, f"{what} ended with {status}")
    return took


def run(l):
    lab.need("wrk", "nginx")
    client, server = l.pair()
    l.nginx(server)
    load = l.start(client, "wrk", "-t1", "-c32", "-d120s", f"http://{lab.HTTP}/", log="wrk.log")
    for number in (signal.SIGINT, signal.SIGTERM):
        (l.folder / "watch.json").unlink(missing_ok=True)
        watch = l.watch(server, "--ifaces", "s0")
        agent = l.agent(server, ["interface: s0"])
        for name in ("records.json", "watch.json"):
            l.await_lines(1, name)
        times = {"watch": stop(l, watch, number, "watch"), "agent": stop(l, agent, number, "agent")}
        records = l.records(), l.records("watch.json")
        print(f"{number.name}: {', '.join(f'{k} {v:.2f} s' for k, v in times.items())}; "
              f"{[len(r) for r in records]} whole records")
        check(load.poll() is None, "wrk ended too early")
        for name, took in times.items():
            check(took < SECONDS_MAX, f"{name}: {took:.2f} s to the end")
        check(min(map(len, records)) > 0, "no records")
    l.stop(load, signal.SIGINT)


lab.main(run)
