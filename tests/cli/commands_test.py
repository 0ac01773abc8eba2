#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""config, protocols, ifaces, version, help: output, messages and exit statuses."""
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import unittest

TAPLINE = sys.argv[1]
ROOT = pathlib.Path(sys.argv[2])


def run(*arguments, **options):
    done = subprocess.run([TAPLINE, *arguments], capture_output=True, text=True, timeout=30,
                          env={"PATH": os.environ["PATH"]}, **options)
    return done.returncode, done.stdout, done.stderr


class Config(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.file = os.path.join(self.folder.name, "t.yaml")

    def tearDown(self):
        self.folder.cleanup()

    def check(self, text, *more):
        pathlib.Path(self.file).write_text(text)
        return run("config", *(more or ("--check",)), self.file)

    def test_the_reference_is_good_and_means_nothing_special(self):
        status, reference, errors = run("config")
        self.assertEqual((status, errors), (0, ""))
        self.assertEqual(self.check(reference), (0, f"{self.file}: ok\n", ""))
        of_reference = self.check(reference, "--defaults")
        self.assertEqual(of_reference, self.check("", "--defaults"))
        self.assertEqual(of_reference[0], 0)

    def test_the_effective_form_loads_again(self):
        text = "capture: {ports: [{interface: eth7}], snaplen: 1500}\n"
        effective = self.check(text, "--defaults")[1]
        self.assertIn("snaplen: 1500", effective)
        self.assertEqual(self.check(effective, "--defaults")[1], effective)

    def test_what_is_allowed_but_useless_is_told(self):
        text = """metrics:
  labels: [{protocol: http, labels: [request.path, response.status_code]}, {protocol: mongodb, labels: [request.service]}]
  templates:
  - {protocol: http, field: request.path, patterns: ["/users/{id}", "/users/me", "/a"], ignore: ["/z/**"]}
  - {protocol: http, field: request.path}
  - {protocol: http, field: request.host}
  - {protocol: http, field: response.status_code}
  - {protocol: mongodb, field: request.service}
"""
        status, out, errors = self.check(text)
        self.assertEqual((status, out), (0, f"{self.file}: ok\n"))
        for line, words in zip(errors.splitlines(), (
                ':4: metrics.templates[0].patterns[1]: warning: "/users/me" is never reached: "/users/{id}" '
                "before it matches all that it does",
                ":5: metrics.templates[1].field: warning: request.path of http has a rule above already",
                ":6: metrics.templates[2].field: warning: request.host is no label of http",
                ":7: metrics.templates[3].field: warning: response.status_code is a number")):
            self.assertTrue(line.startswith(self.file + words), line)
        self.assertEqual(len(errors.splitlines()), 4)

    def test_what_others_judge_is_checked_too(self):
        names = os.path.join(self.folder.name, "names")
        status, out, errors = self.check(f"log: {{}}\nnames_file: {names}\n")
        self.assertEqual((status, out), (2, ""))
        self.assertEqual(errors, f"{self.file}:2: names_file: {names}: No such file or directory\n")
        pathlib.Path(names).write_text("10.0.0.1 a\n10.0.0.2\n")
        self.assertIn(f"names_file: {names}:2: not two words", self.check(f"names_file: {names}\n")[2])
        pathlib.Path(names).write_text("10.0.0.1 a\n")
        self.assertEqual(self.check(f"names_file: {names}\n")[0], 0)
        for text, want in (("exporters: {prometheus: {enabled: true}}", "GET /protocol/metrics"),
                           ("protocols: {cassandra: {}}", "no decoder of this protocol")):
            status, out, errors = self.check(text + "\n")
            self.assertEqual((status, out), (2, ""))
            self.assertIn(want, errors)

    def test_every_key_of_the_reference_is_explained(self):
        lines = run("config")[1].splitlines()
        for before, line in zip(lines, lines[1:]):
            if re.match(r"\s*\w+:", line):
                self.assertRegex(before, r"^\s*# +\S", line)

    def test_errors_have_file_line_and_key(self):
        status, out, errors = self.check("log:\n  levle: info\nserver: {timeout: 5}\n")
        self.assertEqual((status, out), (2, ""))
        self.assertEqual(errors.splitlines(), [
            f"{self.file}:2: log.levle: unknown key, did you mean level?",
            f"{self.file}:3: server.timeout: must be a time with its unit, such as 30s, 100ms or "
            "5m, not \"5\"",
        ])

    def test_a_wrong_filter_is_found(self):
        status, _, errors = self.check("capture:\n  filter: tcp prot 80\n")
        self.assertEqual(status, 2)
        self.assertRegex(errors, r"t\.yaml:2: capture\.filter: filter '.+': .+\n")

    def test_packetds_keys_get_their_new_place(self):
        status, _, errors = self.check(
            "sniffer:\n  ifaces: any\n  protocols:\n    rules:\n    - {host: x}\n"
            "controller:\n  layer4Metrics: {enabled: true}\n")
        self.assertEqual(status, 2)
        self.assertEqual(len(errors.splitlines()), 3)
        for line in errors.splitlines():
            self.assertIn("packetd's key; here: ", line)

    def test_missing_and_unreadable_files(self):
        status, _, errors = run("config", "--check", "/nonexistent")
        self.assertEqual(status, 2)
        self.assertEqual(errors, "/nonexistent: can't read it: No such file or directory\n")
        self.assertEqual(run("config", "--check", self.folder.name)[0], 2)

    def test_scrape(self):
        status, out, _ = run("config", "--scrape")
        self.assertEqual(status, 0)
        self.assertIn("127.0.0.1:9091", out)
        self.assertIn("metrics_path: /protocol/metrics", out)
        pathlib.Path(self.file).write_text(
            "server: {address: ':99'}\nmetrics: {histogram: le}\n")
        out = run("config", "--scrape", "--defaults", self.file)[1]
        self.assertIn("localhost:99", out)
        self.assertIn("histogram: [le]", out)
        pathlib.Path(self.file).write_text("server: {enabled: false}\n")
        self.assertEqual(run("config", "--scrape", "--defaults", self.file)[0], 2)

    def test_secrets_of_sinks_are_masked(self):
        secrets = ("pa55word", "t0ken-a", "t0ken-b", "k3y-of-header", "query-s3cret")
        pathlib.Path(self.file).write_text(
            "exporters:\n  remote_write:\n"
            "  - {url: 'http://h/w?token=query-s3cret&n=1#x', histogram: le, bearer_token: t0ken-a,\n"
            "     headers: {X-Odd: k3y-of-header}}\n"
            "  - {url: 'http://h/w', name: b, histogram: le,\n"
            "     basic_auth: {username: u, password: pa55word}}\n")
        status, out, errors = run("config", "--defaults", self.file)
        self.assertEqual((status, errors), (0, ""))
        for secret in secrets:
            self.assertNotIn(secret, out)
        self.assertIn("http://h/w?token=******&n=******#x", out)
        self.assertIn("username: u", out)

    def test_options_of_sinks_are_checked(self):
        for options, words in (("histogram: le", "url is missing"),
                               ("url: 'http://u:p@h/', histogram: le", "without user and password"),
                               ("url: 'http://h/'", "histogram"),
                               ("url: 'http://h/', histogram: native", "vmrange"),
                               ("url: 'http://h/', histogram: le, external_labels: {a-b: c}",
                                "no label name")):
            pathlib.Path(self.file).write_text(f"exporters: {{remote_write: [{{{options}}}]}}\n")
            status, _, errors = run("config", "--check", self.file)
            self.assertEqual(status, 2, options)
            self.assertIn("exporters.remote_write[0]", errors)
            self.assertIn(words, errors)
            self.assertIn(":1:", errors)

    def test_check_stands_alone(self):
        self.assertEqual(run("config", "--check", "a", "--scrape")[0], 2)


class Health(unittest.TestCase):
    def health(self, text):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "t.yaml")
            pathlib.Path(file).write_text(text)
            return run("health", "--config", file)

    def test_nobody_answers(self):
        with socket.socket() as taken:  # has the port, but doesn't listen
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            for host, named in (("127.0.0.1", "127.0.0.1"), ("", "localhost")):
                status, out, errors = self.health(f"server: {{address: '{host}:{port}'}}")
                self.assertEqual((status, out), (1, ""))
                self.assertTrue(errors.startswith(f"tapline: http://{named}:{port}/readyz: "), errors)
                self.assertEqual(len(errors.splitlines()), 1)

    def test_nobody_can_be_asked(self):
        self.assertEqual(self.health("server: {enabled: false}")[0], 2)
        status, out, errors = self.health("server: {adress: ':1'}")
        self.assertEqual((status, out, len(errors.splitlines())), (2, "", 1))
        self.assertIn("tapline config --check", errors)


class Protocols(unittest.TestCase):
    def test_json_and_text_tell_the_same(self):
        protocols = json.loads(run("protocols", "--output", "json")[1])
        self.assertTrue(protocols)
        for protocol in protocols:
            text = run("protocols", protocol["name"])[1]
            self.assertTrue(text.startswith(f"{protocol['name']}: {protocol['title']}"))
            self.assertTrue(protocol["fields"])
            for field in protocol["fields"]:
                self.assertIn(field["cardinality"], ("low", "middle", "high"))
                self.assertRegex(text, rf"(?m)^  {re.escape(field['name'])} ")

    def test_unknown_protocol(self):
        status, _, errors = run("protocols", "htpp")
        self.assertEqual(status, 2)
        self.assertIn("did you mean http?", errors)

    def test_every_protocol_has_its_section(self):
        reference = run("config")[1]
        for protocol in json.loads(run("protocols", "-o", "json")[1]):
            self.assertIn(f"\n  {protocol['name']}:\n", reference)


class Others(unittest.TestCase):
    def test_doctor_refuses_in_one_line(self):
        for port, word in (("0000:ff:1f.7", "there is no PCI device 0000:ff:1f.7"),
                           ("ff:1f.7", "there is no PCI device 0000:ff:1f.7"),
                           ("net_nonsense0", "net_nonsense0")):
            status, out, errors = run("doctor", "--port", port, "--seconds", "1")
            self.assertEqual((status, out), (3, ""), errors)
            self.assertIn(word, errors)
            self.assertEqual(len(errors.splitlines()), 1)
        for arguments, word in (
                (("--port", "lo", "--port", "lo"), "interface 'lo' beside 'lo'"),
                (("--port", "any", "--port", "lo"), "interface 'lo' beside 'any'"),
                (("--port", "net_null0", "--port", "net_null0,size=9"), "net_null0 is given twice"),
                (("--port", "net_null0", "--workers", "64"), "fewer workers")):
            status, out, errors = run("doctor", *arguments, "--seconds", "1")
            self.assertEqual((status, out, len(errors.splitlines())), (2, "", 1), errors)
            self.assertIn(word, errors)
        for arguments in (("--seconds", "1s"), ("--seconds", "0"), ("--port",)):
            status, out, errors = run("doctor", *arguments)
            self.assertEqual((status, out, len(errors.splitlines())), (2, "", 1))

    def test_ifaces(self):
        status, out, errors = run("ifaces", "--output", "json")
        self.assertEqual((status, errors), (0, ""))
        interfaces = {i["name"]: i for i in json.loads(out)["interfaces"]}
        self.assertIn("lo", interfaces)
        self.assertIn("127.0.0.1", interfaces["lo"]["addresses"])
        self.assertRegex(run("ifaces")[1], r"(?m)^lo +(up|down) ")

    def test_version(self):
        status, out, _ = run("version")
        self.assertEqual(status, 0)
        self.assertRegex(out, r"^tapline \d+\.\d+\.\d+\n")
        for word in ("revision", "features", "dpdk", "libpcap"):
            self.assertRegex(out, rf"(?m)^{word} +\S")
        self.assertEqual(run("--version")[1], out)

    def test_help(self):
        status, overview, errors = run("help")
        self.assertEqual((status, errors), (0, ""))
        self.assertEqual(run("--help"), (0, overview, ""))
        commands = re.findall(r"(?m)^  (\w+)  ", overview)
        self.assertIn("config", commands)
        for command in commands:
            status, text, errors = run(command, "--help")
            self.assertEqual((status, errors), (0, ""), command)
            self.assertTrue(text.startswith(f"Usage: tapline {command}"))
            self.assertEqual(run("help", command)[1], text)
            self.assertLessEqual(max(map(len, text.splitlines())), 100, command)

    def test_wrong_command_lines(self):
        for arguments, want in (
                (("conifg",), "did you mean config?"),
                (("xyzzy",), 'unknown command "xyzzy"'),
                (("--foo",), "a command comes first"),
                (("config", "--chekc", "x"), "did you mean --check?"),
                (("config", "--check"), "--check needs a value"),
                (("config", "extra"), 'unexpected argument "extra"'),
                ((__file__,), "a capture file is read by tapline watch --pcap-file"),
                (("stats", __file__), "a capture file is read by --pcap-file"),
                (("watch", "nothing.pcap"), 'unexpected argument "nothing.pcap"'),
                (("protocols", "--output", "xml"), "--output needs text or json"),
                (("help", "nothing"), 'unknown command "nothing"')):
            status, out, errors = run(*arguments)
            self.assertEqual((status, out), (2, ""), arguments)
            self.assertIn(want, errors)
            self.assertEqual(errors.count("\n"), 1)
        status, out, errors = run()
        self.assertEqual((status, out), (2, ""))
        self.assertIn("Usage:", errors)

    def test_a_closed_pipe_ends_quietly(self):
        for command in ("config", "help --man", "protocols -o json"):
            done = subprocess.run(f"{TAPLINE} {command} | true; exit ${{PIPESTATUS[0]}}",
                                  shell=True, executable="/bin/bash", capture_output=True,
                                  timeout=30, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, b""), command)

    def test_a_full_disk_is_a_failure(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([TAPLINE, "config"], stdout=full, stderr=subprocess.PIPE,
                                  timeout=30, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"No space left", done.stderr)

    def test_the_manual_page_names_every_flag_and_key(self):
        page = run("help", "--man")[1].replace("\\-", "-")
        for command in re.findall(r"(?m)^  (\w+)  ", run("help")[1]):
            for flag in re.findall(r"--[\w.-]+", run(command, "--help")[1].split("Examples")[0]):
                if flag != "--help":
                    self.assertIn(flag, page, command)
        for key in ("capture.snaplen", "limits.flow.tcp_idle", "protocols.http.timeout"):
            self.assertIn(key, page)

    def test_completion_completes(self):
        with tempfile.NamedTemporaryFile("w", suffix=".bash") as script:
            script.write(run("help", "--completion")[1])
            script.flush()

            def complete(*words):
                line = " ".join(f"'{w}'" for w in words)
                done = subprocess.run(
                    ["bash", "-c", f". {script.name}; COMP_WORDS=({line}); "
                     f"COMP_CWORD={len(words) - 1}; _tapline; echo \"${{COMPREPLY[*]}}\""],
                    capture_output=True, text=True, timeout=30, check=True)
                return done.stdout.split()

            self.assertEqual(complete("tapline", "conf"), ["config"])
            self.assertEqual(complete("tapline", "config", "--ch"), ["--check"])
            self.assertEqual(complete("tapline", "protocols", "--output", "j"), ["json"])
            self.assertIn("version", complete("tapline", "help", ""))

    def test_every_hint_is_in_the_migration_guide(self):
        guide = (ROOT / "docs/migrating-from-packetd.md").read_text()
        hints = (ROOT / "config/hints.c").read_text().split("packetd_keys[]")[1].split("};")[0]
        keys = re.findall(r'\{"([\w.]+)",', hints)
        self.assertGreater(len(keys), 30)
        for key in keys:
            self.assertIn(f"`{key}`", guide)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
