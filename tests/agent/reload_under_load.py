#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Whatever may change while the agent runs does change, once a second, while it reads as much as it
can take and is scraped ten times a second. Nothing is lost: each request that was sent is in one
record and in the counts, the counts never go back, and what a reload changed stands in its answer
and in the log. Needs no rights: the traffic comes through a pipe.

usage: reload_under_load.py TAPLINE"""
import http.client
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import traffic

CONNECTIONS, REQUESTS = 20, 50  # of one round of traffic
PER_ROUND = CONNECTIONS * REQUESTS
ROUNDS_MAX = 65000              # as the client's address counts them
GROUP = 8                       # keys that one reload changes; the reload after it changes them back
SCRAPES_MIN = 100
PATIENCE = 120                  # seconds, for what takes one on an idle machine
MODES = {"collectors.event", "collectors.autotracing", "collectors.probes"}  # tests/live has them
# What can't be guessed from a default.
OTHERS = {
    "capture.filter": "tcp",
    "log.level": "debug",
    "protocols.rules": "[{protocol: http, ports: [80]}]",
    "metrics.labels": "[{protocol: dns, labels: [server.address]}]",
    "metrics.templates": "[{protocol: http, field: request.path, patterns: ['/r/{round}/{number}']}]",
    "metrics.l4_labels": "[source.host]",
    "names": "{':80': shop}",
    "protocols.http.enabled": None,  # there would be no requests to count
}


class Failed(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failed(text)


def wait_for(what, condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        check(time.monotonic() < end, f"{what}: not within {PATIENCE} s")
        time.sleep(0.05)


# ---- The traffic ---------------------------------------------------------------------------------

class Rounds:
    """A round is the same connections again, a second later and from another client address, with
    the number of the round in each request."""

    def __init__(self):
        packets = []
        for c in range(CONNECTIONS):
            talk = traffic.Conversation(port=20000 + c, client="10.2.0.0",
                                        time_ns=traffic.START_NS + c * 20_000_000)
            for r in range(REQUESTS):
                talk.request(f"/r/000000/{c * REQUESTS + r:04d}", server_ns=100_000)
            packets += talk.close().out
        self.block = bytearray(b"".join(packets))
        self.packets = len(packets)
        self.places, self.targets, at = [], [], 0
        for packet in packets:
            frame = at + 16
            is_up = self.block[frame + 26:frame + 28] == b"\x0a\x02"
            self.places.append((at, frame + (28 if is_up else 32)))
            target = packet.find(b"/r/000000/")
            if target >= 0:
                self.targets.append(at + target + 3)
            at += len(packet)

    def make(self, number):
        seconds, client = struct.pack("<I", traffic.START_NS // traffic.NS + number), number.to_bytes(2, "big")
        for head, address in self.places:
            self.block[head:head + 4] = seconds
            self.block[address:address + 2] = client
        word = b"%06d" % number
        for at in self.targets:
            self.block[at:at + 6] = word
        return self.block


# ---- The keys ------------------------------------------------------------------------------------

def hot_keys(reference):
    """{key: (default, choices)} of what `tapline config` says a reload is enough for."""
    keys, path, notes = {}, [], ""
    for line in reference.splitlines():
        words = line.strip()
        if words.startswith("#"):
            # The rows of a list stand indented between its help and its key.
            notes += " " + words[1:].strip() if not words.startswith("#   ") else ""
            continue
        found = re.match(r"( *)([\w-]+):(?: (.*))?$", line)
        if found:
            depth = len(found[1]) // 2
            path = path[:depth] + [found[2]]
            if found[3] is not None and notes.endswith("[reload]"):
                choices = re.search(r"One of ([\w, -]+)\. *\[reload\]$", notes)
                keys[".".join(path)] = (found[3], choices[1].split(", ") if choices else [])
        notes = ""
    return keys


def other_value(key, default, choices):
    if key in OTHERS:
        return OTHERS[key]
    if choices:
        return next(word for word in choices if word != default)
    if default in ("true", "false"):
        return "false" if default == "true" else "true"
    number = re.fullmatch(r"(\d+)([a-zA-Z]*)", default)
    if number:
        return f"{int(number[1]) + 1}{number[2]}"
    return "[tried]" if default.startswith("[") else None


def as_yaml(values):
    """Nested flow mappings of {dotted key: flow text}."""
    tree = {}
    for key, value in values.items():
        at = tree
        *folders, last = key.split(".")
        for folder in folders:
            at = at.setdefault(folder, {})
        at[last] = value

    def text(node):
        if isinstance(node, dict):
            return "{" + ", ".join(f"{k}: {text(v)}" for k, v in node.items()) + "}"
        return node
    return "".join(f"{key}: {text(value)}\n" for key, value in tree.items())


def choose(tapline, folder):
    """{key: other value} for every key a reload is enough for; those that need more than a guess are
    told and left out."""
    reference = subprocess.run([tapline, "config"], capture_output=True, text=True, check=True).stdout
    chosen = {}
    for key, (default, choices) in hot_keys(reference).items():
        value = other_value(key, default, choices) if key not in MODES else None
        if value is not None:
            chosen[key] = value
    (folder / "names").write_text("10.1.0.2:81 other\n")
    chosen["names_file"] = str(folder / "names")
    file, refused = folder / "try.yaml", {}
    while True:
        file.write_text(as_yaml(chosen))
        done = subprocess.run([tapline, "config", "--check", file], capture_output=True, text=True)
        if done.returncode == 0:
            break
        wrong = {key for key in chosen for line in done.stderr.splitlines()
                 if re.search(rf":\d+: {re.escape(key)}\b", line)}
        check(wrong, f"config --check says of other keys: {done.stderr}")
        refused.update((key, chosen.pop(key)) for key in wrong)
    if refused:
        print(f"not tried, as they need another value: {refused}")
    for key in ("capture.filter", "protocols.rules", "protocols.redact", "protocols.http.timeout",
                "metrics.labels", "metrics.templates", "metrics.series_max", "names", "names_file",
                "log.level", "collectors.interval"):
        check(key in chosen, f"{key} is not among what a reload changes: {sorted(chosen)}")
    return chosen


# ---- The agent -----------------------------------------------------------------------------------

class Agent:
    def __init__(self, tapline, folder):
        self.folder, self.file, self.log = folder, folder / "agent.yaml", folder / "agent.log"
        os.mkfifo(folder / "in.pcap")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.configure({})
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([tapline, "agent", "--config", self.file], stderr=log,
                                            stdout=subprocess.PIPE)
        self.seen = bytearray(ROUNDS_MAX * PER_ROUND)  # times that a request was in a record
        self.records, self.odd = 0, []
        self.reader = threading.Thread(target=self.read_records)
        self.reader.start()

    def configure(self, values):
        fixed = {"capture.ports": f"[{{file: {self.folder}/in.pcap}}]",
                 "server.address": f"'127.0.0.1:{self.port}'",
                 "collectors.store.path": f"{self.folder}/events",
                 "exporters.roundtrips": "[{console: true}]"}
        self.file.write_text(as_yaml({**fixed, **values}))

    def read_records(self):
        rest = b""
        while data := self.process.stdout.read1(1 << 20):
            *lines, rest = (rest + data).split(b"\n")
            self.records += len(lines)
            for line in lines:
                found = re.search(rb'"status":"ok".*"target":"/r/(\d{6})/(\d{4})".*"status_code":200', line)
                if found:
                    at = int(found[1]) * PER_ROUND + int(found[2])
                    self.seen[at] = min(self.seen[at] + 1, 255)
                else:
                    self.odd.append(line)
        if rest:
            self.odd.append(rest)

    def listens(self):
        check(self.process.poll() is None, f"the agent ended with {self.process.returncode}")
        return "HTTP on" in self.log.read_text()

    def ask(self, method, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join()


def total(page, family):
    return int(sum(float(value) for value in
                   re.findall(rf"^{family}(?:{{.*}})? (\S+)", page, re.M)))


class Scraper(threading.Thread):
    """Both pages, ten times a second; counts never go back."""
    FAMILIES = (("/metrics", "tapline_packets_processed_total"), ("/metrics", "tapline_records_total"),
                ("/protocol/metrics", "http_requests_total"),
                ("/protocol/metrics", "http_request_duration_seconds_count"))

    def __init__(self, agent):
        super().__init__()
        self.agent, self.stopped = agent, threading.Event()
        self.scrapes, self.last, self.error = 0, {}, None

    def scrape(self):
        pages = {}
        for path in ("/metrics", "/protocol/metrics"):
            status, pages[path] = self.agent.ask("GET", path)
            check(status == 200, f"{path}: {status}")
        for path, family in self.FAMILIES:
            now, before = total(pages[path], family), self.last.get(family, 0)
            check(now >= before, f"{family} went from {before} to {now}")
            self.last[family] = now
        self.scrapes += 1

    def run(self):
        try:
            while not self.stopped.wait(0.1):
                self.scrape()
        except Exception as error:  # the main thread tells it
            self.error = error


def reload(agent, chosen, before, now):
    """Changes from one set of keys to the other; what the answer and the log must say."""
    logged = agent.log.read_text().count("reload done")
    agent.configure({key: chosen[key] for key in now})
    status, answer = agent.ask("POST", "/-/reload")
    check(status == 200, f"{sorted(now)}: {status} {answer}")
    first, *lines = answer.splitlines()
    changed = {re.match(r"(\S+): .* -> ", line)[1] for line in lines}
    wanted = before ^ now
    check(changed == wanted, f"the answer tells of {sorted(changed)}, changed were {sorted(wanted)}")
    check(first == f"reloaded: {len(wanted)} changed, 0 need a restart", first)
    wait_for("the log", lambda: agent.log.read_text().count("reload done") > logged)
    log = agent.log.read_text()
    for line in lines:
        check(f"reload: {line}" in log, f"the log lacks {line!r}")


def feed(agent, rounds, state):
    with open(agent.folder / "in.pcap", "wb") as pen:
        pen.write(traffic.HEADER)
        while not state["enough"].is_set() and state["rounds"] < ROUNDS_MAX:
            pen.write(rounds.make(state["rounds"]))
            state["rounds"] += 1
        pen.flush()
        state["all_sent"].set()
        state["all_seen"].wait()


def exercise(agent, chosen, state):
    scraper = Scraper(agent)
    keys = sorted(chosen)
    groups = [set(keys[i:i + GROUP]) for i in range(0, len(keys), GROUP)] + [set()]
    sent_at = []
    try:
        wait_for("readiness", lambda: agent.ask("GET", "/readyz")[0] == 200)
        wait_for("the first requests", lambda: total(agent.ask("GET", "/protocol/metrics")[1],
                                                     "http_requests_total") > 0)
        scraper.start()
        before, due = set(), time.monotonic()
        for group in groups:
            time.sleep(max(0.0, due - time.monotonic()))
            due = time.monotonic() + 1
            reload(agent, chosen, before, group)
            sent_at.append(state["rounds"])
            before = group
        wait_for(f"{SCRAPES_MIN} scrapes", lambda: scraper.scrapes >= SCRAPES_MIN or scraper.error)
    finally:
        state["enough"].set()
        scraper.stopped.set()
        if scraper.is_alive():
            scraper.join()
    if scraper.error is not None:
        raise scraper.error
    check(sent_at[0] < sent_at[-1] < ROUNDS_MAX, f"no traffic during the reloads: {sent_at}")
    return scraper, len(groups)


def judge(agent, scraper, sent, packets):
    """Once all is counted: the counts, by the last scrape, are what was sent."""
    def is_counted():
        scraper.scrape()
        return (scraper.last["tapline_packets_processed_total"] >= packets and
                scraper.last["http_requests_total"] >= sent)
    try:
        wait_for("all counted", is_counted)
    except Failed as failure:
        raise Failed(f"{failure}: {scraper.last}, sent {sent} requests in {packets} packets")
    check(scraper.last == {"tapline_packets_processed_total": packets, "tapline_records_total": sent,
                           "http_requests_total": sent, "http_request_duration_seconds_count": sent},
          f"{scraper.last}, sent {sent} requests in {packets} packets")
    losses = json.loads(agent.ask("GET", "/api/v1/status")[1])["losses"]
    check(not any(losses.values()), f"losses: {losses}")


def run(tapline, folder):
    chosen = choose(tapline, folder)
    rounds = Rounds()
    agent = Agent(tapline, folder)
    state = {"rounds": 0, **{word: threading.Event() for word in ("enough", "all_sent", "all_seen")}}
    feeder = threading.Thread(target=feed, args=(agent, rounds, state), daemon=True)
    began = time.monotonic()
    try:
        feeder.start()
        wait_for("the agent", agent.listens)
        scraper, reloads = exercise(agent, chosen, state)
        wait_for("the last write", state["all_sent"].is_set)
        took = time.monotonic() - began
        sent, packets = state["rounds"] * PER_ROUND, state["rounds"] * rounds.packets
        judge(agent, scraper, sent, packets)
        state["all_seen"].set()
        check(agent.process.wait(PATIENCE) == 0, f"the agent ended with {agent.process.returncode}")
        agent.reader.join()
        check(agent.odd == [], f"{len(agent.odd)} records of something else: {agent.odd[:2]}")
        wrong = [at for at in range(sent) if agent.seen[at] != 1]
        check(wrong == [] and agent.records == sent,
              f"{agent.records} records of {sent} requests; {len(wrong)} not in exactly one: "
              f"{[(at // PER_ROUND, at % PER_ROUND, agent.seen[at]) for at in wrong[:5]]}")
    except Exception:
        print(agent.log.read_text()[-3000:])
        raise
    finally:
        for word in ("enough", "all_seen"):
            state[word].set()
        agent.end()
    print(f"{sent} requests in {packets} packets ({sent / took:.0f}/s), {reloads} reloads of "
          f"{len(chosen)} keys, {scraper.scrapes} scrapes in {took:.0f} s: each in one record and in "
          "the counts")


def main():
    sys.stdout.reconfigure(line_buffering=True)
    with tempfile.TemporaryDirectory(prefix="tl-reload-") as folder:
        try:
            run(os.path.realpath(sys.argv[1]), pathlib.Path(folder))
        except Failed as failure:
            print(f"FAILED: {failure}")
            return 1
    return 0


sys.exit(main())
