#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The metrics mode against what the same files and tools say, containers against cgroups named as
their runtimes name them, with real processes in them. Nothing is captured: no DPDK, no root needed
but for the cgroups."""
import contextlib
import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import lab
from lab import Skip, check, wait_for

TICK = os.sysconf("SC_CLK_TCK")
IDS = {name: f"{i:x}" * 64 for i, name in enumerate(
    ["docker", "dockerd_scope", "containerd", "crio", "podman", "kube"], 1)}
# Below the cpu controller (v1) or the unified tree.
PLACES = {
    "docker": "docker/{}",
    "dockerd_scope": "system.slice/docker-{}.scope",
    "containerd": "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/"
                  "cri-containerd-{}.scope",
    "crio": "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod3_4.slice/crio-{}.scope",
    "podman": "machine.slice/libpod-{}.scope",
    "kube": "kubepods/pod5-6/{}",
}
EXPECTED = {
    "docker": ("docker", "unknown"), "dockerd_scope": ("docker", "unknown"),
    "containerd": ("containerd", "burstable"), "crio": ("crio", "besteffort"),
    "podman": ("podman", "unknown"), "kube": ("unknown", "guaranteed"),
}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Agent:
    running = []

    def __init__(self, tapline, folder, collectors, extra="", command=(), environment=None,
                 interval="1s"):
        port = free_port()
        self.base = f"http://127.0.0.1:{port}"
        path = pathlib.Path(folder) / f"agent-{port}.yaml"
        path.write_text(f"capture: {{ports: []}}\nserver: {{address: 127.0.0.1:{port}}}\n"
                        f"collectors:\n  interval: {interval}\n  store: {{path: {folder}/events-{port}}}\n"
                        + collectors + extra)
        self.log = open(pathlib.Path(folder) / f"agent-{port}.log", "w+")
        self.process = subprocess.Popen([*command, tapline, "agent", "--config", str(path)],
                                        stderr=self.log, stdout=self.log,
                                        env={**os.environ, **(environment or {})})
        Agent.running.append(self.process)
        wait_for("the agent's API", lambda: self.try_get("/readyz"))

    @classmethod
    def kill_all(cls):
        for process in cls.running:
            process.kill()

    def try_get(self, path):
        with contextlib.suppress(OSError):
            return self.get(path)
        return None

    def get(self, path):
        with urllib.request.urlopen(self.base + path, timeout=5) as answer:
            return answer.read().decode()

    def call(self, method, path):
        request = urllib.request.Request(self.base + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def series(self):
        found = {}
        for line in self.get("/metrics").splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                found[name] = float(value)
        return found

    def tracers(self):
        return json.loads(self.get("/api/v1/tracers"))["data"]

    def updates(self, name):
        return self.tracers()[name]["updates"]


    def stop(self):
        self.process.terminate()
        code = self.process.wait(10)
        check(code == 0, f"the agent ended with {code}")


def settle(agents, *names):
    """The agents' pages show what these collectors measured after now."""
    wanted = [(agent, name, agent.updates(name) + 2) for agent in agents for name in names]
    for agent, name, count in wanted:  # one update may be under way, the next begins later
        label = f'tapline_scrape_collector_updates_total{{collector="{name}"}}'
        wait_for(f"the next values of {name}", lambda: agent.series().get(label, 0) >= count)


def read(path):
    return pathlib.Path(path).read_text()


def keyed(text):
    return dict(line.split()[:2] for line in text.splitlines() if len(line.split()) >= 2)


def tables(*paths):
    """Tcp_RtoMin and the like of /proc/net/snmp and /proc/net/netstat."""
    found = {}
    for path in paths:
        lines = read(path).splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            table = names.split(":")[0]
            for name, value in zip(names.split()[1:], values.split()[1:]):
                found[f"{table}_{name}"] = float(value)
    return found


def between(name, low, value, high):
    check(low - 1e-6 <= value <= high + 1e-6, f"{name}: {value}, not within {low} and {high}")


def host_values():
    """Every value that the host's files state by themselves, by series name."""
    found = {f"tapline_memory_vmstat_{k}": float(v) for k, v in keyed(read("/proc/vmstat")).items()}
    vm = {k: float(v) for k, v in keyed(read("/proc/vmstat")).items()}
    for mode, by in (("direct", "direct"), ("async", "kswapd")):
        found[f"tapline_memory_{mode}reclaim_scanned_pages_total"] = vm[f"pgscan_{by}"]
        found[f"tapline_memory_{mode}reclaim_reclaimed_pages_total"] = vm[f"pgsteal_{by}"]
    found["tapline_memory_directreclaim_stalls_total"] = sum(
        v for k, v in vm.items() if k.startswith("allocstall"))
    for name, value in tables("/proc/1/net/snmp", "/proc/1/net/netstat").items():
        if name.startswith(("Tcp_", "TcpExt_")):
            found[f"tapline_netstat_{name}"] = value
    columns = ["receive_" + c for c in "bytes packets errors dropped fifo frame compressed multicast"
               .split()] + ["transmit_" + c for c in
                            "bytes packets errors dropped fifo colls carrier compressed".split()]
    for line in read("/proc/1/net/dev").splitlines()[2:]:
        device, _, numbers = line.strip().rpartition(":")
        for column, value in zip(columns, numbers.split()):
            found[f'tapline_netdev_{column}_total{{device="{device}"}}'] = float(value)
    for line in read("/proc/1/net/sockstat").splitlines():
        words = line.split()
        for key, value in zip(words[1::2], words[2::2]):
            found[f"tapline_sockstat_{words[0][:-1]}_{key}"] = float(value)
    for name, word in zip(("load1", "load5", "load15"), read("/proc/loadavg").split()):
        found[f"tapline_loadavg_{name}"] = float(word)
    found["tapline_arp_entries"] = len(read("/proc/1/net/arp").splitlines()) - 1
    for line in read("/proc/diskstats").splitlines():
        words = line.split()
        if len(words) >= 20:
            label = f'{{device="{words[2]}"}}'
            found["tapline_io_flush_requests_total" + label] = float(words[18])
            found["tapline_io_flush_seconds_total" + label] = float(words[19]) / 1000
    return found


def disagreements(agent):
    """(how many series were compared, those whose value does not lie between two readings of its own
    source, one before and one after)"""
    before = host_values()
    settle([agent], "arp", "io_flush", "memory_vmstat", "memory_directreclaim",
           "memory_asyncreclaim", "netdev", "netstat", "sockstat", "loadavg", "tcp_memory")
    seen = agent.series()
    after = host_values()
    names = [name for name in before if name in seen and name in after]
    wrong = {}
    for name in names:
        # Counters only grow; what goes up and down is near one of its readings.
        low, high = sorted((before[name], after[name]))
        slack = 1e-6 if name.split("{")[0].endswith("_total") else max(64, 0.2 * abs(high))
        if "_load" in name:
            slack = 1
        if not low - slack <= seen[name] <= high + slack:
            wrong[name] = f"{seen[name]}, not within {low} and {high}"
    return len(names), wrong


def check_host(agent):
    # What goes up and down may do so between the readings: only one that never agrees is wrong.
    compared, wrong = disagreements(agent)
    for _ in range(9):
        if wrong:
            _, again = disagreements(agent)
            wrong = {name: text for name, text in again.items() if name in wrong}
    check(not wrong, f"never agree: {wrong}")
    check(compared > 200, f"only {compared} series compared")
    limit = float(read("/proc/sys/net/ipv4/tcp_mem").split()[2])
    check(agent.series()["tapline_tcp_memory_limit_pages"] == limit, "limit of TCP memory")
    return compared


def follow_rate(agent, name, read_counter, tolerance):
    """A share that the agent shows is the growth of a counter over a second or so, lately: one of the
    spans between our own readings says the same. Returns (share, spans)."""
    samples = []
    for _ in range(45):
        samples.append((time.monotonic(), read_counter()))
        time.sleep(0.1)
    shown = next(value for key, value in agent.series().items() if name(key))
    spans = [100 * (used - used0) / (total - total0) for i, (then, (used0, total0)) in
             enumerate(samples) for now, (used, total) in samples[i + 1:]
             if 0.8 <= now - then <= 3 and total > total0]
    check(any(abs(share - shown) <= tolerance for share in spans),
          f"the agent shows {shown:.1f} %, the counter {min(spans):.1f} to {max(spans):.1f} %")
    return shown, spans


def check_cpu(agent):
    """A busy child shows in the share of all CPUs, as /proc/stat tells it over the same time."""
    def ticks():
        words = [int(w) for w in read("/proc/stat").split("\n")[0].split()[1:9]]
        return words[0] + words[1] + words[2] + words[5] + words[6], sum(words)
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
        try:
            shown, _ = follow_rate(agent, lambda key: key == "tapline_cpu_util", ticks, 6)
        finally:
            child.kill()
    check(shown > 100 / os.cpu_count() * 0.6, f"{shown} % busy beside a busy process")


def check_qdisc(agent):
    if shutil.which("tc") is None:
        return
    before = json.loads(subprocess.check_output(["tc", "-s", "-j", "qdisc", "show"]))
    settle([agent], "qdisc")
    seen = agent.series()
    after = json.loads(subprocess.check_output(["tc", "-s", "-j", "qdisc", "show"]))
    for low, high in zip(before, after):
        if low["kind"] == "noqueue" or not low.get("root"):
            continue
        label = f'{{device="{low["dev"]}",kind="{low["kind"]}"}}'
        for key in ("bytes", "packets", "drops", "overlimits", "requeues"):
            between(f"qdisc {key}", low[key], seen[f"tapline_qdisc_{key}_total{label}"], high[key])


# ---- Containers ----------------------------------------------------------------------------------

class Kubelet(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"kind": "PodList", "items": [{
            "metadata": {"name": "web-7f9c", "namespace": "shop", "labels": {"app": "web"},
                         "ownerReferences": [{"kind": "DaemonSet"}]},
            "spec": {}, "status": {"qosClass": "Burstable", "containerStatuses": [
                {"name": "nginx", "containerID": "containerd://" + IDS["containerd"]}]}}]}).encode()
        self.send_response(200 if self.path == "/pods" else 404)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def cgroups():
    """Real cgroups of the v1 controllers cpu, cpuacct and memory, a busy process in each."""
    roots = [pathlib.Path("/sys/fs/cgroup") / part for part in ("cpu", "cpuacct", "memory")]
    if not all((root / "cgroup.procs").exists() for root in roots):
        raise Skip("no cgroup v1 controllers here")
    made, children = [], []

    def make(folder):
        for parent in [*reversed(folder.parents), folder]:
            if not parent.exists():
                parent.mkdir()
                made.append(parent)
    try:
        for name, place in PLACES.items():
            child = subprocess.Popen(["sleep", "60"] if name != "docker" else
                                     [sys.executable, "-c", "while True: pass"])
            children.append(child)
            for root in roots:
                folder = root / place.format(IDS[name])
                try:
                    make(folder)
                except OSError as error:
                    raise Skip(f"no cgroups can be made here: {error}") from None
                (folder / "cgroup.procs").write_text(str(child.pid))
        quota = roots[0] / PLACES["docker"].format(IDS["docker"])
        (quota / "cpu.cfs_period_us").write_text("100000")
        (quota / "cpu.cfs_quota_us").write_text("50000")
        yield {name: child.pid for name, child in zip(PLACES, children)}
    finally:
        for child in children:
            child.kill()
            child.wait()
        for folder in reversed(made):
            for _ in range(100):  # a killed process leaves its cgroup a moment later
                try:
                    folder.rmdir()
                    break
                except OSError:
                    time.sleep(0.02)


def containers_of(agent):
    return {c["id"]: c for c in json.loads(agent.get("/api/v1/containers"))["data"]}


def check_containers(agent):
    check(not set(IDS.values()) & set(containers_of(agent)), "containers before there are any")
    with cgroups() as pids:
        wait_for("the new containers, by the trees' own events",
                 lambda: set(IDS.values()) <= set(containers_of(agent)), 5)
        wait_for("their processes", lambda: all(
            containers_of(agent)[IDS[name]]["init_pid"] == pid for name, pid in pids.items()), 5)
        found = containers_of(agent)
        for name, (runtime, qos) in EXPECTED.items():
            one = found[IDS[name]]
            check(one["runtime"] == runtime, f"{name}: runtime {one['runtime']}")
            check(one["qos"] == qos, f"{name}: qos {one['qos']}")
            for part in ("cpu", "cpuacct", "memory"):
                check(IDS[name] in one["cgroup_paths"].get(part, ""), f"{name}: no {part}")
            check(os.stat(one["cgroup_paths"]["cpu"]).st_ino == one["cgroup_id"], "cgroup id")
        pod = found[IDS["containerd"]]
        check((pod["name"], pod["namespace"], pod["pod"], pod["type"], pod["labels"]) ==
              ("nginx", "shop", "web-7f9c", "daemonset", {"app": "web"}), f"of the kubelet: {pod}")
        usage = pathlib.Path(found[IDS["docker"]]["cgroup_paths"]["cpuacct"]) / "cpuacct.usage"
        label = f'container_id="{IDS["docker"]}"'
        settle([agent], "cpu", "cpu_stat", "loadavg", "memory_vmstat")
        seen = {k: v for k, v in agent.series().items() if label in k}
        value = {re.sub(r"\{.*", "", k): v for k, v in seen.items()}
        between("cores", 0.5, value["tapline_cpu_container_cores"], 0.5)
        follow_rate(agent, lambda key: key.startswith("tapline_cpu_container_util{") and label in
                    key, lambda: (int(usage.read_text()) / 1e9, time.monotonic() * 0.5), 12)
        between("running tasks", 0, value["tapline_loadavg_container_nr_running"], 1)
        stat = keyed(read(found[IDS["docker"]]["cgroup_paths"]["cpu"] + "/cpu.stat"))
        for key, name in (("nr_periods", "periods"), ("nr_throttled", "throttled_periods")):
            between(name, 0, value[f"tapline_cpu_stat_container_{name}_total"], float(stat[key]))
        check(value["tapline_cpu_stat_container_periods_total"] > 0, "periods of the quota")
        rss = keyed(read(found[IDS["docker"]]["cgroup_paths"]["memory"] + "/memory.stat"))["rss"]
        check(abs(value["tapline_memory_vmstat_container_rss"] - float(rss)) < 1 << 22, "memory")
        check(agent.call("GET", "/api/v1/containers?container_id=" + IDS["kube"]) == 200, "by id")
        check(agent.call("GET", "/api/v1/containers?container_id=" + "f" * 64) == 404, "no such id")
    wait_for("the end of the containers",
             lambda: not set(IDS.values()) & set(containers_of(agent)), 5)
    wait_for("the end of their series",
             lambda: not any(label in k for k in agent.series()), 5)


FILTERS = """  netstat: {included: '^Tcp_', excluded: Segs}
  netdev: {devices: '^lo$', excluded: '^transmit_'}
  sockstat: {included: '^TCP_mem'}
"""


def check_filters(agent):
    settle([agent], "netstat", "netdev", "sockstat")
    names = {name.removeprefix("tapline_") for name in agent.series() if "container_" not in name}
    found = {kind: {name for name in names if name.startswith(kind + "_")}
             for kind in ("netstat", "netdev", "sockstat")}
    wanted = {"netstat_" + name for name in tables("/proc/1/net/snmp", "/proc/1/net/netstat")
              if name.startswith("Tcp_") and "Segs" not in name}
    check(found["netstat"] == wanted, f"netstat: {found['netstat'] ^ wanted}")
    check(len(found["netdev"]) == 8 and all(
        name.startswith("netdev_receive_") and 'device="lo"' in name for name in found["netdev"]),
        f"netdev: {found['netdev']}")
    check(found["sockstat"] == {"sockstat_TCP_mem", "sockstat_TCP_mem_bytes"},
          f"sockstat: {found['sockstat']}")


def check_scrapes(agent):
    """Duration and success of every metric collector that this host can run."""
    series = agent.series()
    names = [name for name, one in agent.tracers().items()
             if one["state"] == "active" and "metric" in one["roles"]]
    for name in names:
        label = f'{{collector="{name}"}}'
        check(0 <= series[f"tapline_scrape_collector_duration_seconds{label}"] < 5, name)
        check(series[f"tapline_scrape_collector_success{label}"] == 1,
              f"{name} failed: {agent.tracers()[name]}")
    check(len(names) >= 15, f"metric collectors: {names}")


def check_v2(tapline, folder):
    """A host with only the unified tree, as files below another root."""
    root = pathlib.Path(folder) / "host"
    place = root / "sys/fs/cgroup" / PLACES["containerd"].format(IDS["containerd"])
    place.mkdir(parents=True)
    for name, text in {
            "cpu.stat": "usage_usec 5000000\nuser_usec 3000000\nsystem_usec 2000000\n"
                        "nr_periods 10\nnr_throttled 4\nthrottled_usec 1500000\n",
            "cpu.max": "150000 100000\n", "cgroup.procs": "42\n", "cgroup.threads": "",
            "memory.stat": "anon 4096\nfile 8192\npgscan_direct 7\npgsteal_direct 5\n"
                           "pgscan_kswapd 0\npgsteal_kswapd 0\n"}.items():
        (place / name).write_text(text)
    (root / "proc/1").mkdir(parents=True)
    (root / "proc/42/root/etc").mkdir(parents=True)
    (root / "proc/42/root/etc/hostname").write_bytes(b"h\xe4st\n")  # a container's file is its own
    (root / "proc/1/mounts").write_text("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n")
    (root / "proc/loadavg").write_text("0.1 0.2 0.3 1/2 3\n")
    (root / "proc/stat").write_text("cpu 1 1 1 1 1 1 1 1 0 0\n")
    (root / "proc/vmstat").write_text("pgscan_direct 1\n")
    agent = Agent(tapline, folder, f"  root: {root}\n")
    settle([agent], "cpu", "cpu_stat", "loadavg", "memory_vmstat", "memory_directreclaim")
    value = {re.sub(r"\{.*", "", k): v for k, v in agent.series().items() if "containerd" in k or
             IDS["containerd"] in k}
    check(value["tapline_cpu_container_cores"] == min(1.5, os.cpu_count()), "cores by cpu.max")
    check(value["tapline_cpu_stat_container_throttled_seconds_total"] == 1.5, "throttled_usec")
    check(value["tapline_memory_vmstat_container_anon"] == 4096, "memory.stat")
    check(value["tapline_memory_directreclaim_container_scanned_pages_total"] == 7, "pgscan_direct")
    one = containers_of(agent)[IDS["containerd"]]
    check(one["cgroup_v2"] and one["hostname"] == "h\ufffdst", f"container: {one}")
    states = json.loads(agent.get("/api/v1/tracers"))["data"]
    check(states["netdev"]["state"] == "not_supported" and states["netdev"]["reason"] ==
          "there is no /proc/net/dev", f"netdev without its file: {states['netdev']}")
    check(agent.series()["tapline_loadavg_load15"] == 0.3, "load average below the other root")
    agent.stop()


def used_by(agent):
    """Seconds of CPU time."""
    words = read(f"/proc/{agent.process.pid}/stat").rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / TICK


def main():
    tapline = os.path.realpath(sys.argv[1])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Kubelet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kubelet = f"  containers: {{kubelet: 'http://127.0.0.1:{server.server_port}/pods'}}\n"
    with tempfile.TemporaryDirectory(prefix="tl-host-") as folder:
        quiet = Agent(tapline, folder, "", interval="5s")  # as if nothing were configured
        used, began = used_by(quiet), time.monotonic()
        agent = Agent(tapline, folder, kubelet)
        other = Agent(tapline, folder, FILTERS)  # two at once
        print(f"{check_host(agent)} series of the host agree with their files")
        check_cpu(agent)
        check_qdisc(agent)
        check_filters(other)
        check_scrapes(agent)
        try:
            check_containers(agent)
            print("6 containers of 5 runtimes found, described, measured and gone")
        except Skip as reason:
            print(f"containers: {reason}")
        check(agent.process.poll() is None, f"the agent ended by itself: {agent.process.poll()}")
        status = keyed(read(f"/proc/{agent.process.pid}/status"))
        rss = int(status["VmRSS:"]) / 1024
        share = 100 * (used_by(quiet) - used) / (time.monotonic() - began)
        print(f"RSS {rss:.1f} MB; {share:.2f} % of a CPU at one measurement in 5 s")
        check(rss < 64, f"RSS {rss} MB")
        check(share < 1, f"{share} % of a CPU")
        check(agent.call("PUT", "/api/v1/tracers/nobody/start") == 404, "unknown tracer")
        check(agent.call("PUT", "/api/v1/tracers/arp/start") == 409, "no tracer")
        check(agent.call("POST", "/api/v1/tracers") == 405, "wrong method")
        states = json.loads(agent.get("/api/v1/tracers"))["data"]
        check(states["io_freeze"]["state"] == "not_supported", "no hook for freezes")
        check(not any("io_freeze" in name for name in agent.series()), "a series of io_freeze")
        for one in (agent, other, quiet):
            one.stop()
        check_v2(tapline, folder)
    server.shutdown()
    return 0


if __name__ == "__main__":
    lab.run(main, Agent.kill_all)
