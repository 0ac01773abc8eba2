#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The kubelet's pod list: by its read-only port, over TLS with a client certificate that the kubelet
demands, with a bearer token; and what the agent says when it is refused, deceived or kept waiting.
The container is a cgroup below another root; needs no rights at all."""
import http.server
import json
import os
import pathlib
import ssl
import subprocess
import sys
import tempfile
import threading
import time

import lab
from host_metrics import Agent
from lab import check, wait_for

ID = "e5" * 32
PLACE = ("kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/"
         f"cri-containerd-{ID}.scope")
TOKEN = "secret-of-a-service-account"
PODS = {"kind": "PodList", "items": [{
    "metadata": {"name": "web-7f9c", "namespace": "shop", "labels": {"app": "web"},
                 "annotations": {"kubernetes.io/config.source": "file"}},
    "spec": {"hostname": "web"}, "status": {"qosClass": "Guaranteed", "containerStatuses": [
        {"name": "nginx", "containerID": "containerd://" + ID}]}}]}


class Kubelet(http.server.BaseHTTPRequestHandler):
    released = threading.Event()

    def do_GET(self):
        status, body = 200, json.dumps(PODS).encode()
        if self.path == "/token" and self.headers["Authorization"] != f"Bearer {TOKEN}":
            status, body = 401, b"Unauthorized"
        if self.path == "/strange":
            body = b"<html>a portal</html>"
        if self.path == "/slow":
            self.released.wait(30)
        try:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # the agent has given up
            pass

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a handshake that was to fail


def serve(context=None):
    server = Server(("127.0.0.1", 0), Kubelet)
    if context is not None:
        # The handshake belongs to the connection's own thread.
        server.socket = context.wrap_socket(server.socket, server_side=True,
                                            do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def make_certificates(folder):
    """An authority with the kubelet's and the client's certificates, and a stranger's."""
    def openssl(*arguments):
        done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True)
        check(done.returncode == 0, f"openssl {arguments[0]}: {done.stderr[-300:]}")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("authority", "stranger"):
        openssl("req", "-x509", *key, "-days", "2", "-subj", f"/CN={name}", "-keyout",
                f"{name}.key", "-out", f"{name}.pem")
    for name in ("kubelet", "client"):
        openssl("req", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out",
                f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "authority.pem", "-CAkey",
                "authority.key", "-CAcreateserial", "-days", "2", "-out", f"{name}.pem")


def make_host(folder):
    root = folder / "host"
    (root / "sys/fs/cgroup" / PLACE).mkdir(parents=True)
    (root / "sys/fs/cgroup" / PLACE / "cgroup.procs").write_text("")
    (root / "proc/1").mkdir(parents=True)
    (root / "proc/1/mounts").write_text("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n")
    (root / "proc/stat").write_text("cpu 1 1 1 1 1 1 1 1 0 0\n")
    return root


def asked(agent):
    """(the container, what the kubelet said last); asks anew, as every look does."""
    page = json.loads(agent.get("/api/v1/containers"))
    one, = [c for c in page["data"] if c["id"] == ID]
    return one, page.get("kubelet_error", "")


def main():
    tapline = os.path.realpath(sys.argv[1])
    lab.need("openssl")
    with tempfile.TemporaryDirectory(prefix="tl-kubelet-") as name:
        folder = pathlib.Path(name)
        make_certificates(folder)
        root = make_host(folder)
        (folder / "token").write_text(TOKEN + "\n")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "kubelet.pem", folder / "kubelet.key")
        context.load_verify_locations(folder / "authority.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        plain, tls = f"http://127.0.0.1:{serve()}", f"https://127.0.0.1:{serve(context)}"
        client = {"certificate": folder / "client.pem", "key": folder / "client.key"}
        trusted = {"authority": folder / "authority.pem"}
        # What each agent is told, and what it must say: "" when the pod is found.
        cases = {
            "the read-only port": ({"kubelet": plain + "/pods"}, ""),
            "a client certificate": ({"kubelet": tls + "/pods", **client, **trusted}, ""),
            "one to a kubelet of any name": ({"kubelet": tls + "/pods", **client}, ""),
            # TLS 1.3 refuses after the handshake; how that reads depends on the moment.
            "no certificate": ({"kubelet": tls + "/pods", **trusted}, tls),
            "a stranger in the kubelet's place": (
                {"kubelet": tls + "/pods", **client, "authority": folder / "stranger.pem"},
                "certificate"),
            "a token": ({"kubelet": plain + "/token", "token_file": folder / "token"}, ""),
            "no token": ({"kubelet": plain + "/token"}, "HTTP status 401"),
            "no pod list": ({"kubelet": plain + "/strange"}, "the answer is no pod list"),
            "nobody there": ({"kubelet": "http://127.0.0.1:1/pods"}, "onnect"),
            "no answer": ({"kubelet": plain + "/slow"}, "imed out"),
        }
        agents = {}
        for what, (options, _) in cases.items():
            words = ", ".join(f"{key}: '{value}'" for key, value in options.items())
            agents[what] = Agent(tapline, name, f"  root: {root}\n  containers: {{{words}}}\n")
        for what, (_, error) in cases.items():
            agent = agents[what]
            if error == "":
                wait_for(f"the pod by {what}", lambda: asked(agent)[0]["name"] == "nginx")
                one, said = asked(agent)
                check((one["pod"], one["namespace"], one["hostname"], one["type"], one["qos"],
                       one["labels"]) == ("web-7f9c", "shop", "web", "static", "guaranteed",
                                          {"app": "web"}), f"{what}: {one}")
                check(said == "", f"{what}: {said}")
            else:
                wait_for(f"word of {what}", lambda: asked(agent)[1])
                one, said = asked(agent)
                check(error in said, f"{what}: {said}")
                # What the cgroup's own name says stays.
                check((one["name"], one["runtime"], one["qos"]) == ("", "containerd", "burstable"),
                      f"{what}: {one}")
        # One that does not answer holds up nobody: it is asked by one thread, and not again at once.
        began = time.monotonic()
        asked(agents["no answer"])
        check(time.monotonic() - began < 1, "the kubelet's silence is waited for again")
        Kubelet.released.set()
        for agent in agents.values():
            agent.stop()
    print(f"{len(cases)} ways to ask a kubelet")
    return 0


if __name__ == "__main__":
    lab.run(main, Agent.kill_all)
