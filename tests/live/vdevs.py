#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""DPDK's own drivers for what Linux offers: what net_af_packet's kernel dropped is told, net_tap, an
interface that the probe itself makes, is read, and `tapline doctor` judges a port."""
import json
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import frames
import lab
from lab import check

RING = 512  # frames that net_af_packet shares with the kernel
SENT = 4000
STRAY = 100  # packets of the kernel's own (neighbours, multicast) at most
ENDS = ("192.0.2.1", "192.0.2.2")


def sender(l, namespace, interface):
    with l.inside(namespace):
        out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind((interface, 0))
    return out


def port_of(l, namespace):
    return json.loads(l.get(namespace, "/api/v1/status"))["ports"][0]


def kernel_drops_are_told(l, port=f"net_af_packet0,iface=s0,framecnt={RING}", ring=RING):
    client, server = l.pair(offload=False)
    agent = l.agent(server, [f'device: "{port}"'])
    before = port_of(l, server)
    frame = frames.ethernet(True, frames.udp(ENDS[0], 40000, ENDS[1], 9, b"x" * 100))
    lab.pause(agent)  # nobody empties the ring
    with sender(l, client, "c0") as out:
        for _ in range(SENT):
            out.send(frame)
    agent.send_signal(signal.SIGCONT)

    def counted():
        port = port_of(l, server)
        seen = port["packets"] - before["packets"]
        dropped = port["dropped"]["kernel"] - before["dropped"]["kernel"]
        return (seen, dropped) if seen + dropped >= SENT else None
    seen, dropped = lab.wait_for("all packets in the books", counted)
    print(f"{port.split(',')[0]}: {SENT} sent, {seen} seen, {dropped} dropped by the kernel")
    check(seen + dropped <= SENT + STRAY, f"{seen} seen and {dropped} dropped of {SENT}")
    check(dropped >= SENT - 2 * ring, f"only {dropped} dropped with a ring of {ring}")
    check(l.stop(agent) == 0, "the agent did not end in order")


def a_tap_is_read(l):
    inside = l.namespace("t")
    agent = l.agent(inside, ['device: "net_tap0,iface=tp0"'])
    with sender(l, inside, "tp0") as out:
        for number in range(20):
            for is_up, packet in frames.http(ENDS[0], 41000 + number, ENDS[1], f"/{number}", b"x" * 2500):
                out.send(frames.ethernet(is_up, packet))
                time.sleep(0.0005)
    l.await_lines(20)
    records = l.records()
    paths = {record["request"]["path"] for record in records}
    print(f"net_tap: {len(records)} records")
    check(len(records) == 20 and paths == {f"/{n}" for n in range(20)}, f"{len(records)} records of {paths}")
    check({record["status"] for record in records} == {"ok"}, f"{records[0]}")
    check(l.stop(agent) == 0, "the agent did not end in order")


def doctor(l, namespace, *arguments):
    """What `tapline doctor` finds in a second, its exit status."""
    done = subprocess.run(["ip", "netns", "exec", namespace, l.tapline, "doctor", "--seconds", "1", "-o",
                           "json", *arguments], capture_output=True, text=True, timeout=120)
    check(done.returncode in (0, 1), f"doctor: exit {done.returncode}: {done.stderr}")
    return json.loads(done.stdout), done.returncode


def the_doctor_is_interrupted(l, namespace):
    """It counts by the time that it listened, not by what it was to listen."""
    began = time.monotonic()
    child = subprocess.Popen(["ip", "netns", "exec", namespace, l.tapline, "doctor", "--seconds", "3600",
                              "-o", "json", "--port", "d1", "--filter", "udp port 9"],
                             stdout=subprocess.PIPE, text=True)
    lab.wait_for("the doctor's handler of SIGINT", lambda: handles(child.pid, signal.SIGINT))
    child.send_signal(signal.SIGINT)
    text = next(f["text"] for f in json.loads(child.communicate(timeout=120)[0])["findings"]
                if f["check"] == "traffic")
    check(float(re.search(r"in (\S+) s", text)[1]) <= time.monotonic() - began, f"interrupted: {text}")


def handles(pid, number):
    """Whether that process has a handler of its own for that signal."""
    caught = re.search(r"^SigCgt:\s*(\w+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)
    return int(caught[1], 16) >> (number - 1) & 1


def keep_sending(l, namespace, interface, is_over):
    number = 0
    with sender(l, namespace, interface) as out:
        while not is_over.is_set():
            number = number % 20000 + 1
            for is_up, packet in frames.http(ENDS[0], 20000 + number, ENDS[1], "/", b"x" * 500):
                out.send(frames.ethernet(is_up, packet))
            time.sleep(0.005)


def the_doctor_judges(l):
    """The same line, silent and with traffic; what it says of the traffic is the report's business."""
    port = "net_pcap0,rx_iface=d1"
    inside = l.namespace("d")
    l.veth(inside, "d0", inside, "d1", offload=False)
    l.on(inside, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    found, status = doctor(l, inside, "--port", "d1", "--filter", "udp port 9")
    check(status == 1 and found["verdict"] == "bad", f"a silent port: {found}")
    the_doctor_is_interrupted(l, inside)
    is_over = threading.Event()
    thread = threading.Thread(target=keep_sending, args=(l, inside, "d0", is_over))
    thread.start()
    try:
        for _ in range(10):  # a busy machine may let no packet pass within a second
            found, status = doctor(l, inside, "--port", "d1", "--port", port)
            if not any(f["check"] == "traffic" and f["verdict"] == "bad" for f in found["findings"]):
                break
    finally:
        is_over.set()
        thread.join()
    verdicts = {(f["port"], f["check"]): f["verdict"] for f in found["findings"]}
    print(f"doctor: {verdicts}")
    for name in ("d1", "net_pcap0"):
        for what in ("link", "queues", "stamps", "traffic"):
            check(verdicts.get((name, what)) == "ok", f"{name} {what}: {found}")
    check(status == (1 if "bad" in verdicts.values() else 0), f"exit status {status}: {verdicts}")


def run(l):
    the_doctor_judges(l)
    kernel_drops_are_told(l)
    a_tap_is_read(l)


if __name__ == "__main__":
    lab.main(run)
