#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the agent's /protocol/metrics says of a capture, against expect/NAME.FORM.metrics.

usage: metrics.py TAPLINE CAPTURE [--update]

The capture goes through a pipe that stays open, as the agent ends with its file. All durations come
from the capture's time stamps, so the page is the same each time, in both forms of histograms.
"""
import difflib
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
SECONDS_MAX = 20
CONFIG = """capture:
  ports:
    - file: "-"
  workers: 1
server: {address: "127.0.0.1:PORT"}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def address_of(agent):
    for line in agent.stderr:
        found = re.search(rb"HTTP on (\S+:\d+)", line)
        if found:
            return found[1].decode()
    raise SystemExit("the agent ended without listening")


def get(address, form):
    request = urllib.request.Request(f"http://{address}/protocol/metrics?histogram={form}",
                                     headers={"Accept": "text/plain; version=0.0.4"})
    with DIRECT.open(request, timeout=SECONDS_MAX) as answer:
        return answer.read().decode().splitlines()


def requests(page):
    return sum(int(line.split()[-1]) for line in page if re.match(r"\w+_requests_total{", line))


def pages(tapline, capture):
    wanted = len(subprocess.run([tapline, "watch", "-q", "-o", "json", "-r", capture], check=True,
                                capture_output=True, timeout=SECONDS_MAX).stdout.splitlines())
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
        config.write(CONFIG.replace("PORT", free_port()))
        config.flush()
        agent = subprocess.Popen([tapline, "agent", "--config", config.name],
                                 stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            address = address_of(agent)
            agent.stdin.write(capture.read_bytes())
            agent.stdin.flush()
            deadline = time.monotonic() + SECONDS_MAX
            while requests(get(address, "le")) < wanted:
                if time.monotonic() > deadline:
                    raise SystemExit(f"not {wanted} requests after {SECONDS_MAX} s")
                time.sleep(0.05)
            return {form: get(address, form) for form in ("le", "vmrange")}
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.communicate(timeout=SECONDS_MAX)


def main():
    tapline, capture = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    good = True
    for form, lines in pages(tapline, capture).items():
        path = HERE / "expect" / f"{capture.stem}.{form}.metrics"
        if "--update" in sys.argv:
            path.write_text("".join(line + "\n" for line in lines))
        want = path.read_text().splitlines()
        good &= want == lines and len(lines) > 0
        print(f"{'ok  ' if want == lines else 'FAIL'} {path.name}: {len(lines)} lines")
        for line in list(difflib.unified_diff(want, lines, n=0, lineterm=""))[:20]:
            print("     " + line)
    return 0 if good else 1


sys.exit(main())
