#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""watch and stats on files: filters, outputs, exit statuses, inputs that are no captures."""
import contextlib
import gzip
import json
import os
import pathlib
import pty
import re
import select
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import traffic

TAPLINE = sys.argv[1]
ENVIRONMENT = {"PATH": os.environ["PATH"]}


def run(*arguments, **options):
    options.setdefault("env", ENVIRONMENT)
    done = subprocess.run([TAPLINE, *arguments], capture_output=True, timeout=60, **options)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name="t.pcap"):
        return os.path.join(self.folder.name, name)

    def write(self, data, name="t.pcap"):
        pathlib.Path(self.path(name)).write_bytes(data)
        return self.path(name)

    def watch(self, *flags, status=0):
        """The records of the usual capture, or of `--pcap-file` among the flags."""
        if "--pcap-file" not in flags:
            flags += ("--pcap-file", self.usual())
        code, out, errors = run("watch", *flags)
        self.assertEqual(code, status, errors)
        return [json.loads(line) for line in out.splitlines()], errors

    def usual(self):
        """Four answered requests over IPv4, one over IPv6, one never answered."""
        ok = traffic.Conversation(port=20001).request("/a").request("/b", server_ns=300_000_000)
        bad = traffic.Conversation(port=20002, server_port=8080).request("/c", 500).request("/d", 404)
        six = traffic.Conversation(port=20003, client="2001:db8::1", server="2001:db8::2").request("/six")
        late = traffic.Conversation(port=20004, time_ns=traffic.START_NS + 20 * traffic.NS)
        late.request("/open", 0)
        return self.write(traffic.capture(ok.close(), bad.close(), six.close(), late))


def paths(records):
    return sorted(r["request"]["path"] for r in records)


def client_hello(name):
    """What a real TLS client sends first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


class Names(Case):
    """Servers that say nothing of their name have the one that others asked them for."""

    def names(self, *conversations):
        file = self.write(traffic.capture(*conversations))
        records, _ = self.watch("--verbose", "--workers", "1", "--pcap-file", file)
        return [(r["server"].get("name"), r["server"].get("name_source")) for r in records]

    def start_tls(self, second, name):
        """PostgreSQL's way: its record is complete before the hello comes."""
        talk = traffic.Conversation(port=21000 + second, server_port=5432,
                                    time_ns=traffic.START_NS + second * traffic.NS)
        talk.send(0, 0x18, bytes.fromhex("0000000804d2162f"))
        talk.send(1, 0x18, b"S")
        talk.send(0, 0x18, client_hello(name))
        return talk.close()

    def test_sni(self):
        self.assertEqual(self.names(self.start_tls(0, "db.example"), self.start_tls(1, "db.example"),
                                    self.start_tls(2, "other.example"), self.start_tls(3, "db.example")),
                         [(None, None), ("db.example", "sni"), ("db.example", "sni"), (None, None)])

    def test_host(self):
        def old(second):
            """A request of HTTP/1.0 that names no host."""
            talk = traffic.Conversation(port=22000 + second, time_ns=traffic.START_NS + second * traffic.NS)
            talk.send(0, 0x18, b"GET / HTTP/1.0\r\n\r\n")
            talk.send(1, 0x18, b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
            return talk.close()

        def new(second, host, status=200):
            talk = traffic.Conversation(port=23000 + second, time_ns=traffic.START_NS + second * traffic.NS)
            return talk.request("/", status, host=host).close()
        self.assertEqual(self.names(old(0), new(1, "ghost.example", 404), old(2), new(3, "Shop.example:80"),
                                    old(4), new(5, "b.example"), old(6)),
                         [(None, None), ("ghost.example", "host"), (None, None), ("Shop.example", "host"),
                          ("shop.example", "host_seen"), ("b.example", "host"), (None, None)])


class Selection(Case):
    def test_everything(self):
        records, errors = self.watch()
        self.assertEqual(paths(records), ["/a", "/b", "/c", "/d", "/open", "/six"])
        self.assertIn("6 roundtrips", errors)

    def test_ip_version(self):
        self.assertEqual(paths(self.watch("--ipv", "v6")[0]), ["/six"])
        self.assertEqual(paths(self.watch("--ipv", "v4")[0]), ["/a", "/b", "/c", "/d", "/open"])
        both = self.watch("--ipv", "v4", "--proto", "http;8080")[0]
        self.assertEqual(paths(both), ["/c", "/d"])

    def test_duration_is_packet_time_in_files(self):
        before = time.monotonic()
        self.assertEqual(paths(self.watch("--duration", "10s")[0]), ["/a", "/b", "/c", "/d", "/six"])
        self.assertLess(time.monotonic() - before, 9)
        # The answer of /b comes 300 ms after it: then it has none.
        records = self.watch("--duration", "100ms", "--proto", "http;80;10.1.0.2")[0]
        self.assertEqual({r["request"]["path"]: r["status"] for r in records},
                         {"/a": "ok", "/b": "unanswered"})

    def test_max(self):
        self.assertEqual(len(self.watch("--max", "2")[0]), 2)

    def test_status_and_slow(self):
        self.assertEqual(paths(self.watch("--status", "error")[0]), ["/c", "/d", "/open"])
        self.assertEqual(paths(self.watch("--status", "client_error")[0]), ["/d"])
        self.assertEqual(paths(self.watch("--slow", "200ms", "--status", "ok")[0]), ["/b"])

    def test_filter(self):
        records, errors = self.watch("--filter", "port 8080")
        self.assertEqual(paths(records), ["/c", "/d"])
        self.assertNotIn("vlan", errors)
        records, errors = self.watch("--filter", "udp")
        self.assertEqual(records, [])
        self.assertIn("filter matched nothing", errors)

    def test_a_filter_that_overlooks_tags_gets_the_right_text(self):
        for tags, right in (((7,), "(port 80) or (vlan and (port 80))"),
                            ((7, 8), "(port 80) or (vlan and ((port 80) or (vlan and (port 80))))")):
            tagged = traffic.Conversation(vlan=tags).request("/tagged").close()
            file = self.write(traffic.capture(tagged))
            records, errors = self.watch("--filter", "port 80", "--pcap-file", file)
            self.assertEqual(records, [])
            self.assertEqual(errors.count(right), 1, errors)
            records, errors = self.watch("--filter", right, "--pcap-file", file)
            self.assertEqual(paths(records), ["/tagged"])
            self.assertNotIn("only; to have them", errors)
        # What does not match without its tag either is nothing to warn of.
        self.assertNotIn("vlan", self.watch("--filter", "port 81", "--pcap-file", file)[1])

    def test_a_device_has_a_filter_too(self):
        records, errors = self.device("port 8080")
        self.assertEqual(paths(records), ["/c", "/d"], errors)
        records, errors = self.device("udp")
        self.assertEqual(records, [])
        self.assertIn("filter matched nothing", errors)
        code, out, errors = run("watch", "--device", f"net_pcap0,rx_pcap={self.usual()}", "--filter", "tcp prot")
        self.assertEqual((code, out), (2, ""))

    def device(self, filter_):
        code, out, errors = run("watch", "--device", f"net_pcap0,rx_pcap={self.usual()}",
                                "--filter", filter_)
        self.assertEqual(code, 0, errors)
        return [json.loads(line) for line in out.splitlines()], errors

    def test_proto_sees_into_tags_tunnels_and_fragments(self):
        for flags in {"vlan": (7,)}, {"vlan": (7, 8)}, {"wrap": traffic.in_vxlan}, {"wrap": traffic.in_fragments}:
            inside = traffic.Conversation(**flags).request("/inside").close()
            other = traffic.Conversation(port=20001, server_port=81, **flags).request("/other").close()
            file = self.write(traffic.capture(inside, other))
            for rule in "http;80", "http;80;10.1.0.0/16", "http;;10.1.0.1":
                wanted = ["/inside", "/other"] if ";;" in rule else ["/inside"]
                records, errors = self.watch("--proto", rule, "--pcap-file", file)
                self.assertEqual(paths(records), wanted, (flags, rule, errors))
                self.assertEqual({r["status"] for r in records}, {"ok"})


class Output(Case):
    def test_text(self):
        code, out, _ = run("watch", "--output", "text", "--max", "1", "--pcap-file", self.usual())
        self.assertEqual(code, 0)
        self.assertRegex(out, r"^\d\d:\d\d:\d\d\.\d{6} http +10\.1\.0\.1:20001 +> 10\.1\.0\.2:80 +GET /a ")
        self.assertNotIn("\x1b", out)

    def test_quiet(self):
        code, out, errors = run("watch", "-q", "--pcap-file", self.usual())
        self.assertEqual((code, errors), (0, ""))
        self.assertEqual(len(out.splitlines()), 6)

    def test_a_file_of_records_is_rotated(self):
        many = traffic.Conversation()
        for i in range(4000):
            many.request(f"/{i}")
        file = self.write(traffic.capture(many.close()))
        records = self.path("records.log")
        code, out, _ = run("watch", "--pcap-file", file, "--roundtrips.file", records,
                           "--roundtrips.size", "1", "--roundtrips.backups", "20")
        self.assertEqual((code, out), (0, ""))
        found = sorted(p for p in os.listdir(self.folder.name) if p.startswith("records"))
        self.assertGreater(len(found), 1)
        lines = [json.loads(line) for name in found
                 for line in pathlib.Path(self.path(name)).read_text().splitlines()]
        self.assertEqual(len(lines), 4000)
        for name in found:
            self.assertLessEqual(os.path.getsize(self.path(name)), 1 << 20)
        code, _, _ = run("watch", "--pcap-file", file, "--roundtrips.file", records,
                         "--roundtrips.size", "1", "--roundtrips.backups", "1")
        self.assertEqual(code, 0)
        left = [p for p in os.listdir(self.folder.name) if p.startswith("records")]
        self.assertLessEqual(len(left), 2)

    def test_a_growing_file_of_records_is_up_to_date(self):
        records = pathlib.Path(self.path("records.log"))
        watch = subprocess.Popen([TAPLINE, "watch", "-q", "-r", "-", "--roundtrips.file", records],
                                 stdin=subprocess.PIPE, env=ENVIRONMENT)
        try:
            watch.stdin.write(pathlib.Path(self.usual()).read_bytes())
            watch.stdin.flush()
            end = time.monotonic() + 20
            while time.monotonic() < end and (not records.exists() or not records.read_bytes()):
                time.sleep(0.02)
            self.assertIn(b'"/a"', records.read_bytes())
        finally:
            watch.stdin.close()
            self.assertEqual(watch.wait(20), 0)

    def test_a_file_that_cannot_be_written(self):
        code, _, errors = run("watch", "--pcap-file", self.usual(), "--roundtrips.file", "/nonexistent/x")
        self.assertEqual(code, 1)
        self.assertIn("/nonexistent/x", errors)

    def test_a_closed_pipe_ends_quietly(self):
        many = traffic.Conversation()
        for i in range(20000):
            many.request(f"/{i}")
        file = self.write(traffic.capture(many.close()))
        for flags in ("-q", ""), ("-q", "--output=text"):
            watch = subprocess.Popen([TAPLINE, "watch", *filter(None, flags), "--pcap-file", file],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
            watch.stdout.readline()
            watch.stdout.close()
            errors = watch.stderr.read()
            self.assertEqual((watch.wait(30), errors), (0, b""))
            watch.stderr.close()

    def test_a_report_for_a_reader_that_left_ends_quietly(self):
        for output in ("text", "json"):
            reader, writer = os.pipe()
            os.close(reader)
            done = subprocess.run([TAPLINE, "stats", "--output", output, "--pcap-file", self.usual()],
                                  stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
            os.close(writer)
            self.assertEqual((done.returncode, done.stderr), (0, b""), output)

    def test_a_closed_pipe_ends_a_quiet_capture(self):
        os.mkfifo(self.path("fifo"))
        watch = subprocess.Popen([TAPLINE, "watch", "-q", "--pcap-file", self.path("fifo")],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
        conversation = traffic.Conversation()
        with open(self.path("fifo"), "wb") as pipe:
            pipe.write(traffic.HEADER + conversation.request("/one").bytes())
            pipe.flush()
            watch.stdout.readline()
            watch.stdout.close()
            pipe.write(conversation.request("/two").bytes())
            pipe.flush()
            errors = watch.stderr.read()
            self.assertEqual((watch.wait(30), errors), (0, b""))
        watch.stderr.close()

    @staticmethod
    def read_terminal(main):
        """What a program wrote to a terminal whose other end is closed here."""
        out = b""
        while select.select([main], [], [], 0.2)[0]:
            try:
                piece = os.read(main, 65536)
            except OSError:  # how Linux says that the other end is closed
                break
            out += piece
        os.close(main)
        return out

    def terminal(self, environment):
        main, other = pty.openpty()
        done = subprocess.run([TAPLINE, "watch", "--pcap-file", self.usual()], stdout=other,
                              stderr=subprocess.DEVNULL, timeout=60, env={**ENVIRONMENT, **environment})
        os.close(other)
        self.assertEqual(done.returncode, 0)
        return self.read_terminal(main)

    def long_file(self):
        """1.5 GB of retransmissions in 8 MB: a member of gzip, many times."""
        data = traffic.capture(traffic.Conversation(port=20001).request("/a").close())
        member = gzip.compress(data[24:] * 4000)
        times = (3 << 29) // (len(data[24:]) * 4000)
        return self.write(gzip.compress(data) + member * times, "long.pcap.gz")

    def test_progress_of_a_long_file_on_a_terminal(self):
        file = self.long_file()
        main, other = pty.openpty()
        done = subprocess.run([TAPLINE, "stats", "--pcap-file", file], stdout=subprocess.PIPE,
                              stderr=other, timeout=120, env=ENVIRONMENT)
        os.close(other)
        shown = self.read_terminal(main)
        self.assertEqual(done.returncode, 0)
        lines = re.findall(rb"\r\x1b\[K *(\d+)%  \S+B of (\S+)  [\d.]+ Mpackets/s  ETA \S+s", shown)
        self.assertTrue(lines, shown)
        shares = [int(share) for share, size in lines]
        self.assertEqual(shares, sorted(shares))
        self.assertTrue(shown.endswith(b"\r\x1b[K"), shown[-80:])
        self.assertIn(b"1 flow, 1 roundtrip", done.stdout)
        self.assertNotIn(b"\x1b", done.stdout)

    def test_colour_only_on_a_terminal_and_never_with_no_color(self):
        self.assertIn(b"\x1b[", self.terminal({"TERM": "xterm"}))
        plain = self.terminal({"TERM": "xterm", "NO_COLOR": "1"})
        self.assertNotIn(b"\x1b", plain)
        self.assertIn(b"GET /a", plain)

    def test_small_files_are_cheap(self):
        before = time.monotonic()
        watch = subprocess.Popen([TAPLINE, "watch", "-q", "--pcap-file", self.usual()],
                                 stdout=subprocess.PIPE, env=ENVIRONMENT)
        watch.stdout.readline()
        first = time.monotonic() - before
        watch.stdout.read()
        watch.stdout.close()
        _, status, usage = os.wait4(watch.pid, 0)
        watch.returncode = os.waitstatus_to_exitcode(status)
        print(f"first record after {first:.3f} s, {usage.ru_maxrss / 1024:.1f} MiB", file=sys.stderr)
        self.assertLess(usage.ru_maxrss, 100 * 1024)
        self.assertLess(first, 15)  # 0.2 s here; this machine may be busy with other tests

    def test_stats_has_the_same_counts(self):
        code, out, _ = run("stats", "--output", "json", "--pcap-file", self.usual())
        self.assertEqual(code, 0)
        report = json.loads(out)
        self.assertEqual(report["roundtrips"], 6)
        self.assertEqual(run("stats", "--pcap-file", self.usual())[0], 0)

    def server_name(self, *hosts):
        conversation = traffic.Conversation()
        for host in hosts:
            conversation.request(host=host)
        code, out, _ = run("stats", "--output", "json", "--pcap-file",
                           self.write(traffic.capture(conversation.close())))
        self.assertEqual(code, 0)
        return json.loads(out)["servers"][0]["server"].get("name")

    def test_stats_names_a_server_as_all_name_it(self):
        self.assertEqual(self.server_name("shop.example", "shop.example"), "shop.example")
        self.assertEqual(self.server_name("shop.example", traffic.SERVER), "shop.example")
        self.assertIsNone(self.server_name("shop.example", "mail.example"))
        self.assertIsNone(self.server_name(traffic.SERVER, traffic.SERVER, "a"))


class Inputs(Case):
    def refused(self, status, *arguments, says):
        code, out, errors = run("watch", *arguments)
        self.assertEqual((code, out), (status, ""), errors)
        lines = errors.splitlines()
        self.assertEqual(len(lines), 1, errors)
        self.assertIn(says, lines[0])
        self.assertTrue(lines[0].startswith("tapline"), lines[0])

    def test_files_that_are_no_captures(self):
        self.refused(1, "--pcap-file", "/nonexistent.pcap", says="/nonexistent.pcap")
        self.refused(1, "--pcap-file", self.folder.name, says="directory")
        self.refused(1, "--pcap-file", self.write(b""), says="empty")
        self.refused(1, "--pcap-file", self.write(b"To be, or not to be, that is the question:\n" * 9),
                     says=self.path())

    def test_a_cut_capture_gives_what_came_before(self):
        with open(self.usual(), "rb") as file:
            whole = file.read()
        cut = self.write(whole[:-10], "cut.pcap")
        code, out, errors = run("watch", "-q", "--pcap-file", cut)
        self.assertEqual(code, 1)
        self.assertEqual(len(out.splitlines()), 5, "the record of the last packet is cut off")
        self.assertEqual(len(errors.splitlines()), 1, errors)
        self.assertIn("cut.pcap", errors)
        self.assertEqual(run("stats", "--pcap-file", cut)[0], 1)

    def test_usage(self):
        file = self.usual()
        for flags, says in (
                (("--proto", "htpp;80"), "http"),
                (("--proto", "http;99999"), "99999"),
                (("--filter", "tcp prot 80"), "tcp prot 80"),
                (("--status", "fine"), "fine"),
                (("--output", "xml"), "xml"),
                (("--ipv", "v5"), "v5"),
                (("--max", "many"), "many"),
                (("--duration", "5"), "5"),
                (("--no-such-flag",), "--no-such-flag"),
                (("--ifaces", "lo"), "exclude")):
            code, out, errors = run("watch", "--pcap-file", file, *flags)
            self.assertEqual((code, out), (2, ""), (flags, errors))
            self.assertIn(says, errors)

    def test_no_such_interface(self):
        code, out, errors = run("watch", "--ifaces", "lo0", "--duration", "1s")
        self.assertEqual((code, out), (3, ""), errors)
        self.assertIn("lo0", errors)
        if "permission" not in errors:
            self.assertRegex(errors, r"did you mean lo\?")

    def test_a_signal_is_an_orderly_end(self):
        os.mkfifo(self.path("fifo"))
        conversation = traffic.Conversation()
        for number in (signal.SIGINT, signal.SIGTERM):
            watch = subprocess.Popen([TAPLINE, "watch", "--pcap-file", self.path("fifo")],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
            with open(self.path("fifo"), "wb") as pipe:
                pipe.write(traffic.capture(traffic.Conversation().request("/one").request("/two", 0)))
                pipe.flush()
                first = watch.stdout.readline()
                watch.send_signal(number)
                out, errors = watch.communicate(timeout=30)
            self.assertEqual(watch.returncode, 0)
            self.assertEqual(json.loads(first)["request"]["path"], "/one")
            self.assertEqual(json.loads(out)["status"], "unanswered")  # what was open is told, too
            self.assertIn(b"2 roundtrips", errors)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
