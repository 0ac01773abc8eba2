#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Autotracing for real: each tracer is given what it waits for, in cgroups, a cpuset and a loop
device of the test's own, and its record is held against what was done. All at once, one agent."""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import lab
from host_events import events_of, folder_of, value_of
from host_metrics import Agent
from lab import Skip, check, wait_for

CGROUPS = pathlib.Path("/sys/fs/cgroup")
PATIENCE = 180.0  # many times any tracer's pause: other captures may come first
STALLS_MAX = 10  # in a record of iotracer
# Again and again: a burst that begins in the middle of a sample rises in two halves.
BURN = """import time
def burning(end):
    while time.monotonic() < end: sum(range(20000))
while True:
    time.sleep(1.2)
    burning(time.monotonic() + 5)
"""
# At the same time as all others that do. Before it there is a quiet time that it stands out from,
# longer than the window of waitrate; that of BURN is shorter, or it would be waitrate's, too. Who
# wakes up in between waits more than it runs: nobody does.
SPIN = """import time
while True:
    phase = time.time() % 9.5
    if phase < 7: sum(range(20000))
    else: time.sleep(9.5 - phase)
"""
# Direct I/O, and through the page cache with a sync after each write.
DIRECT = """import mmap, os, sys
block = mmap.mmap(-1, 1 << 16)
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_DIRECT)
while True:
    os.pwrite(fd, block, 0)
    os.preadv(fd, [block], 0)
"""
BUFFERED = """import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
while True:
    os.pwrite(fd, b'x' * 65536, 0)
    os.fdatasync(fd)
"""
WRITE = "open(__import__('sys').argv[1], 'w').write('x' * 4096)"
# Again and again: the burst of another process may be taken first.
BURST = """import mmap, time
while True:
    rows = dict(line.split()[:2] for line in open('/proc/meminfo'))
    used = (int(rows['Active(anon):']) + int(rows['Inactive(anon):'])) << 10
    a = mmap.mmap(-1, max(256 << 20, used // 3),
                  mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)
    time.sleep(2)
    a.close()
    time.sleep(4)
"""


class Container:
    """A cgroup that looks like one of Docker's, in the controllers that are asked for."""

    def __init__(self, lab_name, letter, parts):
        self.id = (letter + f"{os.getpid():x}").ljust(64, letter)
        self.parents = [CGROUPS / part / lab_name for part in parts]
        self.folders = [parent / f"docker-{self.id}.scope" for parent in self.parents]
        self.children = []

    def make(self):
        if not (CGROUPS / "cpu" / "cgroup.procs").exists():
            raise Skip("no cgroup v1 cpu controller here")
        for parent, folder in zip(self.parents, self.folders):
            try:
                folder.mkdir(parents=True)
            except OSError as error:
                raise Skip(f"no cgroups can be made here: {error}") from None
            if parent.parts[-2] == "cpu": # on a busy machine they are still to do something
                (parent / "cpu.shares").write_text("65536")
            if "cpuset" in parent.parts:
                for one in (parent, folder):
                    for name in ("cpuset.cpus", "cpuset.mems"):
                        one.joinpath(name).write_text((one.parent / name).read_text())

    def set(self, part, name, value):
        (CGROUPS / part / self.folders[0].relative_to(self.parents[0].parent) / name
         ).write_text(str(value))

    def run(self, code, *arguments):
        """A process that is in the container before it does anything."""
        enter = "".join(f"open('{folder}/cgroup.procs', 'w').write('0')\n"
                        for folder in self.folders)
        child = subprocess.Popen([sys.executable, "-I", "-S", "-c", enter + code, *arguments],
                                 stderr=subprocess.DEVNULL)
        self.children.append(child)
        return child

    def end(self):
        for child in self.children:
            child.kill()
        for child in self.children:
            child.wait(20)
        self.children = []

    def remove(self):
        self.end()
        for folder in self.folders + self.parents:
            for _ in range(200):
                try:
                    folder.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.01)


class Disk:
    """A file system of our own on a loop device."""

    def __init__(self, folder, name):
        self.image = pathlib.Path(folder) / f"{name}.img"
        self.mount = pathlib.Path(folder) / name
        self.device = None
        self.is_frozen = False
        self.has_mount = False

    def make(self):
        lab.need("mkfs.ext4", "losetup", "mount", "umount", "fsfreeze")
        with open(self.image, "wb") as image:
            image.truncate(64 << 20)
        self.mount.mkdir()
        made = subprocess.run(["losetup", "--find", "--show", self.image], capture_output=True,
                              text=True)
        if made.returncode != 0:
            raise Skip(f"no loop devices here: {made.stderr.strip()}")
        self.device = made.stdout.strip()
        self.sh("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.device)
        self.sh("mount", self.device, self.mount)
        self.has_mount = True

    @staticmethod
    def sh(*command):
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        check(done.returncode == 0, f"{command}: {done.stderr.strip()}")

    def freeze(self):
        self.sh("fsfreeze", "-f", self.mount)
        self.is_frozen = True

    def thaw(self):
        if self.is_frozen:
            self.sh("fsfreeze", "-u", self.mount)
        self.is_frozen = False

    def remove(self):
        self.thaw()
        if self.has_mount:
            self.sh("umount", self.mount)
        if self.device is not None:
            self.sh("losetup", "--detach", self.device)


# Without hold-off: what comes first may be of the processes' start, or of the moment in which only
# some of them are at work. The one that is judged shows all that was caused.
CONFIG = """  autotracing: true
  memburst: {sample: 100ms, window: 30, growth: 20, floor: 0, hold_off: 0s, limit: 1000}
  dload: {sample: 100ms, average: 500ms, threshold: 3, known_issues: {frozen: percpu_rwsem_wait},
          hold_off: 0s}
  iotracer: {sample: 200ms, util: 5, read_await: 1h, write_await: 1h, capture: 1s, stall: 10us,
             hold_off: 0s, limit: 1000}
  cpuidle: {sample: 500ms, capture: 1s, frequency: 199, hold_off: 0s}
  waitrate: {sample: 200ms, window: 8, sigmas_guaranteed: 8, floor: 40, capture: 1s,
             hold_off: 0s, limit: 1000}
"""


SECOND = """  root: {}
  autotracing: true
  disabled: [waitrate, memburst, cpuidle]
  dload: {{sample: 100ms, average: 500ms, threshold: 3, hold_off: 0s}}
  iotracer: {{sample: 200ms, util: 5, read_await: 1h, write_await: 1h, capture: 1s, hold_off: 0s,
             limit: 1000}}
"""


class Bench:
    """The agent under test, and what is made for it."""

    def __init__(self, tapline, folder):
        self.folder = folder
        name = f"tl-live-{os.getpid()}.slice"
        self.blocked = Container(name, "d", ["cpu", "unified"])
        self.victim = Container(name, "a", ["cpu", "cpuset"])
        self.rival = Container(name, "b", ["cpu", "cpuset"])
        self.burster = Container(name, "c", ["cpu", "cpuacct"])
        self.reader = Container(name, "e", ["cpu"])
        self.frozen = Disk(folder, "frozen")
        self.disk = Disk(folder, "busy")
        self.hog = Container(name, "f", ["cpu"])
        self.tapline = tapline
        self.made, self.fakes = [], []

    def make(self):
        for one in (self.blocked, self.victim, self.rival, self.burster, self.reader, self.hog,
                    self.frozen, self.disk):
            self.made.append(one)
            one.make()
        self.agent = Agent(self.tapline, self.folder, CONFIG)
        self.store = pathlib.Path(self.folder) / f"events-{folder_of(self.agent)}"

    def make_second(self):
        """An agent that sees this host as one with cgroup v2 only, and may load nothing into its
        kernel."""
        root = pathlib.Path(self.folder) / "root"
        (root / "proc/1").mkdir(parents=True)
        (root / "proc/1/mounts").write_text(f"cgroup2 {CGROUPS}/unified cgroup2 rw 0 0\n")
        for name in os.listdir("/proc"):
            if name != "1":
                (root / "proc" / name).symlink_to(f"/proc/{name}")
        (root / "sys").symlink_to("/sys")
        busy = {READS: 1000, READ_SECTORS: 2000, READ_MS: 100, BUSY_MS: 1000}
        self.nvme = FakeDisk(self, "nvme0n1", busy, "util: 40, nvme_read: 100")
        self.slow = FakeDisk(self, "sda", {WRITES: 1000, WRITE_SECTORS: 8000, WRITE_MS: 200000},
                             "write_await: 100ms")
        os.environ["TAPLINE_BPF_REFUSE"] = "tp_btf"
        self.second = Agent(self.tapline, self.folder, SECOND.format(root))
        del os.environ["TAPLINE_BPF_REFUSE"]
        self.second_store = pathlib.Path(self.folder) / f"events-{folder_of(self.second)}"

    def close(self):
        for disk in self.fakes:
            disk.end()
        self.frozen.thaw()
        for one in self.made:
            if isinstance(one, Container):
                one.end()
        for one in reversed(self.made):
            one.remove()

    def record(self, *arguments):
        return self.find(*arguments)["tracer_data"]

    def find(self, tracer, is_it, agent=None, store=None):
        """The first record of the tracer that is the one."""
        agent, store = agent or self.agent, store or self.store

        event = wait_for(f"a record of {tracer}",
                         lambda: next(filter(is_it, events_of(store, tracer)), None), PATIENCE)
        check(event["tracer_type"] == "autotracing" and event["tracer_name"] == tracer,
              f"envelope: {event}")
        wait_for(f"the counter of {tracer}",
                 lambda: value_of(agent, f"tapline_{tracer}_captures_total"))
        return event


class FakeDisk:
    """A host whose only disk does what `rates` says, per second: a dictionary of the kernel's
    fields."""

    def __init__(self, bench, name, rates, options):
        self.root = pathlib.Path(bench.folder) / f"host-{name}"
        (self.root / "sys/block" / name).mkdir(parents=True)
        (self.root / "proc").mkdir()
        self.name, self.rates, self.values = name, rates, [0.0] * 11
        self.is_over = False
        self.write()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        bench.fakes.append(self)
        self.agent = Agent(bench.tapline, bench.folder, f"""  root: {self.root}
  autotracing: true
  iotracer: {{sample: 200ms, capture: 100ms, {options}}}
""")
        self.store = pathlib.Path(bench.folder) / f"events-{folder_of(self.agent)}"

    def write(self):
        line = " ".join(str(int(value)) for value in self.values)
        (self.root / "proc/new").write_text(f"259 0 {self.name} {line}\n")
        (self.root / "proc/new").rename(self.root / "proc/diskstats")

    def run(self):
        then = time.monotonic()
        while not self.is_over:
            time.sleep(0.005)
            now = time.monotonic()
            for place, rate in self.rates.items():
                self.values[place] += rate * (now - then)
            then = now
            self.write()

    def end(self):
        self.is_over = True
        self.thread.join()

    def reasons(self):
        return [event["tracer_data"]["reason_snapshot"] for event in events_of(self.store, "iotracer")]


# Places of the fields behind a disk's name.
READS, READ_SECTORS, READ_MS, WRITES, WRITE_SECTORS, WRITE_MS, BUSY_MS = 0, 2, 3, 4, 6, 7, 9


def check_disk_rules(bench):
    """What no disk of this machine does: an NVMe disk is full by its rate only, slow writes."""
    nvme, slow = bench.nvme, bench.slow
    found = wait_for("slow writes", slow.reasons, PATIENCE)[0]
    check(found["type"] == "write_await" and found["device"] == "sda" and
          abs(found["iostatus"]["write_await"] - 200) < 20, f"sda: {found}")
    check(not nvme.reasons(), f"a busy NVMe disk without much to read: {nvme.reasons()}")
    nvme.rates = {**nvme.rates, READ_SECTORS: 4000000} # 2 GB/s
    found = wait_for("a full NVMe disk", nvme.reasons, PATIENCE)[0]
    check(found["type"] == "read_bps" and found["major_num"] == 259 and
          found["iostatus"]["read_bps"] > 100e6, f"nvme0n1: {found}")
    nvme.agent.stop()
    slow.agent.stop()


def tell(bench):
    """What there is to know after a failure."""
    for log in pathlib.Path(bench.folder).glob("agent-*.log"):
        print(log.read_text()[-2000:])
    if not hasattr(bench, "store"):
        return
    with contextlib.suppress(OSError):
        for name, state in json.loads(bench.agent.get("/api/v1/tracers"))["data"].items():
            if "autotracing" in state["roles"]:
                print(name, state)
        for series, value in bench.agent.series().items():
            if series.startswith(("tapline_dload", "tapline_waitrate", "tapline_memburst")):
                print(series, value)
    for one in bench.made:
        for child in getattr(one, "children", ()):
            with contextlib.suppress(OSError):
                print(child.pid, pathlib.Path(f"/proc/{child.pid}/stat").read_text().split()[1:3],
                      pathlib.Path(f"/proc/{child.pid}/cgroup").read_text().split())
    for path in sorted(pathlib.Path(bench.folder).glob("events-*/*.jsonl")):
        for line in path.read_text().splitlines():
            print(path.stem, line[:1500])


def provoke(bench):
    """What each tracer waits for."""
    bench.frozen.freeze()
    for i in range(8):
        bench.blocked.run(WRITE, f"{bench.frozen.mount}/file{i}")
    bench.burster.set("cpu", "cpu.cfs_quota_us", 10000) # of 100 ms: what it may have even here
    bench.burster.run(BURN)
    bench.reader.run(DIRECT, f"{bench.disk.mount}/direct")
    bench.reader.run(BUFFERED, f"{bench.disk.mount}/buffered")
    for one in (bench.victim, bench.rival):
        one.set("cpuset", "cpuset.cpus", max(os.sched_getaffinity(0)))
    for _ in range(2):
        bench.victim.run(SPIN)
        bench.rival.run(SPIN)
    bench.hog.run(BURST)


def of(container):
    return lambda event: event.get("container_id") == container.id


def check_dload(bench):
    pids = {f"python3 ({child.pid})" for child in bench.blocked.children}

    def heads(event):
        lines = event["tracer_data"]["stack"].splitlines()
        return {line for line in lines if line and not line.startswith("[")}

    def is_frozen(event): # not while they wait for their own code to be read
        return of(bench.blocked)(event) and len(heads(event)) > 3 and \
            event["tracer_data"]["stack"].count("percpu_rwsem_wait") > 3
    for agent, store in ((bench.agent, bench.store), (bench.second, bench.second_store)):
        data = bench.record("dload", is_frozen, agent, store)
        check(data["threshold"] == 3 and data["dload_avg"] > 3, f"dload: {data}")
        check(data["nr_uninterruptible"] > 3 and data["load_avg"] >= data["dload_avg"],
              f"dload: {data}")
        check(data["source"] in ("taskstats", "proc") if agent is bench.agent else
              data["source"] == "proc", f"dload: {data}")
        check(heads({"tracer_data": data}) <= pids, f"dload: not stacks of {pids}: {data}")
        check(data["known_issue"] == ("frozen" if agent is bench.agent else "none"),
              f"dload: {data}")
    bench.frozen.thaw()


def check_waitrate(bench):
    """Of two containers that want one CPU either may be found, and names the other."""
    rivals = {bench.victim.id: bench.rival, bench.rival.id: bench.victim}

    def rival_in(event):
        other = rivals.get(event.get("container_id"))
        return other and next((one for one in event["tracer_data"]["capture"]["competitors"]
                               if one.get("container_id") == other.id), None)

    def is_caught(event):
        # Not what they waited when they began, nor the pause after a burst: half of the look at
        # least, and the other with about as much of the CPU.
        seen, rival = event["tracer_data"]["capture"], rival_in(event)
        return (rival and seen["running_ms"] + seen["waiting_ms"] > 1000 * seen["seconds"] and
                rival["running_ms"] > 0.75 * seen["running_ms"])
    event = bench.find("waitrate", is_caught)
    rival, data = rival_in(event), event["tracer_data"]
    check(data["wait_percent"] > data["wait_percent_threshold"] >= data["wait_percent_mean"],
          f"waitrate: {data}")
    seen = data["capture"]
    check(seen["source"] and seen["seconds"] >= 1, f"waitrate: {data}")
    # Two loops of its own and two of the rival on one CPU: three of four wait. What else runs
    # there adds to the others' part.
    check(seen["wait_percent"] > 40 and seen["outer_percent"] > seen["inner_percent"],
          f"waitrate: {data}")
    check(abs(seen["inner_percent"] + seen["outer_percent"] - seen["wait_percent"]) < 1,
          f"waitrate: {data}")
    check(0 < rival["cpu_percent"] <= 101, f"waitrate: {data}")
    pids = {child.pid for child in rivals[event["container_id"]].children}
    found = {one["pid"] for one in rival["processes"]}
    check(found and found <= pids, f"waitrate: {pids}: {data}")
    for one in (bench.victim, bench.rival):
        one.end()


def check_memburst(bench):
    data = bench.record("memburst", lambda event: any( # not what another process caused
        one["PID"] == bench.hog.children[0].pid and one["MemSize"] > 64 << 20
        for one in event["tracer_data"]["top_memory_usage"]))
    hogs = [one for one in data["top_memory_usage"] if one["PID"] == bench.hog.children[0].pid]
    check(len(hogs) == 1 and hogs[0]["container_id"] == bench.hog.id, f"memburst: {data}")
    check(hogs[0]["ProcessName"].startswith("python"), f"memburst: {data}")
    sizes = [one["MemSize"] for one in data["top_memory_usage"]]
    check(len(sizes) <= 10 and sizes == sorted(sizes, reverse=True), f"memburst: {data}")
    bench.hog.end()


def check_cpuidle(bench):
    def is_burst(event): # not the start of the process, nor a burst that was over by then
        data = event["tracer_data"]
        return (of(bench.burster)(event) and data["samples"] >= 5 and
                data["user_percent"] > data["system_percent"])
    data = bench.record("cpuidle", is_burst)
    check(any(data[f"{part}_percent"] > data[f"{part}_percent_threshold"] == level and
              data[f"{part}_percent_delta"] > data[f"{part}_percent_delta_threshold"] == rise
              for part, level, rise in (("user", 75, 45), ("system", 45, 20), ("total", 90, 55))),
          f"cpuidle: {data}")
    check(data["total_percent"] >= data["user_percent"], f"cpuidle: {data}")
    flame = data["flamedata"]
    check(flame[0]["level"] == 0 and flame[0]["value"] == data["samples"], f"cpuidle: {data}")
    commands = [node["label"] for node in flame if node["level"] == 1]
    check(commands == ["python3"], f"cpuidle: {data}")
    check(any(node["label"].startswith(("_Py", "Py", "python3.")) for node in flame),
          f"cpuidle: {data}")
    check(sum(node["self"] for node in flame) == data["samples"], f"cpuidle: {data}")
    bench.burster.end()


def users_of(event):
    return {one["pid"]: one for one in event["tracer_data"]["process_file_io_stats"]}


def check_iotracer(bench):
    device = bench.disk.device.rsplit("/", 1)[1]
    paths = {child.pid: f"{os.path.realpath(bench.disk.mount)}/{name}"
             for child, name in zip(bench.reader.children, ("direct", "buffered"))}

    def is_ours(event):
        return event["tracer_data"]["reason_snapshot"]["device"] == device

    def files_of(event, pid):
        """Of the process, its own file, with enough requests that ended."""
        files = users_of(event).get(pid, {"total_files": []})["total_files"]
        return [one for one in files if one["path"] == paths[pid] and one["requests"] >= 10]

    def stalls_of(event):
        return [one for one in event["tracer_data"]["io_schedule_timeout_stacks"]
                if one["pid"] in paths and any("ext4_" in frame for frame in one["stack"])]

    def is_whole(event): # both were at work all the time; others may have stalled longer
        stalls = event["tracer_data"]["io_schedule_timeout_stacks"]
        writes = event["tracer_data"]["reason_snapshot"]["iostatus"]["write_bps"] > 0
        return (is_ours(event) and writes and (stalls_of(event) or len(stalls) == STALLS_MAX) and
                all(files_of(event, pid) for pid in paths))
    data = bench.record("iotracer", is_whole)
    event, reason = {"tracer_data": data}, data["reason_snapshot"]
    check(reason["type"] == "ioutil" and reason["iostatus"]["io_util"] > 5 and
          device in reason["summary"], f"iotracer: {data}")
    check(data["source"] == "bpf", f"iotracer: {data}")
    for pid, path in paths.items():
        user, is_direct = users_of(event)[pid], path.endswith("/direct")
        check(user["container_id"] == bench.reader.id, f"iotracer: {data}")
        check(user["total_disk_write_bps"] > 0 and user["total_fs_write_bps"] > 0,
              f"iotracer: {data}")
        files = files_of(event, pid)
        check(len(files) == 1 and files[0]["is_direct"] == is_direct, f"iotracer: {path}: {data}")
        check(files[0]["max_q2c_us"] >= files[0]["q2c_us"] >= files[0]["d2c_us"] > 0,
              f"iotracer: {data}")
        check(is_direct or files[0]["inode"] == os.stat(path).st_ino, f"iotracer: {data}")
        check(not is_direct or user["total_disk_read_bps"] > 0, f"iotracer: {data}")
    writer = bench.reader.children[1].pid
    data = bench.record("iotracer", lambda event: is_ours(event) and users_of(event).get(
        writer, {"total_disk_write_bps": 0})["total_disk_write_bps"] > 0,
        bench.second, bench.second_store)
    check(data["source"] == "proc", f"iotracer without BPF: {data}")
    state = json.loads(bench.second.get("/api/v1/tracers"))["data"]["iotracer"]
    check("/proc/PID/io" in state["hook"], f"iotracer without BPF: {state}")
    bench.reader.end()


def main():
    if os.geteuid() != 0:
        raise Skip("needs root for cgroups and a loop device")
    tapline = os.path.realpath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="tl-autotracing-") as folder, \
            contextlib.ExitStack() as stack:
        bench = Bench(tapline, folder)
        stack.callback(bench.close)
        try:
            bench.make()
            provoke(bench)
            bench.make_second()
            for one in (check_dload, check_waitrate, check_memburst, check_cpuidle, check_iotracer,
                        check_disk_rules):
                one(bench)
                print(f"{one.__name__[6:]}: as it was caused")
        except Skip:
            raise
        except Exception:
            tell(bench)
            raise
        if "--show" in sys.argv:
            for path in sorted(bench.store.glob("*.jsonl")):
                print(json.dumps(json.loads(path.read_text().splitlines()[0]), indent=1))
        bench.agent.stop()
        bench.second.stop()
    return 0


if __name__ == "__main__":
    lab.run(main, Agent.kill_all)
