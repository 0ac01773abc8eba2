#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""First runs where the machine is narrower than the developer's: each gives records, or one line
that says what is missing and how to mend it. Every row runs in an empty folder."""
import fcntl
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import termios
import time

import lab
from lab import Skip, check

CAPTURE = pathlib.Path(sys.argv[2])  # tests/captures/quickstart.pcap
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
HUGEPAGES = pathlib.Path("/proc/sys/vm/nr_hugepages")
CGROUPS = pathlib.Path("/sys/fs/cgroup")
FIRST_RECORD_S = 5  # a hundredth of it here; this machine may be busy with other tests


def run_file(l, *command, env=None, binary=None, **options):
    """watch of the capture behind `command`, in an empty folder."""
    folder = l.folder / f"empty{len(list(l.folder.iterdir()))}"
    folder.mkdir()
    folder.chmod(0o777)
    return subprocess.run([*command, binary or l.tapline, "watch", "-o", "json", "-r", l.capture],
                          cwd=folder, env=env, capture_output=True, text=True, timeout=30,
                          **options)


def check_records(l, done, what="watch"):
    check(done.returncode == 0, f"{what}: exit {done.returncode}: {done.stderr.strip()[-600:]}")
    got = len([json.loads(line) for line in done.stdout.splitlines()])
    check(got == l.wanted, f"{what}: {got} records instead of {l.wanted}")
    return f"{got} records"


def check_line(done, status, *words):
    lines = done.stderr.strip().splitlines()
    check(done.returncode == status, f"exit {done.returncode}, not {status}: {lines}")
    check(len(lines) == 1, f"not one line: {lines}")
    for word in words:
        check(word in lines[0], f"no {word!r} in {lines[0]!r}")
    return lines[0]


# ---- the rows ------------------------------------------------------------------------------

def plain(l):
    return check_records(l, run_file(l))


def as_nobody(l):
    return check_records(l, run_file(l, *NOBODY, env={"PATH": os.environ["PATH"]}))


def one_cpu(l):
    cpus = sorted(os.sched_getaffinity(0))
    return check_records(l, run_file(l, "taskset", "-c", str(cpus[-1])))


def one_cpu_live(l):
    """Three lcores on one CPU that is not the first: they must not starve each other."""
    cpu = sorted(os.sched_getaffinity(0))[-1]
    watch = l.watch(l.server, "--ifaces", "s0", command=("taskset", "-c", str(cpu)))
    l.on(l.client, "curl", "-s", "-o", "/dev/null", f"http://{lab.HTTP}/?n=[1-20]")
    l.await_lines(20, "watch.json")
    check(l.stop(watch, signal.SIGINT) == 0, "watch failed")
    got = len(l.records("watch.json"))
    check(got == 20, f"{got} records of 20")
    return f"{got} records live"


def cgroup(controller):
    for folder in (CGROUPS / controller, CGROUPS):
        if (folder / "cgroup.procs").exists() and os.access(folder, os.W_OK) and \
           (folder != CGROUPS or controller in (folder / "cgroup.controllers").read_text().split()):
            return folder
    raise Skip(f"no writable {controller} cgroup")


def in_cgroup(l, controller, settings):
    """Runs the watch of a file inside a new cgroup with these files set."""
    parent = cgroup(controller)
    made = parent / f"{l.prefix}"
    try:
        made.mkdir()
    except OSError as error:
        raise Skip(f"no writable {controller} cgroup: {error.strerror}")
    try:
        for names, value in settings:
            for name in names:  # version 1 and 2 call it differently
                if (made / name).exists():
                    (made / name).write_text(value)
                    break
            else:
                raise Skip(f"the {controller} cgroup has none of {names}")
        return run_file(l, preexec_fn=lambda: (made / "cgroup.procs").write_text(str(os.getpid())))
    finally:
        for _ in range(50):
            try:
                made.rmdir()
                break
            except OSError:
                time.sleep(0.05)


def cpuset_without_cpu_0(l):
    cpus = sorted(os.sched_getaffinity(0))
    if cpus[-1] == 0:
        raise Skip("one CPU only")
    return check_records(l, in_cgroup(l, "cpuset", ((("cpuset.mems",), "0"),
                                                    (("cpuset.cpus",), str(cpus[-1])))))


def memory_512_mb(l):
    return check_records(l, in_cgroup(l, "memory", (
        (("memory.limit_in_bytes", "memory.max"), str(512 << 20)),)))


def address_space_limit(l):
    """ulimit -v: tables are reserved generously and touched as needed, so that a small limit is
    an error; it must say so in a line."""
    done = run_file(l, "prlimit", f"--as={512 << 20}")
    return check_records(l, done) if done.returncode == 0 else check_line(done, 1, "memory")


def read_only_root(l):
    script = ('mount --make-rprivate / && mount --bind / / && mount -o remount,ro,bind / && '
              'for m in /tmp /run /var /home /root; do mount --bind $m $m 2>/dev/null && '
              'mount -o remount,ro,bind $m; done; cd / && ! touch /tmp/x 2>/dev/null && exec "$@"')
    return check_records(l, run_file(l, "unshare", "-m", "env", "-i", "sh", "-c", script, "sh"))


def beside_an_agent(l):
    agent = l.agent(l.server, ["interface: s0"])
    watch = l.watch(l.server, "--ifaces", "s0")
    l.on(l.client, "curl", "-s", "-o", "/dev/null", f"http://{lab.HTTP}/?n=[1-20]")
    for name in ("watch.json", "records.json"):
        l.await_lines(20, name)
    check(l.stop(watch, signal.SIGINT) == 0, "watch failed")
    check(l.stop(agent) == 0, "the agent failed")
    got = [len(l.records(name)) for name in ("watch.json", "records.json")]
    check(got == [20, 20], f"{got} records of 20")
    return f"{got} records"


def two_agents(l):
    """The second one's port is taken: a line that says so."""
    agent = l.agent(l.server, ["interface: s0"])
    done = subprocess.run(["ip", "netns", "exec", l.server, l.tapline, "agent", "--config",
                           l.folder / "tapline.yaml"], capture_output=True, text=True, timeout=20)
    l.stop(agent)
    check(done.returncode == 1 and "9091" in done.stderr, f"{done.returncode}: {done.stderr}")
    return done.stderr.strip().splitlines()[-1]


def with_hugepages(l):
    try:
        before = HUGEPAGES.read_text().strip()
        HUGEPAGES.write_text("64")
    except OSError as error:
        raise Skip(f"no hugepages: {error.strerror}")
    try:
        if int(HUGEPAGES.read_text()) < 64:
            raise Skip("the kernel has no 64 hugepages to give")
        return (check_records(l, run_file(l)) + ", as nobody " +
                check_records(l, run_file(l, *NOBODY), "nobody"))
    finally:
        HUGEPAGES.write_text(before)


def is_read(pipe):
    """Nothing is left in it."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder) == 0


def growing_pipe(l):
    """`tcpdump -w - | tapline watch -r -`: the first record is out soon after its packet."""
    data = l.capture.read_bytes()
    child = subprocess.Popen([l.tapline, "watch", "-o", "json", "-r", "-"], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        child.stdin.write(data[:24])
        child.stdin.flush()
        # EAL's start is not what is measured.
        lab.wait_for("a reader of the pipe", lambda: is_read(child.stdin))
        half = 24 + (len(data) - 24) // 2
        begun = time.monotonic()
        child.stdin.write(data[24:half])
        child.stdin.flush()
        ready = select.select([child.stdout], [], [], 30)[0]
        took = time.monotonic() - begun
        check(ready, "no record within 30 s")
        out, errors = child.communicate(data[half:], timeout=20)
    finally:
        child.kill()
        child.wait()
    check(child.returncode == 0, f"exit {child.returncode}: {errors.decode()[-300:]}")
    check(len(out.splitlines()) == l.wanted, f"{len(out.splitlines())} records")
    # Half a file is megabytes at most; a record waits for nothing but its own packets.
    check(took < FIRST_RECORD_S, f"{took:.2f} s to the first record")
    return f"first record after {took * 1000:.0f} ms"


def no_permission(l):
    done = subprocess.run([*NOBODY, l.tapline, "watch", "--ifaces", "lo"], capture_output=True,
                          text=True, timeout=20)
    return check_line(done, 3, "setcap", "permission")


def no_interface(l):
    done = subprocess.run([l.tapline, "watch", "--ifaces", "nosuch0"], capture_output=True,
                          text=True, timeout=20)
    return check_line(done, 3, "nosuch0", "any")


def capabilities_only(l):
    """What the message about setcap promises: those two capabilities are enough."""
    if shutil.which("setcap") is None:
        raise Skip("setcap is not installed")
    binary = l.folder / "tapline"
    shutil.copy(l.tapline, binary)
    binary.chmod(0o755)
    l.sh("setcap", "cap_net_raw,cap_net_admin+ep", binary)
    watch = l.start(l.server, *NOBODY, binary, "watch", "--ifaces", "s0", "--max", "5",
                    stdout=open(l.folder / "caps.json", "wb"), log="caps.log")
    lab.wait_for("watch captures", lambda: l.captures(watch))
    l.on(l.client, "curl", "-s", "-o", "/dev/null", f"http://{lab.HTTP}/?n=[1-20]")
    check(watch.wait(10) == 0, f"watch ended with {watch.returncode}: {watch.log.read_text()[-500:]}")
    got = len(l.records("caps.json"))
    check(got == 5, f"{got} records, --max was 5")
    return f"{got} records"


ROWS = (plain, as_nobody, one_cpu, one_cpu_live, cpuset_without_cpu_0, memory_512_mb,
        address_space_limit, read_only_root, beside_an_agent, two_agents, with_hugepages,
        growing_pipe, no_permission, no_interface, capabilities_only)


def run(l):
    l.capture = l.folder / "some.pcap"
    shutil.copy(CAPTURE, l.capture)
    l.wanted = len(run_file(l).stdout.splitlines())
    check(l.wanted > 0, "no records of the bundled capture")
    l.client, l.server = l.pair()
    l.nginx(l.server)
    failed = 0
    only = sys.argv[3:]
    for row in ROWS:
        if only and row.__name__ not in only:
            continue
        for name in ("watch.json", "watch.log"):
            (l.folder / name).unlink(missing_ok=True)
        begun = time.monotonic()
        try:
            text = row(l)
        except Skip as reason:
            text = f"skipped: {reason}"
        except lab.Failed as failure:
            text = f"FAILED: {failure}"
            failed += 1
        print(f"{row.__name__.replace('_', ' ')} ({time.monotonic() - begun:.1f} s): {text}",
              flush=True)
    check(failed == 0, f"{failed} of {len(ROWS)} rows failed")


lab.main(run)
