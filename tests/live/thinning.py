# SPDX-License-Identifier: Apache-2.0
"""Captures of which packets are missing, as if the tap had lost them while the peers got them."""
import random
import re
import signal
import struct

import lab
from lab import check

# (name, share of the packets, longest run)
LOSSES = [("none", 0, 1), ("0.1 %", 0.001, 1), ("1 %", 0.01, 1), ("5 %", 0.05, 1),
          ("1 % in runs of up to 12", 0.01, 12)]


def thin_out(data, share, run, seed):
    """The capture without some packets, and how many were left out. `share` is of all packets."""
    rng = random.Random(seed)
    kept, lost, at, skip = [data[:24]], 0, 24, 0
    while at < len(data):
        end = at + 16 + struct.unpack_from("<I", data, at + 8)[0]
        if skip == 0 and rng.random() < share / ((1 + run) / 2):
            skip = rng.randint(1, run)
        if skip > 0:
            skip -= 1
            lost += 1
        else:
            kept.append(data[at:end])
        at = end
    return b"".join(kept), lost


def is_written(dump):
    """tcpdump tells how many packets it has taken from the kernel, and how many there were."""
    told = re.compile(r"(\d+) packets? captured, (\d+) packets? received by filter")
    before = len(told.findall(dump.log.read_text()))
    dump.send_signal(signal.SIGUSR1)
    lab.wait_for("tcpdump's numbers", lambda: len(told.findall(dump.log.read_text())) > before)
    captured, received = told.findall(dump.log.read_text())[-1]
    return captured == received


def record(l, namespace, converse):
    """(the packets of what converse() did, what it gave)"""
    lab.need("tcpdump")
    capture = l.folder / "all.pcap"
    dump = l.start(namespace, "tcpdump", "-Z", "root", "-i", "s0", "-s", "0", "-U", "-B", "65536",
                   "--immediate-mode", "-w", capture, "tcp", log="tcpdump.log")
    lab.wait_for("tcpdump", lambda: "listening on" in dump.log.read_text())
    result = converse()
    lab.wait_for("tcpdump to write what it has got", lambda: is_written(dump))
    l.stop(dump)
    check("\n0 packets dropped by kernel" in dump.log.read_text(), "tcpdump lost packets itself")
    return capture.read_bytes(), result


def read_back(l, capture, protocols):
    """Records of the agent; `protocols` is that section of its configuration."""
    path, out, conf = l.folder / "some.pcap", l.folder / "out.json", l.folder / "file.yaml"
    path.write_bytes(capture)
    out.unlink(missing_ok=True)
    conf.write_text(f"""capture:
  ports: [{{file: {path}}}]
protocols:
  {protocols}
server: {{enabled: false}}
exporters:
  roundtrips: [{{filename: {out}, max_size: 0}}]
""")
    l.sh(l.tapline, "agent", "--config", conf)
    return lab.read_records(out)


def hold(l, data, total, seeds, protocols, judge):
    """Thins out again and again; judge(records) gives (counts, wrong records). Without a loss all
    `total` must be counted as matched; a wrong one fails the test at any rate."""
    bad = []
    for name, share, longest in LOSSES:
        sums, lost = {}, 0
        for seed in range(seeds if share else 1):
            capture, missing = thin_out(data, share, longest, seed)
            lost += missing
            counts, wrong = judge(read_back(l, capture, protocols))
            if share == 0:
                check(counts["matched"] == total and sum(counts.values()) == total,
                      f"without a loss: {counts} of {total}, {wrong[:2]}")
            bad += [(name, seed, r) for r in wrong]
            for key, value in counts.items():
                sums[key] = sums.get(key, 0) + value
        made = total * (seeds if share else 1)
        print(f"loss {name}: {lost} packets, {made} requests, matched "
              f"{sums['matched'] * 100 / made:.2f} %, without an answer {sums['alone']}, orphans "
              f"{sums['orphan']}, nonce unknown {sums['unknown']}, flagged {sums['flagged']}, "
              f"wrong {sum(1 for b in bad if b[0] == name)}")
    for name, seed, r in bad[:5]:
        print(f"wrong: loss {name}, seed {seed}: {r}")
    check(not bad, f"{len(bad)} records are not what they say")
