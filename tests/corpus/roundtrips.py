#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the roundtrips we find in public captures with their ground truth.

usage: roundtrips.py TAPLINE [--write FILE | --check FILE] [NAME ...]

The captures and TRUTH.tsv (counts by tshark) lie in $TL_CORPUS, else in shared/corpus beside the
repository. Rows of the protocols we decode, of grade A and B, must agree or be in explained.tsv;
captures of other protocols must give no record but those in others.tsv. An entry of these tables
that no longer holds is an error too. Every capture must be read to its end, in seconds, within a
fixed amount of memory. NAMEs restrict the run to files that contain one of them; --write puts the
tables into a document between its markers, --check says whether they stand there.

Exit status 0 if all is as it should be, 1 if not, 77 (skipped) where there is no corpus.
"""
import argparse
import collections
import concurrent.futures
import csv
import json
import os
import pathlib
import resource
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
DECODED = ("http", "http2", "grpc", "dns", "redis", "amqp", "mongo", "pgsql", "kafka", "mysql")
SHOWN_AS = {"mongo": "mongodb", "pgsql": "postgresql"}  # another name here
INSIDE = {"http2": "grpc"}  # a call is a stream: tshark counts it as both
NO_CAPTURES = ("expected",)
SECONDS_MAX = 60
RSS_MAX_KIB = 600 << 10  # of sanitizers; 80 MiB without
BEGIN = "<!-- begin: tests/corpus/roundtrips.py --write -->\n"
END = "<!-- end -->\n"


class Row(collections.namedtuple("Row", "file grade want got verdict reason")):
    """One capture and protocol; want and got are (requests, responses, matched)."""


def corpus_folder():
    places = [HERE.parents[1] / "../shared/corpus", HERE.parents[1] / "../../shared/corpus"]
    if "TL_CORPUS" in os.environ:
        places = [pathlib.Path(os.environ["TL_CORPUS"])]
    for place in places:
        if (place / "TRUTH.tsv").exists():
            return place.resolve()
    return None


def table(path):
    with open(path, newline="") as lines:
        return list(csv.DictReader((line for line in lines if not line.startswith("#")),
                                   delimiter="\t"))


def counts(row):
    return tuple(int(row[key] or 0) for key in ("requests", "responses", "matched"))


def add_methods(numbers, record):
    """Of AMQP the tables have all methods, and the pairs of synchronous ones."""
    halves = [record[half] for half in ("request", "response") if record.get(half)]
    numbers[0] += len(halves)
    numbers[2] += len(halves) == 2 and halves[1]["method"] not in ("Ack", "Nack", "Reject")


def add_statements(numbers, record):
    """The table has Query, Execute and FunctionCall as requests; as matched what completes them, and
    all errors."""
    request, response = record.get("request"), record.get("response")
    command = (request or {}).get("command")
    if record["status"] == "one_way" or command in ("PREPARE", "DESCRIBE", "BIND", "CLOSE"):
        return
    is_startup = command == "STARTUP"
    numbers[0] += request is not None and not is_startup
    numbers[2] += response is not None and (not is_startup or "sqlstate" in response)


def add_commands(numbers, record):
    """The table has the commands behind the login as requests, those that have an answer as matched."""
    request, response = record.get("request"), record.get("response")
    if (request or {}).get("command") != "LOGIN":
        numbers[0] += request is not None
        numbers[2] += request is not None and response is not None


def run(tapline, path):
    """(exit status, last line of the errors, {protocol: [requests, responses, matched]})"""
    found = {}
    done = subprocess.run([tapline, "watch", "-q", "--output", "json", "--pcap-file", path],
                          capture_output=True, timeout=SECONDS_MAX)
    for line in done.stdout.splitlines():
        record = json.loads(line)
        has_request = record.get("request") is not None
        has_response = record.get("response") is not None
        # What is sent to a group is another protocol for tshark: mdns, llmnr.
        is_dns = record["protocol"] == "dns"
        protocol = record["protocol"] + "-group" * (is_dns and record["status"] == "one_way")
        numbers = found.setdefault(protocol, [0, 0, 0])
        if protocol == "amqp":
            add_methods(numbers, record)
            continue
        if protocol == "postgresql":
            add_statements(numbers, record)
            continue
        if protocol == "mysql":
            add_commands(numbers, record)
            continue
        numbers[0] += has_request
        numbers[1] += has_response
        numbers[2] += has_request and has_response
    return done.returncode, done.stderr.decode(errors="replace").strip(), found


def text(numbers):
    return "/".join(str(number) for number in numbers)


def with_inside(found, protocol):
    """Counts of a protocol and of what it carries."""
    both = [found.get(SHOWN_AS.get(protocol, protocol), (0, 0, 0)), found.get(INSIDE.get(protocol), (0, 0, 0))]
    return tuple(map(sum, zip(*both)))


def judge(truth, got, explained, used):
    want = counts(truth)
    grade = truth["quality"][:1]
    entry = explained.get(truth["file"])
    if entry is not None:
        used.add(truth["file"])
    if got == want:
        stale = entry is not None
        return Row(truth["file"], grade, want, got, "STALE" if stale else "equal",
                   "stands in explained.tsv but agrees" if stale else "")
    if entry is not None and got == counts(entry):
        return Row(truth["file"], grade, want, got, "explained", entry["reason"])
    verdict = "WRONG" if grade in "AB" else "not compared"
    return Row(truth["file"], grade, want, got, verdict, truth["warnings"])


def compare(results, truths, explained, others):
    """The rows of decoded protocols, the rows of other captures, what is wrong besides."""
    rows, foreign, problems, used = [], [], [], set()
    for file, (status, errors, found) in sorted(results.items()):
        folder = file.split("/")[0]
        is_cut = "the file ends within the record" in errors
        if status != 0 and not (status == 1 and is_cut):
            problems.append(f"{file}: exit status {status}: {errors}")
        if folder in DECODED:
            if (folder, file) in truths:
                rows.append(judge(truths[folder, file], with_inside(found, folder),
                                  explained, used))
            continue
        expected = {entry["protocol"]: entry for entry in others if entry["file"] == file}
        # Further protocols have tables of their own.
        claimed = {name for name in found if name.removesuffix("-group") in DECODED
                   or name in SHOWN_AS.values()}
        for protocol in sorted(claimed | set(expected)):
            entry = expected.get(protocol)
            got = tuple(found.get(protocol, (0, 0, 0)))
            want = counts(entry) if entry else (0, 0, 0)
            foreign.append(Row(file, protocol, want, got, "equal" if got == want else "WRONG",
                               entry["reason"] if entry else "no record was expected"))
    problems += [f"{file}: in explained.tsv, but no such row" for file in explained
                 if file in results and file not in used]
    return rows, foreign, problems


def document(rows, foreign, read):
    lines = ["Each count is requests/responses/matched.", "",
             "| capture | grade | tshark | tapline | |", "|---|---|---|---|---|"]
    lines += [f"| {r.file} | {r.grade} | {text(r.want)} | {text(r.got)} | {r.verdict} |"
              for r in rows]
    lines += ["", "Differences and their reasons:", ""]
    lines += [f"* `{r.file}`: tshark {text(r.want)}, tapline {text(r.got)}. {r.reason}"
              for r in rows if r.verdict == "explained"]
    lines += ["", f"Of the {read} captures of other protocols these contain HTTP or DNS; "
              "in the others nothing is claimed:", "",
              "| capture | protocol | tapline | what it is |", "|---|---|---|---|"]
    lines += [f"| {r.file} | {r.grade} | {text(r.got)} | {r.reason} |" for r in foreign]
    return "\n".join(lines) + "\n"


def put(path, content, write):
    """Whether the document at `path` has `content` between its markers, at the end."""
    whole = path.read_text()
    before, rest = whole.split(BEGIN)
    after = rest.split(END)[1]
    wanted = before + BEGIN + content + END + after
    if write:
        path.write_text(wanted)
    return write or whole == wanted


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tapline")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--write", type=pathlib.Path)
    parser.add_argument("--check", type=pathlib.Path)
    options = parser.parse_args()
    corpus = corpus_folder()
    if corpus is None:
        print("skipped: no public captures (TL_CORPUS, ../shared/corpus, ../../shared/corpus)")
        return 77
    files = [f"{folder.name}/{path.name}" for folder in sorted(corpus.iterdir())
             if folder.is_dir() and folder.name not in NO_CAPTURES for path in sorted(folder.iterdir())]
    files = [f for f in files if not options.names or any(name in f for name in options.names)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = dict(zip(files, pool.map(lambda f: run(options.tapline, corpus / f), files)))
    truths = {(row["protocol"], row["file"]): row for row in table(corpus / "TRUTH.tsv")}
    explained = {row["file"]: row for row in table(HERE / "explained.tsv")}
    rows, foreign, problems = compare(results, truths, explained, table(HERE / "others.tsv"))

    for row in rows + foreign:
        print(f"{row.verdict:12} {row.grade:9} {row.file:72} want {text(row.want):14} "
              f"got {text(row.got):14} {row.reason}")
    rss = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    if rss > RSS_MAX_KIB:
        problems.append(f"one capture took {rss >> 10} MiB")
    others = sum(file.split("/")[0] not in DECODED for file in files)
    target = options.write or options.check
    if target and not put(target, document(rows, foreign, others), options.write is not None):
        problems.append(f"{target}: its tables are old: {sys.argv[0]} TAPLINE --write {target}")
    for problem in problems:
        print(problem)
    verdicts = collections.Counter(row.verdict for row in rows)
    wrong = sum(row.verdict in ("WRONG", "STALE") for row in rows + foreign) + len(problems)
    print(f"{len(files)} captures, at most {rss >> 10} MiB: {dict(verdicts)} of {'/'.join(DECODED)}, "
          f"{others} of other protocols, {wrong} wrong")
    return 1 if wrong or not files else 0


sys.exit(main())
