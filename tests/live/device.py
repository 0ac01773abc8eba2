#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""DPDK's own net_af_packet on a veth: records arrive. It cuts merged packets and drops what its ring
has no room for (vdevs.py), so that the traffic is slow and its packets are as on a wire."""
import signal

import lab
from lab import check

REQUESTS = 100


def run(l):
    lab.need("nginx")
    client, server = l.pair(offload=False)
    l.nginx(server)
    watch = l.watch(server, "--device", "net_af_packet0,iface=s0,framecnt=4096")

    def is_read():  # DPDK opens the socket some time before the device starts
        l.on(client, "curl", "-s", "-o", "/dev/null", f"http://{lab.HTTP}/?first")
        return l.records("watch.json")
    lab.wait_for("a first record", is_read)
    l.on(client, "curl", "-s", "-o", "/dev/null", "--rate", "100/s",
         f"http://{lab.HTTP}/?n=[1-{REQUESTS}]")
    shown = l.folder / "watch.json"
    lab.wait_for("the records", lambda: shown.read_bytes().count(b'"target":"/?n=') >= REQUESTS)
    status = l.stop(watch, signal.SIGINT)
    records = [r for r in l.records("watch.json") if r["request"]["target"] != "/?first"]
    print(watch.log.read_text())
    check(status == 0, f"watch ended with {status}")
    targets = lab.count_by(records, "request", "target")
    wanted = {f"/?n={n}": 1 for n in range(1, REQUESTS + 1)}
    check(targets == wanted, f"not once each: {set(targets.items()) ^ set(wanted.items())}")
    check(lab.count_by(records, "status") == {"ok": REQUESTS}, "not all ok")


lab.main(run)
