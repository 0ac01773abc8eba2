#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Records, counters and metrics of the captures in tests/captures.

usage: golden.py TAPLINE CAPTURE [--update]

The records (without what differs from run to run: id, span_id, port) must be those in
expect/NAME.jsonl, the report's counters those in expect/NAME.counters. Then the same capture with
1, 2 and 4 workers, through DPDK's own file port, from standard input and as each variant of
variants.py: the same records again. --update writes the expected files anew (scripts/update-golden).
"""
import collections
import difflib
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

import variants

HERE = pathlib.Path(__file__).resolve().parent
SECONDS_MAX = 60
FULL_MAX = 100    # of more records than this only the first are kept, and a digest of all
FULL_FIRST = 40
COUNTERS_LEFT_OUT = ("seconds", "cycles", "busy")


def run(tapline, command, *arguments, stdin=None):
    done = subprocess.run([tapline, command, "--output", "json", *arguments], timeout=SECONDS_MAX,
                          stdin=stdin or subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{command} {' '.join(arguments)}: exit status {done.returncode}: "
                         f"{done.stderr.decode()}")
    return done.stdout.decode()


def normal(line, added):
    record = json.loads(line)
    del record["id"]
    record.get("trace", {}).pop("span_id", None)
    connection = record["connection"]
    del connection["port"]
    for key, value in added.items():
        if connection.pop(key, None) != value:
            raise SystemExit(f"connection.{key} is not {value}: {line}")
    return record


def unnamed(lines):
    """Without the names of ids and servers, which other records may have told: with several workers
    it is chance which came first."""
    rest = []
    for record in map(json.loads, lines):
        request = record.get("request") or {}
        record["server"].pop("name", None)
        if "topic_id" in request:
            request.pop("topic", None)
        rest.append(record)
    return [json.dumps(record, ensure_ascii=False) for record in sorted(rest, key=order)]


def order(record):
    return (record["time"], record["client"]["address"], record["client"]["port"],
            json.dumps(record, sort_keys=True))


def records(tapline, *arguments, added=None, stdin=None):
    """Sorted lines of JSON."""
    found = [normal(line, added or {}) for line in
             run(tapline, "watch", "-q", *arguments, stdin=stdin).splitlines()]
    return [json.dumps(record, ensure_ascii=False) for record in sorted(found, key=order)]


def shape(line):
    record = json.loads(line)
    request, response = record.get("request") or {}, record.get("response") or {}
    words = (record["protocol"], record["status"], request.get("method") or request.get("qtype"),
             response.get("status_code") or response.get("rcode"))
    return " ".join(str(word) for word in words if word is not None)


def shortened(lines):
    if len(lines) <= FULL_MAX:
        return lines
    rest = {"records": len(lines), "shapes": dict(sorted(collections.Counter(
        map(shape, lines)).items())), "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()}
    return lines[:FULL_FIRST] + [json.dumps(rest)]


def counters(tapline, capture):
    """The report without what stands in the records: totals and every counter that is not 0."""
    report = json.loads(run(tapline, "stats", "--pcap-file", str(capture), "--workers", "1"))
    kept = {name: value for name, value in report["counters"].items()
            if value and not any(word in name for word in COUNTERS_LEFT_OUT)}
    report = {key: report[key] for key in ("roundtrips", "verdicts", "losses", "notes")}
    return json.dumps({**report, "counters": kept}, indent=1).splitlines()


def same(what, want, got):
    if want == got:
        print(f"ok   {what}: {len(got)} lines")
        return True
    print(f"FAIL {what}: {len(want)} lines wanted, {len(got)} are there")
    for line in list(difflib.unified_diff(want, got, "wanted", "got", n=0, lineterm=""))[:12]:
        print("     " + line[:1200])
    return False


def check_variants(tapline, capture, base):
    good = True
    for workers in ("2", "4"):
        good &= same(f"{workers} workers", base,
                     unnamed(records(tapline, "--pcap-file", str(capture), "--workers", workers)))
    with open(capture, "rb") as stdin:
        good &= same("standard input", base,
                     unnamed(records(tapline, "--pcap-file", "-", stdin=stdin)))
    # The port does not end by itself; the first poll reads all of so small a file.
    good &= same("net_pcap", base,
                 unnamed(records(tapline, "--device", f"net_pcap0,rx_pcap={capture}",
                                 "--duration", "1s")))
    with tempfile.TemporaryDirectory() as folder:
        for name, content, added in variants.variants(variants.read(capture)):
            path = pathlib.Path(folder) / name
            path.write_bytes(content)
            good &= same(name, base,
                         unnamed(records(tapline, "--pcap-file", str(path), added=added)))
    return good


def main():
    tapline, capture = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    base = records(tapline, "--pcap-file", str(capture), "--workers", "1")
    results = {"jsonl": shortened(base), "counters": counters(tapline, capture)}
    good = len(base) > 0
    for suffix, lines in results.items():
        path = HERE / "expect" / f"{capture.stem}.{suffix}"
        if "--update" in sys.argv:
            path.write_text("".join(line + "\n" for line in lines))
        good &= same(path.name, path.read_text().splitlines(), lines)
    return 0 if check_variants(tapline, capture, unnamed(base)) and good else 1


if __name__ == "__main__":
    sys.exit(main())
