# SPDX-License-Identifier: Apache-2.0
"""A small network for one test: namespaces joined by veth pairs, servers and probes in them.

Everything made here has a name that begins with tl-live-PID and goes away with the Lab, also when
the test fails or is told to stop. Only processes that the Lab started are ended."""
import contextlib
import ctypes
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
import time
import traceback

SKIPPED = 77
CLONE_NEWNET = 0x40000000
HTTP = "10.99.0.2"
libc = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    """What the machine lacks for this test."""


class Failed(Exception):
    """What was not as it must be."""


def check(condition, text):
    if not condition:
        raise Failed(text)


def need(*programs):
    for program in programs:
        if shutil.which(program) is None:
            raise Skip(f"{program} is not installed")


def wait_for(what, condition, seconds=30.0):
    """The first true value of condition(); a Failed that names `what` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        check(time.monotonic() < end, f"{what}: not within {seconds:g} s")
        time.sleep(0.02)


def pause(child):
    """Stops a process. Its threads go on until one of them has taken the signal, which on a busy machine
    takes its time."""
    def states():
        stats = [path.read_text() for path in pathlib.Path(f"/proc/{child.pid}/task").glob("*/stat")]
        return {stat.rsplit(")", 1)[1].split()[0] for stat in stats}
    child.send_signal(signal.SIGSTOP)
    wait_for("all threads stopped", lambda: states() == {"T"})


class Lab:
    def __init__(self, tapline):
        self.tapline = os.path.realpath(tapline)
        self.prefix = f"tl-live-{os.getpid()}"
        self.names = []
        self.children = []
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=self.prefix + "-"))
        self.folder.chmod(0o755)

    # ---- network --------------------------------------------------------------------------

    def namespace(self, letter):
        name = f"{self.prefix}-{letter}"
        done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
        if done.returncode != 0:
            raise Skip(f"no network namespaces here: {done.stderr.strip()}")
        self.names.append(name)
        self.ip(name, "link set lo up")
        return name

    def ip(self, namespace, arguments):
        self.sh("ip", "-n", namespace, *arguments.split())

    def sh(self, *command, **options):
        """Runs to the end; what it printed."""
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True,
                              timeout=240, **options)
        check(done.returncode == 0, f"{' '.join(map(str, command))}: exit {done.returncode}: "
                                    f"{done.stderr.strip()[-500:]}")
        return done.stdout

    def on(self, namespace, *command, **options):
        return self.sh("ip", "netns", "exec", namespace, *command, **options)

    def veth(self, left, left_name, right, right_name, offload=True):
        """Two interfaces joined, up. Without offload packets are as they are on a wire."""
        self.ip(left, f"link add {left_name} type veth peer name {right_name} netns {right}")
        for namespace, name in ((left, left_name), (right, right_name)):
            if not offload:
                self.on(namespace, "ethtool", "-K", name, "tso", "off", "gso", "off", "gro",
                        "off")
            self.ip(namespace, f"link set {name} up")

    def pair(self, offload=True):
        """A client (c0, 10.99.0.1, fd00:99::1) and a server (s0, .2, ::2)."""
        client, server = self.namespace("c"), self.namespace("s")
        self.veth(client, "c0", server, "s0", offload)
        for namespace, name, number in ((client, "c0", 1), (server, "s0", 2)):
            self.ip(namespace, f"addr add 10.99.0.{number}/24 dev {name}")
            self.ip(namespace, f"addr add fd00:99::{number}/64 dev {name} nodad")
        return client, server

    @contextlib.contextmanager
    def inside(self, namespace):
        """Sockets made in here belong to the namespace."""
        with open("/proc/self/ns/net") as home, open(f"/run/netns/{namespace}") as there:
            if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield
            finally:
                libc.setns(home.fileno(), CLONE_NEWNET)

    # ---- processes ------------------------------------------------------------------------

    def start(self, namespace, *command, log="log", **options):
        """Starts in the background; output goes to a file of the folder, see text()."""
        if namespace is not None:
            command = ("ip", "netns", "exec", namespace, *command)
        options.setdefault("stderr", open(self.folder / log, "ab"))
        options.setdefault("stdout", options["stderr"])
        child = subprocess.Popen([str(c) for c in command], stdin=options.pop("stdin", subprocess.DEVNULL),
                                 **options)
        child.log = self.folder / log
        self.children.append(child)
        return child

    def stop(self, child, number=signal.SIGTERM, seconds=30):
        if child.poll() is None:
            child.send_signal(number)
        try:
            status = child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise Failed(f"{child.args}: still there {seconds} s after {number!r}")
        if child in self.children:
            self.children.remove(child)
        return status

    def close(self):
        for child in reversed(self.children):
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(3)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
        for name in self.names:
            self.end_daemons(name)
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    @staticmethod
    def end_daemons(namespace):
        """What servers left running there in the background, like Erlang's epmd."""
        done = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True)
        for pid in done.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGTERM)

    # ---- servers --------------------------------------------------------------------------

    def answers(self, namespace, address, port, kind=socket.SOCK_STREAM):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.inside(namespace):
            s = socket.socket(family, kind)
        with s:
            s.settimeout(0.5)
            try:
                s.connect((address, port))
                return True
            except OSError:
                return False

    def nginx(self, namespace, locations="", http=""):
        """nginx on port 80 of the server's addresses, its counters on 127.0.0.1:81."""
        need("nginx")
        www = self.folder / "www"
        www.mkdir()
        (www / "index.html").write_text("<html>hello</html>\n")
        paths = "".join(f"{word}_temp_path {self.folder}/{word}; " for word in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        conf = self.folder / "nginx.conf"
        conf.write_text(f"""daemon off; pid {self.folder}/nginx.pid; user root;
error_log {self.folder}/nginx.err;
events {{ worker_connections 512; }}
http {{
  access_log off; keepalive_requests 100000000; {paths} {http}
  server {{ listen {HTTP}:80; listen [fd00:99::2]:80; root {www}; {locations} }}
  server {{ listen 127.0.0.1:81; location / {{ stub_status; }} }}
}}
""")
        child = self.start(namespace, "nginx", "-c", conf, log="nginx.log")
        wait_for("nginx", lambda: self.answers(namespace, "127.0.0.1", 81))
        return child

    def nginx_requests(self, namespace):
        """Requests that nginx has read so far, without those that ask for this number."""
        text = self.on(namespace, "curl", "-s", "http://127.0.0.1:81/")
        self.asked = getattr(self, "asked", 0) + 1
        return int(text.split()[9]) - self.asked

    def unbound(self, namespace, data):
        need("unbound")
        conf = self.folder / "unbound.conf"
        lines = "".join(f"  local-data: '{line}'\n" for line in data)
        conf.write_text(f"""server:
  interface: {HTTP}@53
  interface: fd00:99::2@53
  access-control: 0.0.0.0/0 allow
  access-control: ::/0 allow
  do-daemonize: no
  username: ""
  chroot: ""
  pidfile: ""
  directory: "{self.folder}"
  use-syslog: no
  edns-buffer-size: 4096
  max-udp-size: 4096
  incoming-num-tcp: 100
  module-config: "iterator"
  local-zone: "tap.test." static
{lines}""")
        child = self.start(namespace, "unbound", "-c", conf, log="unbound.log")
        wait_for("unbound", lambda: self.answers(namespace, HTTP, 53))
        return child

    # ---- probes ---------------------------------------------------------------------------

    def agent(self, namespace, ports, more="", command=(), seconds=60):
        """`tapline agent` whose records go to records.json."""
        conf = self.folder / "tapline.yaml"
        (self.folder / "records.json").unlink(missing_ok=True)
        conf.write_text(f"""probe: lab
capture:
  ports:
{''.join('    - ' + port + chr(10) for port in ports)}{more}
exporters:
  roundtrips:
    - filename: {self.folder}/records.json
      max_size: 0
""")
        child = self.start(namespace, *command, self.tapline, "agent", "--config", conf,
                           log="agent.log")

        def is_ready():
            check(child.poll() is None, f"the agent ended with {child.returncode}: "
                                        f"{child.log.read_text()[-800:]}")
            return self.get(namespace, "/readyz") is not None
        wait_for("the agent", is_ready, seconds)
        return child

    def get(self, namespace, path):
        done = subprocess.run(["ip", "netns", "exec", namespace, "curl", "-sf", "-m", "5",
                               "http://127.0.0.1:9091" + path], capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else None

    def settled(self, namespace, seconds=60):
        """(metrics of the probe, metrics of the protocols, status) once nothing moves any more."""
        before, since = None, 0
        end = time.monotonic() + seconds
        while True:
            texts = [self.get(namespace, path) for path in
                     ("/api/v1/status", "/metrics", "/protocol/metrics")]
            now = None
            if None not in texts:
                status, own, page = json.loads(texts[0]), Page(texts[1]), Page(texts[2])
                now, is_merged = self.moving(status, own, page)
                merges = own.sum("tapline_metrics_merges_total")
                if now != before:
                    since = merges
                # The same after two more merges, so that all that workers waited for is over: on a
                # busy machine they may be late. Books that don't close are for the test.
                if merges - since >= (2 if is_merged else 9):
                    return own, page, status
            check(time.monotonic() < end, f"the agent's counters still move: {before}, {now}")
            before = now
            time.sleep(0.2)

    @staticmethod
    def moving(status, own, page):
        """(what grows while packets come, whether all that the ports handed over is in the page)"""
        ports = status["ports"]
        queued = sum(p["queued"] for p in ports)
        offered = own.sum("tapline_packets_offered_total")
        taken = sum(p["packets"] - p["dropped"]["ring"] - p["dropped"]["buffer"] for p in ports)
        requests = sum(value for name, _, value in page.samples if name.endswith("_requests_total"))
        is_merged = queued == 0 and (own.sum("tapline_fragments_reassembled_total") != 0 or
                                     taken == offered)
        return (taken, queued, offered, requests, own.sum("tapline_records_total"),
                [p["dropped"] for p in ports]), is_merged

    def watch(self, namespace, *arguments, command=(), is_ready=True):
        """`tapline watch` into watch.json; ends by stop() or by itself."""
        out = open(self.folder / "watch.json", "ab")
        child = self.start(namespace, *command, self.tapline, "watch", *arguments, stdout=out,
                           log="watch.log")
        if is_ready:
            wait_for("watch captures", lambda: self.captures(child))
        return child

    def captures(self, child):
        """Whether this process holds a packet socket (or ended)."""
        if child.poll() is not None:
            return True
        try:
            sockets = {m[1] for fd in os.listdir(f"/proc/{child.pid}/fd")
                       if (m := re.match(r"socket:\[(\d+)\]",
                                         os.readlink(f"/proc/{child.pid}/fd/{fd}")))}
            packet = pathlib.Path(f"/proc/{child.pid}/net/packet").read_text().split("\n")[1:]
        except OSError:
            return False
        # Columns: sk RefCnt Type Proto Iface R Rmem User Inode; R is 1 once it takes packets.
        rows = [line.split() for line in packet if line]
        return any(row[8] in sockets and row[5] == "1" for row in rows)

    def await_lines(self, count, name="records.json", seconds=30.0):
        """Until a file that grows has so many whole lines. What lacks after that is for the test to
        tell: it knows what the lines are."""
        path = self.folder / name
        with contextlib.suppress(Failed):
            wait_for(name, lambda: path.exists() and path.read_bytes().count(b"\n") >= count, seconds)

    def records(self, name="records.json"):
        return read_records(self.folder / name)


def read_records(path):
    """Every line must be whole: one JSON object."""
    data = pathlib.Path(path).read_bytes() if os.path.exists(path) else b""
    check(data == b"" or data.endswith(b"\n"), f"{path}: the last line is not whole")
    return [json.loads(line) for line in data.splitlines()]


class Page:
    """Samples of an exposition page."""

    def __init__(self, text):
        check(text is not None, "the agent does not answer")
        self.samples = []
        for line in text.splitlines():
            m = re.match(r"([a-z_]\w*)(?:\{(.*)\})? (\S+)", line)
            if m:
                labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', m[2] or ""))
                self.samples.append((m[1], labels, float(m[3])))

    def sum(self, name, **labels):
        return int(sum(value for n, have, value in self.samples if n == name and
                       all(have.get(k) == v for k, v in labels.items())))

    def by(self, name, label):
        counts = {}
        for n, have, value in self.samples:
            if n == name:
                counts[have.get(label, "")] = counts.get(have.get(label, ""), 0) + int(value)
        return counts


def check_books(page, seen, status):
    """The ledgers of docs/metrics.md, and what the ports handed over. Returns what was lost.

    page: /metrics, seen: /protocol/metrics, status: /api/v1/status, all of them settled."""
    port = {key: sum(p[key] for p in status["ports"]) for key in ("packets", "queued")}
    dropped = {at: sum(p["dropped"][at] for p in status["ports"])
               for at in ("kernel", "ring", "buffer")}
    offered = page.sum("tapline_packets_offered_total")
    processed = page.sum("tapline_packets_processed_total")
    causes = page.by("tapline_packets_dropped_total", "cause")
    check(offered == processed + sum(causes.values()),
          f"offered {offered} != processed {processed} + dropped {causes}")
    # Fragments leave the port as one datagram: that ledger is the pipeline test's.
    if page.sum("tapline_fragments_reassembled_total") == 0:
        check(port["packets"] == offered + dropped["ring"] + dropped["buffer"] + port["queued"],
              f"received {port} != offered {offered} + dropped {dropped}")
    stream = page.sum("tapline_stream_bytes_total")
    uses = page.by("tapline_stream_bytes_by_use_total", "use")
    held = page.sum("tapline_stream_bytes_buffered")
    check(stream == sum(uses.values()) + held, f"stream bytes {stream} != {uses} + {held}")
    answered = sum(value for name, labels, value in seen.samples
                   if name.endswith("_requests_total") and
                   labels.get("status") not in ("orphan", "one_way"))
    opened = page.sum("tapline_requests_opened_total")
    waiting = page.sum("tapline_requests_open")
    check(opened == answered + waiting, f"opened {opened} != completed {answered} + {waiting}")
    check(page.sum("tapline_decoder_contract_violations_total") == 0, "a decoder broke its contract")
    return {**dropped, **{k: v for k, v in causes.items() if k == "flow_table_full" or k == "shed"},
            "records": page.sum("tapline_records_dropped_total")}


def count_by(records, *path):
    counts = {}
    for record in records:
        value = record
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        counts[value] = counts.get(value, 0) + 1
    return counts


def fail_on_sigterm():
    """Who is told to stop cleans up like one that failed."""
    def on_signal(number, frame):
        raise Failed(f"stopped by signal {number}")
    signal.signal(signal.SIGTERM, on_signal)


def tell_failure(failure):
    print(f"FAILED: {failure}")
    traceback.print_exc(limit=-3, file=sys.stdout)


def run(main, close=lambda: None):
    """Runs main() of a test that needs no Lab, then close(); ends with meson's exit status."""
    sys.stdout.reconfigure(line_buffering=True)
    fail_on_sigterm()
    status = 1
    try:
        status = main()
    except Skip as reason:
        print(f"skipped: {reason}")
        status = SKIPPED
    except Exception as failure:  # whatever it is
        tell_failure(failure)
    finally:
        close()
    sys.exit(status)


def main(test):
    """Runs test(lab), cleans up, gives meson's exit status."""
    fail_on_sigterm()
    if os.geteuid() != 0:
        print("skipped: needs root for network namespaces")
        sys.exit(SKIPPED)
    status = 1
    lab = None
    try:
        need("ip", "ethtool", "curl")
        lab = Lab(sys.argv[1])
        test(lab)
        status = 0
    except Skip as reason:
        print(f"skipped: {reason}")
        status = SKIPPED
    except Exception as failure:  # whatever it is, the logs tell why
        tell_failure(failure)
        for log in sorted(lab.folder.glob("*.log")) if lab is not None else ():
            print(f"-- {log.name}: {log.read_text(errors='replace')[-1500:]}")
    finally:
        if lab is not None:
            lab.close()
    sys.exit(status)
