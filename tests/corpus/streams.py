#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compares our TCP reassembly with another implementation's, stream by stream.

usage: streams.py PROGRAM CORPUS_DIR [--all]

PROGRAM is tests/corpus/streams; CORPUS_DIR holds STREAMS.tsv (file, stream, both ends, length and
SHA-256 of each direction) and the captures it names. Prints one row per file that differs (with
--all per file) and the sums. Exit status 0 if every gapless stream is equal, 1 if one is not,
77 (skipped) where there is no corpus.
"""
import collections
import csv
import hashlib
import io
import os
import subprocess
import sys


def reassemble(program, path):
    """[{end: (length, sha256, lost)}] per connection, in order of their begin."""
    run = subprocess.run([program, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    if run.returncode != 0:
        raise RuntimeError(run.stderr.decode(errors='replace').strip() or 'status %d' % run.returncode)
    out = io.BytesIO(run.stdout)
    connections = []
    while True:
        sides = {}
        for _ in range(2):
            line = out.readline().split()
            if not line:
                return connections
            address, port, length, lost = line[0].decode(), int(line[1]), int(line[2]), int(line[3])
            end = '[%s]:%d' % (address, port) if ':' in address else '%s:%d' % (address, port)
            data = out.read(length)
            sides[end] = (length, hashlib.sha256(data).hexdigest(), lost)
        connections.append(sides)


def norm(end):
    address, _, port = end.rpartition(':')
    address = address.strip('[]')
    return '[%s]:%s' % (address, port) if ':' in address else '%s:%s' % (address, port)


def compare(rows, connections):
    """(equal, gaps, [differences]) of one file."""
    pending = collections.defaultdict(list)
    for sides in connections:
        pending[frozenset(sides)].append(sides)
    equal, gaps, wrong = 0, 0, []
    for row in rows:
        ends = norm(row['node0']), norm(row['node1'])
        want = [(int(row['node%d_bytes' % i]), row['node%d_sha256' % i]) for i in range(2)]
        found = pending.get(frozenset(ends), [])
        match = next((s for s in found if [s[e][:2] for e in ends] == want), None)
        if match is not None:
            found.remove(match)
            equal += 1
        elif row['gaps'] != '0':
            gaps += 1
        else:
            got = found[0] if found else None
            said = 'nothing' if got is None else ' '.join('%d(-%d)' % (got[e][0], got[e][2]) for e in ends)
            wrong.append('stream %s %s %s: want %d %d, got %s' % (
                row['tcp_stream'], ends[0], ends[1], want[0][0], want[1][0], said))
    return equal, gaps, wrong


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    program, corpus = sys.argv[1:3]
    table = os.path.join(corpus, 'STREAMS.tsv')
    if not os.path.exists(table):
        print('no corpus at', corpus)
        sys.exit(77)
    with open(table) as f:
        rows = list(csv.DictReader((line for line in f if not line.startswith('#')), delimiter='\t'))
    files = collections.OrderedDict()
    for row in rows:
        files.setdefault(row['file'], []).append(row)
    sums = collections.Counter()
    for name, wanted in files.items():
        try:
            equal, gaps, wrong = compare(wanted, reassemble(program, os.path.join(corpus, name)))
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            equal, gaps, wrong = 0, 0, ['failed: %s' % error] * len(wanted)
        sums.update(streams=len(wanted), equal=equal, gaps=gaps, different=len(wrong))
        if wrong or '--all' in sys.argv:
            print('%-70s streams %3d equal %3d gaps %3d different %3d' % (
                name, len(wanted), equal, gaps, len(wrong)))
            for line in wrong:
                print('    ' + line)
    print('%d files, %d streams: %d equal, %d with gaps in the other implementation, %d different' % (
        len(files), sums['streams'], sums['equal'], sums['gaps'], sums['different']))
    sys.exit(1 if sums['different'] else 0)


if __name__ == '__main__':
    main()
