#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Autotracing for real: each tracer is given what it waits for, in cgroups, a cpuset and a loop
device of the test's own, and its record is held against what was done. All at once, one agent."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import lab
from host_events import events_of, folder_of, value_of
from host_metrics import Agent, keyed, read
from lab import Skip, check, wait_for

CGROUPS = pathlib.Path("/sys/fs/cgroup")
PATIENCE = 40.0  # longer than any tracer's pause: another container's capture may come first
SPIN = "while True: pass"
WRITE = "open(__import__('sys').argv[1], 'w').write('x' * 4096)"
# Again and again: the burst of another process may be taken first.
BURST = """import sys, time
while True:
    a = bytearray(int(sys.argv[1]))
    for i in range(0, len(a), 4096): a[i] = 1
    time.sleep(1)
    del a
    time.sleep(1)
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

    def __init__(self, folder):
        self.image = pathlib.Path(folder) / "disk.img"
        self.mount = pathlib.Path(folder) / "disk"
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


CONFIG = """  autotracing: true
  memburst: {sample: 100ms, window: 3, growth: 20, floor: 0, hold_off: 0s}
  dload: {sample: 100ms, average: 500ms, threshold: 3, known_issues: {frozen: percpu_rwsem_wait}}
  waitrate: {sample: 200ms, window: 4, sigmas_guaranteed: 3, floor: 20, capture: 1s}
"""


class Bench:
    """The agent under test, and what is made for it."""

    def __init__(self, tapline, folder):
        self.folder = folder
        name = f"tl-live-{os.getpid()}.slice"
        self.blocked = Container(name, "d", ["cpu"])
        self.victim = Container(name, "a", ["cpu", "cpuset"])
        self.rival = Container(name, "b", ["cpu", "cpuset"])
        self.disk = Disk(folder)
        self.hog = None
        self.tapline = tapline
        self.made = []

    def make(self):
        for one in (self.blocked, self.victim, self.rival, self.disk):
            self.made.append(one)
            one.make()
        self.agent = Agent(self.tapline, self.folder, CONFIG)
        self.store = pathlib.Path(self.folder) / f"events-{folder_of(self.agent)}"

    def close(self):
        self.disk.thaw()
        if self.hog is not None:
            self.hog.kill()
            self.hog.wait()
        for one in self.made:
            if isinstance(one, Container):
                one.end()
        for one in reversed(self.made):
            one.remove()

    def record(self, tracer, is_it):
        """The first record of the tracer that is the one."""
        def find():
            return next(filter(is_it, events_of(self.store, tracer)), None)
        event = wait_for(f"a record of {tracer}", find, PATIENCE)
        check(event["tracer_type"] == "autotracing" and event["tracer_name"] == tracer,
              f"envelope: {event}")
        wait_for(f"the counter of {tracer}",
                 lambda: value_of(self.agent, f"tapline_{tracer}_captures_total"))
        return event["tracer_data"]


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
    for path in sorted(bench.store.glob("*.jsonl")):
        print(path.name, path.read_text()[-2000:])


def provoke(bench):
    """What each tracer waits for."""
    bench.disk.freeze()
    for i in range(8):
        bench.blocked.run(WRITE, f"{bench.disk.mount}/file{i}")
    for one in (bench.victim, bench.rival):
        one.set("cpuset", "cpuset.cpus", max(os.sched_getaffinity(0)))
    sleeper = bench.victim.run("import time\ntime.sleep(100)")
    series = (f'tapline_waitrate_container_wait_percent{{container_id="{bench.victim.id}"')
    wait_for("a quiet past of the container that will wait",
             lambda: [k for k in bench.agent.series() if k.startswith(series)], PATIENCE)
    time.sleep(2)  # a window of quiet samples; fewer only put the trigger off
    check(sleeper.poll() is None, "the sleeper ended")
    for _ in range(2):
        bench.victim.run(SPIN)
        bench.rival.run(SPIN)
    memory = keyed(read("/proc/meminfo").replace("(anon):", ":"))
    anonymous = (int(memory["Active:"]) + int(memory["Inactive:"])) << 10
    bench.hog = subprocess.Popen([sys.executable, "-c", BURST,
                                  str(max(256 << 20, anonymous // 2))])


def of(container):
    return lambda event: event.get("container_id") == container.id


def check_dload(bench):
    data = bench.record("dload", of(bench.blocked))
    check(data["threshold"] == 3 and data["dload_avg"] > 3, f"dload: {data}")
    check(data["nr_uninterruptible"] > 3 and data["load_avg"] >= data["dload_avg"],
          f"dload: {data}")
    check(data["source"] in ("taskstats", "proc"), f"dload: {data}")
    pids = {f"python3 ({child.pid})" for child in bench.blocked.children}
    heads = {line for line in data["stack"].splitlines() if line and not line.startswith("[")}
    check(len(heads) > 3 and heads <= pids, f"dload: not stacks of {pids}: {data}")
    check("percpu_rwsem_wait" in data["stack"], f"dload: {data}")
    check(data["known_issue"] == "frozen", f"dload: {data}")
    bench.disk.thaw()


def check_waitrate(bench):
    data = bench.record("waitrate", of(bench.victim))
    check(data["wait_percent"] > data["wait_percent_threshold"] >= data["wait_percent_mean"],
          f"waitrate: {data}")
    seen = data["capture"]
    check(seen["source"] and seen["seconds"] >= 1, f"waitrate: {data}")
    # Two loops of its own and two of the rival on one CPU: three of four wait.
    check(seen["wait_percent"] > 40 and seen["inner_percent"] > 5 and seen["outer_percent"] > 5,
          f"waitrate: {data}")
    check(abs(seen["inner_percent"] + seen["outer_percent"] - seen["wait_percent"]) < 1,
          f"waitrate: {data}")
    rivals = [c for c in seen["competitors"] if c.get("container_id") == bench.rival.id]
    check(len(rivals) == 1, f"waitrate: the rival is not named: {data}")
    check(2 < rivals[0]["cpu_percent"] <= 101, f"waitrate: {data}")
    pids = {child.pid for child in bench.rival.children}
    check({one["pid"] for one in rivals[0]["processes"]} == pids, f"waitrate: {pids}: {data}")
    for one in (bench.victim, bench.rival):
        one.end()


def check_memburst(bench):
    data = bench.record("memburst", lambda event: any(
        one["PID"] == bench.hog.pid for one in event["tracer_data"]["top_memory_usage"]))
    hogs = [one for one in data["top_memory_usage"] if one["PID"] == bench.hog.pid]
    check(len(hogs) == 1, f"memburst: {bench.hog.pid} is not among: {data}")
    check(hogs[0]["MemSize"] > 50 << 20 and hogs[0]["ProcessName"].startswith("python"),
          f"memburst: {data}")
    sizes = [one["MemSize"] for one in data["top_memory_usage"]]
    check(len(sizes) <= 10 and sizes == sorted(sizes, reverse=True), f"memburst: {data}")


def main():
    def on_signal(number, frame):
        raise lab.Failed(f"stopped by signal {number}")
    signal.signal(signal.SIGTERM, on_signal)
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
            for one in (check_dload, check_waitrate, check_memburst):
                one(bench)
                print(f"{one.__name__[6:]}: as it was caused")
        except lab.Failed:
            tell(bench)
            raise
        if "--show" in sys.argv:
            for path in sorted(bench.store.glob("*.jsonl")):
                print(json.dumps(json.loads(path.read_text().splitlines()[0]), indent=1))
        bench.agent.stop()
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    try:
        sys.exit(main())
    except Skip as reason:
        print(f"skipped: {reason}")
        sys.exit(lab.SKIPPED)
    except lab.Failed as error:
        print(f"FAILED: {error}")
        sys.exit(1)
    finally:
        for process in Agent.running:
            process.kill()
