#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Another filter while packets pass on an interface: none is lost, whichever filter is in force.
Needs root; everything happens in a network namespace of its own."""
import http.client
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

TAPLINE = sys.argv[1]
SKIPPED = 77  # what meson takes for it
SECONDS = 20
PORT = 9391
# Each of them passes the traffic to port 4000, and none but the last two any other.
FILTERS = ["udp port 4000", "ip and udp dst port 4000 and host 127.0.0.1", "udp portrange 3999-4000",
           "udp", ""]


class Live(unittest.TestCase):
    def ask(self, method, path):
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=SECONDS)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def configure(self, interface, filter_):
        self.file.write_text(f"capture: {{ports: [{{interface: {interface}}}], filter: '{filter_}'}}\n"
                             f"server: {{address: '127.0.0.1:{PORT}'}}\n")

    def swap(self, interface):
        with tempfile.TemporaryDirectory() as folder:
            self.file = pathlib.Path(folder) / "agent.yaml"
            self.configure(interface, FILTERS[0])
            agent = subprocess.Popen([TAPLINE, "agent", "--config", self.file], stderr=subprocess.PIPE)
            try:
                return self.swap_under(agent, interface)
            finally:
                agent.terminate()
                agent.communicate()

    def swap_under(self, agent, interface):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            try:
                if self.ask("GET", "/readyz")[0] == 200:
                    break
            except OSError:
                time.sleep(0.05)
        sent = [0]
        stopped = threading.Event()
        sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sink.bind(("127.0.0.1", 4000))

        def send():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                while not stopped.is_set():
                    for _ in range(20):
                        s.sendto(b"x" * 20, ("127.0.0.1", 4000))
                        sent[0] += 1
                    time.sleep(0.0005)
        sender = threading.Thread(target=send)
        sender.start()
        refused = []
        for i in range(60):
            self.configure(interface, FILTERS[(i + 1) % len(FILTERS)])
            status, body = self.ask("POST", "/-/reload")
            if status != 200:
                refused.append(body)
        stopped.set()
        sender.join()
        sink.close()
        self.assertEqual(refused, [])
        page = ""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            page = self.ask("GET", "/protocol/metrics")[1]
            found = re.search(r"^udp_received_packets_total (\d+)", page, re.M)
            if found and int(found.group(1)) >= sent[0]:
                break
            time.sleep(0.1)
        print(f"{interface}: 60 filters while {sent[0]} packets passed", file=sys.stderr)
        self.assertEqual(int(found.group(1)), sent[0])
        # The last filter is in force: what it does not name stays out.
        self.configure(interface, "udp port 4000")
        self.assertEqual(self.ask("POST", "/-/reload")[0], 200)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for _ in range(50):
                s.sendto(b"x", ("127.0.0.1", 4001))
        time.sleep(1.5)
        page = self.ask("GET", "/protocol/metrics")[1]
        self.assertEqual(int(re.search(r"^udp_received_packets_total (\d+)", page, re.M).group(1)), sent[0])

    def test_an_idle_agent_is_cheap(self):
        def ticks():
            fields = pathlib.Path(f"/proc/{agent.pid}/stat").read_text().rpartition(")")[2].split()
            return int(fields[11]) + int(fields[12])
        with tempfile.TemporaryDirectory() as folder:
            self.file = pathlib.Path(folder) / "agent.yaml"
            self.configure("lo", "")
            agent = subprocess.Popen([TAPLINE, "agent", "--config", self.file], stderr=subprocess.PIPE)
            try:
                time.sleep(3)
                before = ticks()
                time.sleep(5)
                share = (ticks() - before) / os.sysconf("SC_CLK_TCK") / 5
            finally:
                agent.terminate()
                agent.communicate()
        print(f"an idle agent takes {share:.1%} of a CPU", file=sys.stderr)
        self.assertLess(share, 0.2)  # 2 % here; one that spins takes 100 %

    def test_on_an_interface(self):
        self.swap("lo")

    def test_on_any(self):
        self.swap("any")


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit(SKIPPED)
    if "TL_INSIDE" not in os.environ:
        name = f"tl-agent-{os.getpid()}"
        subprocess.run(["ip", "netns", "add", name], check=True)
        try:
            subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
            sys.exit(subprocess.run(["ip", "netns", "exec", name, sys.executable, *sys.argv],
                                    env={**os.environ, "TL_INSIDE": "1"}).returncode)
        finally:
            subprocess.run(["ip", "netns", "del", name], check=True)
    unittest.main(argv=sys.argv[:1], verbosity=1)
