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
import shutil
import subprocess
import sys

# Files with tags of id 0: a priority mark, no VLAN, which we decode but don't keep. The number of
# tags is not compared there.
PRIORITY_TAGS = ("zeek__http-vlan-0.pcap", "zeek__http-qinq-0.pcap", "zeek__mpls-in-vlan.pcap")
EXTENSIONS = ("ipv6.hopopts", "ipv6.routing", "ipv6.dstopts", "ah", "ethertype")
LINKS = ("eth", "sll", "null", "raw", "vlan", "ieee8021ad", "llc")


TUNNELS = ("gre", "vxlan", "mpls", "gtp", "erspan", "geneve", "teredo", "nsh")


def expected(stack):
    """Our line for a frame that tshark describes by `stack`; fragments are told by `data`
    directly behind IP."""
    ip, vlans, depth, tunnel_pending = None, 0, 0, False
    words = [w for w in stack.split(":") if w not in EXTENSIONS]
    # An extension header more than we follow.
    if words.count("ipv6.fraghdr") > 16 and "icmpv6" not in words[:words.index("ipv6.fraghdr")]:
        return ("malformed", "-", "ip6", 0, 0)
    for i, word in enumerate(words):
        rest = words[i + 1] if i + 1 < len(words) else ""
        if word in ("vlan", "ieee8021ad"):
            vlans += 1
        elif word in ("ip", "ipv6"):
            depth += ip is not None and not tunnel_pending
            tunnel_pending = False
            ip = "ip4" if word == "ip" else "ip6"
            if word == "ipv6" and rest == "":  # ends with "no next header"
                return ("other_l4", "-", ip, min(vlans, 4), depth)
            if rest in ("data", "ipv6.fraghdr", ""):
                return ("fragment", "-", ip, min(vlans, 4), depth)
        elif word in TUNNELS:
            # A mirrored frame is one encapsulation with its GRE; tshark does not name the VXLAN-GPE
            # around NSH.
            depth += 0 if word == "erspan" else 2 if (words[i - 1], word) == ("udp", "nsh") else 1
            tunnel_pending = True
        elif word in ("tcp", "udp") and rest not in TUNNELS:
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


def asked(path):
    """What the table would say, from tshark itself; None where it isn't installed."""
    if shutil.which("tshark") is None:
        return None
    done = subprocess.run(["tshark", "-n", "-r", path, "-o", "tcp.reassemble_out_of_order:TRUE", "-2",
                           "-T", "fields", "-e", "frame.protocols"],
                          capture_output=True, text=True, check=True)
    return collections.Counter(expected(line) for line in done.stdout.split())


def ours(program, path):
    done = subprocess.run([program, path], capture_output=True, text=True, check=False)
    counts = collections.Counter()
    for line in done.stdout.splitlines():
        verdict, protocol, ip, vlans, depth = line.split()
        counts[(verdict, protocol, ip, int(vlans[6:]), int(depth[6:]))] += 1
    return counts, done.stderr.strip()


def without_tags(counts):
    left = collections.Counter()
    for key, count in counts.items():
        left[key[:3] + key[4:]] += count
    return left


def main():
    corpus = (sys.argv[2] if len(sys.argv) > 2 else
              os.environ.get("TL_CORPUS", "../shared/corpus"))
    if not os.path.exists(os.path.join(corpus, "TRUTH.tsv")):
        print("no corpus here: nothing compared")
        return 77
    equal = differ = cut = 0
    csv.field_size_limit(1 << 24)
    with open(os.path.join(corpus, "TRUTH.tsv"), encoding="utf-8") as table:
        rows = [r for r in csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE)
                if r["protocol"] in ("tunnel", "tcpip")]
    for row in rows:
        path = os.path.join(corpus, row["file"])
        want = truth(row["truth_detail"]) or asked(path)
        got, error = ours(sys.argv[1], path)
        if want is not None and row["file"].endswith(PRIORITY_TAGS):
            want, got = without_tags(want), without_tags(got)
        if want is None:
            cut += 1
            print(f"cut    {row['file']}: its row of the table is incomplete")
        elif got == want and not error:
            equal += 1
        else:
            differ += 1
            print(f"DIFFER {row['file']} {error}\n       tshark {dict(want - got)}\n"
                  f"       ours   {dict(got - want)}")
    print(f"{equal} equal, {differ} differ, {cut} not compared")
    return differ != 0


sys.exit(main())
