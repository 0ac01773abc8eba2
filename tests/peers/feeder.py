# SPDX-License-Identifier: Apache-2.0
"""The program `feed` from Python."""
import atexit
import json
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time


def scratch(prefix):
    """A folder that goes with this process."""
    folder = tempfile.mkdtemp(prefix=prefix)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Feeder:
    def __init__(self, program, exporter, options, folder=None, probe='probe-a', env=None):
        """`options` is YAML flow text of the exporter's keys; {queue} stands for a folder."""
        self.next_tick = 0.0  # the exporter takes one picture a second
        self.folder = pathlib.Path(folder or scratch('tl-feed-'))
        config = self.folder / f'{probe}.yaml'
        options = options.replace('{queue}', str(self.folder / 'queue'))
        config.write_text(f'exporters:\n  {exporter}:\n  - {{{options}}}\n')
        self.log = open(self.folder / f'{probe}.log', 'ab+')
        self.process = subprocess.Popen([program, str(config), probe], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log, text=True, env=env)

    def tell(self, *lines):
        self.process.stdin.write(''.join(line + '\n' for line in lines))
        self.process.stdin.flush()

    def ask(self, line):
        self.tell(line)
        answer = self.process.stdout.readline()
        assert answer, self.logged()
        return answer.strip()

    def tick(self, **values):
        self.tell(*(f'set {name} {value}' for name, value in values.items()))
        self.ask('tick')

    def stats(self):
        return json.loads(self.ask('stats'))

    def flush(self, ms=5000):
        began = time.monotonic()
        self.ask(f'flush {ms}')
        return time.monotonic() - began

    def quit(self):
        self.ask('quit')
        assert self.process.wait(60) == 0, self.logged()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def logged(self):
        self.log.flush()
        return pathlib.Path(self.log.name).read_text()

    def wait(self, condition, seconds=60, what=''):
        """Until condition(stats) holds."""
        end = time.monotonic() + seconds
        while not condition(stats := self.stats()):
            assert time.monotonic() < end, (what, stats, self.logged())
            time.sleep(0.02)
        return stats
