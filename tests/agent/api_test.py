#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The agent as an operator meets it: its HTTP API, reload, signals. It reads a pipe that this test
writes to, so nothing needs root and everything that is seen is known."""
import concurrent.futures
import gzip
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import traffic

TAPLINE = sys.argv[1]
SECONDS = 20  # for what should happen soon, on a busy machine


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# A name that has to be escaped wherever it is shown.
PORT = 'in "1" \\ pcap'


class Agent:
    """An agent that reads a FIFO, and the pen that writes to it."""

    def __init__(self, folder, more="", opens=True, **environment):
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        self.file = self.folder / "agent.yaml"
        self.log = self.folder / "log"
        self.configure(more)
        os.mkfifo(self.folder / "in.pcap")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([TAPLINE, "agent", "--config", self.file], stderr=log,
                                            env={"PATH": os.environ["PATH"], **environment})
        self.pen = None
        self.conversation = traffic.Conversation()
        self.sent = 0
        if opens:
            self.open()

    def open(self):
        self.pen = open(self.folder / "in.pcap", "wb")
        self.pen.write(traffic.HEADER)
        self.pen.flush()

    def configure(self, more="", capture=""):
        self.file.write_text(f"capture: {{ports: [{{file: {self.folder}/in.pcap, name: '{PORT}'}}]{capture}}}\n"
                             f"server: {{address: '127.0.0.1:{self.port}', watchers_max: 3}}\n{more}")

    def see(self, *paths, **how):
        for path in paths:
            self.conversation.request(path, **how)
        self.pen.write(self.conversation.bytes())
        self.pen.flush()
        self.sent += len(paths)

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def get(self, path, **headers):
        status, _, body = self.ask("GET", path, **headers)
        assert status == 200, (path, status, body)
        return body.decode()

    def watch(self, query):
        return [json.loads(line) for line in self.get(f"/watch?{query}").splitlines()]

    def wait(self, condition, what):
        end = time.monotonic() + SECONDS
        while True:
            assert self.process.poll() is None, self.log.read_text()
            try:
                result = condition()
            except OSError:  # not listening yet
                result = None
            if result:
                return result
            assert time.monotonic() < end, f"{what} did not happen\n{self.log.read_text()}"
            time.sleep(0.05)

    def value(self, page, family, **labels):
        """Sum of the samples that have these labels."""
        total = 0
        for name, pairs, value in re.findall(r"^(\w+)(?:{(.*)})? (\S+)", self.get(page), re.M):
            found = dict(re.findall(r'(\w+)="([^"]*)"', pairs))
            if name == family and labels.items() <= found.items():
                total += float(value)
        return total

    def count(self, **labels):
        return self.value("/protocol/metrics", "http_requests_total", **labels)

    def wait_counted(self, count=None, **labels):
        wanted = self.sent if count is None else count
        self.wait(lambda: self.count(**labels) >= wanted, f"{wanted} requests counted")
        assert self.count(**labels) == wanted, self.get("/protocol/metrics")

    def health(self):
        done = subprocess.run([TAPLINE, "health", "--config", self.file], capture_output=True, text=True,
                              env={"PATH": os.environ["PATH"]})
        return done.returncode, done.stdout + done.stderr

    def end(self):
        if self.pen is not None:
            self.pen.close()
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(SECONDS)


class Case(unittest.TestCase):
    more = ""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.agent = Agent(folder.name, self.more)
        self.addCleanup(self.agent.end)
        self.agent.wait(lambda: self.agent.ask("GET", "/readyz")[0] == 200, "readiness")


class Routes(Case):
    def test_every_route(self):
        agent = self.agent
        for path in "/", "/healthz", "/readyz", "/api/v1/status", "/watch?timeout=10ms":
            self.assertEqual(agent.ask("GET", path)[0], 200, path)
            status, _, body = agent.ask("HEAD", path)
            self.assertEqual((status, body), (200, b""), path)
        for path in "/metrics", "/protocol/metrics":
            agent.wait(lambda: agent.ask("GET", path)[0] == 200, path)
        self.assertEqual(agent.ask("GET", "/nothing")[0], 404)
        self.assertEqual(agent.ask("GET", "/metrics/")[0], 404)
        for method, path, allowed in (("POST", "/metrics", "GET, HEAD"), ("GET", "/-/reload", "POST"),
                                      ("DELETE", "/watch", "GET, HEAD"), ("GET", "/-/logger", "POST")):
            status, headers, _ = agent.ask(method, path)
            self.assertEqual((status, headers["Allow"]), (405, allowed), path)
        self.assertEqual(agent.ask("GET", "/protocol/metrics?histogram=summary")[0], 400)
        self.assertEqual(agent.ask("GET", "/watch?protocol=htpp")[0], 400)
        self.assertEqual(agent.ask("GET", "/watch?status=fine")[0], 400)
        self.assertEqual(agent.ask("GET", "/watch?slow=soon")[0], 400)
        self.assertEqual(agent.ask("GET", "/watch?max_message=-1")[0], 400)

    def test_metrics_in_every_form(self):
        agent = self.agent
        agent.see("/a", "/b", status=200)
        agent.see("/c", status=500)
        agent.wait_counted()
        self.assertEqual(agent.count(status="server_error", status_code="500", method="GET"), 1)
        status, headers, body = agent.ask("GET", "/protocol/metrics")
        self.assertEqual(headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        self.assertIn(b'vmrange="', body)
        self.assertNotIn(b"tapline_", body)
        status, headers, body = agent.ask(
            "GET", "/protocol/metrics?histogram=le",
            Accept="application/openmetrics-text; version=1.0.0, text/plain;q=0.5")
        self.assertTrue(headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0"))
        self.assertTrue(body.endswith(b"# EOF\n"))
        self.assertIn(b'http_request_duration_seconds_bucket{method="GET",status_code="200",le="+Inf"} 2', body)
        self.assertIn(b"# UNIT http_request_duration_seconds seconds", body)
        protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
        for accept, kind, member in ((protobuf, "application/vnd.google.protobuf", b"http_requests_total"),
                                     ("text/plain", "text/plain", b'le="+Inf"')):
            status, headers, body = agent.ask("GET", "/protocol/metrics?histogram=native", Accept=accept)
            self.assertEqual((status, headers["Content-Type"].partition(";")[0]), (200, kind))
            self.assertIn(member, body)
        status, headers, packed = agent.ask("GET", "/protocol/metrics", Accept_Encoding="gzip")
        self.assertEqual(headers["Content-Encoding"], "gzip")
        self.assertIn(b"http_requests_total", gzip.decompress(packed))
        status, headers, body = agent.ask("GET", "/protocol/metrics", Accept_Encoding="gzip;q=0")
        self.assertIsNone(headers["Content-Encoding"])
        self.assertIn(b"tapline_", agent.ask("GET", "/metrics")[2])

    @unittest.skipUnless(shutil.which("promtool"), "promtool is not installed")
    def test_promtool_reads_both_pages(self):
        self.agent.see("/a", "/b")
        self.agent.wait_counted()
        for path in "/metrics", "/protocol/metrics?histogram=le":
            done = subprocess.run(["promtool", "check", "metrics"], input=self.agent.get(path), text=True,
                                  capture_output=True)
            self.assertIn(done.returncode, (0, 3), done.stderr)  # 3: matters of taste
            # The only one: the kernel's own names of TCP's counts.
            taste = [line for line in done.stdout.splitlines() + done.stderr.splitlines()
                     if line.strip() and not ("camelCase" in line and "tapline_netstat_" in line)]
            self.assertEqual(taste, [])

    def test_status(self):
        self.agent.see("/a")
        self.agent.wait_counted()
        page = json.loads(self.agent.get("/api/v1/status"))
        for member in ("version", "probe", "started", "config", "last_reload", "ports", "lcores",
                       "losses", "sinks", "hints"):
            self.assertIn(member, page)
        self.assertEqual([p["name"] for p in page["ports"]], [PORT])
        label = 'port="' + PORT.replace("\\", "\\\\").replace('"', '\\"') + '"'
        metrics = self.agent.get("/metrics").splitlines()
        self.assertIn("tapline_port_received_packets_total{" + label + "} 6", metrics)
        for place in "kernel", "ring", "buffer":
            self.assertIn(f'tapline_port_dropped_packets_total{{{label},at="{place}"}} 0', metrics)
        self.assertEqual(page["ports"][0]["packets"], 6)
        self.assertEqual({l["role"] for l in page["lcores"]}, {"control", "rx", "worker"})
        self.assertEqual(sum(l["packets"] for l in page["lcores"] if l["role"] == "worker"), 6)
        for lcore in page["lcores"]:
            self.assertTrue(0 <= lcore["busy"] <= 1, lcore)
        self.assertEqual(set(page["losses"].values()), {0})

    def test_logger(self):
        for body, path in (("level=debug", "/-/logger"), (None, "/-/logger?level=warning")):
            status, headers, answer = self.agent.ask("POST", path, body)
            self.assertEqual((status, headers["Content-Type"], json.loads(answer)),
                             (200, "application/json", {"status": "success"}))
        self.assertEqual(self.agent.ask("POST", "/-/logger", "level=loud")[0], 400)
        self.assertEqual(self.agent.ask("POST", "/-/logger", "x" * 100000)[0], 413)
        # The level holds: what a reload says is not written any more.
        size = self.agent.log.stat().st_size
        self.agent.ask("POST", "/-/reload")
        self.assertEqual(self.agent.log.stat().st_size, size)


class Watch(Case):
    def feed(self, *paths, **how):
        """Requests over and over, so that whoever comes sees some."""
        def run():
            while not stopped.wait(0.02):
                self.agent.see(*paths, **how)
        stopped = threading.Event()
        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(stopped.set)

    def test_filters(self):
        agent = self.agent

        def run():
            while not stopped.wait(0.02):
                agent.see("/ok")
                agent.see("/bad", status=500)
                agent.see("/slow", server_ns=2_000_000_000)
        stopped = threading.Event()
        thread = threading.Thread(target=run)
        thread.start()
        try:
            def seen(query):
                return {r["request"]["path"] for r in agent.watch(f"max_message=6&{query}")}
            self.assertEqual(seen(""), {"/ok", "/bad", "/slow"})
            self.assertEqual(seen("status=error"), {"/bad"})
            self.assertEqual(seen("status=server_error&protocol=http"), {"/bad"})
            self.assertEqual(seen("slow=1s"), {"/slow"})
            self.assertEqual(seen("slow=1500ms&status=ok"), {"/slow"})
            self.assertEqual(seen("protocol=dns&timeout=200ms"), set())
        finally:
            stopped.set()
            thread.join()

    def test_it_ends_by_count_or_silence(self):
        self.feed("/x")
        self.assertEqual(len(self.agent.watch("max_message=7")), 7)
        before = time.monotonic()
        self.assertEqual(self.agent.watch("timeout=300ms&slow=1h"), [])
        self.assertLess(time.monotonic() - before, SECONDS / 2)

    def test_several_watchers_and_one_too_many(self):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            futures = [pool.submit(self.agent.watch, "max_message=50&timeout=30s") for _ in range(3)]
            self.agent.wait(lambda: self.agent.value("/metrics", "tapline_watchers") == 3, "three watchers")
            self.assertEqual(self.agent.ask("GET", "/watch")[0], 503)
            self.agent.see(*(f"/{i}" for i in range(50)))
            for future in futures:
                self.assertEqual([r["request"]["path"] for r in future.result(SECONDS)],
                                 [f"/{i}" for i in range(50)])
        self.agent.wait(lambda: self.agent.value("/metrics", "tapline_watchers") == 0, "their leaving")

    def test_a_watcher_who_left_is_noticed_without_traffic(self):
        for _ in range(3):
            gone = socket.create_connection(("127.0.0.1", self.agent.port))
            gone.sendall(b"GET /watch?timeout=0&max_message=0 HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(b"200 OK", gone.recv(1000))
            gone.close()
        self.agent.wait(lambda: self.agent.value("/metrics", "tapline_watchers") == 0, "their leaving")

    def test_a_slow_watcher_loses_lines_and_nobody_else_does(self):
        agent = self.agent
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", agent.port))
        slow.sendall(b"GET /watch?timeout=0&max_message=0 HTTP/1.1\r\nHost: x\r\n\r\n")
        agent.wait(lambda: agent.value("/metrics", "tapline_watchers") == 1, "the watcher")
        for _ in range(40):  # some 12 MB of lines
            agent.see(*["/" + "x" * 400] * 500)
        agent.wait_counted()
        agent.wait(lambda: agent.value("/metrics", "tapline_watch_dropped_total") > 0, "a drop")
        self.assertEqual(agent.value("/metrics", "tapline_records_dropped_total"), 0)
        slow.close()
        agent.wait(lambda: agent.value("/metrics", "tapline_watchers") == 0, "its leaving")

    def test_many_scrapes_while_records_flow(self):
        agent = self.agent
        self.feed(*["/x"] * 100)
        agent.wait(lambda: agent.count() > 0, "a first count")

        def scrape(i):
            last = 0
            for _ in range(5):
                now = agent.count()
                assert now >= last, (last, now)
                last = now
                agent.get("/metrics", Accept_Encoding="identity")
            return True
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            self.assertEqual(list(pool.map(scrape, range(20))), [True] * 20)
        self.doCleanupsOfFeed()
        agent.wait_counted()

    def doCleanupsOfFeed(self):
        # stopped.set, then thread.join: the last two that feed() registered.
        for _ in range(2):
            function, arguments, keywords = self._cleanups.pop()
            function(*arguments, **keywords)


class Reload(Case):
    labels = "metrics: {labels: [{protocol: http, labels: [%s]}]}\n"

    def reload(self):
        status, _, body = self.agent.ask("POST", "/-/reload")
        return status, body.decode()

    def test_labels(self):
        agent = self.agent
        agent.see("/a", "/b")
        agent.wait_counted()
        agent.configure(self.labels % "request.path")
        status, answer = self.reload()
        self.assertEqual((status, answer.splitlines()[0]), (200, "reloaded: 1 changed, 0 need a restart"))
        agent.see("/a", "/a")
        agent.wait_counted(2, path="/a")
        self.assertEqual(agent.count(method="GET"), 0)  # the old series have ended
        # Other changes leave them alone: totals go on.
        agent.configure(self.labels % "request.path" + "log: {level: debug}\n")
        self.assertEqual(self.reload()[0], 200)
        agent.configure((self.labels % "request.path").replace("metrics: {", "metrics: {idle: 1h, "))
        self.assertEqual(self.reload()[0], 200)
        agent.see("/a")
        agent.wait_counted(3, path="/a")
        self.assertEqual(agent.value("/metrics", "tapline_packets_processed_total"), 3 + 5 * 3)

    def test_filter_rules_and_names(self):
        agent = self.agent
        agent.configure("names: {':80': shop}\n", ", filter: 'tcp port 80'")
        self.assertEqual(self.reload()[0], 200)
        watched = concurrent.futures.ThreadPoolExecutor().submit(agent.watch, "max_message=1&timeout=20s")
        agent.wait(lambda: agent.value("/metrics", "tapline_watchers") == 1, "the watcher")
        agent.see("/a")
        self.assertEqual(watched.result(SECONDS)[0]["server"]["name"], "shop")
        agent.wait_counted(1)
        agent.configure(capture=", filter: 'tcp port 81'")
        self.assertEqual(self.reload()[0], 200)
        agent.see("/b")
        agent.wait(lambda: agent.value("/metrics", "tapline_packets_dropped_total") >= 3, "filtering")
        agent.configure()
        self.assertEqual(self.reload()[0], 200)
        agent.wait_counted(1)
        agent.configure("protocols: {rules: [{protocol: dns}]}\n")
        self.assertEqual(self.reload()[0], 200)
        agent.conversation = traffic.Conversation(port=30000)
        agent.see("/c")
        agent.configure()
        self.assertEqual(self.reload()[0], 200)
        agent.conversation = traffic.Conversation(port=30001)
        agent.see("/d")
        agent.wait_counted(2)

    def test_a_filter_that_overlooks_tags_is_told_once(self):
        agent = self.agent
        agent.configure(capture=", filter: 'port 80'")
        self.assertEqual(self.reload()[0], 200)
        agent.conversation = traffic.Conversation(vlan=(7,))
        right = "(port 80) or (vlan and (port 80))"
        for _ in range(3):
            agent.see("/tagged")
            agent.wait(lambda: right in agent.log.read_text(), "advice")
            time.sleep(1.1)  # a tick of the agent
        self.assertEqual(agent.log.read_text().count(right), 1)
        self.assertTrue(any(right in hint for hint in json.loads(agent.get("/api/v1/status"))["hints"]))
        agent.sent = 0
        agent.configure(capture=f", filter: '{right}'")
        self.assertEqual(self.reload()[0], 200)
        agent.conversation = traffic.Conversation(port=20007, vlan=(7,))
        agent.see("/tagged")
        agent.wait_counted()

    def test_a_bad_file_changes_nothing(self):
        agent = self.agent
        good = self.labels % "request.path"
        agent.configure(good)
        self.assertEqual(self.reload()[0], 200)
        for more, capture, key in (
                (self.labels % "request.nothing", "", "metrics.labels"),
                ("", ", filter: 'tcp prot 80'", "capture.filter"),
                ("names: {'10.0.0.x': shop}\n", "", "names"),
                ("protocols: {rules: [{protocol: htpp}]}\n", "", "protocols.rules"),
                ("log: {level: loud}\n", "", "log.level"),
                ("lgo: {}\n", "", "lgo"),
                (f"{'ü' * 150}: 1\n", "", "ü"),  # too long a line: cut within a character
                (f"{'ü' * 150}x: 1\n", "", "ü")):
            agent.configure(more, capture)
            status, answer = self.reload()
            self.assertEqual(status, 400, answer)
            self.assertRegex(answer, r"^\S+agent\.yaml:\d+: " + re.escape(key))
            self.assertIn("agent.yaml", json.loads(agent.get("/api/v1/status"))["last_reload"])
        agent.file.unlink()
        self.assertEqual(self.reload()[0], 400)
        agent.see("/a")
        agent.wait_counted(1, path="/a")

    def test_what_needs_a_restart_is_said(self):
        self.agent.configure(capture=", snaplen: 1000")
        status, answer = self.reload()
        self.assertEqual(status, 200)
        self.assertIn("capture.snaplen: 262144 -> 1000 (needs a restart)", answer)
        # It is still due after another reload, until it is taken back.
        status, answer = self.reload()
        self.assertEqual(answer, "reloaded: 0 changed, 1 need a restart\n"
                                 "capture.snaplen: 262144 -> 1000 (needs a restart)\n")
        self.agent.configure()
        self.assertEqual(self.reload()[1], "reloaded: 0 changed, 0 need a restart\n")

    def test_many_reloads_under_traffic_lose_nothing(self):
        agent = self.agent
        rounds = int(os.environ.get("TL_RELOADS", "40"))
        variants = [(self.labels % "request.path", ""), ("", ", filter: tcp"),
                    ("names: {':80': shop}\nmetrics: {idle: 2m, series_max: 200000}\n", ", filter: 'ip'"),
                    ("protocols: {rules: [{protocol: http, ports: [80]}]}\n", "")]
        failed = []

        def run():
            for i in range(rounds):
                agent.configure(*variants[i % len(variants)])
                status, _, body = agent.ask("POST", "/-/reload")
                if status != 200:
                    failed.append(body)
        reloader = threading.Thread(target=run)
        reloader.start()
        while reloader.is_alive():
            agent.see(*["/x"] * 200)
        reloader.join()
        self.assertEqual(failed, [])
        packets = 3 + 3 * agent.sent
        agent.wait(lambda: agent.value("/metrics", "tapline_packets_processed_total") == packets,
                   f"{packets} packets processed")
        self.assertEqual(agent.value("/metrics", "tapline_packets_dropped_total"), 0)
        print(f"{rounds} reloads while {agent.sent} requests passed", file=sys.stderr)

    def test_hangup_reloads(self):
        self.agent.configure(self.labels % "request.path")
        self.agent.process.send_signal(signal.SIGHUP)
        self.agent.wait(lambda: "reload done" in self.agent.log.read_text(), "a reload")
        self.agent.see("/a")
        self.agent.wait_counted(path="/a")


class Begin(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.agent = Agent(folder.name, opens=False)
        self.addCleanup(self.agent.end)

    def test_not_ready_before_there_is_input(self):
        agent = self.agent
        agent.wait(lambda: agent.ask("GET", "/healthz")[0] == 200, "health")
        self.assertEqual(agent.ask("GET", "/readyz")[0], 503)
        self.assertEqual(agent.ask("GET", "/protocol/metrics")[0], 503)
        url = f"http://127.0.0.1:{agent.port}/readyz"
        self.assertEqual(agent.health(), (1, f"tapline: {url}: not ready, status 503\n"))
        agent.open()
        agent.wait(lambda: agent.ask("GET", "/readyz")[0] == 200, "readiness")
        self.assertEqual(agent.health(), (0, ""))

    def test_stopped_before_there_is_input(self):
        self.agent.wait(lambda: self.agent.ask("GET", "/healthz")[0] == 200, "health")
        self.agent.process.terminate()
        self.assertEqual(self.agent.process.wait(SECONDS), 0)


class End(Case):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.records = pathlib.Path(folder.name) / "records.log"
        self.more = f"exporters: {{roundtrips: [{{enabled: true, filename: {self.records}}}]}}\n"
        super().setUp()

    def recorded(self):
        return [json.loads(line)["request"]["path"] for line in self.records.read_text().splitlines()]

    def test_terminate_writes_what_was_seen(self):
        self.agent.see("/a", "/b")
        self.agent.see("/open", status=0)
        self.agent.wait(lambda: self.agent.count() >= 2, "the first two")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            watched = pool.submit(self.agent.watch, "timeout=0&max_message=0")
            self.agent.wait(lambda: self.agent.value("/metrics", "tapline_watchers") == 1, "a watcher")
            self.agent.process.send_signal(signal.SIGTERM)
            self.assertEqual(self.agent.process.wait(SECONDS), 0)
            self.assertEqual([r["status"] for r in watched.result(SECONDS)], ["unanswered"])
        self.assertEqual(self.recorded(), ["/a", "/b", "/open"])

    def test_it_ends_when_all_inputs_have_ended(self):
        self.agent.see("/a")
        self.agent.pen.close()
        self.assertEqual(self.agent.process.wait(SECONDS), 0)
        self.assertEqual(self.recorded(), ["/a"])

    def test_a_busy_port(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "second.yaml"
            file.write_text(self.agent.file.read_text())
            done = subprocess.run([TAPLINE, "agent", "--config", file], capture_output=True, text=True,
                                  timeout=SECONDS)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"127.0.0.1:{self.agent.port}", done.stderr)
        self.assertIn("server.address", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=1)
