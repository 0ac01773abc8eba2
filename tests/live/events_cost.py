#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What all event and autotracing collectors together cost a load: figures of docs/benchmark.md. No
test.

usage: events_cost.py BUILD [ALTERNATIONS]

One agent runs all the time. In each alternation its tracers are off, on, on and off again, and
the load is measured each time: a byte that goes back and forth through pipes, and wrk against
nginx. Prints the mean cost and its 95 % interval (Student's t, of the logarithms of the pairs'
ratios). Wants a machine on which nothing else runs; takes about four minutes."""
import json
import math
import os
import pathlib
import re
import sys
import time

import lab
from host_metrics import Agent

ALTERNATIONS = max(5, int(sys.argv[2])) if len(sys.argv) > 2 else 20
AIM = 3.0  # percent
# Of the two-sided 95 % interval, by degrees of freedom; more are as many as there are.
T = {4: 2.776, 9: 2.262, 14: 2.145, 19: 2.093, 29: 2.045, 39: 2.023, 59: 2.001}


def cpu_of(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


class Tracers:
    def __init__(self, agent):
        self.agent = agent
        self.names = sorted(name for name, state in self.states().items()
                            if {"event", "autotracing"} & set(state["roles"])
                            and state["state"] == "active")

    def states(self):
        return json.loads(self.agent.get("/api/v1/tracers"))["data"]

    def settle(self):
        """Until the agent has loaded or unloaded everything: it takes no more than it does idle."""
        quiet = 0
        while quiet < 3:
            before = cpu_of(self.agent.process.pid)
            time.sleep(0.1)
            quiet = quiet + 1 if cpu_of(self.agent.process.pid) - before <= 1 else 0

    def switch(self, is_on):
        for name in self.names:
            status = self.agent.call("PUT", f"/api/v1/tracers/{name}/{'start' if is_on else 'stop'}")
            lab.check(status == 204, f"{name}: {status}")
        lab.wait_for("the tracers", lambda: all(self.states()[name]["running"] == is_on
                                                for name in self.names))
        self.settle()


def interval(ratios):
    logs = [math.log(r) for r in ratios]
    mean = sum(logs) / len(logs)
    error = math.sqrt(sum((x - mean) ** 2 for x in logs) / (len(logs) - 1) / len(logs))
    t = T[max(k for k in T if k <= len(logs) - 1)]
    return [100 * (math.exp(x) - 1) for x in (mean - t * error, mean, mean + t * error)]


def compare(tracers, name, measure):
    """`measure` gives what a unit of the load costs in time."""
    ratios = []
    for _ in range(ALTERNATIONS):
        cost = {False: 0.0, True: 0.0}
        for is_on in (False, True, True, False):
            tracers.switch(is_on) if is_on != tracers.is_on else None
            tracers.is_on = is_on
            cost[is_on] += measure()
        ratios.append(cost[True] / cost[False])
    low, mean, high = interval(ratios)
    print(f'figure=events_cost_{name} value={mean:.2f} unit=% of="{ALTERNATIONS} alternations, 95 % '
          f'interval {low:.2f} to {high:.2f}: {"below" if high < AIM else "not below"} {AIM:g} %"',
          flush=True)


def run(l, build):
    lab.need("wrk", "nginx")
    client, server = l.pair()
    l.nginx(server)
    agent = Agent(str(build / "tapline"), str(l.folder), "")
    try:
        tracers = Tracers(agent)
        tracers.is_on = False
        print(f"tracers: {' '.join(tracers.names)}; load average {os.getloadavg()[0]:.1f}", flush=True)
        tracers.switch(True)
        for name, state in tracers.states().items():
            if name in tracers.names:
                print(f"  {name}: {state.get('hook', '-')}", flush=True)
        tracers.switch(False)

        def pipe():
            out = l.sh(build / "tests/bench/bench_pipe", 40000)
            return float(re.search(r"value=(\S+)", out)[1])

        def wrk():
            out = l.on(client, "wrk", "-t1", "-c16", "-d1s", f"http://{lab.HTTP}/")
            return 1 / float(re.search(r"Requests/sec:\s+(\S+)", out)[1])
        pipe()
        wrk()
        compare(tracers, "pipe", pipe)
        compare(tracers, "wrk", wrk)
    finally:
        agent.process.kill()


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1]).resolve()
    lab.main(lambda l: run(l, folder))
