#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An agent whose receivers are dead, slow or hostile, and whose scrapers are many: what it sees is
counted all the same, and it ends in time."""
import concurrent.futures
import gzip
import os
import pathlib
import signal
import sys
import tempfile
import time
import unittest

from api_test import Agent

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "peers"))
from receiver import Receiver
try:
    import remote
except (ImportError, OSError):  # without python3-snappy, python3-protobuf, protobuf-compiler
    remote = None

SECRET = "sw0rdfish-of-the-sinks"
HOSTILE = ("never", "slow", "endless_header", "huge", "close_mid_body", "reset", "garbage", 503)


def rss_of(pid):
    fields = pathlib.Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


class Sinks(unittest.TestCase):
    def start(self, more):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        agent = Agent(folder.name, more)
        self.addCleanup(agent.end)
        agent.wait(lambda: agent.ask("GET", "/protocol/metrics")[0] == 200, "a first merge")
        return agent

    def test_hostile_receivers(self):
        receivers = [Receiver(default=how) for how in HOSTILE]
        for receiver in receivers:
            self.addCleanup(receiver.close)
        good = Receiver()
        self.addCleanup(good.close)
        dead = Receiver()
        dead.close()
        queue = tempfile.TemporaryDirectory()
        self.addCleanup(queue.cleanup)
        sinks = [f"  - {{url: '{r.url()}?key={SECRET}-q', name: s{i}, histogram: vmrange, interval: 1s, "
                 f"timeout: 1h, bearer_token: {SECRET}-t, headers: {{X-Key: {SECRET}-h}}, "
                 f"queue: {{directory: {queue.name}}}}}\n"
                 for i, r in enumerate(receivers + [dead, good])]
        agent = self.start("exporters:\n  remote_write:\n" + "".join(sinks))
        began = time.monotonic()
        while time.monotonic() - began < 4:
            agent.see(*[f"/{i}" for i in range(50)])
            asked = time.monotonic()
            agent.wait(lambda: agent.count() > 0, "a count")
            self.assertLess(time.monotonic() - asked, 10)  # a sink that held us would do so for an hour
            time.sleep(0.1)
        agent.wait_counted()
        self.assertEqual(agent.value("/metrics", "tapline_port_dropped_packets_total"), 0)
        self.assertEqual(agent.value("/metrics", "tapline_records_dropped_total"), 0)
        agent.wait(lambda: agent.value("/metrics", "tapline_exporter_delivered_total",
                                       exporter=f"remote_write[{len(HOSTILE) + 1}]") > 0, "a delivery")
        for i in range(len(HOSTILE) + 1):
            name = f"remote_write[{i}]" if i else "remote_write"
            self.assertEqual(agent.value("/metrics", "tapline_exporter_delivered_total", exporter=name), 0)
            agent.wait(lambda name=name: agent.value("/metrics", "tapline_exporter_queued",
                                                     exporter=name) > 0, f"a queue of {name}")
        shown = agent.get("/api/v1/status") + agent.get("/metrics") + agent.log.read_text()
        self.assertNotIn(SECRET, shown)
        asked = time.monotonic()
        agent.process.send_signal(signal.SIGTERM)
        self.assertEqual(agent.process.wait(20), 0)
        self.assertLess(time.monotonic() - asked, 15)  # 5 s for all sinks, and the rest of the end
        self.assertNotIn(SECRET, agent.log.read_text())
        # The good one, last in the list, got its end although others hung: stale markers.
        if remote is not None:
            samples = [s for key, all_of in remote.series_of(good.bodies()).items()
                       if dict(key)["__name__"] == "http_requests_total" for s in all_of]
            self.assertEqual(max(value for _, value in samples if value == value), agent.sent)
            self.assertTrue(remote.is_stale(samples[-1][1]))
        self.assertTrue(any(pathlib.Path(queue.name).rglob("*.seg")))  # kept for the next run

    def test_many_series_and_scrapers(self):
        series = 12000
        agent = self.start("metrics: {learn_templates: false, series_max: 200000, "
                           "series_per_family_max: 200000, "
                           "label_values_max: 200000, "
                           "labels: [{protocol: http, labels: [request.path]}]}\n")
        for first in range(0, series, 500):
            agent.see(*[f"/item/{i}" for i in range(first, first + 500)])
        agent.wait_counted()
        before = rss_of(agent.process.pid)
        health = []

        def scrape(number):
            coding = "gzip" if number % 2 else "identity"
            form = "application/openmetrics-text" if number % 3 == 0 else "text/plain"
            style = "le" if number % 4 == 0 else "vmrange"
            status, headers, body = agent.ask("GET", f"/protocol/metrics?histogram={style}", Accept=form,
                                              Accept_Encoding=coding)
            self.assertEqual(status, 200)
            page = gzip.decompress(body) if headers["Content-Encoding"] == "gzip" else body
            self.assertEqual(page.count(b"\nhttp_requests_total{"), series)
            self.assertTrue(page.endswith(b"# EOF\n") if number % 3 == 0 else page.endswith(b"\n"))
            return page.count(b"\n")

        with concurrent.futures.ThreadPoolExecutor(9) as pool:
            pages = [pool.submit(scrape, number) for number in range(8)]
            while not all(page.done() for page in pages):
                asked = time.monotonic()
                agent.get("/healthz")
                health.append(time.monotonic() - asked)
                agent.see("/item/1")
            lines = [page.result() for page in pages]
        self.assertGreater(max(lines), 100000)
        agent.wait_counted()
        self.assertEqual(agent.value("/metrics", "tapline_port_dropped_packets_total"), 0)
        # Scrapers take turns piece by piece: nobody waits for whole pages of others.
        self.assertLess(sorted(health)[len(health) // 2], 1)
        self.assertLess(rss_of(agent.process.pid) - before, 96 << 20)
        print(f"lines {min(lines)}..{max(lines)}, healthz {max(health):.3f}s at most, memory +"
              f"{(rss_of(agent.process.pid) - before) >> 20} MiB", file=sys.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=1)
