#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The Helm chart and names from Kubernetes, by Kubernetes itself: the control plane of its project
takes what the chart renders and makes workloads, pods and services, whose names an agent must know. It
has the configuration, the service account and the rights of the chart and nothing else.

    cluster.py TAPLINE

Needs root. Exit status 77 with a line where a registry can't be reached. What was built stays in
~/.cache/tapline-interop.
"""
import base64
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/agent"))
import api_test
import chart
import control_plane
import kubernetes_case
from control_plane import wait_for
from registry import SKIPPED, Skip

api_test.SECONDS = control_plane.SECONDS
WIRE = 7443
PROBE = "watching", "one-node"  # namespaces with a probe whose names are tested
NODES = {"n1": "192.0.2.1", "n2": "192.0.2.2"}
SECRETS = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
FOLDER = pathlib.Path("/run/probe")
FILLERS = 230  # more than a page of a list
# The probe of the test reads a pipe, so that the addresses it sees are those of pods that nobody runs.
OWN = {"server": {"address": "127.0.0.1:9091"},
       "capture": {"ports": [{"file": f"{FOLDER}/in.pcap", "name": api_test.PORT}]},
       "metrics": {"labels": [{"protocol": "http", "labels": list(kubernetes_case.LABELS)}]},
       "exporters": {"roundtrips": [{"filename": f"{FOLDER}/records", "verbose": True}]}}
cluster = rendered = None


def render():
    """What the chart makes of the values of its own test, each in a namespace, and of ours."""
    told = {what: {"namespace": f"chart-{i}", "values": values}
            for i, (what, values) in enumerate(chart.VALUES.items())}
    for namespace, more in zip(PROBE, ({}, {"kubernetes": {"node": "${NODE_NAME}"}})):
        told[namespace] = {"namespace": namespace, "values": {"kubernetes": {"enabled": True},
                                                              "config": {**OWN, **more}}}
    done = subprocess.run([sys.executable, "-B", ROOT / "tests/interop/chart.py", "--objects"],
                          input=json.dumps(told), capture_output=True, text=True)
    if done.returncode == SKIPPED:
        raise Skip(done.stdout.strip().removeprefix("skipped: "))
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def setUpModule():
    global cluster, rendered
    rendered = render()
    cluster = control_plane.Cluster(control_plane.programs(), pathlib.Path(tempfile.mkdtemp()))
    unittest.addModuleCleanup(cluster.end)
    try:
        cluster.start()
    except AssertionError as why:  # one that can't run here says nothing about tapline
        cluster.print_logs()
        raise unittest.SkipTest(str(why)) from None
    for name in NODES:
        cluster.create("v1", "Node", name, metadata={"labels": {"kubernetes.io/os": "linux", "a": "b"}})
        cluster.must("PATCH", f"/api/v1/nodes/{name}", {"spec": {"taints": None}},
                     kind="application/merge-patch+json")
    make_namespace("shop")
    for namespace in PROBE:
        make_namespace(namespace)
        for made, text in rendered[namespace]:
            cluster.apply(made, text)


def make_namespace(name, **labels):
    cluster.create("v1", "Namespace", name, metadata={"labels": labels})
    for kind, made in ("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt"):
        wait_for(f"{made} in {name}", lambda: cluster.must("GET", f"/api/v1/namespaces/{name}/{kind}/{made}"))


def wait_daemon(namespace, node, **labels):
    """The pod that a DaemonSet means for that node."""
    def node_of(pod):
        required = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        return required["nodeSelectorTerms"][0]["matchFields"][0]["values"]
    return next(p for p in wait_pods(namespace, len(NODES), **labels) if node_of(p) == [node])


def pod_path(pod):
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def wait_pods(namespace, count=1, **labels):
    """Pods that controllers made and nobody ends."""
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    found = []

    def are_there():
        found[:] = [p for p in cluster.pods(namespace, selector) if "deletionTimestamp" not in p["metadata"]]
        return len(found) == count
    try:
        wait_for(f"{count} pods of {labels} in {namespace}", are_there)
    except AssertionError:
        for event in cluster.must("GET", f"/api/v1/namespaces/{namespace}/events")["items"]:
            print(f"event: {event['reason']} {event['message']}")
        raise
    return found


def run_pod(pod, ip, node="n1"):
    """What a scheduler and a kubelet say of it."""
    if not pod["spec"].get("nodeName"):
        cluster.must("POST", pod_path(pod) + "/binding", {
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod["metadata"]["name"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node}})
    return cluster.must("PATCH", pod_path(pod) + "/status", {"status": {
        "phase": "Running", "hostIP": NODES[node], "hostIPs": [{"ip": NODES[node]}], "podIP": ip,
        "podIPs": [{"ip": ip}], "conditions": [{"type": "Ready", "status": "True"}]}},
        kind="application/merge-patch+json")


def end_pod(pod):
    """What a kubelet says once its containers have ended."""
    cluster.delete(pod_path(pod), gracePeriodSeconds=0)


def template(name, **more):
    return {"metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "main", "image": "registry.example/main"}], **more}}


def make_workload(kind, name, **spec):
    return cluster.create("apps/v1", kind, name, "shop", spec={
        "selector": {"matchLabels": {"app": name}}, "template": template(name), **spec})


def make_pod(name, node=None, **metadata):
    return cluster.create("v1", "Pod", name, "shop", metadata=metadata,
                          spec={**template(name)["spec"], "nodeName": node})


def make_service(name, **spec):
    return cluster.create("v1", "Service", name, "shop", spec={
        "selector": {"app": name}, "ports": [{"port": 80}], **spec})


def place(kind, name, pod, node="n1"):
    return {"namespace": "shop", "kind": kind, "name": name, "pod": pod["metadata"]["name"], "node": node}


def id_of(token):
    """The name that the server's audit gives it."""
    payload = token.split(".")[1]
    return "JTI=" + json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"]


class ChartAgent(api_test.Agent):
    def configure(self, more="", capture=""):
        self.port = 9091
        self.file.write_text(more)


class Chart(unittest.TestCase):
    def test_all_values_are_taken_as_they_are(self):
        for what in chart.VALUES:
            with self.subTest(what):
                self.check(rendered[what])

    def check(self, objects):
        namespace = objects[0][0]["metadata"]["namespace"]
        make_namespace(namespace, **{"pod-security.kubernetes.io/enforce": "privileged"})
        cluster.warnings.clear()
        before = [cluster.apply(made, text) for made, text in objects]
        after = [cluster.apply(made, text) for made, text in objects]
        self.assertEqual(cluster.warnings, [])

        def version(made):  # of a workload its status changes too
            return made["metadata"].get("generation") or made["metadata"]["resourceVersion"]
        self.assertEqual([version(made) for made in after], [version(made) for made in before])
        # Controllers make pods of it, which admission lets pass.
        count = len(NODES) if any(made["kind"] == "DaemonSet" for made, _ in objects) else 1
        wait_pods(namespace, count)
        for made, _ in reversed(objects):
            self.assertTrue(cluster.delete(cluster.path(made), propagationPolicy="Background"))
        wait_for("the end of its pods", lambda: not cluster.pods(namespace))

    def test_levels_of_pod_security(self):
        """What docs/installation.md says: a namespace must be of the level privileged."""
        make_namespace("baseline", **{"pod-security.kubernetes.io/warn": "baseline"})
        for mode, what in ("node", "nothing"), ("mirror", "a mirror"):
            made, text = next(o for o in rendered[what] if o[0]["kind"] in ("DaemonSet", "Deployment"))
            text = text.replace(f"namespace: {made['metadata']['namespace']}", "namespace: baseline")
            made["metadata"]["namespace"] = "baseline"
            cluster.warnings.clear()
            cluster.apply(made, text)
            self.assertEqual(len(cluster.warnings), 1, mode)
            self.assertIn("NET_ADMIN", cluster.warnings[0])
            cluster.delete(cluster.path(made))


class Names(kubernetes_case.Case):
    def setUp(self):
        self.folder = FOLDER
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir()
        self.wire = control_plane.Wire(WIRE, control_plane.PORT)
        self.wire.open()
        self.addCleanup(self.wire.close)
        self.addCleanup(self.clear)
        self.began = len(cluster.audit_log.read_bytes())

    def clear(self):
        for kind in ("deployments", "statefulsets", "daemonsets", "replicasets"):
            cluster.must("DELETE", f"/apis/apps/v1/namespaces/shop/{kind}")
        for kind in ("cronjobs", "jobs"):
            cluster.must("DELETE", f"/apis/batch/v1/namespaces/shop/{kind}?propagationPolicy=Background")
        for made in cluster.must("GET", "/api/v1/namespaces/shop/services")["items"]:
            cluster.delete(f"/api/v1/namespaces/shop/services/{made['metadata']['name']}")

        def no_pods():  # controllers may make some yet
            for pod in cluster.pods("shop"):
                end_pod(pod)
            return not cluster.pods("shop")
        wait_for("the end of all pods", no_pods)

    def probe_pod(self, namespace="watching"):
        """Its pod of the first node, and a token as the kubelet gives it one."""
        pod = run_pod(wait_daemon(namespace, "n1"), NODES["n1"])
        return pod, cluster.token(namespace, "probe", pod)

    def write_token(self, token):
        SECRETS.mkdir(parents=True, exist_ok=True)
        (SECRETS / "new").write_text(token)
        (SECRETS / "new").rename(SECRETS / "token")

    def start(self, namespace="watching", token=None):
        def data(name):
            return cluster.must("GET", f"/api/v1/namespaces/{namespace}/configmaps/{name}")["data"]
        self.write_token(token or self.probe_pod(namespace)[1])
        (SECRETS / "ca.crt").write_text(data("kube-root-ca.crt")["ca.crt"])
        self.agent = ChartAgent(FOLDER, data("probe")["tapline.yaml"], opens=False, NODE_NAME="n1",
                                KUBERNETES_SERVICE_HOST="127.0.0.1", KUBERNETES_SERVICE_PORT=str(WIRE))
        self.addCleanup(self.agent.end)
        self.agent.wait(lambda: self.agent.ask("GET", "/healthz")[0] == 200, "health")
        self.agent.open()
        self.agent.wait(lambda: self.agent.ask("GET", "/readyz")[0] == 200, "readiness")

    def wait_same(self):
        """Until the agent knows of as many objects as there are."""
        found = []

        def is_same():
            pods = [p for p in cluster.pods() if p["status"]["phase"] not in ("Succeeded", "Failed")]
            services = cluster.must("GET", "/api/v1/services")["items"]
            found[:] = [self.metric("objects", resource="pods"), self.metric("objects", resource="services"),
                        len(pods), len(services)]
            return found[:2] == found[2:]
        try:
            self.agent.wait(is_same, "the same objects")
        except AssertionError:
            print(f"objects: {found}")
            raise

    def wait_name(self, ip, wanted):
        """Until a client with this address has this name; what came before is another test's."""
        found = []

        def has_it():
            server = "2001:db8:1::1" if ":" in ip else "203.0.113.1"
            found[:] = [self.names(self.talk(ip, server), "client")]
            return found[0] == wanted
        try:
            self.agent.wait(has_it, f"the name of {ip}")
        except AssertionError:
            print(f"{ip} has the name {found}, not {wanted}")
            raise

    def asked(self, namespace="watching"):
        """What the server says that the agent asked for: (verb, resource, query, status), once each."""
        with open(cluster.audit_log, "rb") as log:
            log.seek(self.began)
            lines = log.read().splitlines(keepends=True)
        events = {}
        for event in (json.loads(line) for line in lines if line.endswith(b"\n")):
            if event["user"].get("username") == f"system:serviceaccount:{namespace}:probe":
                events[event["auditID"]] = event
        return list(events.values())

    def test_names_of_what_controllers_make(self):
        cluster.create("batch/v1", "CronJob", "tick", "shop", spec={
            "schedule": "* * * * *", "concurrencyPolicy": "Forbid",
            "jobTemplate": {"spec": {"template": template("tick", restartPolicy="Never")}}})
        make_workload("Deployment", "filler", replicas=FILLERS)
        make_workload("Deployment", "web")
        make_workload("StatefulSet", "db", serviceName="db")
        wait_pods("shop", FILLERS, app="filler")
        web = run_pod(*wait_pods("shop", app="web"), "10.1.0.1")
        db = run_pod(*wait_pods("shop", app="db"), "10.1.0.2", "n2")
        cart = make_service("cart")["spec"]["clusterIP"]
        self.start()
        self.wait_same()
        record = self.talk("10.1.0.1", "10.1.0.2")
        self.assertEqual(self.names(record, "client"), place("Deployment", "web", web))
        self.assertEqual(self.names(record, "server"), place("StatefulSet", "db", db, "n2"))
        self.assertEqual((record["server"]["name"], record["server"]["name_source"]), ("db", "kubernetes"))
        record = self.talk("10.1.0.1", cart)
        self.assertEqual(self.names(record, "server"), {"namespace": "shop", "kind": "Service", "name": "cart"})
        self.agent.wait_counted(1, client_namespace="shop", client_workload="web", server_namespace="shop",
                                server_workload="db", server_pod="db-0", server_name="db")
        self.agent.wait_counted(1, client_workload="web", server_workload="cart", server_name="cart")
        self.check_watched()
        self.check_asked()
        self.check_bookmark()
        tick, = wait_pods("shop", app="tick")
        run_pod(tick, "10.1.0.9")
        self.wait_name("10.1.0.9", place("CronJob", "tick", tick))

    def check_watched(self):
        """What comes while the agent watches."""
        make_workload("DaemonSet", "log")
        make_workload("ReplicaSet", "bare")
        cluster.create("batch/v1", "Job", "once", "shop", spec={"template": template("once", restartPolicy="Never")})
        node = cluster.must("GET", "/api/v1/nodes/n1")["metadata"]
        pods = {"Pod": make_pod("alone"), "DaemonSet": wait_daemon("shop", "n1", app="log"),
                "ReplicaSet": wait_pods("shop", app="bare")[0], "Job": wait_pods("shop", app="once")[0]}
        names = {"Pod": "alone", "DaemonSet": "log", "ReplicaSet": "bare", "Job": "once"}
        for i, (kind, pod) in enumerate(pods.items()):
            ip = f"10.1.1.{i + 1}"
            run_pod(pod, ip)
            self.wait_name(ip, place(kind, names[kind], pod))
        # A static pod is named after its file and its node, which owns it.
        static = make_pod("proxy-n1", "n1", annotations={"kubernetes.io/config.mirror": "x"}, ownerReferences=[
            {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": node["uid"], "controller": True}])
        run_pod(static, "10.1.1.9")
        self.wait_name("10.1.1.9", place("Pod", "proxy", static))
        # In both families; and the probe itself, in the node's network, known by its port.
        cluster.must("PATCH", pod_path(pods["Pod"]) + "/status", {"status": {
            "podIP": "10.1.1.1", "podIPs": [{"ip": "10.1.1.1"}, {"ip": "2001:db8::1"}]}},
            kind="application/merge-patch+json")
        self.wait_name("2001:db8::1", place("Pod", "alone", pods["Pod"]))
        record = self.talk("203.0.113.1", NODES["n1"], server_port=9091)
        self.assertEqual({k: self.names(record, "server")[k] for k in ("namespace", "kind", "name", "node")},
                         {"namespace": "watching", "kind": "DaemonSet", "name": "probe", "node": "n1"})
        self.assertIsNone(self.names(self.talk("203.0.113.1", NODES["n1"]), "server"))
        # Of a service with an address outside only its ports.
        make_service("headless", clusterIP="None")
        make_service("gate", type="LoadBalancer")
        cluster.must("PATCH", "/api/v1/namespaces/shop/services/gate/status", {"status": {
            "loadBalancer": {"ingress": [{"ip": "198.51.100.1"}]}}}, kind="application/merge-patch+json")
        self.agent.wait(lambda: self.names(self.talk("203.0.113.1", "198.51.100.1"), "server") == {
            "namespace": "shop", "kind": "Service", "name": "gate"}, "the service outside")
        self.assertIsNone(self.names(self.talk("203.0.113.1", "198.51.100.1", server_port=81), "server"))

    def check_asked(self):
        """By the server's own word: pages, then watches, all allowed by the chart's role."""
        for resource, pages in ("pods", 2), ("services", 1):
            events = [e for e in self.asked() if e["objectRef"]["resource"] == resource]
            lists = [e for e in events if e["verb"] == "list"]
            watches = [e for e in events if e["verb"] == "watch"]
            self.assertGreaterEqual(len(lists), pages, lists)
            self.assertNotIn("continue=", lists[0]["requestURI"])
            for event in lists[1:]:
                self.assertIn("&continue=", event["requestURI"])
            self.assertGreaterEqual(len(watches), 1)
            self.assertIn("allowWatchBookmarks=true", watches[0]["requestURI"])
            for event in events:
                self.assertEqual(event["responseStatus"]["code"], 200)
                self.assertIn('ClusterRole "watching-probe"',
                              event["annotations"]["authorization.k8s.io/reason"])
                self.assertNotIn("k8s.io/deprecated", event["annotations"])
        self.assertEqual({e["objectRef"]["resource"] for e in self.asked()}, {"pods", "services"})
        self.assertEqual(self.metric("errors_total"), 0)

    def check_bookmark(self):
        """No service changes, and yet the server tells of newer versions; the next watch begins there."""
        def versions():
            return [int(e["requestURI"].partition("resourceVersion=")[2].partition("&")[0])
                    for e in self.asked() if e["verb"] == "watch" and e["objectRef"]["resource"] == "services"]
        self.wait_same()
        newest = max(int(s["metadata"]["resourceVersion"])
                     for s in cluster.must("GET", "/api/v1/services")["items"])
        make_pod("later")
        # The server asks etcd how new this list must be; what it tells from then on is newer than `newest`.
        cluster.must("GET", "/api/v1/services")
        for _ in range(3):  # an older bookmark may be on its way
            seen, watches = self.metric("events_total", resource="services"), len(versions())
            self.agent.wait(lambda: self.metric("events_total", resource="services") > seen, "a bookmark")
            self.wire.cut()
            self.agent.wait(lambda: len(versions()) > watches, "another watch")
            if versions()[-1] > newest:
                break
        self.assertGreater(versions()[-1], newest)
        self.assertEqual(self.metric("lists_total", resource="services"), 1)

    def test_changes(self):
        self.start()
        self.wait_same()
        make_workload("Deployment", "web")
        first = run_pod(*wait_pods("shop", app="web"), "10.1.0.1")
        self.wait_name("10.1.0.1", place("Deployment", "web", first))
        # It ends slowly, then its controller has made another, which gets its address.
        cluster.delete(pod_path(first))
        second = wait_pods("shop", app="web")[0]
        self.assertNotEqual(first["metadata"]["name"], second["metadata"]["name"])
        self.assertEqual(self.names(self.talk("10.1.0.1", "203.0.113.1"), "client"),
                         place("Deployment", "web", first))
        end_pod(first)
        run_pod(second, "10.1.0.1", "n2")
        self.wait_name("10.1.0.1", place("Deployment", "web", second, "n2"))
        # The same pod of a StatefulSet with another address.
        make_workload("StatefulSet", "db", serviceName="db")
        db = run_pod(*wait_pods("shop", app="db"), "10.1.0.2")
        self.wait_name("10.1.0.2", place("StatefulSet", "db", db))
        end_pod(db)
        again = run_pod(*wait_pods("shop", app="db"), "10.1.0.3", "n2")
        self.assertEqual(db["metadata"]["name"], again["metadata"]["name"])
        self.wait_name("10.1.0.3", place("StatefulSet", "db", again, "n2"))
        # One that has finished has no address any more.
        job = make_pod("once")
        run_pod(job, "10.1.0.4")
        self.wait_name("10.1.0.4", place("Pod", "once", job))
        cluster.must("PATCH", pod_path(job) + "/status", {"status": {"phase": "Succeeded"}},
                     kind="application/merge-patch+json")
        self.wait_same()
        other = make_pod("other")
        run_pod(other, "10.1.0.4")
        self.wait_name("10.1.0.4", place("Pod", "other", other))
        self.assertEqual(self.metric("errors_total"), 0)
        self.assertEqual(self.metric("lists_total"), 2)

    def test_only_pods_of_its_node(self):
        near, far, none = make_pod("near"), make_pod("far"), make_pod("none")
        run_pod(near, "10.1.0.1")
        run_pod(far, "10.1.0.2", "n2")
        self.start("one-node")
        self.wait_name("10.1.0.1", place("Pod", "near", near))
        self.assertIsNone(self.names(self.talk("10.1.0.2", "203.0.113.1"), "client"))
        run_pod(none, "10.1.0.3")
        self.wait_name("10.1.0.3", place("Pod", "none", none))
        here = [p for p in cluster.pods() if p["spec"].get("nodeName") == "n1"]
        self.agent.wait(lambda: self.metric("objects", resource="pods") == len(here), "the pods of n1")
        for event in self.asked("one-node"):
            self.assertEqual("fieldSelector=spec.nodeName%3Dn1" in event["requestURI"],
                             event["objectRef"]["resource"] == "pods", event["requestURI"])

    def check_gone(self, *options):
        """The agent is cut off; meanwhile all that it could go on from is forgotten."""
        make_workload("StatefulSet", "db", serviceName="db")
        db = run_pod(*wait_pods("shop", app="db"), "10.1.0.1")
        gone = run_pod(make_pod("gone"), "10.1.0.2")
        self.start()
        self.wait_same()
        self.wait_name("10.1.0.2", place("Pod", "gone", gone))
        lists = self.metric("lists_total", resource="pods")
        self.wire.close()
        end_pod(gone)
        end_pod(db)
        db = run_pod(*wait_pods("shop", app="db"), "10.1.0.3", "n2")
        heir = run_pod(make_pod("heir"), "10.1.0.2")
        # What was known is known yet.
        self.assertEqual(self.names(self.talk("10.1.0.2", "203.0.113.1"), "client"), place("Pod", "gone", gone))
        cluster.stop("kube-apiserver", signal.SIGKILL)
        cluster.start_server(*options)
        cluster.compact()
        self.wire.open()
        self.wait_name("10.1.0.2", place("Pod", "heir", heir))
        self.wait_name("10.1.0.3", place("StatefulSet", "db", db, "n2"))
        self.wait_same()
        self.assertEqual(self.metric("lists_total", resource="pods"), lists + 1)
        # Being told 410 is no failure.
        log = self.agent.log.read_text()
        self.assertNotIn("status 410", log)
        self.assertNotIn("watch: 410", log)
        self.assertNotIn("too old", log)
        self.assertIn("kubernetes: pods: answered again", log)

    def test_gone_from_the_cache_of_a_server_that_began_anew(self):
        self.check_gone()

    def test_gone_from_etcd(self):
        self.addCleanup(lambda: (cluster.stop("kube-apiserver", signal.SIGKILL), cluster.start_server()))
        self.check_gone("--watch-cache=false")

    def test_the_server_begins_anew(self):
        alone = run_pod(make_pod("alone"), "10.1.0.1")
        self.start()
        self.wait_same()
        cluster.stop("kube-apiserver", signal.SIGKILL)
        self.agent.wait(lambda: self.metric("errors_total", resource="pods") >= 2, "failures")
        self.assertEqual(self.names(self.talk("10.1.0.1", "203.0.113.1"), "client"), place("Pod", "alone", alone))
        cluster.start_server()
        later = run_pod(make_pod("later"), "10.1.0.2")
        self.wait_name("10.1.0.2", place("Pod", "later", later))
        for resource in "pods", "services":
            self.agent.wait(lambda: f"kubernetes: {resource}: answered again" in self.agent.log.read_text(),
                            "word of it")
        self.assertEqual(self.names(self.talk("10.1.0.1", "203.0.113.1"), "client"), place("Pod", "alone", alone))
        self.wait_same()

    def test_tokens_are_replaced_and_revoked(self):
        pod, token = self.probe_pod()
        alone = run_pod(make_pod("alone"), "10.1.0.1")
        self.start(token=token)
        self.wait_same()

        def ids():
            return {e["user"]["extra"]["authentication.kubernetes.io/credential-id"][0] for e in self.asked()}
        self.assertEqual(ids(), {id_of(token)})
        # Replaced, as a kubelet does it.
        other = cluster.token("watching", "probe", pod)
        self.write_token(other)
        self.wire.cut()
        self.agent.wait(lambda: id_of(other) in ids(), "the new token")
        self.wait_same()
        self.assertNotIn("HTTP status", self.agent.log.read_text())
        # Its pod is no more.
        end_pod(pod)
        wait_for("the end of the token", lambda: cluster.ask("GET", "/api/v1/pods", token=other)[0] == 401)
        self.wire.cut()
        self.agent.wait(lambda: "pods: HTTP status 401: Unauthorized" in self.agent.log.read_text(), "a refusal")
        status = json.loads(self.agent.get("/api/v1/status"))["kubernetes"]
        self.assertEqual(status[0]["last_error"], "HTTP status 401: Unauthorized")
        self.assertEqual(self.names(self.talk("10.1.0.1", "203.0.113.1"), "client"), place("Pod", "alone", alone))
        self.write_token(self.probe_pod()[1])
        self.agent.wait(lambda: "kubernetes: pods: answered again" in self.agent.log.read_text(), "word of it")
        self.wait_same()
        for secret in (token, other):
            self.assertNotIn(secret, self.agent.log.read_text() + self.agent.get("/api/v1/status"))

    def test_rights(self):
        """No more than it needs; and where they are missing, the agent says so until it has them."""
        token = cluster.token("watching", "probe")
        for status, method, path in (
                (200, "GET", "/api/v1/pods"), (200, "GET", "/api/v1/services?watch=1&timeoutSeconds=1"),
                (403, "GET", "/api/v1/namespaces/default/services/kubernetes"), (403, "GET", "/api/v1/secrets"),
                (403, "GET", "/api/v1/nodes"), (403, "GET", "/api/v1/configmaps"),
                (403, "GET", "/api/v1/namespaces/watching/configmaps/probe"),
                (403, "GET", "/apis/apps/v1/deployments"), (403, "POST", "/api/v1/namespaces/watching/pods"),
                (403, "DELETE", "/api/v1/namespaces/watching/services")):
            self.assertEqual(cluster.ask(method, path, token=token)[0], status, (method, path))
        binding = next(o for o in rendered["watching"] if o[0]["kind"] == "ClusterRoleBinding")
        alone = run_pod(make_pod("alone"), "10.1.0.1")
        self.assertTrue(cluster.delete(cluster.path(binding[0])))
        try:
            wait_for("the end of the right", lambda: cluster.ask("GET", "/api/v1/pods", token=token)[0] == 403)
            self.start()
            self.agent.wait(lambda: self.metric("errors_total", resource="pods") > 0, "a refusal")
            self.assertIn('HTTP status 403: pods is forbidden: User "system:serviceaccount:watching:probe" cannot '
                          'list resource "pods"', self.agent.log.read_text())
            self.assertIsNone(self.names(self.talk("10.1.0.1", "203.0.113.1"), "client"))
        finally:
            cluster.apply(*binding)
        self.wait_name("10.1.0.1", place("Pod", "alone", alone))
        self.wait_same()


def main():
    if control_plane.ENTERED not in os.environ:
        if os.geteuid() != 0:
            raise Skip("it needs root")
        if subprocess.run([*control_plane.NAMESPACES, "true"], capture_output=True).returncode != 0:
            raise Skip("there are no namespaces here")
        control_plane.programs()
        render()
        control_plane.enter_namespace(sys.executable, "-B", __file__, os.path.realpath(sys.argv[1]), *sys.argv[2:])
    os.environ["TMPDIR"] = "/run"
    done = unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2, exit=False)
    if not done.result.wasSuccessful() and cluster:
        cluster.print_logs()
    if done.result.wasSuccessful() and done.result.testsRun == 0:
        raise Skip("; ".join(why for _, why in done.result.skipped))
    return 0 if done.result.wasSuccessful() else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Skip as why:
        print(f"skipped: {why}")
        sys.exit(SKIPPED)
