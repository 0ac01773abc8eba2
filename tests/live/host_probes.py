#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What programs in the kernel count, against the kernel's own books: requests of a loop device of our
own (/proc/diskstats, perf), waits of processes in a cgroup of our own (/proc/PID/schedstat). By each
hook; by two agents at once; without the right to load any. And nothing of it is left behind."""
import contextlib
import ctypes
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import lab
from host_metrics import Agent, keyed, read, settle
from lab import Skip, check, wait_for

ID = os.urandom(32).hex()  # another run may be beside this one
PROBES = ("iolatency", "runqlat")
# A kernel may keep what happens in some tasks, interrupts that come meanwhile among it, from everybody
# who traces: perf doesn't see it either. Of a hundred requests or waits one may be such.
HIDDEN = 0.1
GET_FD_BY_ID = {"prog_id": 13, "map_id": 14, "link_id": 30}
libc = ctypes.CDLL(None, use_errno=True)
SYS_BPF = 321


# ---- What this test needs ------------------------------------------------------------------------

def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    check(done.returncode == 0, f"{' '.join(command)}: {done.stderr[-300:]}")
    return done.stdout


@contextlib.contextmanager
def loop_device(folder):
    image = pathlib.Path(folder) / "image"
    image.write_bytes(b"")
    os.truncate(image, 64 << 20)
    done = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True)
    if done.returncode != 0:
        raise Skip(f"no loop device: {done.stderr.strip()}")
    device = done.stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=False)


@contextlib.contextmanager
def cgroup():
    """A container's directories of the controllers cpu and blkio (v1), or of the one tree."""
    roots = [pathlib.Path("/sys/fs/cgroup") / part for part in ("cpu", "blkio")]
    if not all((root / "cgroup.procs").exists() for root in roots):
        roots = [pathlib.Path("/sys/fs/cgroup")]
    made = [root / "docker" / ID for root in roots]
    try:
        for folder in made:
            try:
                folder.mkdir(parents=True)
            except OSError as error:
                raise Skip(f"no cgroups can be made here: {error}") from None
        yield made
    finally:
        for folder in made:
            for one in (folder, folder.parent):
                for _ in range(200):
                    with contextlib.suppress(OSError):
                        if one.exists():
                            one.rmdir()
                        break
                    time.sleep(0.01)


def inside(folders, *command):
    """Starts a command in these cgroups."""
    def join():
        for folder in folders:
            (folder / "cgroup.procs").write_text(str(os.getpid()))
    return subprocess.Popen(command, preexec_fn=join, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)


# ---- Disks ---------------------------------------------------------------------------------------

def diskstats(device):
    """Of reads and writes: requests, and seconds they took."""
    for line in read("/proc/diskstats").splitlines():
        words = line.split()
        if words[2] == os.path.basename(device):
            return {"read": (int(words[3]), int(words[6]) / 1000),
                    "write": (int(words[7]), int(words[10]) / 1000)}
    raise lab.Failed(f"{device} is not in /proc/diskstats")


def series_of(agent, name, **labels):
    """The sum of all series of this name with these labels."""
    found = [value for key, value in agent.series().items() if key.split("{")[0] == name and
             all(f'{label}="{text}"' in key for label, text in labels.items())]
    return sum(found)


def disk_values(agent, device):
    """Of reads and writes: what the agent shows."""
    labels = {"device": os.path.basename(device)}
    return {op: {what: series_of(agent, f"tapline_iolatency_{what}_total", op=op, **labels)
                 for what in ("requests", "q2c_seconds", "q2c_requests", "d2c_requests",
                              "d2c_seconds")} for op in ("read", "write")}


@contextlib.contextmanager
def perf_trace(folder, device):
    """perf's records of the same tracepoints; yields a function that gives the sum of d2c."""
    output = pathlib.Path(folder) / "perf.data"
    number = os.stat(device).st_rdev
    wanted = f"dev == {os.major(number) << 20 | os.minor(number)}"
    mount = "mount -t tracefs none /sys/kernel/tracing 2>/dev/null; exec \"$@\""
    command = ["unshare", "-m", "sh", "-c", mount, "sh", "perf"]
    events = [word for name in ("issue", "complete")
              for word in ("-e", f"block:block_rq_{name}", "--filter", wanted)]
    log = open(pathlib.Path(folder) / "perf.log", "w+")
    pipes = [pathlib.Path(folder) / name for name in ("perf.control", "perf.answer")]
    for pipe in pipes:
        os.mkfifo(pipe)
    control, answer = (os.open(pipe, os.O_RDWR | os.O_NONBLOCK) for pipe in pipes)
    child = subprocess.Popen([*command, "record", "-a", "-o", str(output), "--delay=-1",
                              "--control", f"fifo:{pipes[0]},{pipes[1]}", *events],
                             stdout=log, stderr=log)

    def said():
        check(child.poll() is None, f"perf ended: {read(log.name)[-500:]}")
        with contextlib.suppress(BlockingIOError):
            return os.read(answer, 100)
        return None

    def result():
        child.send_signal(signal.SIGINT)
        child.wait(20)
        text = run(*command, "script", "-i", str(output), "-F", "time,event,trace", "--ns")
        issued, total = {}, 0.0
        pattern = re.compile(r"([\d.]+):\s+block:block_rq_(\w+):\s+\S+ (\w+) .*?(\d+) \+ (\d+)")
        for line in text.splitlines():
            found = pattern.search(line)
            if found is None or found[3][0] not in "RW":
                continue
            if found[2] == "issue":
                issued[found[4]] = float(found[1])
            elif found[4] in issued:
                total += float(found[1]) - issued.pop(found[4])
        return total
    try:
        os.write(control, b"enable\n")
        wait_for("perf's events", said)
        yield result
    finally:
        os.close(control)
        os.close(answer)
        if child.poll() is None:
            child.kill()
            child.wait()


def check_disks(agents, folder, device, groups):
    """Requests of one process in a container, to a device that nobody else uses."""
    before = {agent: disk_values(agent, device) for agent in agents}
    stats = diskstats(device)
    perf = perf_trace(folder, device) if shutil.which("perf") else contextlib.nullcontext()
    with perf as perf_result:
        for command in (f"if=/dev/zero of={device} oflag=direct",
                        f"if={device} of=/dev/null iflag=direct"):
            child = inside(groups, "dd", *command.split(), "bs=64k", "count=200")
            check(child.wait(60) == 0, f"dd {command}: {child.returncode}")
        by_perf = perf_result() if perf_result else None
    after = diskstats(device)
    settle(agents, "iolatency")
    for agent in agents:
        now = disk_values(agent, device)
        total = {"d2c_seconds": 0.0, "q2c_seconds": 0.0}
        for op in ("read", "write"):
            count, seconds = (b - a for a, b in zip(stats[op], after[op]))
            grown = {key: value - before[agent][op][key] for key, value in now[op].items()}
            check(count >= 200, f"{count} {op}s in /proc/diskstats")
            check(grown["requests"] == count, f"{op}s: {grown}, /proc/diskstats: {count}")
            for key in ("q2c_requests", "d2c_requests"):
                check(count - HIDDEN * count <= grown[key] <= count,
                      f"{op}s: {grown}, /proc/diskstats: {count}")
            check(abs(grown["q2c_seconds"] - seconds) < 0.0015, f"{op}: {grown}, {seconds} s")
            for key in total:
                total[key] += grown[key]
        check(0 < total["d2c_seconds"] <= total["q2c_seconds"] + 0.002, f"d2c over q2c: {total}")
        if by_perf is not None:
            check(by_perf > 0, "perf sees no request beside the agents' programs")
            # Both see the same two moments of a request, each by its own clock reads, and miss the
            # same ones.
            check(abs(total["d2c_seconds"] - by_perf) < 0.02 + 0.1 * by_perf,
                  f"d2c {total['d2c_seconds']:.4f} s, by perf {by_perf:.4f} s")
    return after["read"][0] - stats["read"][0] + after["write"][0] - stats["write"][0], by_perf


def check_container_disk(agent, device):
    shown = {op: series_of(agent, "tapline_iolatency_container_q2c_requests_total", op=op,
                           container_id=ID, device=os.path.basename(device))
             for op in ("read", "write")}
    check(all(200 - HIDDEN * 200 <= shown[op] <= 200 for op in ("read", "write")),
          f"requests of the container: {shown}")


# ---- The CPU -------------------------------------------------------------------------------------

def waited(pids):
    """Seconds and times that these processes waited for a CPU, as the scheduler itself counts."""
    rows = [[int(word) for word in read(f"/proc/{pid}/schedstat").split()] for pid in pids]
    return sum(row[1] for row in rows) / 1e9, sum(row[2] for row in rows)


def check_waits(agents, groups):
    """Three processes share one CPU."""
    def shown(agent):
        return (series_of(agent, "tapline_runqlat_container_wait_seconds_total", container_id=ID),
                series_of(agent, "tapline_runqlat_container_latency_total", container_id=ID))
    with contextlib.ExitStack() as stack:
        # Born and stopped before anything is counted: a pause before the loop, in a process each.
        code = "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\nwhile True: pass"
        cpu = str(min(os.sched_getaffinity(0)))
        children = [inside(groups, "taskset", "-c", cpu, sys.executable, "-c", code)
                    for _ in range(3)]
        for child in children:
            stack.callback(child.wait)
            stack.callback(child.kill)
        pids = [child.pid for child in children]

        def all_stopped():
            return all(read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[0] == "T"
                       for pid in pids)
        wait_for("the processes", all_stopped)
        settle(agents, "runqlat")
        before = {agent: shown(agent) for agent in agents}
        seconds, times = waited(pids)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        wait_for("seconds of waiting", lambda: waited(pids)[0] > seconds + 2, 60)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        wait_for("their stop", all_stopped)
        seconds, times = (b - a for a, b in zip((seconds, times), waited(pids)))
        settle(agents, "runqlat")
        for agent in agents:
            grown = [b - a for a, b in zip(before[agent], shown(agent))]
            # They differ by less than a thousandth, but for waits that ended when such a task slept.
            check(abs(grown[0] - seconds) < 0.02 + (HIDDEN + 0.05) * seconds and
                  abs(grown[1] - times) <= 3 + HIDDEN * times,
                  f"waited {grown[0]:.3f} s, {grown[1]} times by the probe, {seconds:.3f} s, {times} "
                  "times by schedstat")
    return seconds, times


# ---- What is left behind -------------------------------------------------------------------------

def kernel_objects(pid):
    """Ids of the programs, maps and links that a process holds."""
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        with contextlib.suppress(OSError):
            for key, value in keyed(read(f"/proc/{pid}/fdinfo/{fd}")).items():
                if key.rstrip(":") in GET_FD_BY_ID:
                    found.add((key.rstrip(":"), int(value)))
    return found


def is_alive(kind, number):
    attributes = ctypes.create_string_buffer(number.to_bytes(4, "little"), 128)
    fd = libc.syscall(SYS_BPF, GET_FD_BY_ID[kind], attributes, 128)
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def counts(agent):
    """Descriptors, but for files of records, which stay open, and threads."""
    process = f"/proc/{agent.process.pid}"
    links = []
    for one in os.listdir(f"{process}/fd"):
        with contextlib.suppress(FileNotFoundError): # closed meanwhile
            links.append(os.readlink(f"{process}/fd/{one}"))
    return [sum(not link.endswith(".jsonl") for link in links), len(os.listdir(f"{process}/task"))]


def check_cycles(agent, times):
    """Started and stopped again and again, no tracer leaves anything."""
    names = [name for name, one in agent.tracers().items() if one["state"] == "active" and
             {"event", "autotracing", "probe"} & set(one["roles"])]
    check(len(names) >= 6, f"tracers: {names}")

    def stop(name):
        # 409: a machine under load let a second pass; the stop goes on.
        answer = agent.call("PUT", f"/api/v1/tracers/{name}/stop")
        check(answer in (204, 409), f"stop {name}: {answer}, {agent.tracers()[name]}")
        wait_for(f"the end of {name}", lambda: not agent.tracers()[name]["running"])
    for name in PROBES:
        stop(name)
    wait_for("no BPF while no probe runs", lambda: not kernel_objects(agent.process.pid))
    before, seen = None, set()
    for _ in range(times + 1):
        for name in names:
            check(agent.call("PUT", f"/api/v1/tracers/{name}/start") == 204, f"start {name}")
        wait_for("their programs", lambda: all(agent.tracers()[name].get("hook")
                                               for name in PROBES))
        seen |= kernel_objects(agent.process.pid)
        for name in names:
            stop(name)
        before = before or counts(agent)  # what the first start of a tracer keeps is kept once
    check(len(seen) >= 4 * times, f"objects seen: {len(seen)}")
    wait_for("no more descriptors or threads than before",
             lambda: all(now <= then for now, then in zip(counts(agent), before)))
    wait_for("the end of its programs, maps and links in the kernel",
             lambda: not any(is_alive(*one) for one in seen))
    print(f"{times} starts and stops of {', '.join(names)}: {len(seen)} programs, maps and links came "
          "and went")


def check_refused(tapline, folder, device):
    """Without any capability: what needs none goes on, the rest says why not."""
    agent = Agent(tapline, folder, "  probes: true\n  event: true\n  autotracing: true\n",
                  command=("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"))
    wait_for("the refusal", lambda: all(agent.tracers()[name].get("hook") for name in PROBES))
    settle([agent], "iolatency")
    tracers = agent.tracers()
    for name in PROBES:
        one = tracers[name]
        check(one["hook"].startswith("none (tp_btf: ") and "tracepoint: " in one["hook"],
              f"{name}: {one}")
        check(one["reason"].startswith("start: "), f"{name}: {one}")
    check(not kernel_objects(agent.process.pid), "BPF objects without the right to any")
    count, seconds = diskstats(device)["write"]
    label = os.path.basename(device)
    check(series_of(agent, "tapline_iolatency_requests_total", op="write", device=label) == count,
          "the kernel's own count of writes")
    check(not any("d2c" in name for name in agent.series()), "a latency that nobody measured")
    silent = [name for name, one in tracers.items() if one["state"] == "active" and
              not one["running"] and set(one["roles"]) & {"event", "autotracing"} and
              not one.get("reason")]
    check(not silent, f"neither running nor saying why: {silent}")
    alive = [name for name, one in tracers.items() if one["state"] == "active" and one["running"]]
    agent.stop()
    return alive


def check_v2(tapline, folder):
    """On a host with only the one tree a task's group is found there: the empty tree that lies beside
    v1's controllers, in the place of theirs, below another root."""
    tree = pathlib.Path("/sys/fs/cgroup/unified")
    if not (tree / "cgroup.procs").exists():
        return False
    root, group = pathlib.Path(folder) / "v2", tree / "docker" / ID
    (root / "sys/fs/cgroup").mkdir(parents=True)
    (root / "proc/1").mkdir(parents=True)
    (root / "proc/1/mounts").write_text("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n")
    try:
        try:
            group.mkdir(parents=True)
        except OSError:
            return False
        bind = f'mount --bind {tree} {root}/sys/fs/cgroup && exec "$@"'
        agent = Agent(tapline, folder, f"  probes: true\n  root: {root}\n",
                      command=("unshare", "-m", "sh", "-c", bind, "sh"))
        wait_for("the container", lambda: ID in agent.get("/api/v1/containers"))
        wait_for("the hook", lambda: agent.tracers()["runqlat"].get("hook"))
        check_waits([agent], [group])
        agent.stop()
    finally:
        for one in (group, group.parent):
            for _ in range(200):
                with contextlib.suppress(OSError):
                    if one.exists():
                        one.rmdir()
                    break
                time.sleep(0.01)
    return True


def main():
    tapline = os.path.realpath(sys.argv[1])
    lab.need("losetup", "setpriv", "taskset", "dd")
    if os.geteuid() != 0:
        raise Skip("needs root")
    with tempfile.TemporaryDirectory(prefix="tl-probes-") as folder, \
            loop_device(folder) as device, cgroup() as groups:
        quiet = Agent(tapline, folder, "")
        check(not kernel_objects(quiet.process.pid), "an empty configuration loads BPF")
        quiet.stop()
        agent = Agent(tapline, folder, "  probes: true\n")
        classic = Agent(tapline, folder, "  probes: true\n",
                        environment={"TAPLINE_BPF_REFUSE": "tp_btf"})
        for one in (agent, classic):
            wait_for("the hooks", lambda: all(one.tracers()[name].get("hook") for name in PROBES))
        hooks = {one: {one.tracers()[name]["hook"].split(" ")[0] for name in PROBES}
                 for one in (agent, classic)}
        if "none" in hooks[agent]:
            raise Skip(f"no BPF here: {agent.tracers()['runqlat']['hook']}")
        print(f"hooks: {hooks[agent]}, with tp_btf refused {hooks[classic]}")
        check(hooks[classic] == {"tracepoint"}, f"the next hook: {hooks[classic]}")
        settle([agent, classic], *PROBES)
        wait_for("the container", lambda: ID in agent.get("/api/v1/containers"))
        requests, by_perf = check_disks([agent, classic], folder, device, groups)
        print(f"{requests} requests agree with /proc/diskstats" +
              (f", {by_perf * 1e3:.1f} ms of d2c with perf" if by_perf is not None else ""))
        if hooks[agent] == {"tp_btf"}:
            check_container_disk(agent, device)
            seconds, times = check_waits([agent], groups)
            print(f"{times} waits, {seconds:.2f} s, of a container agree with schedstat")
            if check_v2(tapline, folder):
                print("and of one in the tree of cgroup v2")
        check(series_of(classic, "tapline_runqlat_latency_total") > 100, "waits of the host")
        rss = int(keyed(read(f"/proc/{agent.process.pid}/status"))["VmRSS:"]) / 1024
        check(rss < 64, f"RSS {rss} MB")
        print(f"RSS with probes {rss:.1f} MB")
        check_cycles(agent, 100 if "--long" in sys.argv else 5)
        held = kernel_objects(classic.process.pid)
        check(held, "the other agent's programs")
        agent.stop()
        classic.stop()
        wait_for("their end in the kernel", lambda: not any(is_alive(*one) for one in held))
        alive = check_refused(tapline, folder, device)
        print(f"without capabilities still running: {', '.join(alive)}")
    return 0


if __name__ == "__main__":
    lab.run(main, Agent.kill_all)
