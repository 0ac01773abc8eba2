#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of whole agents at random times while their receiver is away. Each request of the traffic
has a number, each of them is to be a document; the metrics go by remote write. When the receiver is
back, of every run there arrives what it saw up to some number, without a hole, in order, and nothing
that was in the queue is missing: the numbers that end a run were at most in the batch that was being
gathered. The next run says that there is a gap.

    kill.py TAPLINE [KILLS]        3 without a number
"""
import gzip
import json
import pathlib
import random
import signal
import sys
import tempfile
import time

sys.argv[2:], KILLS = [], int(sys.argv[2]) if len(sys.argv) > 2 else 3
sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1] / 'agent')]
from api_test import Agent
from receiver import Receiver

try:
    import remote
except (ImportError, OSError):  # without python3-snappy, python3-protobuf, protobuf-compiler
    remote = None

BULK = 'elasticsearch'
WRITE = 'remote_write'


def config(port, queue):
    common = f'backoff: {{min: 10ms, max: 50ms}}, queue: {{directory: {queue}, memory: 1MiB}}'
    base = f'http://127.0.0.1:{port}'
    return (f'probe: probe-a\nexporters:\n  elasticsearch: [{{url: "{base}", {common}, '
            f'compression: none}}]\n'
            f'  remote_write: [{{url: "{base}/api/v1/write", histogram: vmrange, interval: 1s, '
            f'{common}}}]\n')


def queued(agent, exporter):
    """What the queue of this run has taken, and an earlier run left in it."""
    return int(agent.value('/metrics', 'tapline_exporter_accepted_total', exporter=exporter))


class Run:
    """One agent, from its start to its kill."""

    def __init__(self, more, first):
        folder = tempfile.TemporaryDirectory()
        self.agent = Agent(folder.name, more)
        self.first = self.next = first  # of the numbers
        self.folder = folder
        self.agent.wait(lambda: self.agent.ask('GET', '/metrics')[0] == 200, 'a page')
        self.before = {name: queued(self.agent, name) for name in (BULK, WRITE)}
        self.kept = dict.fromkeys(self.before, 0)

    def see(self, count):
        self.agent.see(*[f'/seq/{self.next + i}/{"x" * 200}' for i in range(count)])
        self.next += count

    def note(self):
        """What must arrive, whatever happens from now on."""
        for name, before in self.before.items():
            self.kept[name] = queued(self.agent, name) - before

    def kill(self):
        self.agent.process.send_signal(signal.SIGKILL)
        self.agent.process.wait()
        self.agent.pen.close()
        self.log = self.agent.log.read_text()


def documents(receiver):
    """Numbers in the order of arrival."""
    found = []
    for request in receiver.requests:
        if not request.path.startswith('/_bulk') or request.answer != 200:
            continue
        body = request.body
        if body[:2] == b'\x1f\x8b':
            body = gzip.decompress(body)
        for line in body.splitlines()[1::2]:
            path = json.loads(line).get('url.path', '')
            if path.startswith('/seq/'):
                found.append(int(path.split('/')[2]))
    return found


def answer(request):
    return (200, {}, b'{"errors": false}') if request.path.startswith('/_bulk') else 204


def check_documents(runs, numbers):
    once = list(dict.fromkeys(numbers))  # what was delivered just before a kill may come again
    assert once == sorted(once), 'documents are out of order'
    lost = 0
    for run in runs:
        mine = [n for n in once if run.first <= n < run.next]
        assert mine == list(range(run.first, run.first + len(mine))), \
            f'a hole in what a run queued: {run.first}..{run.next}: {mine}'
        assert len(mine) >= run.kept[BULK], \
            f'{run.kept[BULK]} were queued of {run.first}..{run.next}, {len(mine)} arrived'
        lost += run.next - run.first - len(mine)
    return len(once), lost


def check_samples(runs, receiver):
    """Times of a series rise over all runs; what was in the queue is there."""
    bodies = [r.body for r in receiver.requests if r.path == '/api/v1/write' and r.answer == 204]
    series = remote.series_of(bodies)
    count = 0
    for key, samples in series.items():
        once = list(dict.fromkeys(samples))
        count += len(once)
        times = [moment for moment, _ in once]
        assert times == sorted(set(times)), (key, once)
    kept = sum(run.kept[WRITE] for run in runs)
    assert count >= kept, f'{kept} samples were queued, {count} arrived'
    return count


def main():
    chosen = random.Random()
    away = Receiver()
    port = away.port
    away.close()
    queue = tempfile.TemporaryDirectory()
    runs, first = [], 0
    for kill in range(KILLS):
        run = Run(config(port, queue.name), first)
        run.see(1200)  # more than a batch: some are in the queue before long
        run.agent.wait(lambda run=run: queued(run.agent, BULK) > run.before[BULK], 'a full batch')
        for _ in range(chosen.randrange(4)):
            run.see(chosen.randrange(1, 400))
            time.sleep(chosen.random() * 0.5)
            run.note()
        run.kill()
        if kill:
            assert 'ended without an orderly stop' in run.log, run.log
            unclean = [line for line in run.log.splitlines() if 'nothing was queued between' in line]
            assert len(unclean) == 2, run.log  # one a sink
        first = run.next
        runs.append(run)
    on_disk = sum(path.stat().st_size for path in pathlib.Path(queue.name).rglob('*.seg'))
    assert on_disk > 1 << 20, f'{on_disk} bytes would have had room in memory'
    receiver = Receiver(default=answer, port=port)
    last = Run(config(port, queue.name), first)
    for name in (BULK, WRITE):
        last.agent.wait(lambda name=name: last.agent.value('/metrics', 'tapline_exporter_queued',
                                                           exporter=name) == 0, f'{name} empty')
    assert last.agent.value('/metrics', 'tapline_exporter_unclean_starts_total', exporter=BULK) == 1
    assert last.agent.value('/metrics', 'tapline_exporter_dropped_total') == 0
    status = last.agent.end()
    assert status == 0, last.agent.log.read_text()
    arrived, lost = check_documents(runs, documents(receiver))
    samples = check_samples(runs, receiver) if remote is not None else 0
    print(f'{KILLS} kills, {on_disk >> 10} KiB in the queues: {arrived} documents and {samples} samples '
          f'arrived in order; {lost} that had not been queued are gone')
    receiver.close()
    return 0


sys.exit(main())
