#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What all event and autotracing collectors together cost a load: figures of docs/benchmark.md. No
test.

usage: events_cost.py BUILD [ALTERNATIONS]

One agent runs all the time. In each alternation its tracers are off, on, on and off again, five times,
and the load is measured in slices each time: a byte that goes back and forth through pipes (time of a round),
and requests of wrk to nginx (CPU time of a request: of both, of the agent and of ksoftirqd). The
same processes work all the time, each on a CPU of its own.
The host of a virtual machine gives it half or all of its speed, for seconds: a slice with tracers is
compared with those around it without that it gave the same speed, which are those of about the same
result; the median of such pairs counts, and the median of the five is the alternation's result.
Prints the mean cost and its 95 % interval (Student's t, of the alternations' logarithms).
Wants a machine on which nothing else runs; takes ten minutes."""
import contextlib
import json
import math
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import time

import lab
from host_metrics import Agent

ALTERNATIONS = max(5, int(sys.argv[2])) if len(sys.argv) > 2 else 20
AIM = 3.0  # percent
TURNS = 5  # of an alternation
SLICES = 6
SLICE_S = 0.05
SAME = math.log(1.1)  # further apart two slices had another speed; far more than what is looked for
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
        self.is_on = False

    def states(self):
        return json.loads(self.agent.get("/api/v1/tracers"))["data"]

    def settle(self):
        """Until the agent has loaded or unloaded everything: it takes no more than it does idle."""
        quiet, end = 0, time.monotonic() + 30
        while quiet < 3 and time.monotonic() < end:
            before = cpu_of(self.agent.process.pid)
            time.sleep(0.1)
            quiet = quiet + 1 if cpu_of(self.agent.process.pid) - before <= 1 else 0

    def switch(self, is_on):
        for name in self.names:
            status = self.agent.call("PUT", f"/api/v1/tracers/{name}/{'start' if is_on else 'stop'}")
            lab.check(status == 204 or status == 409 and not is_on, f"{name}: {status}") # it goes on
        lab.wait_for("the tracers", lambda: all(self.states()[name]["running"] == is_on
                                                for name in self.names))
        self.is_on = is_on
        self.settle()


def interval(logs):
    mean = sum(logs) / len(logs)
    error = math.sqrt(sum((x - mean) ** 2 for x in logs) / (len(logs) - 1) / len(logs))
    t = T[max(k for k in T if k <= len(logs) - 1)]
    return [100 * (math.exp(x) - 1) for x in (mean - t * error, mean, mean + t * error)]


def turn(tracers, measure):
    """Logarithm of the cost; None when the host had one speed with tracers and another without."""
    slices = {False: [], True: []}
    for is_on in (False, True, True, False):
        if is_on != tracers.is_on:
            tracers.switch(is_on)
        slices[is_on] += [math.log(measure()) for _ in range(SLICES)]
    pairs = [on - off for on in slices[True] for off in slices[False]]
    cost = 0.0
    for _ in range(5): # the window settles around the cost
        alike = [pair for pair in pairs if abs(pair - cost) < SAME]
        if len(alike) <= len(pairs) / 8:
            return None
        cost = statistics.median(alike)
    return cost


def alternation(tracers, measure):
    turns = []
    for _ in range(3 * TURNS):
        one = turn(tracers, measure)
        if one is not None:
            turns.append(one)
        if len(turns) == TURNS:
            return statistics.median(turns)
    raise lab.Failed("the host never keeps its speed")


def compare(tracers, name, measure):
    """`measure` gives what a unit of the load costs in time, in a slice."""
    logs = [alternation(tracers, measure) for _ in range(ALTERNATIONS)]
    low, mean, high = interval(logs)
    print(f"  {' '.join(f'{100 * x:.1f}' for x in logs)}")
    print(f'figure=events_cost_{name} value={mean:.2f} unit=% of="{ALTERNATIONS} alternations, 95 % '
          f'interval {low:.2f} to {high:.2f}: {"below" if high < AIM else "not below"} {AIM:g} %"',
          flush=True)


class Pipe:
    """bench_pipe; it measures when asked to."""

    def __init__(self, build):
        cpu = max(os.sched_getaffinity(0))
        self.process = subprocess.Popen([build / "tests/bench/bench_pipe", "200", "--ask"], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))

    def measure(self):
        self.process.stdin.write("?")
        self.process.stdin.flush()
        return float(re.search(r"value=(\S+)", self.process.stdout.readline())[1])

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


def tasks_of(pid):
    with contextlib.suppress(FileNotFoundError):
        return [f"/proc/{pid}/task/{tid}" for tid in os.listdir(f"/proc/{pid}/task")]
    return []


def pids(is_one):
    """Of processes of whose comm and parent this holds."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            comm, rest = (folder / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
            if is_one(comm, int(rest.split()[1])):
                found.append(int(folder.name))
    return found


class Web:
    """wrk and nginx, on a CPU each; `agent` is the one under test."""
    def __init__(self, l, agent):
        client, server = l.pair()
        nginx = l.nginx(server)
        wrk = l.start(client, "wrk", "-t1", "-c16", "-d86400s", f"http://{lab.HTTP}/", log="wrk.log")
        with l.inside(server):
            self.status = socket.create_connection(("127.0.0.1", 81))
        lab.wait_for("requests", lambda: self.requests() > 1000)
        workers = pids(lambda comm, parent: parent == nginx.pid)
        lab.check(workers, "nginx has no worker")
        cpus = sorted(os.sched_getaffinity(0))
        for each, cpu in ((workers, cpus[0]), ([wrk.pid], cpus[-1])):
            for pid in each:
                for task in tasks_of(pid):
                    os.sched_setaffinity(int(task.rsplit("/", 1)[1]), {cpu})
        daemons = pids(lambda comm, parent: comm.startswith("ksoftirqd/"))
        self.pids = [*workers, wrk.pid, agent.process.pid, *daemons]

    def requests(self):
        self.status.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        text = b""
        while b"Waiting:" not in text:
            more = self.status.recv(4096)
            lab.check(more, "nginx closed the connection")
            text += more
        return int(text.split(b"handled requests")[1].split()[2])

    def used(self):
        """CPU time so far, in nanoseconds."""
        total = 0
        for pid in self.pids:
            for task in tasks_of(pid):
                with contextlib.suppress(OSError): # it has just ended
                    total += int(pathlib.Path(task, "schedstat").read_text().split()[0])
        return total

    def measure(self):
        used, done = self.used(), self.requests()
        time.sleep(SLICE_S)
        return (self.used() - used) / (self.requests() - done)


def run(l, build):
    lab.need("wrk", "nginx")
    agent = Agent(str(build / "tapline"), str(l.folder), "")
    try:
        tracers = Tracers(agent)
        print(f"tracers: {' '.join(tracers.names)}; load average {os.getloadavg()[0]:.1f}", flush=True)
        tracers.switch(True)
        for name, state in tracers.states().items():
            if name in tracers.names:
                print(f"  {name}: {state.get('hook', '-')}", flush=True)
        with contextlib.closing(Pipe(build)) as pipe:
            print(f"a round: {pipe.measure():.0f} ns", flush=True)
            compare(tracers, "pipe", pipe.measure)
        web = Web(l, agent)
        print(f"a request: {web.measure() / 1e3:.1f} us", flush=True)
        compare(tracers, "wrk", web.measure)
    finally:
        agent.process.kill()


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1]).resolve()
    lab.main(lambda l: run(l, folder))
