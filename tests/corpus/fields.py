#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the fields of HTTP/1 and DNS records with what tshark prints. By hand: tshark is slow.

usage: fields.py TAPLINE [-d LAYER==PORT,PROTOCOL] [-o NAME:VALUE] CAPTURE...

HTTP: method, target and Host of each request, status of each response. DNS: id, name and type of
each query, id and rcode of each response; queries sent again count once. -d and -o are handed to
tshark (see the columns decode_as and truth_detail of TRUTH.tsv). What only one side has is printed.
Exit status 1 if there is any.
"""
import collections
import json
import re
import subprocess
import sys

HTTP_FIELDS = ("http.request.method", "http.request.uri", "http.host", "http.response.code")
DNS_FIELDS = ("dns.flags.response", "dns.id", "dns.qry.name", "dns.qry.type", "dns.flags.rcode",
              "udp.srcport", "tcp.srcport")
TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "NULL": 10, "PTR": 12, "MX": 15, "TXT": 16,
         "AAAA": 28, "SRV": 33, "NAPTR": 35, "DS": 43, "DNSKEY": 48, "HTTPS": 65, "CAA": 257,
         "AXFR": 252, "IXFR": 251, "ANY": 255}
OPTIONS = []
RCODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5,
          "YXDOMAIN": 6, "YXRRSET": 7, "NXRRSET": 8, "NOTAUTH": 9, "NOTZONE": 10}


def readable(name):
    """Lower case, without what is no ASCII: tshark prints it as U+FFFD, we as \\DDD."""
    return re.sub(r"([^\0-\x7f]|\\[12]\d\d)+", "?", name.lower().rstrip(".")) or "<root>"


def tshark(path, select, fields):
    command = ["tshark", "-n", "-r", path, "-o", "tcp.reassemble_out_of_order:TRUE", *OPTIONS, "-2",
               "-Y", select, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=\x1f"]
    for field in fields:
        command += ["-e", field]
    out = subprocess.run(command, capture_output=True, check=True).stdout.decode(errors="replace")
    for line in filter(None, out.split("\n")):
        values = [value.split("\x1f") for value in line.split("\t")]
        # Several messages in one packet: one row each.
        for i in range(max(map(len, values))):
            yield [value[i] if i < len(value) else "" for value in values]


def theirs(path):
    found = collections.Counter()
    seen = set()
    for method, uri, host, code in tshark(path, "http.request or http.response", HTTP_FIELDS):
        if method:
            found["http", method, uri, host] += 1
        if code and (int(code) == 101 or int(code) >= 200):
            found["http", int(code)] += 1
    for is_response, ident, name, kind, rcode, udp, tcp in tshark(path, "dns", DNS_FIELDS):
        if not ident:
            continue
        # An answered query that comes again is another one.
        query = (ident, readable(name), kind)
        if is_response in ("1", "True"):
            found["dns", int(ident, 16), "rcode", int(rcode)] += 1
            seen = {entry for entry in seen if entry[0] != query}
        elif (query, udp or tcp) not in seen:
            seen.add((query, udp or tcp))
            found["dns", int(ident, 16), readable(name), int(kind or 0)] += 1
    return found


def ours(tapline, path):
    found = collections.Counter()
    out = subprocess.run([tapline, "watch", "-q", "-o", "json", "-r", path], capture_output=True,
                         check=True).stdout
    for record in map(json.loads, out.splitlines()):
        request, response = record.get("request"), record.get("response")
        if record["protocol"] == "http":
            if request:
                found["http", request["method"], request["target"], request.get("host", "")] += 1
            if response and "status_code" in response:
                found["http", response["status_code"]] += 1
        elif record["protocol"] == "dns" and record["status"] != "one_way":
            if request:
                kind = request["qtype"]
                found["dns", request["id"], readable(request.get("question", "")), TYPES.get(kind, kind)] += 1
            if response:
                rcode = response["rcode"]
                found["dns", response["id"], "rcode", RCODES.get(rcode, rcode)] += 1
    return found


def main():
    different = 0
    tapline, *paths = sys.argv[1:]
    while paths and paths[0] in ("-d", "-o"):
        OPTIONS.extend(paths[:2])
        paths = paths[2:]
    for path in paths:
        want, got = theirs(path), ours(tapline, path)
        print(f"{path}: {sum(want.values())} facts of tshark, {sum(got.values())} ours, "
              f"{sum((want & got).values())} equal")
        for sign, rest in (("  tshark", want - got), ("  ours  ", got - want)):
            different += len(rest)
            for fact, times in sorted(rest.items(), key=str)[:10]:
                print(sign, times, *[str(word)[:100] for word in fact])
    return 1 if different else 0


sys.exit(main())
