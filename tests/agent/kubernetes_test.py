#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Names from Kubernetes: an agent that reads a pipe, and an API server that lists pods and services,
tells what becomes of them, forgets, refuses and fails."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import api_test
import kubernetes_case
from api_test import TAPLINE, Agent

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / name) for name in ("peers", "support")]
import kube_api
import silent_resolver
from kube_api import pod, service
from receiver import Receiver

api_test.SECONDS = 120  # beside other tests; nothing here is fast or slow
TOKEN = "secret-of-a-service-account"
FILLERS = 450  # more than two pages of a list


def pair(key, value):
    """An attribute as protobuf has it."""
    def field(number, data):
        return bytes([number << 3 | 2, len(data)]) + data
    return field(1, key.encode()) + field(2, field(1, value.encode()))


class Kubernetes(kubernetes_case.Case):
    @classmethod
    def setUpClass(cls):
        cls.certificates = tempfile.TemporaryDirectory(prefix="tl-kube-")
        kube_api.make_certificates(pathlib.Path(cls.certificates.name))

    @classmethod
    def tearDownClass(cls):
        cls.certificates.cleanup()

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="tl-kube-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.token = self.folder / "token"
        self.token.write_text(TOKEN + "\n")
        self.api = kube_api.Api(pathlib.Path(self.certificates.name), TOKEN)
        self.addCleanup(self.api.close)

    def start(self, options="", more="", authority="authority.pem"):
        self.agent = Agent(self.folder, f"""kubernetes:
  {{enabled: true, server: '{self.api.url()}', token_file: {self.token},
    authority: {self.certificates.name}/{authority}{options}}}
metrics: {{labels: [{{protocol: http, labels: [{", ".join(kubernetes_case.LABELS)}]}}]}}
exporters:
  roundtrips: [{{filename: {self.folder}/records, verbose: true}}]
{more}""", opens=False)
        self.addCleanup(self.agent.end)
        self.agent.wait(lambda: self.agent.ask("GET", "/healthz")[0] == 200, "health")
        self.agent.open()
        self.agent.wait(lambda: self.agent.ask("GET", "/readyz")[0] == 200, "readiness")

    def let_watch(self, resource="pods"):
        """Until an event has come by the present watch: one that ends without is a failure."""
        seen = self.metric("events_total", resource=resource)
        version = self.api.change("BOOKMARK", resource, None)
        self.agent.wait(lambda: self.metric("events_total", resource=resource) > seen, "the bookmark")
        return version

    def seed(self):
        for i in range(FILLERS):
            self.api.change("ADDED", "pods", pod(f"filler-{i}", f"10.9.{i // 250}.{i % 250}"), tell=False)
        self.api.change("ADDED", "pods", pod("web-7f9c8b6d5f-x2x9q", "10.1.0.1",
                                             ("Deployment", "web", "7f9c8b6d5f")), tell=False)
        self.api.change("ADDED", "pods", pod("db-0", "10.1.0.2", ("StatefulSet", "db"), "data", "n2"),
                        tell=False)
        self.api.change("ADDED", "services", service("cart", "10.96.0.1"), tell=False)

    WEB = {"namespace": "shop", "kind": "Deployment", "name": "web", "pod": "web-7f9c8b6d5f-x2x9q",
           "node": "n1"}
    DB = {"namespace": "data", "kind": "StatefulSet", "name": "db", "pod": "db-0", "node": "n2"}

    def test_records_labels_and_spans(self):
        receiver = Receiver()
        self.addCleanup(receiver.close)
        self.seed()
        self.start(more=f"  otlp: [{{url: '{receiver.url()}', compression: none, metrics: false}}]\n")
        self.wait_objects(FILLERS + 2, 1)
        record = self.talk("10.1.0.1", "10.1.0.2")
        self.assertEqual(self.names(record, "client"), self.WEB)
        self.assertEqual(self.names(record, "server"), self.DB)
        self.assertEqual((record["server"]["name"], record["server"]["name_source"]), ("db", "kubernetes"))
        record = self.talk("10.1.0.3", "10.96.0.1")
        self.assertIsNone(self.names(record, "client"))
        self.assertEqual(self.names(record, "server"), {"namespace": "shop", "kind": "Service", "name": "cart"})
        self.agent.wait_counted(1, client_namespace="shop", client_workload="web", server_namespace="data",
                                server_workload="db", server_pod="db-0", server_name="db")
        self.agent.wait_counted(1, server_namespace="shop", server_workload="cart", server_name="cart")
        self.agent.wait(lambda: sum(b"cart" in r.body for r in receiver.requests), "the spans")
        spans = b"".join(r.body for r in receiver.requests)
        for key, value in (("k8s.namespace.name", "data"), ("k8s.statefulset.name", "db"),
                           ("k8s.pod.name", "db-0"), ("k8s.node.name", "n2"), ("service.name", "db"),
                           ("service.namespace", "data"), ("client.k8s.deployment.name", "web"),
                           ("client.k8s.pod.name", "web-7f9c8b6d5f-x2x9q"), ("k8s.service.name", "cart")):
            self.assertIn(pair(key, value), spans, key)
        pages = [int(r.query.get("continue", "at 0").split()[1]) for r in self.api.asked("pods", watch=False)]
        self.assertEqual(pages, [0, 200, 400])
        self.assertEqual(self.metric("errors_total"), 0)

    def test_changes_are_followed(self):
        self.seed()
        self.start()
        self.wait_objects(FILLERS + 2, 1)
        api = self.api
        api.change("ADDED", "pods", pod("new-0", "10.1.0.7", ("StatefulSet", "new")))
        self.wait_objects(FILLERS + 3, 1)
        self.assertEqual(self.talk("10.1.0.7", "10.1.0.2")["client"]["kubernetes"]["name"], "new")
        # Deleted, and its address is another's.
        api.change("DELETED", "pods", api.objects["pods"]["shop", "new-0"])
        self.wait_objects(FILLERS + 2, 1)
        api.change("ADDED", "pods", pod("heir-0", "10.1.0.7", ("DaemonSet", "heir")))
        self.wait_objects(FILLERS + 3, 1)
        self.assertEqual(self.talk("10.1.0.7", "10.1.0.2")["client"]["kubernetes"]["name"], "heir")
        # The server ends each watch after a while: it goes on where it was, by a bookmark's version.
        bookmark = self.let_watch()
        api.end_watch("pods")
        self.agent.wait(lambda: len(api.asked("pods", watch=True)) == 2, "another watch")
        self.assertEqual(api.asked("pods", watch=True)[-1].version, bookmark)
        self.assertEqual(self.metric("lists_total", resource="pods"), 1)
        api.change("ADDED", "pods", pod("late-0", "10.1.0.8", ("StatefulSet", "late")))
        self.wait_objects(FILLERS + 4, 1)
        self.assertEqual(self.names(self.talk("10.1.0.8", "10.1.0.2"), "client")["name"], "late")

    def check_gone(self, as_event):
        self.api.gone_as_event = as_event
        self.seed()
        self.start()
        self.wait_objects(FILLERS + 2, 1)
        self.let_watch()
        api = self.api
        # Changes that nobody tells, and the watch can't go on from where it was.
        api.change("DELETED", "pods", api.objects["pods"]["shop", "filler-0"], tell=False)
        api.change("ADDED", "pods", pod("new-0", "10.1.0.7", ("StatefulSet", "new")), tell=False)
        api.change("ADDED", "pods", pod("new-1", "10.1.0.8", ("StatefulSet", "new")), tell=False)
        api.forget()
        api.end_watch("pods")
        self.wait_objects(FILLERS + 3, 1)
        self.assertEqual(self.metric("lists_total", resource="pods"), 2)
        self.assertEqual(self.names(self.talk("10.1.0.7", "10.1.0.8"), "client")["pod"], "new-0")
        # In order, so nobody is told of a failure.
        self.assertNotIn("kubernetes:", self.agent.log.read_text())

    def test_gone_asks_for_a_new_list(self):
        self.check_gone(as_event=False)

    def test_gone_as_an_event(self):
        self.check_gone(as_event=True)

    def test_watches_that_go_wrong_ask_for_a_new_list(self):
        self.seed()
        self.start()
        self.wait_objects(FILLERS + 2, 1)
        self.let_watch()
        api = self.api
        api.break_watches()
        api.change("ADDED", "pods", pod("new-0", "10.1.0.7", ("StatefulSet", "new")), tell=False)
        api.end_watch("pods")
        self.wait_objects(FILLERS + 3, 1)
        self.assertEqual(len(api.asked("pods", status=500)), 3)
        self.assertEqual(self.metric("lists_total", resource="pods"), 2)
        self.let_watch()
        self.agent.wait(lambda: "pods: answered again" in self.agent.log.read_text(), "word of it")
        self.assertEqual(self.agent.log.read_text().count("HTTP status 500: no such luck"), 1)
        # Where nothing helps, lists don't come closer and closer either.
        lists, api.breaks = len(api.asked("pods", watch=False)), 10 ** 9
        api.end_watch("pods")
        self.agent.wait(lambda: len(api.asked("pods", status=500)) >= 7, "four more")
        times = [r.time for r in api.asked("pods", status=500)][3:]
        self.assertGreater(times[-1] - times[-2], 2.0)
        self.assertLessEqual(len(api.asked("pods", watch=False)) - lists, 2 * 3)

    def test_failures_are_tried_again_later_and_later(self):
        self.seed()
        api = self.api
        api.fails = {"pods": 503}
        self.start()
        self.agent.wait(lambda: len(api.asked("pods", status=503)) >= 3, "three tries")
        times = [r.time for r in api.asked("pods", status=503)]
        # At least half of 1 s and of 2 s.
        self.assertGreater(times[1] - times[0], 0.5)
        self.assertGreater(times[2] - times[1], 1.0)
        self.assertGreaterEqual(self.metric("errors_total", resource="pods"), 2)
        self.assertEqual(self.metric("errors_total", resource="services"), 0)
        self.assertEqual(self.agent.log.read_text().count("HTTP status 503: no such luck"), 1)
        self.assertIsNone(self.names(self.talk("10.1.0.1", "10.1.0.2"), "client"))
        api.fails = {}
        self.wait_objects(FILLERS + 2, 1)
        self.agent.wait(lambda: "pods: answered again" in self.agent.log.read_text(), "word of it")
        self.assertEqual(self.names(self.talk("10.1.0.1", "10.1.0.2"), "client"), self.WEB)

    def test_a_list_without_a_version_is_none(self):
        """There is nothing to watch from, and asking at once again would be asking for ever."""
        self.seed()
        self.api.hides_version = True
        self.start()
        self.agent.wait(lambda: self.metric("errors_total", resource="services") >= 2, "two failures")
        self.assertLess(len(self.api.asked("services")), 10)
        self.assertIn("services: the answer is no list", self.agent.log.read_text())
        self.api.hides_version = False
        self.wait_objects(FILLERS + 2, 1)

    def test_answers_that_would_take_all_memory(self):
        """Objects by the million, and an event without end: less is asked for, and all is known."""
        self.seed()
        self.api.page_max = 100
        self.start()
        self.wait_objects(FILLERS + 2, 1)
        limits = [r.query["limit"] for r in self.api.asked("pods", watch=False)]
        self.assertEqual(limits, ["200", *["100"] * 5])
        self.assertIn("pods: an answer is too large", self.agent.log.read_text())
        self.let_watch()
        self.api.page_max = 10 ** 6
        self.api.change("ADDED", "pods", pod("new-0", "10.1.0.7", ("StatefulSet", "new"),
                                             annotations="x" * (5 << 20)))
        self.wait_objects(FILLERS + 3, 1)
        self.let_watch()
        self.assertIn("pods: the watch: an event is too large", self.agent.log.read_text())
        self.assertEqual(len(self.api.asked("pods", watch=True)), 4)
        status = pathlib.Path(f"/proc/{self.agent.process.pid}/status").read_text()
        self.assertLess(int(status.split("VmHWM:")[1].split()[0]), 400 << 10)  # KiB

    def test_the_status_says_what_goes_wrong(self):
        """Of pods, however well it goes with services."""
        self.seed()
        self.api.fails = {"pods": 503}
        self.start()
        self.agent.wait(lambda: self.metric("lists_total", resource="services") == 1, "the services")
        self.agent.wait(lambda: self.metric("errors_total", resource="pods") >= 1, "a failure")
        self.let_watch("services")

        def errors():
            return [(row["resource"], row["objects"], row.get("last_error"))
                    for row in json.loads(self.agent.get("/api/v1/status"))["kubernetes"]]
        self.assertEqual(errors(), [("pods", 0, "HTTP status 503: no such luck"), ("services", 1, None)])
        self.api.fails = {}
        self.agent.wait(lambda: errors() == [("pods", FILLERS + 2, None), ("services", 1, None)], "all is well")

    def test_the_token_is_read_anew(self):
        self.seed()
        self.start()
        self.wait_objects(FILLERS + 2, 1)
        self.let_watch()
        self.api.token = "another"
        self.token.write_text("another")
        self.api.end_watch("pods")
        self.agent.wait(lambda: len(self.api.asked("pods", watch=True, status=200)) == 2, "another watch")
        self.assertEqual(self.api.asked("pods", status=401), [])
        self.let_watch()
        self.token.unlink()
        self.api.end_watch("pods")
        self.agent.wait(lambda: self.metric("errors_total", resource="pods") > 0, "a refusal")
        self.assertIn("HTTP status 401", self.agent.log.read_text())
        for secret in (TOKEN, "another"):
            self.assertNotIn(secret, self.agent.log.read_text() + self.agent.get("/api/v1/status"))

    def test_a_stranger_is_not_believed(self):
        self.seed()
        self.start(authority="stranger.pem")
        self.agent.wait(lambda: self.metric("errors_total", resource="pods") > 0, "a failure")
        self.assertEqual(self.api.requests, [])
        self.assertIn("certificate", self.agent.log.read_text())
        self.assertIsNone(self.names(self.talk("10.1.0.1", "10.1.0.2"), "client"))

    def test_only_one_node_and_only_so_many(self):
        self.seed()
        for i in range(200):
            self.api.change("ADDED", "pods", pod(f"n3-{i}", f"10.8.0.{i}", node="n3"), tell=False)
        self.start(", node: n3, objects_max: 150")
        self.agent.wait(lambda: self.metric("lists_total") == 2, "the lists")
        # The service takes a place, or came too late for one.
        self.agent.wait(lambda: self.metric("objects") == 150, "150 objects")
        self.assertEqual(self.metric("objects_refused_total"), 51)
        self.assertEqual({r.query.get("fieldSelector") for r in self.api.asked("pods")},
                         {"spec.nodeName=n3"})

    def test_the_end_waits_for_no_resolver(self):
        file = self.folder / "named.yaml"
        file.write_text("kubernetes: {enabled: true, server: 'https://api.test:6443'}\n"
                        "capture: {ports: []}\nserver: {enabled: false}\n")
        ended = silent_resolver.run(TAPLINE, file, self.folder)
        if ended is None:
            self.skipTest("no namespaces here")
        self.assertEqual(ended[0], 0)
        self.assertLess(ended[1], 15)

    def test_without_a_server_it_does_not_start(self):
        file = self.folder / "none.yaml"
        file.write_text("kubernetes: {enabled: true}\ncapture: {ports: []}\n")
        done = subprocess.run([TAPLINE, "agent", "--config", file], capture_output=True, text=True,
                              env={"PATH": "/usr/bin"}, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("kubernetes.server", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=1)
