#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Events of the host from cause to store: a process killed for lack of memory in a cgroup of our
own, the kernel's watchdogs and a burst of memory as files below another root tell them; in the
local file, in the live stream, and by the bulk API also after the receiver was down."""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "peers"))
import host_metrics
import lab
from host_metrics import Agent, keyed, read
from lab import Skip, check, wait_for
from receiver import Receiver

ID = "a1" * 32
SOFT = ("watchdog: BUG: soft lockup - CPU#1 stuck for 23s! [kworker/1:2:6206]", "RIP: 0010:spin+0x1",
        "Call Trace:", " <TASK>", " do_work+0x10/0x20", " </TASK>")
HUNG = ("INFO: task dd:my:4711 blocked for more than 120 seconds.", "Call Trace:", " <TASK>",
        " percpu_rwsem_wait+0x1/0x2", " </TASK>")
GLOBAL = ("stress:2 invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=1, "
          "oom_score_adj=0", "CPU: 0 PID: 0 Comm: stress:2 Not tainted 5.10.0-1 #1", "Mem-Info:",
          "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
          "task_memcg=/user.slice,task=hog,pid=4194999,uid=1000",
          "Out of memory: Killed process 4194999 (hog) total-vm:900kB, anon-rss:800kB, file-rss:0kB, "
          "shmem-rss:0kB, UID:1000 pgtables:100kB oom_score_adj:7")


def events_of(folder, tracer):
    path = pathlib.Path(folder) / f"{tracer}.jsonl"
    text = read(path) if path.exists() else ""
    return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()] # whole ones


def value_of(agent, series):
    page = agent.try_get("/metrics") # in its first second an agent has none
    return None if page is None else agent.series().get(series)


def folder_of(agent):
    return agent.base.rsplit(":", 1)[1]


class Follower:
    """GET /api/v1/events?follow=true, as it comes."""

    def __init__(self, agent, tracer):
        self.answer = urllib.request.urlopen(
            f"{agent.base}/api/v1/events?follow=true&tracer={tracer}", timeout=30)
        self.events = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError, ValueError):
            for line in self.answer:
                self.events.append(json.loads(line))


@contextlib.contextmanager
def small_cgroup():
    """A container's memory cgroup of 40 MiB; the cpu controller knows the container too."""
    made = [pathlib.Path("/sys/fs/cgroup") / part / "docker" / ID for part in ("cpu", "memory")]
    if not (made[1].parent.parent / "memory.limit_in_bytes").exists():
        raise Skip("no cgroup v1 memory controller here")
    try:
        for folder in made:
            try:
                folder.mkdir(parents=True)
            except OSError as error:
                raise Skip(f"no cgroups can be made here: {error}") from None
        (made[1] / "memory.limit_in_bytes").write_text("40M")
        yield made
    finally:
        for folder in made:
            for one in (folder, folder.parent):
                for _ in range(100):
                    try:
                        one.rmdir()
                        break
                    except OSError:
                        time.sleep(0.01)


def check_oom(tapline, folder):
    receiver = Receiver(default=200)
    port = receiver.port
    receiver.close() # nobody listens there yet
    agent = Agent(tapline, folder, "  event: true\n  bpf: false\n  disabled: [dropwatch, memreclaim, netrecvlat, softirq]\n", f"""exporters:
  elasticsearch:
    - {{url: "http://127.0.0.1:{port}", queue: {{directory: {folder}/queue}},
       backoff: {{min: 50ms, max: 200ms}}, roundtrips: false, compression: none}}
""")
    store = pathlib.Path(folder) / f"events-{folder_of(agent)}"
    follower = Follower(agent, "oom")
    with small_cgroup() as groups:
        code = ("import os\n"
                + "".join(f"open('{group}/cgroup.procs', 'w').write(str(os.getpid()))\n"
                          for group in groups)
                + "a = bytearray(200 << 20)\nfor i in range(0, len(a), 4096): a[i] = 1\n")
        hog = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        check(hog.wait(20) == -9, f"the hog ended with {hog.returncode}, not by the kernel")
        wait_for("the event in the file", lambda: events_of(store, "oom"))
    one, = events_of(store, "oom")
    victim = one["tracer_data"]["victim"]
    check(victim["pid"] == hog.pid, f"victim {victim}, the hog was {hog.pid}")
    check(one["container_id"] == victim["container_id"] == ID, "its container")
    check(victim["comm"].startswith("python3") and victim["anon_rss"] > 20 << 20, f"victim: {victim}")
    check(victim["cgroup"]["max"] == 40 << 20 and victim["cgroup"]["current"] <= 40 << 20 and
          victim["cgroup"]["stat"]["rss"] > 20 << 20, f"its cgroup: {victim}")
    check(one["tracer_data"]["trigger"]["pid"] == hog.pid, f"trigger: {one}")
    check("out_of_memory+" in one["tracer_data"]["stack"], f"stack: {one}")
    check(one["tracer_data"]["constraint"] == "CONSTRAINT_MEMCG", f"constraint: {one}")
    check(one["tracer_data"]["memory_snapshot"]["host_meminfo"]["MemTotal"] > 1 << 28, "snapshot")
    check(one["tracer_type"] == "event" and one["tracer_name"] == "oom", f"envelope: {one}")
    print(f"oom: {json.dumps(one)}")
    wait_for("the event in the stream", lambda: follower.events == [one])
    listed = [json.loads(line) for line in agent.get("/api/v1/events?tracer=oom").splitlines()]
    check(listed == [one], "the event by the API")
    shown = subprocess.run([tapline, "events", "--path", str(store), "--output", "json"],
                           capture_output=True, text=True, check=True).stdout
    check([json.loads(line) for line in shown.splitlines()] == [one], "tapline events")
    wait_for("its counter", lambda: value_of(agent, "tapline_oom_container_total") == 1)
    late = Receiver(default=(200, {}, b'{"errors": false}'), port=port)
    wait_for("the event by _bulk, after the receiver came back", lambda: late.requests, 20)
    action, document = [json.loads(line) for line in late.requests[0].body.splitlines()]
    check(action["create"] == {"_index": "logs-tapline.event-default", "_id": one["tracer_id"]},
          f"action {action}")
    check(document["tracer_data"] == one["tracer_data"], "the document")
    check_cycles(agent)
    agent.stop()
    late.close()


def check_cycles(agent, times=100):
    """Starting and stopping every tracer again and again leaves nothing behind."""
    tracers = [name for name, state in json.loads(agent.get("/api/v1/tracers"))["data"].items()
               if {"event", "autotracing"} & set(state["roles"]) and state["state"] == "active"]
    check(len(tracers) >= 4, f"tracers: {tracers}")
    for name in tracers:
        agent.call("PUT", f"/api/v1/tracers/{name}/stop")

    def count():
        return [len(os.listdir(f"/proc/{agent.process.pid}/{what}")) for what in ("fd", "task")]
    time.sleep(0.3)
    before = count()
    for _ in range(times):
        for name in tracers:
            check(agent.call("PUT", f"/api/v1/tracers/{name}/start") == 204, f"start {name}")
            check(agent.call("PUT", f"/api/v1/tracers/{name}/stop") == 204, f"stop {name}")
    check(agent.call("PUT", f"/api/v1/tracers/{tracers[0]}/stop") == 409, "stopped twice")
    wait_for(f"as many descriptors and threads as before ({before})",
             lambda: all(now <= then for now, then in zip(count(), before)))


def check_watchdogs(tapline, folder):
    root = pathlib.Path(folder) / "host"
    for name, text in {"proc/sys/kernel/watchdog_thresh": "10\n",
                       "proc/sys/kernel/hung_task_timeout_secs": "120\n",
                       "proc/meminfo": meminfo(10), "dev/kmsg": ""}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "proc/4242").mkdir()
    (root / "proc/4242/statm").write_text("200000 150000 1 1 0 1 0\n")
    (root / "proc/4242/comm").write_text("leaky\n")
    agent = Agent(tapline, folder, f"""  root: {root}
  bpf: false
  disabled: [dropwatch, memreclaim, netrecvlat, softirq]
  event: true
  autotracing: true
  memburst: {{sample: 20ms, window: 5, growth: 100, floor: 70}}
""")
    store = pathlib.Path(folder) / f"events-{folder_of(agent)}"

    def say(*lines):
        with open(root / "dev/kmsg", "a") as log:
            for number, line in enumerate(lines):
                log.write(f"3,{number},{number},-;{line}\n")
    say("usb 1-1: new device", *SOFT, *HUNG, *HUNG)
    wait_for("both watchdogs", lambda: events_of(store, "softlockup") and
             events_of(store, "hungtask"))
    soft = events_of(store, "softlockup")[0]["tracer_data"]
    check((soft["cpu"], soft["pid"], soft["comm"], soft["stuck_seconds"]) ==
          (1, 6206, "kworker/1:2", 23), f"softlockup: {soft}")
    check("do_work+0x10/0x20" in soft["cpus_stack"], f"softlockup: {soft}")
    hung = events_of(store, "hungtask")[0]["tracer_data"]
    check((hung["tid"], hung["comm"], hung["hung_task_timeout_secs"]) == (4711, "dd:my", 120),
          f"hungtask: {hung}")
    check("percpu_rwsem_wait" in hung["blocked_processes_stack"], f"hungtask: {hung}")
    say(*GLOBAL)
    wait_for("the host's kill", lambda: events_of(store, "oom"))
    kill = events_of(store, "oom")[0]
    check("container_id" not in kill and kill["tracer_data"]["constraint"] == "CONSTRAINT_NONE" and
          kill["tracer_data"]["trigger"] == {"comm": "stress:2"} and
          kill["tracer_data"]["order"] == 1 and kill["tracer_data"]["victim"] == {
              "pid": 4194999, "comm": "hog", "container_id": "", "container_hostname": "",
              "cgroup": {"path": "/user.slice"}, "total_vm": 900 << 10, "anon_rss": 800 << 10,
              "page_tables": 100 << 10, "uid": 1000, "oom_score_adj": 7}, f"oom: {kill}")
    wait_for("both hangs counted", lambda: value_of(agent, "tapline_hungtask_total") == 2)
    check(len(events_of(store, "hungtask")) == 1, "the second one within the backoff was saved")
    time.sleep(0.3)
    check(not events_of(store, "memburst"), "a burst without growth")
    (root / "proc/meminfo").write_text(meminfo(80))
    wait_for("the burst", lambda: events_of(store, "memburst"))
    burst = events_of(store, "memburst")[0]
    check(burst["tracer_type"] == "autotracing", f"memburst: {burst}")
    check(burst["tracer_data"]["anonymous_percent"] == 80, f"memburst: {burst}")
    check(burst["tracer_data"]["top_memory_usage"] == [
        {"PID": 4242, "ProcessName": "leaky", "MemSize": 150000 * os.sysconf("SC_PAGESIZE")}],
        f"memburst: {burst}")
    agent.stop()


def meminfo(percent):
    return f"MemTotal: 1000 kB\nActive(anon): {percent * 5} kB\nInactive(anon): {percent * 5} kB\n"


def main():
    tapline = os.path.realpath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="tl-events-") as folder:
        check_watchdogs(tapline, folder)
        print("softlockup, hungtask and memburst told from files")
        check_oom(tapline, folder)
        print("a real kill told in file, stream, API, and by _bulk after an outage")
    return 0


if __name__ == "__main__":
    lab.run(main, Agent.kill_all)
