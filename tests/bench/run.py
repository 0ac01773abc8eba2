#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the benchmarks of a build one after the other and collects their figures.

Wall time is what a user waits; nothing is subtracted from any figure. Each part is preceded by the
load average and followed by the share of CPU time that the hypervisor gave to others.
"""
import argparse
import gzip
import json
import os
import pathlib
import platform
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/agent"), str(ROOT / "tests/live")]
import traffic
from lab import Failed, Lab, Skip

FIGURE = re.compile(r'figure=(\S+) value=(\S+) unit=(\S+) of="(.*)"')
AIMS = {
    "http_1k_roundtrips": ">= 1 M/s", "bodies_1k_mpps": ">= 5 Mpps", "stats_file": ">= 8 Mpps",
    "idle_flows_memory": "<= 200 MB", "watch_rss": "< 100 MB", "watch_first_record": "< 0.3 s",
    "agent_idle_cpu": "< 3 %", "redis_get_16_rate": ">= 1.5 M/s",
    "mysql_text_rate": ">= 1 M/s", "mysql_prepared_rate": ">= 1 M/s", "scrape_lost": "0",
    "grpc_unary_rate": ">= 0.6 M/s", "postgresql_simple_rate": ">= 1 M/s", "postgresql_prepared_rate": ">= 1 M/s",
    "kafka_produce_8_rate": ">= 1 M/s",
}
# Benchmarks of tests/bench/talk.h, and which of their talks are counted in instructions.
TALKS = {"mysql": ("mysql_text", "mysql_prepared", "mysql_rows"),
         "kafka": ("kafka_produce_8", "kafka_produce_1", "kafka_fetch_1mb"),
         "mongodb": ("mongodb_find",),
         "amqp": ("amqp_confirmed", "amqp_publish", "amqp_delivery"),
         "grpc": ("grpc_unary", "grpc_literal", "grpc_large"),
         "redis": ("redis_get_16", "redis_get_1"),
         "postgresql": ("postgresql_simple", "postgresql_prepared", "postgresql_pipeline")}
# The same of bench_record.
LINES = {"record": ("line_http", "line_redis", "line_mysql", "line_dns", "record_http", "record_redis")}
figures = []
only = ""  # parts that have this in their title


def note(figure, value, unit, what):
    figures.append((figure, value, unit, what))
    print(f'figure={figure} value={value:.4g} unit={unit} of="{what}"', flush=True)


def steal():
    fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return int(fields[7]), sum(int(f) for f in fields[:8])


def run(argv):
    """Runs a benchmark and takes in its figure lines."""
    out = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout
    for line in out.splitlines():
        print(line, flush=True)
        found = FIGURE.match(line)
        if found:
            figures.append((found[1], float(found[2]), found[3], found[4]))


def part(title, run_part):
    if only not in title:
        return
    before = steal()
    print(f"== {title} (load average {os.getloadavg()[0]:.2f})", flush=True)
    run_part()
    after = steal()
    share = 100 * (after[0] - before[0]) / max(1, after[1] - before[1])
    if share >= 0.5:
        print(f"   {share:.1f} % of CPU time was stolen meanwhile: do not trust this part")


def spent(before, after):
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def stats_of_file(build, quick):
    """`tapline stats` of many 64-byte frames, process start and report included; best of three,
    since each other process takes one of the two CPUs away."""
    count = 2_000_000 if quick else 16_000_000
    folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="tapline-bench-", dir=folder) as work:
        path = f"{work}/frames.pcap"
        tool = build / "tests/bench/bench_capture"
        subprocess.run([tool, "make", path, str(count)], check=True)
        run([tool, "libpcap", path])
        run([tool, "reader", path])
        best, cpu = None, 0
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            began = time.monotonic()
            out = subprocess.run([build / "tapline", "stats", "--pcap-file", path],
                                 stdout=subprocess.PIPE, text=True, check=True).stdout
            took = time.monotonic() - began
            if best is None or took < best:
                best = took
                cpu = spent(before, resource.getrusage(resource.RUSAGE_CHILDREN))
        if f"{count:,} packets" not in out:
            sys.exit("tapline stats did not count every packet:\n" + out)
        note("stats_file", count / best / 1e6, "Mpps",
             f"tapline stats of a file of {count} frames of 64 bytes, start to exit")
        note("stats_file_cpu", cpu / count * 1e9, "ns", "the same, CPU time per packet of both lcores")


def watch(build):
    path = ROOT / "tests/captures/quickstart.pcap"
    times, rss = [], 0
    for _ in range(5):
        began = time.monotonic()
        with subprocess.Popen([build / "tapline", "watch", "--pcap-file", path, "-q"],
                              stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            times.append(time.monotonic() - began)
            process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit("tapline watch failed")
        rss = max(rss, usage.ru_maxrss)
    note("watch_first_record", sorted(times)[2], "s", "start of tapline watch of a file to its first record")
    note("watch_rss", rss * 1024 / 1e6, "MB", "peak resident memory of the same")


def cpu_of(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle_agent(build, quick):
    """An agent that listens on a silent interface, in a network namespace of its own."""
    seconds = 3 if quick else 10
    name = f"tl-bench-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], stderr=subprocess.DEVNULL, check=False)
    if made.returncode != 0:
        print("   skipped: no network namespace can be made here")
        return
    try:
        subprocess.run(["ip", "netns", "exec", name, "ip", "link", "set", "lo", "up"], check=True)
        with tempfile.TemporaryDirectory(prefix="tapline-bench-") as work:
            config = pathlib.Path(work) / "tapline.yaml"
            config.write_text("capture:\n  ports:\n  - interface: lo\n")
            with open(f"{work}/log", "w+b") as log, subprocess.Popen(
                    ["ip", "netns", "exec", name, build / "tapline", "agent", "--config", config],
                    stdout=log, stderr=log) as agent:
                try:
                    time.sleep(3)  # start is over
                    if agent.poll() is not None:
                        log.seek(0)
                        sys.exit("tapline agent ended: " + log.read().decode())
                    before, began = cpu_of(agent.pid), time.monotonic()
                    time.sleep(seconds)
                    share = (cpu_of(agent.pid) - before) / (time.monotonic() - began)
                    resident = pathlib.Path(f"/proc/{agent.pid}/status").read_text()
                    note("agent_idle_cpu", 100 * share, "%", "of one CPU, agent on a silent interface")
                    rss = int(re.search(r"VmRSS:\s+(\d+)", resident)[1]) * 1024 / 1e6
                    note("agent_idle_rss", rss, "MB", "resident memory of the same")
                finally:
                    agent.terminate()
                    agent.wait()
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


class Sender(threading.Thread):
    """Requests on a wire, at a pace that any machine keeps: every second one says a new path."""

    def __init__(self, wire, groups):
        super().__init__(daemon=True)
        self.wire, self.groups = wire, groups
        self.talks = [traffic.Conversation(port=20000 + i) for i in range(16)]
        self.sent = 0
        self.is_over = False

    def say(self, path):
        talk = self.talks[self.sent % len(self.talks)]
        for record in talk.request(path).out:
            self.wire.send(record[16:])  # without the head that a capture file has
        talk.out.clear()
        self.sent += 1

    def run(self):
        while not self.is_over:
            for _ in range(10):
                self.say(f"/item/{self.sent % self.groups}")
            time.sleep(0.004)


def scrapes(build, quick):
    """Pages of 100,000 series over HTTP, by gzip, while requests pass on a live port."""
    groups, count = (1500, 4) if quick else (12000, 10)
    lab = Lab(build / "tapline")
    try:
        client, server = lab.pair(offload=False)
        with lab.inside(client):
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        wire.bind(("c0", 0))
        agent = lab.agent(server, ["{interface: s0}"], "metrics: {learn_templates: false, series_max: 200000, "
                          "series_per_family_max: 200000, label_values_max: 200000, labels: [{protocol: http, labels: "
                          "[request.path]}]}\n")
        sender = Sender(wire, groups)
        sender.start()
        while sender.sent < groups:
            time.sleep(0.1)
        time.sleep(2)
        ask = ["curl", "-sf", "-H", "Accept-Encoding: gzip", "-o", lab.folder / "page",
               "http://127.0.0.1:9091/protocol/metrics?histogram=vmrange"]
        before, began = cpu_of(agent.pid), time.monotonic()
        time.sleep(3)
        idle = (cpu_of(agent.pid) - before) / (time.monotonic() - began)
        before, began = cpu_of(agent.pid), time.monotonic()
        for _ in range(count):
            lab.on(server, *ask)
        took = time.monotonic() - began
        spent_on = cpu_of(agent.pid) - before - idle * took
        sender.is_over = True
        sender.join()
        own, page, _ = lab.settled(server)
        lines = gzip.decompress((lab.folder / "page").read_bytes()).count(b"\n")
        note("scrape_cpu", spent_on / count * 1e3, "ms",
             f"CPU time of the agent for a page of {lines} lines by gzip, over HTTP")
        note("scrape_time", took / count * 1e3, "ms", "until that page is there")
        note("scrape_lost", sender.sent - page.sum("http_requests_total"), "1",
             f"of {sender.sent} requests on a live port meanwhile, not counted")
        note("scrape_dropped", own.sum("tapline_port_dropped_packets_total"), "1", "packets dropped there")
    except (Skip, Failed) as why:
        print(f"   skipped: {why}")
    finally:
        lab.close()


def instructions(build):
    """Instructions are the same on a busy machine; only where valgrind is installed."""
    if shutil.which("valgrind") is None:
        return
    out = subprocess.run(["valgrind", "--tool=callgrind", "--toggle-collect=work",
                          "--callgrind-out-file=/dev/null", build / "tests/bench/bench_http", "2"],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout
    count = int(re.search(r"Collected : (\d+)", out)[1])
    roundtrips = float(re.search(r"figure=engine_roundtrips value=(\d+)", out)[1])
    note("engine_roundtrip_instructions", count / roundtrips, "1",
         "instructions per keep-alive HTTP roundtrip of 2 packets, handshakes included")


def steer_instructions(build):
    if shutil.which("valgrind") is None:
        return
    for mode in ("off", "on"):
        out = subprocess.run(["valgrind", "--tool=callgrind", "--toggle-collect=work",
                              "--callgrind-out-file=/dev/null", build / "tests/bench/bench_steer",
                              "--quick", mode],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout
        count = int(re.search(r"Collected : (\d+)", out)[1])
        packets = float(re.search(r"figure=steer_\w+_packets value=(\d+)", out)[1])
        note(f"steer_{mode}_instructions", count / packets, "1", f"instructions per packet, steering {mode}")


def talk_instructions(build, talks):
    if shutil.which("valgrind") is None:
        return
    for name, ids in talks.items():
        for talk in ids:
            out = subprocess.run(["valgrind", "--tool=callgrind", "--toggle-collect=work",
                                  "--callgrind-out-file=/dev/null",
                                  build / f"tests/bench/bench_{name}", "--quick", "--only", talk],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                 check=True).stdout
            count = int(re.search(r"Collected : (\d+)", out)[1])
            roundtrips = float(re.search(rf"figure={talk}_roundtrips value=(\d+)", out)[1])
            note(f"{talk}_instructions", count / roundtrips, "1", f"instructions per roundtrip of {talk}")


def cpu_model():
    found = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def describe(build):
    memory = re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())
    print(f"machine: {cpu_model()}, {len(os.sched_getaffinity(0))} CPUs, "
          f"{int(memory[1]) / 1048576:.0f} GiB, Linux {platform.release()}")
    version = subprocess.run([build / "tapline", "version"], stdout=subprocess.PIPE, text=True,
                             check=True).stdout.strip().splitlines()
    options = subprocess.run(["meson", "introspect", "--buildoptions", build], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
    values = {o["name"]: o["value"] for o in json.loads(options)} if options else {}
    print(f"build: {'; '.join(version[:2])}; "
          f"{values.get('buildtype')}, march={values.get('march')}, lto={values.get('b_lto')}")
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
    print(f"commit: {commit.strip() or 'unknown'}")


def main():
    global only
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", help="parts that have this in their title")
    parser.add_argument("build", type=pathlib.Path)
    options = parser.parse_args()
    build = options.build.resolve()
    bench = build / "tests/bench"
    quick = ["--quick"] if options.quick else []
    only = options.only

    describe(build)
    part("one worker, traffic from memory", lambda: run([bench / "bench_pipeline"] + quick))
    part("a file, two CPUs", lambda: stats_of_file(build, options.quick))
    part("watch of a small file", lambda: watch(build))
    part("idle agent", lambda: idle_agent(build, options.quick))
    part("engine with HTTP", lambda: run([bench / "bench_http"] + quick))
    part("instructions", lambda: instructions(build))
    part("steering", lambda: run([bench / "bench_steer"] + quick))
    part("instructions of steering", lambda: steer_instructions(build))
    for name in TALKS:
        part(f"engine with {name}", lambda name=name: run([bench / f"bench_{name}"]))
    part("instructions of these", lambda: talk_instructions(build, TALKS))
    part("engine without decoders", lambda: run([bench / "bench_engine"]))
    if not options.quick:
        part("decoding and hashing", lambda: run([bench / "bench_packet"]))
        part("metrics", lambda: run([bench / "bench_metrics"]))
        part("sinks: metrics", lambda: run([bench / "bench_sinks"]))
    part("sinks: spans, documents, lines", lambda: run([bench / "bench_export"] + quick))
    part("sinks: lines of records", lambda: run([bench / "bench_record"]))
    part("sinks: instructions of lines", lambda: talk_instructions(build, LINES))
    part("sinks: scrapes of many series", lambda: scrapes(build, options.quick))
    print(f"\nload average at the end: {' '.join(f'{a:.2f}' for a in os.getloadavg())}")
    print(f"\n{'figure':28} {'value':>10} {'unit':6} {'aim':10} of")
    for figure, value, unit, what in figures:
        print(f"{figure:28} {value:10.4g} {unit:6} {AIMS.get(figure, ''):10} {what}")


if __name__ == "__main__":
    main()
