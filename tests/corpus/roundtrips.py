#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the roundtrips we find in public captures with another implementation's counts.

usage: roundtrips.py TAPLINE PROTOCOL [CORPUS_DIR] [--all]

CORPUS_DIR (default: $TAPLINE_CORPUS, else ../shared/corpus beside the source tree) holds TRUTH.tsv
and the captures it names. Rows of grade A and B are compared: requests, responses, matched. Prints
the rows that differ (with --all every row). Exit status 0 if all are equal or explained below, 1
otherwise, 77 (skipped) where there is no corpus.
"""
import collections
import csv
import json
import os
import subprocess
import sys

# File -> (requests, responses, matched) as they are right for us, and why.
EXPLAINED = {
    "dns/zeek__dns-two-responses.pcap":
        ((1, 1, 1), "the second answer is a copy of the first packet, counted as such"),
    "dns/zeek__ipv6-fragmented-dns.pcap":
        ((2, 2, 2), "a query sent again with its id is the same record, retries 1"),
}


def count(tapline, protocol, path):
    run = subprocess.run([tapline, "watch", "-q", "--output", "json", "--pcap-file", path],
                         capture_output=True, timeout=120)
    if run.returncode != 0:
        raise RuntimeError(run.stderr.decode(errors="replace").strip())
    found = collections.Counter()
    for line in run.stdout.splitlines():
        record = json.loads(line)
        if record["protocol"] != protocol or record["status"] == "one_way":
            continue
        has_request = record.get("request") is not None
        has_response = record.get("response") is not None
        found["requests"] += has_request
        found["responses"] += has_response
        found["matched"] += has_request and has_response
    return found["requests"], found["responses"], found["matched"]


def rows(corpus, protocol):
    with open(os.path.join(corpus, "TRUTH.tsv"), newline="") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            if row["protocol"] == protocol and row["quality"][:1] in ("A", "B"):
                yield row


def main():
    arguments = [a for a in sys.argv[1:] if a != "--all"]
    tapline, protocol = arguments[0], arguments[1]
    beside = os.path.join(os.path.dirname(__file__), "..", "..", "..", "shared", "corpus")
    corpus = arguments[2] if len(arguments) > 2 else os.environ.get("TAPLINE_CORPUS", beside)
    if not os.path.exists(os.path.join(corpus, "TRUTH.tsv")):
        print("no corpus at " + corpus)
        return 77
    equal = explained = wrong = 0
    for row in rows(corpus, protocol):
        want = tuple(int(row[k] or 0) for k in ("requests", "responses", "matched"))
        got = count(tapline, protocol, os.path.join(corpus, row["file"]))
        ours, why = EXPLAINED.get(row["file"], (None, ""))
        if got == want:
            equal += 1
        elif got == ours:
            explained += 1
        else:
            wrong += 1
            why = "WRONG"
        if got != want or "--all" in sys.argv:
            print(f"{row['quality']} {row['file']}: theirs {want}, ours {got} {why}")
    print(f"{protocol}: {equal} equal, {explained} explained, {wrong} wrong")
    return 1 if wrong or equal == 0 else 0


sys.exit(main())
