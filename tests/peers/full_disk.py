#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The disk of the queue is full during an outage: a file system of the test's own, which nobody else
sees. What comes meanwhile stays in memory, moves to the disk when there is room, and all of it
arrives in order.

    full_disk.py FEED
"""
import os
import pathlib
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
SKIPPED = 77
try:
    import remote
except (ImportError, OSError) as missing:
    print('skipped: needs python3-snappy, python3-protobuf, protobuf-compiler:', missing)
    sys.exit(SKIPPED)
if os.geteuid() != 0 or not shutil.which('unshare'):
    print('skipped: needs root and unshare, to mount a file system')
    sys.exit(SKIPPED)
from feeder import Feeder, scratch
from receiver import Receiver

FEED = os.path.abspath(sys.argv[1])
OPTIONS = ('url: "{url}", interval: 1s, histogram: vmrange, metadata: false, '
           'backoff: {min: 20ms, max: 100ms}, queue: {directory: {queue}}')
SERIES = 200           # about 20 KiB a round
ROOM = 32 << 10
VALUES = range(1, 5)


def wrapper(folder):
    """A program that runs the feeder in a mount namespace with a small file system for its queue."""
    (folder / 'queue').mkdir()
    script = folder / 'feed'
    script.write_text('#!/bin/sh\nexec unshare --mount --propagation private sh -c \'mount -t tmpfs -o '
                      f'size=1m tl-full {folder}/queue && exec {FEED} "$@"\' feed "$@"\n')
    script.chmod(0o755)
    return str(script)


def fill(disk):
    """Leaves ROOM of the file system."""
    with open(disk / 'ballast', 'wb') as pen:
        state = os.statvfs(disk)
        pen.write(b'x' * (state.f_bavail * state.f_bsize - ROOM))


def tick(feed, value):
    accepted = feed.stats()['accepted']
    time.sleep(max(0, feed.next_tick - time.monotonic()))
    feed.tick(tapline_sequence_total=value)
    feed.next_tick = time.monotonic() + 1.01
    feed.wait(lambda s: s['accepted'] > accepted, what=f'tick {value}')


def wait_logged(feed, text):
    end = time.monotonic() + 20
    while text not in feed.logged():
        assert time.monotonic() < end, (text, feed.logged(), feed.stats())
        time.sleep(0.05)


def main():
    folder = pathlib.Path(scratch('tl-full-'))
    away = Receiver()
    port = away.port
    away.close()
    feed = Feeder(wrapper(folder), 'remote_write', OPTIONS.replace('{url}', away.url()), folder=folder)
    feed.stats()  # it has begun: the file system is there
    disk = pathlib.Path(f'/proc/{feed.process.pid}/root{folder}/queue')
    assert not any((folder / 'queue').iterdir()), 'the file system is not the own one'
    fill(disk)
    feed.tell(*[f'hit METHOD{i} 200 {1000000 + i}' for i in range(SERIES)])
    for value in VALUES:
        tick(feed, value)
    wait_logged(feed, "can't be written (is the disk full?)")
    assert os.statvfs(disk).f_bavail < ROOM // 4096
    stats = feed.stats()
    assert stats['dropped'] == 0 and stats['queued'] == stats['accepted'], stats
    (disk / 'ballast').unlink()
    wait_logged(feed, 'can be written again')
    on_disk = sum(path.stat().st_size for path in disk.rglob('*.seg'))
    assert on_disk > ROOM, f'{on_disk} bytes on disk'
    receiver = Receiver(port=port)
    feed.wait(lambda s: s['queued'] == 0 and s['delivered'], seconds=30)
    stats = feed.stats()
    assert stats['dropped'] == 0 and stats['delivered'] == stats['accepted'], stats
    feed.quit()
    samples = [sample for key, found in remote.series_of(receiver.bodies()).items()
               if dict(key)['__name__'] == 'tapline_sequence_total' for sample in found]
    times = [moment for moment, _ in samples]
    assert times == sorted(set(times)), samples
    assert [int(v) for _, v in samples if not remote.is_stale(v)] == [0, *VALUES], samples
    receiver.close()
    print(f'{len(times)} rounds in order; {on_disk >> 10} KiB went back to the disk')
    return 0


sys.exit(main())
