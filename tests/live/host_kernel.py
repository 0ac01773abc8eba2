#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Events that programs in the kernel see, each caused for real in a place of our own: packets for
closed ports (dropwatch), a tc program that spins on a veth (softirq, and netrecvlat on two of its
stages), a program that keeps interrupts off (softirq), an application that reads late (netrecvlat),
a memory cgroup that is too small (memreclaim). A second agent sees them without BPF, as far as
perf events tell. With TL_TEST_HUNGTASK=1 also a task that hangs (hungtask), which the kernel watches for
on the whole machine; TL_TEST_CYCLES is how often all are stopped and started."""
import contextlib
import ctypes
import datetime
import json
import os
import pathlib
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time

import lab
from host_events import ID, events_of, folder_of, small_cgroup, value_of
from host_metrics import Agent
from lab import HTTP, Skip, check, wait_for

CLOSED, PORT = 5999, 6000
MESSAGE = b"m" * 1000
TRACERS = ("dropwatch", "softirq", "netrecvlat", "memreclaim")
VECTORS = ("HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU")
# The rate is shared with all that happens on this machine.
SETTINGS = """  event: true
  dropwatch: {packets: ip, rate: 10000, known_issues: {closed-udp: "udp.*_rcv"}}
  memreclaim: {threshold: 2us, rate: 10000}
  netrecvlat: {rate: 10000}
  softirq: {rate: 10000}
  hungtask: {pause: 0s}
"""
EXACT = SETTINGS.replace("rate: 10000}\n  hung", "rate: 10000, exact: true}\n  hung") + \
    "  disabled: [dropwatch, memreclaim, netrecvlat, hungtask]\n"
PLAIN = SETTINGS + "  bpf: false\n  disabled: [netrecvlat, hungtask]\n"


class Watch:
    """An agent and its records. Other programs of this machine cause some, too: `is_ours` tells."""

    def __init__(self, tapline, folder, settings=SETTINGS, tracers=TRACERS,
                 hooks=("ticks", "tp_btf", "raw_tp")):
        self.tracers, self.hooks = tracers, hooks
        self.agent = Agent(tapline, folder, settings)
        self.store = pathlib.Path(folder) / f"events-{folder_of(self.agent)}"
        wait_for("programs in the kernel", self.is_attached, 30)

    def states(self):
        return json.loads(self.agent.get("/api/v1/tracers"))["data"]

    def is_attached(self):
        states = self.states()
        for name in self.tracers:
            state = states[name]
            if any(text in state.get("hook", "") for text in
                   ("tp_btf: Operation not permitted", "perf_event: Permission denied")):
                raise Skip(f"the kernel may not be asked here: {name}: {state}")
            check(state["state"] == "active" and not state.get("reason"), f"{name}: {state}")
        return all(states[name].get("hook", "").startswith(self.hooks) for name in self.tracers)

    def wait(self, what, tracer, is_ours, cause, part=lambda one: one["tracer_data"]):
        """The first of our records. The cause is repeated, for a program is attached a moment
        before it knows its thresholds."""
        due = 0

        def ours():
            nonlocal due
            if time.monotonic() >= due:
                cause()
                due = time.monotonic() + 2
            return [one for one in events_of(self.store, tracer) if is_ours(part(one))]
        try:
            return wait_for(f"{tracer}: {what}", ours, 30)[0]
        except (lab.Failed, KeyError):
            print(f"the last of {tracer}:", *events_of(self.store, tracer)[-5:], sep="\n")
            print({name: value for name, value in self.agent.series().items() if tracer in name})
            print(self.states()[tracer])
            raise

    def counter(self, name):
        return value_of(self.agent, name) or 0


class Relay:
    """Carries frames between two interfaces of a namespace, so that they come to the other side as
    from a wire: without the sender's marks and stamps."""

    def __init__(self, laboratory, namespace, *names):
        with laboratory.inside(namespace):
            self.sockets = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
                            for _ in names]
            for one, name in zip(self.sockets, names):
                one.bind((name, 3))
        self.is_done = False
        self.cpus = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.is_done:
            for one in select.select(self.sockets, [], [], 0.1)[0]:
                frame, address = one.recvfrom(65536)
                if self.cpus is not None:
                    os.sched_setaffinity(0, self.cpus) # of this thread
                    self.cpus = None
                if address[2] != socket.PACKET_OUTGOING:
                    with contextlib.suppress(OSError):
                        self.sockets[one is self.sockets[0]].send(frame)

    def close(self):
        self.is_done = True
        self.thread.join()
        for one in self.sockets:
            one.close()


def inode(laboratory, namespace):
    return int(laboratory.on(namespace, "stat", "-Lc", "%i", "/proc/self/ns/net"))


def check_drops(watch, plain, laboratory, namespace):
    net = inode(laboratory, namespace)
    with laboratory.inside(namespace):
        client = socket.socket()
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client, udp:
        one = watch.wait("the closed port's SYN", "dropwatch", lambda data:
                         data["net_namespace_inum"] == net and "tcp" in data["layers"] and
                         data["layers"]["tcp"]["dport"] == CLOSED,
                         lambda: client.connect_ex(("127.0.0.1", CLOSED)))
        known = watch.counter("tapline_dropwatch_known_total")
        for _ in range(3):
            with contextlib.suppress(ConnectionRefusedError):
                udp.sendto(b"nobody", ("127.0.0.1", CLOSED))
    data = one["tracer_data"]
    check(data["drop_reason"] == "NO_SOCKET" and data["drop_location"].startswith("tcp_v4_rcv+") and
          "tcp_v4_rcv+" in data["stack"], f"where and why: {one}")
    check(data["layers"]["ip"]["saddr"] == data["layers"]["ip"]["daddr"] == "127.0.0.1" and
          data["layers"]["tcp"]["flags"] == "S" and data["netdev_name"] == "lo" and
          data["packet_eth_proto"] == "0x0800", f"its flow: {one}")
    check("container_id" not in one and one["tracer_type"] == "event", f"envelope: {one}")
    wait_for("the known drops, counted",
             lambda: watch.counter("tapline_dropwatch_known_total") >= known + 3, 30)
    check(not [1 for one in events_of(watch.store, "dropwatch") if "udp" in
               one["tracer_data"]["layers"] and one["tracer_data"]["net_namespace_inum"] == net],
          "a known drop was saved")
    check(watch.counter("tapline_dropwatch_saved_total") >= 1, "saved drops are not counted")
    print(f"dropwatch: {json.dumps(one)}")
    with laboratory.inside(namespace):
        again = socket.socket()
    with again:
        one = plain.wait("the closed port's SYN", "dropwatch", lambda data:
                         data["pid"] == os.getpid() and data["drop_reason"] == "NO_SOCKET" and
                         data["drop_location"].startswith("tcp_v4_rcv+"),
                         lambda: again.connect_ex(("127.0.0.1", CLOSED)))
    data = one["tracer_data"]
    check("tcp_v4_rcv+" in data["stack"] and data["packet_eth_proto"] == "0x0800" and
          "layers" not in data and "net_namespace_inum" not in data, f"without BPF: {one}")


class Talk:
    """A TCP connection between two namespaces, with a relay and a spinning filter on its way."""

    def __init__(self, laboratory, program):
        self.lab = laboratory
        self.client, self.relays, self.server = (laboratory.namespace(x) for x in "crs")
        laboratory.veth(self.client, "c0", self.relays, "r0", offload=False)
        laboratory.veth(self.relays, "r1", self.server, "s0", offload=False)
        for namespace, name, number in ((self.client, "c0", 1), (self.server, "s0", 2)):
            # A checksum that only a device would finish does not get through the relay.
            laboratory.on(namespace, "ethtool", "-K", name, "tx", "off")
            laboratory.ip(namespace, f"addr add 10.99.0.{number}/24 dev {name}")
        self.relay = Relay(laboratory, self.relays, "r0", "r1")
        with laboratory.inside(self.server):
            listener = socket.create_server((HTTP, PORT))
        with laboratory.inside(self.client):
            self.sender = socket.socket()
        self.sender.settimeout(30)
        self.sender.connect((HTTP, PORT))
        self.sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.receiver = listener.accept()[0]
        self.receiver.settimeout(30)
        listener.close()
        laboratory.on(self.server, "tc", "qdisc", "add", "dev", "s0", "clsact")
        laboratory.on(self.server, "tc", "filter", "add", "dev", "s0", "ingress", "bpf", "da",
                      "obj", program, "sec", "tc")

    def say(self, message, pause=0):
        """Sends it, and reads it `pause` seconds after it came."""
        self.sender.sendall(message)
        check(select.select([self.receiver], [], [], 30)[0], "the message did not come")
        time.sleep(pause)
        self.receive(len(message))

    def receive(self, size):
        got = b""
        while len(got) < size:
            more = self.receiver.recv(size - len(got))
            check(more, f"the connection ended after {len(got)} bytes")
            got += more

    def close(self):
        self.sender.close()
        self.receiver.close()
        self.relay.close()


def span_of(one):
    """(CPU, begin, end) of what a record of softirq tells, in seconds."""
    end = datetime.datetime.strptime(one["time"], "%Y-%m-%d %H:%M:%S.%f %z").timestamp()
    return one["tracer_data"]["cpu"], end - one["tracer_data"]["duration_ns"] / 1e9, end


def check_softirq(watch, talk):
    """The filter's own softirq is long; one that was raised meanwhile on that CPU begins late."""
    def is_long(data):
        return (data["kind"] == "long" and data["vector"] == "NET_RX" and
                data["duration_ns"] >= 15_000_000 and "tc" in data["stack"]) # of 25 ms, to ticks

    def is_late(one):
        if one["tracer_data"]["kind"] != "late":
            return False
        cpu, raised, begun = span_of(one)
        spins = [span_of(other) for other in events_of(watch.store, "softirq")
                 if is_long(other["tracer_data"])]
        # Raises are told to a tick, times to a millisecond.
        return any(cpu == on and begin - 0.02 <= raised < end and end - 0.002 <= begun
                   for on, begin, end in spins)
    long = watch.wait("the filter that spins", "softirq", is_long, lambda: talk.say(MESSAGE))
    check("__netif_receive_skb" in long["tracer_data"]["stack"] and
          long["tracer_data"]["threshold_ns"] == 10_000_000, f"softirq: {long}")
    print(f"softirq: {json.dumps(long)}")
    late = watch.wait("one that had to wait for it", "softirq", is_late,
                      lambda: talk.say(MESSAGE), part=lambda one: one)
    check(late["tracer_data"]["vector"] in VECTORS and
          late["tracer_data"]["duration_ns"] > late["tracer_data"]["threshold_ns"] == 10_000_000,
          f"softirq: {late}")
    print(f"softirq: {json.dumps(late)}")


class Hold:
    """hold.bpf.c in the kernel, by libbpf."""

    def __init__(self, path):
        self.bpf = ctypes.CDLL("libbpf.so.1")
        for name in ("bpf_object__open_file", "bpf_object__find_program_by_name",
                     "bpf_program__attach"):
            getattr(self.bpf, name).restype = ctypes.c_void_p
        self.object = ctypes.c_void_p(self.bpf.bpf_object__open_file(path.encode(), None))
        check(self.object and self.bpf.bpf_object__load(self.object) == 0, f"{path} is not loaded")
        program = ctypes.c_void_p(self.bpf.bpf_object__find_program_by_name(self.object, b"hold"))
        self.link = ctypes.c_void_p(self.bpf.bpf_program__attach(program))
        check(self.link, f"{path} is not attached")

    def close(self):
        self.bpf.bpf_link__destroy(self.link)
        self.bpf.bpf_object__close(self.object)


def check_timer(watch, path):
    """The tick can't interrupt while a task of ours keeps interrupts off."""
    code = ("import time\nopen('/proc/self/comm', 'w').write('tl-hold')\n"
            "for _ in range(3): time.sleep(0.01)\n")
    with contextlib.closing(Hold(path)):
        one = watch.wait("interrupts off", "softirq", lambda data: data["kind"] == "timer" and
                         data["comm"] == "tl-hold",
                         lambda: subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True))
    data = one["tracer_data"]
    check(data["duration_ns"] > data["threshold_ns"] == 10_000_000 and "vector" not in data and
          "hrtimer" in data["stack"], f"softirq: {one}")
    print(f"softirq: {json.dumps(one)}")


def check_latency(watch, exact, plain, laboratory, program):
    talk = Talk(laboratory, program)
    net = inode(laboratory, talk.server)

    def on_stage(stage):
        return lambda data: (data["latency_stage"] == stage and data["net_namespace_inum"] == net and
                             data["layers"]["tcp"]["dport"] == PORT)
    with contextlib.closing(talk):
        for one in (watch, exact, plain):
            check_softirq(one, talk)
        tcp = watch.wait("late at TCP", "netrecvlat", on_stage("RX_STAGE_TCPV4"),
                         lambda: talk.say(MESSAGE))
        data = tcp["tracer_data"]
        check(25 <= data["latency_ms"] < 60_000 and data["latency_threshold_ms"] == 10 and
              data["stamp"] == "realtime" and data["tcp_state"] == "ESTABLISHED", f"TCP: {tcp}")
        check(data["layers"]["ip"]["saddr"] == "10.99.0.1" and
              data["layers"]["ip"]["daddr"] == HTTP and data["layers"]["tcp"]["sport"] ==
              talk.sender.getsockname()[1], f"flow: {tcp}")
        copy = watch.wait("read late", "netrecvlat", on_stage("RX_STAGE_USERCOPY"),
                          lambda: talk.say(b"late", 0.2)) # longer than the threshold
        data = copy["tracer_data"]
        check(115 <= data["latency_ms"] < 60_000 and data["pid"] == os.getpid() and
              data["packet_len_bytes"] >= 4, f"copy: {copy}")
        print(f"netrecvlat: {json.dumps(copy)}")
        check_queue(watch, talk, on_stage("RX_STAGE_NETIF"))


def check_queue(watch, talk, is_ours):
    """A packet that waits on the CPU on which another one spins."""
    if os.cpu_count() < 2:
        print("netrecvlat: RX_STAGE_NETIF is not tested on one CPU")
        return
    talk.lab.on(talk.server, "sh", "-c", "echo 1 >/sys/class/net/s0/queues/rx-0/rps_cpus")
    talk.relay.cpus = set(range(1, os.cpu_count())) # the relay goes on while CPU 0 spins

    def four():
        for _ in range(4):
            talk.sender.sendall(MESSAGE)
        talk.receive(4 * len(MESSAGE))
    one = watch.wait("late in the backlog", "netrecvlat", is_ours, four)
    check(5 <= one["tracer_data"]["latency_ms"] < 60_000, f"netif: {one}")


def check_reclaim(watch, plain):
    # On a disk: /tmp may be a tmpfs, where reading a hole takes no memory.
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as sparse, small_cgroup() as groups:
        sparse.truncate(200 << 20)
        code = ("import os\n"
                + "".join(f"open('{group}/cgroup.procs', 'w').write(str(os.getpid()))\n"
                          for group in groups)
                + f"file = open('{sparse.name}', 'rb')\nwhile file.read(1 << 20): pass\n")
        readers = []

        def run():
            reader = subprocess.Popen([sys.executable, "-c", code])
            readers.append(reader.pid)
            check(reader.wait(60) == 0, f"the reader ended with {reader.returncode}")
        # Without BPF its container is asked for when it may have ended.
        for agent in (watch, plain):
            one = agent.wait("the reader's cgroup was full", "memreclaim",
                             lambda data: data["tracer_data"]["pid"] in readers and
                             data["tracer_data"]["pages_reclaimed"] > 0 and "container_id" in data,
                             run, part=lambda one: one)
            data = one["tracer_data"]
            check(one["container_id"] == ID and data["type"] == "memcg" and
                  data["tid"] == data["pid"] and
                  data["reclaim_duration_ns"] >= data["threshold_ns"] == 2000 and
                  "try_charge_memcg" in data["stack"], f"memreclaim: {one}")
    print(f"memreclaim: {json.dumps(one)}")


@contextlib.contextmanager
def frozen_disk(folder):
    """A file system on a loop device of our own, to which nobody can write."""
    image, place = folder / "image", folder / "disk"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(32 << 20)
    for command in (["mkfs.ext4", "-q", image], ["mount", "-o", "loop", image, place],
                    ["fsfreeze", "--freeze", place]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            subprocess.run(["umount", place], capture_output=True)
            raise Skip(f"{command[0]}: {done.stderr}")
    try:
        yield place
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", place], check=True)
        for _ in range(100): # the writer that was held up is about to end
            if subprocess.run(["umount", place], capture_output=True).returncode == 0:
                break
            time.sleep(0.1)


def check_hang(watch, folder):
    """Only when asked for: all tasks of the machine that are blocked for two seconds are told of."""
    timeout = pathlib.Path("/proc/sys/kernel/hung_task_timeout_secs")
    before = timeout.read_text()
    with frozen_disk(folder) as place:
        writer = subprocess.Popen(["dd", "if=/dev/zero", f"of={place}/file", "count=1"],
                                  stderr=subprocess.DEVNULL)
        timeout.write_text("2")
        try:
            one = watch.wait("a writer to a frozen disk", "hungtask",
                             lambda data: data["tid"] == writer.pid, lambda: None)
        finally:
            timeout.write_text(before)
    check(writer.wait(30) == 0, "the writer")
    data = one["tracer_data"]
    check(data["comm"] == "dd" and data["hung_task_timeout_secs"] == 2 and
          "percpu_rwsem_wait" in data["blocked_processes_stack"], f"hungtask: {one}")
    print(f"hungtask: {json.dumps(one)}")


def check_end(watch):
    """A stopped tracer leaves nothing in the kernel, and starts again."""
    process = f"/proc/{watch.agent.process.pid}"

    def left():
        links = []
        for one in os.listdir(f"{process}/fd"):
            with contextlib.suppress(FileNotFoundError): # closed meanwhile
                links.append(os.readlink(f"{process}/fd/{one}"))
        return [link for link in links if "bpf" in link or "perf" in link]
    names = [name for name, state in watch.states().items()
             if state.get("hook", "").startswith(watch.hooks)]
    check(set(watch.tracers) <= set(names) and left(), f"{names} hold {left()}")
    for _ in range(int(os.environ.get("TL_TEST_CYCLES", "1"))):
        for name in names: # where CPUs are short the kernel may take longer than the call waits
            check(watch.agent.call("PUT", f"/api/v1/tracers/{name}/stop") in (204, 409), name)
        wait_for("all to have stopped",
                 lambda: not any(watch.states()[name]["running"] for name in names), 30)
        check(not left(), f"left in the kernel: {left()}")
        for name in names:
            check(watch.agent.call("PUT", f"/api/v1/tracers/{name}/start") == 204, name)
        wait_for("programs in the kernel again", watch.is_attached, 30)


def test(laboratory):
    if not os.path.exists("/sys/kernel/btf/vmlinux"):
        raise Skip("this kernel does not describe its types")
    if len(sys.argv) < 4:
        raise Skip("built without BPF")
    try:
        watch = Watch(laboratory.tapline, laboratory.folder)
        plain = Watch(laboratory.tapline, laboratory.folder, PLAIN,
                      ("dropwatch", "softirq", "memreclaim"), ("perf_event",))
        exact = Watch(laboratory.tapline, laboratory.folder, EXACT, ("softirq",), ("tp_btf", "raw_tp"))
        check_drops(watch, plain, laboratory, laboratory.namespace("d"))
        check_latency(watch, exact, plain, laboratory, sys.argv[2])
        for one in (watch, exact):
            check_timer(one, sys.argv[3])
        check_reclaim(watch, plain)
        if os.environ.get("TL_TEST_HUNGTASK"):
            check_hang(watch, laboratory.folder)
        for one in (watch, exact, plain):
            check_end(one)
            one.agent.stop()
    finally:
        Agent.kill_all()


if __name__ == "__main__":
    lab.main(test)
