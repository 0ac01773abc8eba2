#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 by nginx, apache2 (h2c Upgrade), nghttpd (push, padding, trailers) and python3-h2, with
curl, nghttp, h2load and python3-h2: the records are the clients' calls; joined late they are the
calls since then, and none says what was not told."""
import collections
import json
import os
import pathlib
import subprocess

import lab
from lab import check

PEER = pathlib.Path(__file__).with_name("h2_peer.py")
FRONT = pathlib.Path(__file__).with_name("tls_front.py")
MODULES = "/usr/lib/apache2/modules"
LOADED = 1000  # requests of h2load
# Of connections that curl keeps: Debian's goes on with one only over TLS, which is taken off on the way.
# Port of the server: where it is asked.
KEPT = {8087: "127.0.0.1:4487", 8088: "127.0.0.1:4488", 8089: "127.0.0.1:4489"}


def apache(l, namespace):
    conf = l.folder / "apache.conf"
    modules = "".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so\n" for name in
                      ("mpm_event", "authz_core", "http2"))
    conf.write_text(f"""ServerRoot {l.folder}
ServerName apache.test
PidFile {l.folder}/apache.pid
ErrorLog {l.folder}/apache.err
Listen {lab.HTTP}:8083
Listen {lab.HTTP}:8089
{modules}Protocols h2c http/1.1
DocumentRoot {l.folder}/www
User www-data
""")
    l.folder.chmod(0o755)
    l.start(namespace, "apache2", "-f", conf, "-DFOREGROUND", log="apache.log")
    lab.wait_for("apache2", lambda: l.answers(namespace, lab.HTTP, 8083))


def servers(l, namespace):
    lab.need("nginx", "apache2", "nghttpd", "nghttp", "h2load", "curl")
    l.nginx(namespace, http=f"server {{ listen {lab.HTTP}:8082 http2; listen {lab.HTTP}:8088 http2; "
                            f"root {l.folder}/www; "
                            "location /gone { return 410; } location /empty { return 204; } }")
    (l.folder / "www/large").write_bytes(bytes(300000))
    (l.folder / "www/style.css").write_text("body {}\n")
    (l.folder / "www/small").write_bytes(bytes(700))
    apache(l, namespace)
    for port in ("8084", "8086", "8087"):
        l.start(namespace, "nghttpd", "--no-tls", "-a", lab.HTTP, "-d", l.folder / "www", "-b", "20",
                "-p", "/index.html=/style.css", "--trailer", "x-sum: 1", port, log="nghttpd.log")
        lab.wait_for("nghttpd", lambda p=port: l.answers(namespace, lab.HTTP, int(p)))
    l.start(namespace, "/usr/bin/python3", PEER, "serve", lab.HTTP, "8085", log="h2.log")
    lab.wait_for("the h2 server", lambda: l.answers(namespace, lab.HTTP, 8085))


def front(l, client):
    lab.need("openssl")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", l.folder / "front.pem")
    l.sh("openssl", "req", "-x509", *key, "-subj", "/CN=front", "-out", l.folder / "front.crt")
    with open(l.folder / "front.pem", "a") as both:
        both.write((l.folder / "front.crt").read_text())
    pairs = [f"{place.partition(':')[2]}:{port}" for port, place in KEPT.items()]
    l.start(client, "/usr/bin/python3", FRONT, l.folder / "front.pem", lab.HTTP, *pairs, log="front.log")
    for pair in pairs:
        lab.wait_for("what takes TLS off", lambda p=pair: l.answers(client, "127.0.0.1", int(p.partition(":")[0])))


def urls(port, *paths):
    words = []
    for path in paths:
        words += ["-o", "/dev/null", f"http://{lab.HTTP}:{port}{path}"]
    return words


def clients(l, client):
    """{(port, method, path, status): calls}"""
    want = collections.Counter()

    def called(port, status, *paths, method="GET", times=1):
        for path in paths:
            want[port, method, path, status] += times
    for path in ("/index.html", "/large", "/empty"):  # Debian's curl can't go on with a second one
        l.on(client, "curl", "-s", "--http2-prior-knowledge", *urls(8082, path))
        called(8082, "ok", path)
    l.on(client, "curl", "-s", "--http2-prior-knowledge", "-d", "@" + str(l.folder / "www/large"),
         *urls(8082, "/gone"))
    called(8082, "client_error", "/gone", method="POST")
    for path in ("/index.html", "/style.css", "/nothing"):
        l.on(client, "curl", "-s", "--http2", *urls(8083, path))
    called(8083, "ok", "/index.html", "/style.css")
    called(8083, "client_error", "/nothing")
    l.on(client, "nghttp", "-nu", f"http://{lab.HTTP}:8083/small")
    called(8083, "ok", "/small")
    l.on(client, "nghttp", "-n", "--continuation", "-H", "x-long: " + "v" * 2000, "-m", "3",
         f"http://{lab.HTTP}:8084/index.html")
    called(8084, "ok", "/index.html", times=3)
    called(8084, "ok", "/style.css", times=3)  # pushed
    l.on(client, "h2load", "-n", LOADED, "-c", "4", "-m", "20", f"http://{lab.HTTP}:8084/small")
    called(8084, "ok", "/small", times=LOADED)
    for line in l.on(client, "/usr/bin/python3", PEER, "call", lab.HTTP, "8085").splitlines():
        call = json.loads(line)
        called(8085, call["status"], call["path"], method=call["method"])
    return want


def told(port, line):
    """What curl says of a call: ((port, method, target, code), connections that it made for it)"""
    words = line.split()
    check(len(words) == 5 and words[3] == "2", f"curl to {port}: {line}")
    method, url, code, _, connects = words
    return (port, method, "/small" + url.partition("/small")[2], int(code)), int(connects)


def keep_curl(l, client, port):
    """A curl whose connection has had calls, and which waits before it makes more of them: until
    it has read the cookies for the first one."""
    gate = l.folder / f"gate-{port}"
    os.mkfifo(gate)
    each = ("-sSk", "--http2", "-o", "/dev/null", "-w",
            "%{stderr}%{method} %{url_effective} %{response_code} %{http_version} %{num_connects}\\n")
    url = f"https://{KEPT[port]}/small"
    child = l.start(client, "curl", *each, url + "?[1-20]", "--next", *each, "-b", gate, url + "?21",
                    "--next", *each, url + "?[22-50]", "--next", *each, "-I", url + "?[51-60]",
                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    child.gate = gate
    child.early = [told(port, child.stderr.readline()) for _ in range(20)]
    return child


def go_on(port, child):
    """Lets it make the rest of its calls, in the same connection; returns them."""
    def opened():
        try:
            return open(os.open(child.gate, os.O_WRONLY | os.O_NONBLOCK), "w")
        except OSError:  # it isn't there yet
            return None
    lab.wait_for("curl at the gate", opened).close()
    late = [told(port, line) for line in child.stderr.read().splitlines()]
    connects = sum(count for _, count in child.early + late)
    check(child.wait(60) == 0 and len(late) == 40 and connects == 1,
          f"curl to {port}: {len(late)} more calls in {connects} connections, exit {child.returncode}")
    return [call for call, _ in late]


def check_kept(records, calls):
    """Connections of curl joined late: all calls since then, with what was told since then. The path is told
    each time; HEAD once, behind the join, and then by its index."""
    want = collections.Counter(calls)
    got = collections.Counter((r["server"]["port"], r["request"]["method"], r["request"]["target"],
                               r["response"]["status_code"]) for r in records)
    print(f"curl joined late: {lab.count_by(records, 'server', 'port')} {lab.count_by(records, 'status')}")
    check(want == got, f"curl only called {want - got}, only recorded {got - want}")
    silent = [r for r in records if "late_join" not in r.get("flags", [])]
    check(not silent, f"late joins of curl that do not say so: {silent}")
    for r in records:
        body = {"GET": 700, "HEAD": 0}[r["request"]["method"]]
        host = r["request"].get("host")
        check(r["response"]["body_bytes"] == body and host in (None, KEPT[r["server"]["port"]]), f"invented: {r}")


def round_of(child):
    """The calls that the client kept waiting makes now."""
    child.stdin.write("\n")
    child.stdin.flush()
    calls = []
    while line := child.stdout.readline().strip():
        calls.append(json.loads(line))
    check(len(calls) == 40, f"the client made {len(calls)} calls")
    return calls


def run(l):
    client, host = l.pair(offload=False)
    servers(l, host)
    front(l, client)
    early = l.start(client, "/usr/bin/python3", PEER, "keep", lab.HTTP, "8086", log="early.log",
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    round_of(early)  # the probe does not see it: the tables of both sides are full of it
    kept = {port: keep_curl(l, client, port) for port in KEPT}
    agent = l.agent(host, ["interface: s0"])
    want = clients(l, client)
    late_calls = round_of(early) + round_of(early)
    kept_calls = [call for port, child in kept.items() for call in go_on(port, child)]
    own, seen, status = l.settled(host)
    losses = lab.check_books(own, seen, status)
    l.stop(agent)
    records = l.records()
    late = [r for r in records if r["server"]["port"] == 8086]
    whole = [r for r in records if r["server"]["port"] not in (8086, *KEPT)]
    print(f"{len(whole)} records {lab.count_by(whole, 'protocol')} {lab.count_by(whole, 'status')}, "
          f"{len(late)} of a connection joined late, lost {losses}")
    if sum(losses.values()) > 0:
        print("the probe lost packets: only the books are checked")
        return
    got = collections.Counter((r["server"]["port"], r["request"]["method"], r["request"]["path"],
                               r["status"]) for r in whole)
    check(want == got, f"only called {want - got}, only recorded {got - want}")
    flags = collections.Counter(flag for r in whole for flag in r.get("flags", []))
    check(flags["upgraded"] == 4 and flags["from_server"] == 3, f"flags {flags}")
    check({r["protocol"] for r in whole} == {"http2"}, "something else than HTTP/2")
    away = [r for r in whole if r.get("reason") == "goaway_unprocessed"]
    check(len(away) == 1 and away[0]["request"]["error_code"] == 2, f"GOAWAY: {away}")
    large = [r for r in whole if r["request"]["path"] == "/large" and r["status"] == "ok"]
    check(all(r["response"]["body_bytes"] == 300000 for r in large), "bodies of another size")
    paths = lab.count_by([r for r in late if r["request"]], "request", "path")
    print(f"joined late: {paths} {lab.count_by(late, 'status')}")
    check(len(late) == len(late_calls), f"joined late: {len(late_calls)} calls, {len(late)} records")
    check(lab.count_by(late, "status") == {"ok": len(late)}, "a call of the late join is not ok")
    check(set(paths) == {"/style.css", "<unknown>"}, f"untold or invented: {paths}")
    check(all("late_join" in r["flags"] for r in late), "a late join that does not say so")
    check(all(r["request"] and r["response"] for r in late), "half a call of the late join")
    codes = lab.count_by(late, "response", "status_code")
    check(set(codes) <= {200, None}, f"invented: {codes}")
    check_kept([r for r in records if r["server"]["port"] in KEPT], kept_calls)


lab.main(run)
