# SPDX-License-Identifier: Apache-2.0
"""The control plane of Kubernetes as its project makes it: etcd, kube-apiserver and
kube-controller-manager, built from the Go module proxy, on loopback, with TLS and RBAC."""
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

from registry import CACHE, build, need

VERSION = "1.35.4"
PROGRAMS = {"etcd": "go.etcd.io/etcd/server/v3",
            "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
            "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager"}
ETCD, PORT = 2379, 6443
SECONDS = 300  # for what should happen soon, on a busy machine
CONTROLLERS = ("cronjob-controller", "daemonset-controller", "deployment-controller",
               "garbage-collector-controller", "job-controller", "replicaset-controller",
               "root-ca-certificate-publisher-controller", "serviceaccount-controller",
               "statefulset-controller")
# Who asked for what, and what became of it.
AUDIT = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
         "rules": [{"level": "Metadata", "resources": [{"group": "", "resources": ["pods", "services"]}],
                    "verbs": ["get", "list", "watch"]}, {"level": "None"}]}


# ---- Getting it ----------------------------------------------------------------------------------

def module_file(text):
    """Kubernetes' own go.mod as that of a module which requires it. What lies in its tree beside it, the
    module proxy has as modules of their own, whose versions begin with 0."""
    parts = re.findall(r"^require \(\n.*?^\)\n", text, re.M | re.S)
    staged = re.findall(r"^\t(k8s\.io/\S+) v0\.0\.0(?: |$)", "".join(parts), re.M)
    go = re.search(r"^go .*\n", text, re.M)[0]
    replaced = "".join(f"\t{one} => {one} v0{VERSION[1:]}\n" for one in staged)
    return f"module tapline/cluster\n\n{go}\nrequire k8s.io/kubernetes v{VERSION}\n\n" \
        f"{''.join(parts)}\nreplace (\n{replaced})\n"


def programs():
    """The folder with all of them."""
    folder = CACHE / f"kubernetes-{VERSION}"
    if folder.exists():
        return folder
    need("go")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        work = pathlib.Path(name)
        module = json.loads(build(work, "go", "mod", "download", "-json", f"k8s.io/kubernetes@v{VERSION}"))
        (work / "go.mod").write_text(module_file(pathlib.Path(module["GoMod"]).read_text()))
        major, minor, _ = VERSION.split(".")
        says = "".join(f" -X k8s.io/component-base/version.{key}={value}" for key, value in (
            ("gitVersion", f"v{VERSION}"), ("gitMajor", major), ("gitMinor", minor)))
        (work / "out").mkdir()
        # Nobody debugs it: a third of the compiler's time is for that, and for inlining.
        build(work, "go", "build", "-mod=mod", "-p", "2", "-gcflags=all=-dwarf=false -l",
              "-ldflags", f"-s -w{says}", "-o", "out/", *PROGRAMS.values())
        (work / "out/server").rename(work / "out/etcd")
        (work / "out").rename(folder)
    return folder


# ---- What it needs -------------------------------------------------------------------------------

def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, check=True)


EC_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def make_certificate(folder, name, subject, uses="extendedKeyUsage=clientAuth"):
    """NAME.pem with NAME.key, signed by authority.pem."""
    (folder / "uses").write_text(uses + "\n")
    openssl(folder, "req", *EC_KEY, "-subj", subject, "-keyout", f"{name}.key", "-out", "request")
    openssl(folder, "x509", "-req", "-in", "request", "-CA", "authority.pem", "-CAkey", "authority.key",
            "-CAcreateserial", "-days", "2", "-extfile", "uses", "-out", f"{name}.pem")


def make_keys(folder):
    """authority.pem; server.pem and admin.pem with their keys; accounts.key and .pub."""
    openssl(folder, "req", "-x509", *EC_KEY, "-days", "2", "-subj", "/CN=authority", "-keyout", "authority.key",
            "-out", "authority.pem")
    make_certificate(folder, "server", "/CN=kube-apiserver",
                     "subjectAltName=IP:127.0.0.1,IP:10.96.0.1,DNS:kubernetes.default.svc")
    make_certificate(folder, "admin", "/O=system:masters/CN=admin")
    openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "accounts.key")
    openssl(folder, "ec", "-in", "accounts.key", "-pubout", "-out", "accounts.pub")


def wait_for(what, condition, seconds=SECONDS):
    """What `condition` gives when it holds."""
    end = time.monotonic() + seconds
    while True:
        why = None
        try:
            if value := condition():
                return value
        except (OSError, http.client.HTTPException, Refused) as error:
            why = error
        assert time.monotonic() < end, f"{what}: not within {seconds} s ({why})"
        time.sleep(0.05)


class Refused(Exception):
    def __init__(self, status, answer):
        super().__init__(f"{status} {json.dumps(answer)[:1000]}")
        self.status = status


class Cluster:
    """Its files lie in `folder`; it has the ports of the network namespace for itself."""

    def __init__(self, binaries, folder):
        self.binaries, self.folder = binaries, folder
        self.running = {}
        self.warnings = []
        self.paths = {}
        make_keys(folder)
        (folder / "audit.json").write_text(json.dumps(AUDIT))
        self.audit_log = folder / "audit.log"
        self.trust = ssl.create_default_context(cafile=folder / "authority.pem")
        self.admin = ssl.create_default_context(cafile=folder / "authority.pem")
        self.admin.load_cert_chain(folder / "admin.pem", folder / "admin.key")

    # ---- Its programs

    def run(self, name, *options):
        with open(self.folder / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen([self.binaries / name, *options], stdout=log, stderr=log,
                                                  stdin=subprocess.DEVNULL)

    def stop(self, name, number=signal.SIGTERM):
        process = self.running.pop(name)
        process.send_signal(number)
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def start(self):
        own = f"http://127.0.0.1:{ETCD}"
        peer = f"http://127.0.0.1:{ETCD + 1}"
        self.run("etcd", f"--data-dir={self.folder}/etcd", f"--listen-client-urls={own}",
                 f"--advertise-client-urls={own}", f"--listen-peer-urls={peer}",
                 f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
                 "--unsafe-no-fsync", "--log-level=warn")
        self.start_server()
        self.start_controllers()

    def start_server(self, *options):
        at = self.folder
        self.run("kube-apiserver", f"--etcd-servers=http://127.0.0.1:{ETCD}", f"--secure-port={PORT}",
                 "--bind-address=127.0.0.1", "--advertise-address=192.0.2.254", "--endpoint-reconciler-type=none",
                 "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
                 f"--client-ca-file={at}/authority.pem",
                 f"--tls-cert-file={at}/server.pem", f"--tls-private-key-file={at}/server.key",
                 "--service-account-issuer=https://kubernetes.default.svc",
                 f"--service-account-key-file={at}/accounts.pub",
                 f"--service-account-signing-key-file={at}/accounts.key",
                 "--service-cluster-ip-range=10.96.0.0/16", f"--audit-policy-file={at}/audit.json",
                 f"--audit-log-path={self.audit_log}", *options)
        process = self.running["kube-apiserver"]

        def is_ready():
            assert process.poll() is None, "kube-apiserver has ended"
            return self.ask("GET", "/readyz")[0] == 200
        wait_for("kube-apiserver", is_ready)

    def start_component(self, name, subject, *options):
        """One that speaks to the API server, as what its certificate says."""
        at = self.folder
        make_certificate(at, name, subject)
        (at / f"{name}.config").write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
            "clusters": [{"name": "here", "cluster": {"server": f"https://127.0.0.1:{PORT}",
                                                      "certificate-authority": f"{at}/authority.pem"}}],
            "users": [{"name": "here", "user": {"client-certificate": f"{at}/{name}.pem",
                                                "client-key": f"{at}/{name}.key"}}]}))
        self.run(name, f"--kubeconfig={at}/{name}.config", *options)

    def start_controllers(self):
        at = self.folder
        self.start_component(
            "kube-controller-manager", "/CN=system:kube-controller-manager", "--leader-elect=false",
            "--bind-address=127.0.0.1", "--use-service-account-credentials=true",
            f"--service-account-private-key-file={at}/accounts.key", f"--root-ca-file={at}/authority.pem",
            "--kube-api-qps=1000", "--kube-api-burst=1000", f"--controllers={','.join(CONTROLLERS)}")

    def end(self):
        for name in reversed(list(self.running)):
            self.stop(name, signal.SIGKILL)

    def print_logs(self):
        for log in sorted(self.folder.glob("*.log")):
            if log != self.audit_log:
                print(f"the end of {log.name}:\n{log.read_text(errors='replace')[-2000:]}")

    # ---- Its API

    def ask(self, method, path, body=None, kind="application/json", token=None):
        """(status, answer) as the administrator, or as who has the token."""
        connection = http.client.HTTPSConnection("127.0.0.1", PORT, timeout=60,
                                                 context=self.admin if token is None else self.trust)
        headers = {"Content-Type": kind, "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            self.warnings += answer.headers.get_all("Warning") or []
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:  # a word, or the events of a watch
            return answer.status, text

    def must(self, method, path, body=None, **more):
        status, answer = self.ask(method, path, body, **more)
        if status >= 300:
            raise Refused(status, answer)
        return answer

    def path_of(self, version, kind, namespace=None, name=None):
        """Where the server itself says that such objects are."""
        if version not in self.paths:
            base = f"/apis/{version}" if "/" in version else f"/api/{version}"
            self.paths[version] = base, {r["kind"]: r for r in self.must("GET", base)["resources"]
                                         if "/" not in r["name"]}
        base, resources = self.paths[version]
        resource = resources[kind]
        place = f"/namespaces/{namespace}" if resource["namespaced"] else ""
        return f"{base}{place}/{resource['name']}" + (f"/{name}" if name else "")

    def path(self, made):
        return self.path_of(made["apiVersion"], made["kind"], made["metadata"].get("namespace"),
                            made["metadata"]["name"])

    def apply(self, made, text):
        """The text of an object as it is, by server-side apply, with strict validation."""
        return self.must("PATCH", self.path(made) + "?fieldManager=tapline&fieldValidation=Strict", text,
                         kind="application/apply-patch+yaml")

    def create(self, version, kind, name, namespace=None, **parts):
        """The metadata may be among the parts."""
        metadata = {"name": name, **parts.pop("metadata", {})}
        return self.must("POST", self.path_of(version, kind, namespace),
                         {"apiVersion": version, "kind": kind, "metadata": metadata, **parts})

    def delete(self, path, **options):
        """False: it isn't there."""
        status, answer = self.ask("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", **options})
        if status not in (200, 202, 404):
            raise Refused(status, answer)
        return status != 404

    def pods(self, namespace=None, selector=""):
        place = f"/namespaces/{namespace}" if namespace else ""
        return self.must("GET", f"/api/v1{place}/pods?labelSelector={selector}")["items"]

    def token(self, namespace, account, pod=None):
        """Of the account, as long as that pod lives."""
        spec = {"expirationSeconds": 3600}
        if pod:
            spec["boundObjectRef"] = {"kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"],
                                      "uid": pod["metadata"]["uid"]}
        return self.must("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token",
                         {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                          "spec": spec})["status"]["token"]

    def compact(self):
        """etcd forgets every revision but its newest."""
        def etcd(path, body):
            connection = http.client.HTTPConnection("127.0.0.1", ETCD, timeout=60)
            try:
                connection.request("POST", path, json.dumps(body))
                answer = connection.getresponse()
                text = answer.read()
                assert answer.status == 200, text
                return json.loads(text)
            finally:
                connection.close()
        revision = etcd("/v3/kv/range", {"key": "YQ==", "count_only": True})["header"]["revision"]
        etcd("/v3/kv/compaction", {"revision": revision, "physical": True})


class Wire:
    """Between the agent and the API server; it can be cut."""

    def __init__(self, port, to):
        self.port, self.to = port, to
        self.ends = set()
        self.listener = None

    def open(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, args=[self.listener], daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:  # closed
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                near.close()
                continue
            self.ends |= {near, far}
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=[a, b], daemon=True).start()

    def carry(self, a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self):
        """Connections end; new ones may be made."""
        for end in list(self.ends):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()
        self.ends.clear()

    def close(self):
        if self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None
        self.cut()


ENTERED = "TL_CLUSTER_ENTERED"
NAMESPACES = ("unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
              "--mount-proc")


def enter_namespace(*arguments):
    """Runs this again where network, processes and /run are its own, and end with it."""
    script = 'ip link set lo up && mount -t tmpfs none /run && exec "$@"'
    os.environ[ENTERED] = "yes"
    os.execvp("unshare", [*NAMESPACES, "sh", "-ec", script, "sh", *arguments])
