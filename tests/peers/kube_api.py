# SPDX-License-Identifier: Apache-2.0
"""An API server of Kubernetes as far as lists and watches of pods and services go, by the published
API concepts: TLS, a bearer token, lists in pages by `limit` and `continue`, field selectors of nodes,
watches as a chunked response of a JSON line for each event from a resource version on, bookmarks,
410 Gone for versions that are too old."""
import collections
import http.server
import json
import ssl
import subprocess
import threading
import time
import urllib.parse

Request = collections.namedtuple("Request", "resource time version query status")


def pod(name, ip, owner=None, namespace="shop", node="n1", phase="Running", **more):
    """owner: (kind, name), of a Deployment its name and hash."""
    metadata = {"namespace": namespace, "name": name}
    if owner and owner[0] == "Deployment":
        metadata["labels"] = {"pod-template-hash": owner[2]}
        owner = ("ReplicaSet", f"{owner[1]}-{owner[2]}")
    if owner:
        metadata["ownerReferences"] = [{"kind": owner[0], "name": owner[1], "controller": True}]
    return {"metadata": metadata, "spec": {"nodeName": node, **more},
            "status": {"phase": phase, "podIP": ip, "podIPs": [{"ip": ip}]}}


def service(name, ip, namespace="shop"):
    return {"metadata": {"namespace": namespace, "name": name},
            "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": [{"port": 80}]}}


def make_certificates(folder):
    """authority.pem, stranger.pem, and server.pem with server.key for 127.0.0.1."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, check=True)
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("authority", "stranger"):
        openssl("req", "-x509", *key, "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                "-out", f"{name}.pem")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl("req", *key, "-subj", "/CN=server", "-keyout", "server.key", "-out", "server.csr")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "authority.pem", "-CAkey", "authority.key",
            "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "server.pem")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, page):
        body = json.dumps(page, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, message):
        self.answer(status, {"kind": "Status", "status": "Failure", "code": status, "message": message})

    def do_GET(self):
        api = self.server.api
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        resource = parts.path.removeprefix("/api/v1/")
        with api.changed:
            status = (401 if self.headers["Authorization"] != f"Bearer {api.token}" else
                      404 if resource not in api.objects else api.fails.get(resource, 200))
            version = int(query.get("resourceVersion", 0))
            is_watch = query.get("watch") == "1"
            if status == 200 and is_watch and version < api.oldest and not api.gone_as_event:
                status = 410
            if status == 200 and is_watch and version <= api.breaks:
                status = 500
            api.requests.append(Request(resource, time.monotonic(), version if is_watch else None,
                                        query, status))
        try:
            if status != 200:
                self.refuse(status, "no such luck")
            elif is_watch:
                self.watch(api, resource, version)
            else:
                self.list(api, resource, query)
        except OSError:  # the agent has left
            self.close_connection = True

    def list(self, api, resource, query):
        with api.changed:
            names = sorted(api.objects[resource])
            selector = query.get("fieldSelector", "")
            if selector:
                node = selector.removeprefix("spec.nodeName=")
                names = [n for n in names if api.objects[resource][n]["spec"]["nodeName"] == node]
            start = int(query.get("continue", "at 0").split()[1])
            end = start + int(query.get("limit", 10 ** 6))
            metadata = {} if api.hides_version else {"resourceVersion": str(api.version)}
            if end < len(names):
                metadata["continue"] = f"at {end}"
            items = [api.objects[resource][n] for n in names[start:end]]
            if len(items) > api.page_max:
                items = [{}] * 5_000_000
        self.answer(200, {"kind": "List", "metadata": metadata, "items": items or None})

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def watch(self, api, resource, version):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if version < api.oldest:
            self.send_event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})
        turn = api.turns[resource]
        while version >= api.oldest:
            with api.changed:
                api.changed.wait_for(lambda: api.turns[resource] != turn or any(
                    e[0] > version and e[1] == resource for e in api.events), 60)
                events = [e for e in api.events if e[0] > version and e[1] == resource]
                if api.turns[resource] != turn and not events:
                    break
            for version, _, kind, json_object in events:
                self.send_event(kind, json_object)
        self.chunk(b"")
        self.close_connection = True

    def send_event(self, kind, json_object):
        line = json.dumps({"type": kind, "object": json_object}).encode() + b"\n"
        half = len(line) // 2  # chunks have nothing to do with events
        self.chunk(line[:half])
        self.chunk(line[half:])
        self.wfile.flush()

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a handshake that was to fail


class Api:
    def __init__(self, folder, token):
        self.token = token
        self.changed = threading.Condition()
        self.objects = {"pods": {}, "services": {}}
        self.version, self.oldest = 100, 0  # of the cluster; the oldest that a watch may begin with
        self.events = []        # (version, resource, type, object)
        self.turns = {"pods": 0, "services": 0}
        self.fails = {}         # resource: status
        self.gone_as_event = False
        self.hides_version = False  # lists don't tell it
        self.page_max = 10 ** 6  # above it a page is full of small things
        self.breaks = -1        # no watch from here or before goes well
        self.requests = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.api = self
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                 do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self):
        return f"https://127.0.0.1:{self.server.server_port}"

    def close(self):
        for resource in self.turns:
            self.end_watch(resource)
        self.server.shutdown()
        self.server.server_close()

    def change(self, kind, resource, json_object, tell=True):
        """ADDED, MODIFIED, DELETED, or BOOKMARK without an object. tell: watchers hear of it."""
        with self.changed:
            self.version += 1
            json_object = json_object or {"metadata": {}}
            json_object["metadata"]["resourceVersion"] = str(self.version)
            key = json_object["metadata"].get("namespace"), json_object["metadata"].get("name")
            if kind == "DELETED":
                self.objects[resource].pop(key)
            elif kind != "BOOKMARK":
                self.objects[resource][key] = json_object
            if tell:
                self.events.append((self.version, resource, kind, json_object))
            self.changed.notify_all()
            return self.version

    def forget(self):
        """Versions up to now are too old to watch from."""
        with self.changed:
            self.version += 1
            self.oldest = self.version
            self.events.clear()

    def break_watches(self):
        """No watch from a version up to now goes well."""
        with self.changed:
            self.breaks = self.version
            self.version += 1

    def end_watch(self, resource):
        with self.changed:
            self.turns[resource] += 1
            self.changed.notify_all()

    def asked(self, resource, watch=None, status=None):
        """Requests so far; of watches the version that each began with."""
        with self.changed:
            return [r for r in self.requests if r.resource == resource and
                    (watch is None or watch == (r.version is not None)) and
                    (status is None or status == r.status)]
