#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compares our decoder with tshark's `frame.protocols` on the tunnel and tcpip captures: for each
frame class (verdict, protocol, IP version, VLAN tags, tunnels) the counts must be equal.

  tests/corpus/tunnels.py build/tests/corpus/decode [CORPUS]

CORPUS (or TL_CORPUS, or ../shared/corpus) holds TRUTH.tsv; without it there is nothing to do."""
import collections
import csv
import os
import re
import subprocess
import sys

# Encapsulations that tshark reads and we don't: such files are listed, not judged.
LATER = re.compile(r"\b(mpls|gtp|erspan|geneve|teredo|nsh|ppp|pppoe|l2tp)\b")
# Files whose only tags have id 0: a priority mark, no VLAN, which we decode but don't keep.
PRIORITY_TAGS = ("zeek__http-vlan-0.pcap", "zeek__http-qinq-0.pcap")
EXTENSIONS = ("ipv6.hopopts", "ipv6.routing", "ipv6.dstopts", "ah", "ethertype")
LINKS = ("eth", "sll", "null", "raw", "vlan", "ieee8021ad", "llc")


def expected(stack):
    """Our line for a frame that tshark describes by `stack`; fragments are told by `data`
    directly behind IP."""
    ip, vlans, depth, tunnel_pending = None, 0, 0, False
    words = [w for w in stack.split(":") if w not in EXTENSIONS]
    for i, word in enumerate(words):
        if word in ("vlan", "ieee8021ad"):
            vlans += 1
        elif word in ("ip", "ipv6"):
            depth += ip is not None and not tunnel_pending
            tunnel_pending = False
            ip = "ip4" if word == "ip" else "ip6"
            rest = words[i + 1] if i + 1 < len(words) else ""
            if rest in ("data", "ipv6.fraghdr", ""):
                return ("fragment", "-", ip, min(vlans, 4), depth)
        elif word in ("gre", "vxlan"):
            depth += 1
            tunnel_pending = True
        elif word in ("tcp", "udp") and "vxlan" not in words[i:i + 2]:
            return ("ok", word, ip, min(vlans, 4), depth)
        elif word not in ("udp",) + LINKS and ip is not None and not tunnel_pending:
            return ("other_l4", "-", ip, min(vlans, 4), depth)
        elif word not in ("udp",) + LINKS:
            return ("not_ip", "-", ip or "ip0", min(vlans, 4), depth)
    return ("not_ip", "-", ip or "ip0", min(vlans, 4), depth)


def truth(detail):
    counts = collections.Counter()
    for row in re.findall(r"frame\.protocols=([^;]*)", detail)[0].split(","):
        stack, _, count = row.rpartition("=")
        if not count.isdigit():  # the table cuts very long rows
            return None
        counts[expected(stack)] += int(count)
    return counts


def ours(program, path):
    done = subprocess.run([program, path], capture_output=True, text=True, check=False)
    counts = collections.Counter()
    for line in done.stdout.splitlines():
        verdict, protocol, ip, vlans, depth = line.split()
        counts[(verdict, protocol, ip, int(vlans[6:]), int(depth[6:]))] += 1
    return counts, done.stderr.strip()


def main():
    corpus = (sys.argv[2] if len(sys.argv) > 2 else
              os.environ.get("TL_CORPUS", "../shared/corpus"))
    if not os.path.exists(os.path.join(corpus, "TRUTH.tsv")):
        print("no corpus here: nothing compared")
        return 77
    equal = differ = later = 0
    csv.field_size_limit(1 << 24)
    with open(os.path.join(corpus, "TRUTH.tsv"), encoding="utf-8") as table:
        rows = [r for r in csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE)
                if r["protocol"] in ("tunnel", "tcpip")]
    for row in rows:
        want = truth(row["truth_detail"])
        got, error = ours(sys.argv[1], os.path.join(corpus, row["file"]))
        if want is not None and row["file"].endswith(PRIORITY_TAGS):
            want = collections.Counter({k[:3] + (0,) + k[4:]: n for k, n in want.items()})
        if want is None:
            print(f"cut    {row['file']}: its row of the table is incomplete")
        elif got == want and not error:
            equal += 1
        elif LATER.search(row["truth_detail"]):
            later += 1
            print(f"later  {row['file']}")
        else:
            differ += 1
            print(f"DIFFER {row['file']} {error}\n       tshark {dict(want - got)}\n"
                  f"       ours   {dict(got - want)}")
    print(f"{equal} equal, {differ} differ, {later} with encapsulations not decoded yet")
    return differ != 0


sys.exit(main())
