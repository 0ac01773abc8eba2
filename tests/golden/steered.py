#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A device whose queues part conversations: each capture is split over the queues of one net_pcap as
a card with an asymmetric RSS key would, a worker polls each queue, and the records and counters are
those of one worker that reads it whole. So they are when each direction is in a file of its own.

usage: steered.py TAPLINE CAPTURE..."""
import functools
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import golden
import variants

# The key of the RSS specification: the two directions of a conversation get different hashes.
KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")
FRAGMENT = 0x3fff


@functools.cache
def toeplitz(data):
    window, result = int.from_bytes(KEY, "big"), 0
    for bit in range(len(data) * 8):
        if data[bit // 8] >> (7 - bit % 8) & 1:
            result ^= window >> (len(KEY) * 8 - 32 - bit) & 0xffffffff
    return result


def tuple_of(frame):
    """(source, destination, ports) of the outermost IP packet as a card hashes it, None without one."""
    kind, ip = frame[12:14], frame[14:]
    if kind == b"\x08\x00" and ip[9] in (6, 17):
        ends, rest = ip[12:20], ip[(ip[0] & 15) * 4:]
        whole = struct.unpack_from(">H", ip, 6)[0] & FRAGMENT == 0
    elif kind == b"\x86\xdd" and ip[6] in (6, 17, 44):
        ends, rest, whole = ip[8:40], ip[40:], ip[6] != 44
    else:
        return None
    half = len(ends) // 2
    return ends[:half], ends[half:], rest[:4] if whole else b""


def queue_of(frame, queues):
    words = tuple_of(frame)
    return 0 if words is None else toeplitz(b"".join(words)) % 128 % queues


def conversations(packets, queues):
    """Conversations, and those that come on several queues."""
    seen = {}
    for _, _, frame in packets:
        words = tuple_of(frame)
        if words and words[2]:
            one, other = words[0] + words[2][:2], words[1] + words[2][2:]
            seen.setdefault(frozenset((one, other)), set()).add(queue_of(frame, queues))
    return len(seen), sum(len(on) > 1 for on in seen.values())


def in_order(packets):
    """No two with the same stamp: what is split over files can only be put together by it."""
    last, out = 0, []
    for seconds, micros, frame in packets:
        last = max(last + 1, seconds * 10**6 + micros)
        out.append((last // 10**6, last % 10**6, frame))
    return out


def counted(tapline, *arguments):
    report = json.loads(golden.run(tapline, "stats", *arguments))
    counters = {name: value for name, value in report["counters"].items()
                if value and not any(word in name for word in golden.COUNTERS_LEFT_OUT)}
    # How far the packet clock jumps depends on whose packets a worker has.
    return [f"{name} {value}" for name, value in sorted(counters.items()) if "clock" not in name] + \
        [json.dumps(report[key]) for key in ("roundtrips", "verdicts")]


def check(tapline, name, packets, queues, folder):
    whole = folder / "whole.pcap"
    whole.write_bytes(variants.pcap(packets))
    for queue in range(queues):
        (folder / f"q{queue}").write_bytes(
            variants.pcap([p for p in packets if queue_of(p[2], queues) == queue]))
    split = ["--device", device(0, folder, "q", queues), "--workers", str(queues)]
    one = ["--pcap-file", str(whole), "--workers", "1"]
    there, parted = conversations(packets, queues)
    print(f"{name}: {len(packets)} packets, {there} conversations, {parted} on several of {queues} queues")
    good = golden.same("records", golden.unnamed(golden.records(tapline, *one)),
                       golden.unnamed(golden.records(tapline, *split)))
    return good & golden.same("counters", counted(tapline, *one), counted(tapline, *split)), parted


def answers_fragmented(packets):
    """A datagram that is put together may be late, so that only what comes last is fragmented."""
    return [(seconds, micros, part) for ident, (seconds, micros, frame) in enumerate(packets)
            for part in (variants.fragments(frame, ident + 1) if from_dns(frame) else [frame])]


def from_dns(frame):
    words = tuple_of(frame)
    return words is not None and words[2][:2] == b"\0\x35"


def device(number, folder, letter, queues):
    return ",".join([f"net_pcap{number}"] + [f"rx_pcap={folder}/{letter}{q}" for q in range(queues)])


def is_up(frame):
    words = tuple_of(frame)
    return words is not None and words[:2] == tuple(sorted(words[:2]))


def check_tap(tapline, name, packets, queues, folder):
    """A direction on each of two cards, both with an asymmetric key."""
    whole = folder / "whole.pcap"
    whole.write_bytes(variants.pcap(packets))
    for letter, side in (("a", True), ("b", False)):
        for queue in range(queues):
            (folder / f"{letter}{queue}").write_bytes(variants.pcap(
                [p for p in packets if is_up(p[2]) == side and queue_of(p[2], queues) == queue]))
    split = ["--device", device(0, folder, "a", queues), "--device", device(1, folder, "b", queues),
             "--workers", str(queues)]
    print(f"{name}: two cards with {queues} queues each, one direction on each card")
    return golden.same("records", golden.unnamed(golden.records(tapline, "--pcap-file", str(whole),
                                                                "--workers", "1")),
                       golden.unnamed(golden.records(tapline, *split)))


def check_files(tapline, name, packets, folder):
    """The two monitor ports of a TAP, captured to a file each."""
    whole, up, down = (folder / letter for letter in ("whole.pcap", "up.pcap", "down.pcap"))
    whole.write_bytes(variants.pcap(packets))
    up.write_bytes(variants.pcap([p for p in packets if is_up(p[2])]))
    down.write_bytes(variants.pcap([p for p in packets if not is_up(p[2])]))
    one = ["--pcap-file", str(whole), "--workers", "1"]
    print(f"{name}: two files, one direction in each")
    good = golden.same("counters", counted(tapline, *one),
                       counted(tapline, "--pcap-file", str(up), "--pcap-file", str(down), "--workers", "1"))
    for files in ((up, down), (down, up)):
        both = [word for path in files for word in ("--pcap-file", str(path))]
        good &= golden.same("records", golden.unnamed(golden.records(tapline, *one)),
                            golden.unnamed(golden.records(tapline, *both, "--workers", "2")))
    down.write_bytes(down.read_bytes()[:-10])  # its last record is cut short
    done = subprocess.run([tapline, "stats", "--pcap-file", str(down), "--pcap-file", str(up)],
                          capture_output=True, text=True, check=False)
    read = f"{len(packets) - 1:,} packets"
    if done.returncode != 1 or "down.pcap: record" not in done.stderr or read not in done.stdout:
        print(f"FAIL a damaged file: status {done.returncode}, {done.stderr} {done.stdout[:300]}")
        return False
    return good


def main():
    tapline, good, parted = sys.argv[1], True, 0
    for path in map(pathlib.Path, sys.argv[2:]):
        packets = variants.read(path)
        for kind, change in (("", lambda p: p), (" with answers in fragments", answers_fragmented)):
            if kind and not path.name.startswith("dns"):
                continue
            for queues in (2, 4) if kind else (4,):
                with tempfile.TemporaryDirectory() as folder:
                    is_same, count = check(tapline, path.stem + kind, in_order(change(packets)),
                                           queues, pathlib.Path(folder))
                good, parted = good and is_same, parted + count
        with tempfile.TemporaryDirectory() as folder:
            good &= check_tap(tapline, path.stem, in_order(packets), 2, pathlib.Path(folder))
            good &= check_files(tapline, path.stem, in_order(packets), pathlib.Path(folder))
    if parted == 0:
        print("FAIL no conversation was parted")
    return 0 if good and parted > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
