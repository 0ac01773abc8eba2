#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The exporter kafka against librdkafka's mock cluster: what kcat reads there are the lines that the same
agent wrote to a file, one by one, whatever the brokers answered at first or as long as they were away.

    kafka_sink.py TAPLINE CAPTURES KAFKA_MOCK
"""
import collections
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'support'))
import silent_resolver

SKIPPED = 77
if not shutil.which('kcat') or not os.access(sys.argv[3], os.X_OK):
    print('skipped: kcat or librdkafka is not installed')
    sys.exit(SKIPPED)
TAPLINE, CAPTURES, MOCK = os.path.realpath(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
TOPIC = 'tapline-roundtrips'
PRODUCE = 0  # API key
NOT_LEADER, REQUEST_TIMED_OUT, MESSAGE_TOO_LARGE, INVALID_RECORD = 6, 7, 10, 87
CAPTURE = 'http-nginx.pcap'


class Cluster:
    def __init__(self, partitions=3):
        self.process = subprocess.Popen([MOCK, '2'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.DEVNULL)
        self.brokers = self.process.stdout.readline().strip()
        assert self.brokers, 'no cluster'
        self.tell(f'topic {TOPIC} {partitions}')

    def tell(self, line):
        self.process.stdin.write(line + '\n')
        self.process.stdin.flush()
        assert self.process.stdout.readline() == 'done\n', line

    def messages(self):
        """(partition, key, record) of all, in the order of each partition."""
        done = subprocess.run(['kcat', '-C', '-b', self.brokers, '-t', TOPIC, '-e', '-q', '-o', 'beginning',
                               '-f', '%p\t%k\t%s\n'], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        found = [line.split('\t', 2) for line in done.stdout.splitlines()]
        return [(int(partition), key, value) for partition, key, value in found]

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)


def run_agent(folder, brokers, capture=CAPTURE, queue='', options=''):
    """The agent over a whole capture; what it logged."""
    config = pathlib.Path(folder) / 'agent.yaml'
    config.write_text(f'probe: probe-a\ncapture: {{ports: [{{file: {capture}}}]}}\n'
                      'server: {enabled: false}\ncollectors: {metrics: false}\nexporters:\n'
                      f'  roundtrips: [{{filename: {folder}/records}}]\n'
                      f'  kafka: [{{brokers: "{brokers}", backoff: {{min: 10ms, max: 100ms}}, {options} '
                      f'queue: {{directory: {folder}/queue{queue}}}}}]\n')
    done = subprocess.run([TAPLINE, 'agent', '--config', config], capture_output=True, text=True,
                          cwd=CAPTURES, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stderr


def deliver(folder, brokers, **more):
    """Runs over nothing, until the queue that an earlier run left is empty."""
    empty = pathlib.Path(folder) / 'empty.pcap'
    empty.write_bytes((CAPTURES / CAPTURE).read_bytes()[:24])
    for _ in range(20):
        if 'stay in the queue' not in (logged := run_agent(folder, brokers, capture=empty, **more)):
            return
    raise AssertionError(f'the queue does not get empty:\n{logged}')


def records_of(folder):
    return (pathlib.Path(folder) / 'records').read_text().splitlines()


def send(folder, brokers, **more):
    logged = run_agent(folder, brokers, **more)
    if 'stay in the queue' in logged:
        deliver(folder, brokers)
    return logged


def check_all(cluster, folder):
    """Each record, byte for byte (one that came twice has the same id), those of a connection in order."""
    expected = records_of(folder)
    messages = cluster.messages()
    stored = list(dict.fromkeys(value for _, _, value in messages))
    assert sorted(stored) == sorted(expected), \
        (set(stored) - set(expected), set(expected) - set(stored), len(stored), len(expected))
    partitions = collections.defaultdict(set)
    for partition, key, value in messages:
        assert key == json.loads(value)['connection']['id']
        partitions[key].add(partition)
    assert expected and all(len(of_key) == 1 for of_key in partitions.values()), partitions
    for key in partitions:
        seen, wanted = ([line for line in lines if f'"connection":{{"id":"{key}"' in line]
                        for lines in (stored, expected))
        assert seen == wanted and seen, f'order of {key}'
    return len(expected)


def test_every_record():
    for capture in (CAPTURE, 'kafka-broker.pcap', 'amqp-pika.pcap'):
        cluster = Cluster()
        with tempfile.TemporaryDirectory() as folder:
            logged = send(folder, cluster.brokers, capture=capture)
            assert 'lost' not in logged, logged
            print(f'  {check_all(cluster, folder)} records of {capture}')
        cluster.close()


def test_properties_that_would_harm():
    """What the exporter counts on stays as it is."""
    cluster = Cluster()
    with tempfile.TemporaryDirectory() as folder:
        harm = '{delivery.report.only.error: true, acks: 0, enable.idempotence: true}'
        logged = run_agent(folder, cluster.brokers, options=f'properties: {harm},')
        assert 'stay in the queue' not in logged, logged
        check_all(cluster, folder)
    cluster.close()


def test_answers_that_pass():
    """The library tries some again, we the others: nothing is lost."""
    cluster = Cluster()
    cluster.tell(f'fail {PRODUCE} {REQUEST_TIMED_OUT} 2')
    cluster.tell(f'fail {PRODUCE} {NOT_LEADER} 2')
    with tempfile.TemporaryDirectory() as folder:
        logged = send(folder, cluster.brokers)
        assert 'lost' not in logged, logged
        check_all(cluster, folder)
    cluster.close()


def refuse_once(code):
    """The first request is refused by `code`: (records lost, stored, in all), what the agent logged."""
    cluster = Cluster(partitions=1)
    cluster.tell(f'fail {PRODUCE} {code} 1')
    with tempfile.TemporaryDirectory() as folder:
        logged = run_agent(folder, cluster.brokers)
        counts = len(set(cluster.messages())), len(records_of(folder))
    cluster.close()
    found = re.search(r'(\d+) records lost since the start', logged)
    return (int(found[1]) if found else 0, *counts), logged


def test_refused_for_good():
    for code in (INVALID_RECORD, MESSAGE_TOO_LARGE):
        for _ in range(5):  # an agent that had to end before all was answered says nothing
            (lost, stored, total), logged = refuse_once(code)
            if 'stay in the queue' not in logged:
                break
        assert lost >= 1 and lost + stored == total, (lost, stored, total, logged)
        assert 'what comes is kept' not in logged, logged


def test_brokers_away():
    """Nobody listens, or somebody who never answers: the agent reads on and ends in time, the disk keeps
    what waits, and a later run delivers it."""
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        silent.listen(8)
        hung = silent.getsockname()[1]
        with socket.socket() as closed:
            closed.bind(('127.0.0.1', 0))
            nobody = closed.getsockname()[1]
        for port in (nobody, hung):
            cluster = Cluster()
            with tempfile.TemporaryDirectory() as folder:
                began = time.monotonic()
                logged = run_agent(folder, f'127.0.0.1:{port}')
                took = time.monotonic() - began
                total = len(records_of(folder))
                assert f'{total} items stay in the queue for the next start' in logged, logged
                assert 'works again' not in logged, logged
                deliver(folder, cluster.brokers)
                check_all(cluster, folder)
            cluster.close()
            print(f'  ended after {took:.1f} s')


def test_resolver_away():
    """The end waits for no resolver: glibc asks it as long as it likes, in a thread of librdkafka."""
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / 'agent.yaml'
        config.write_text('capture: {ports: []}\nserver: {enabled: false}\nexporters: {kafka: [{brokers: '
                          '"kafka.test:9092", queue: {storage: memory}}]}\n')
        ended = silent_resolver.run(TAPLINE, config, folder)
        print(f'  {ended}')
        assert ended is None or (ended[0] == 0 and ended[1] < 15), ended


def test_memory_only():
    with socket.socket() as closed, tempfile.TemporaryDirectory() as folder:
        closed.bind(('127.0.0.1', 0))
        logged = run_agent(folder, f'127.0.0.1:{closed.getsockname()[1]}', queue=', storage: memory')
        assert f'{len(records_of(folder))} items in memory were lost at the end' in logged, logged
        assert not (pathlib.Path(folder) / 'queue').exists()


def test_configuration():
    """What librdkafka does not take is told when the configuration is read, without secrets."""
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / 'agent.yaml'
        for options, words in (
                ('properties: {no.such.thing: swordfish-1}', 'librdkafka has no no.such.thing'),
                ('properties: {security.protocol: swordfish-1}', 'this value of security.protocol'),
                ('properties: {ssl.ca.location: /swordfish-1.pem}',
                 'there is no such file as ssl.ca.location names'),
                ('topic: "a b"', 'topic: must be'), ('brokers: ""', 'brokers: must be')):
            config.write_text('capture: {ports: [{file: /dev/null}]}\nexporters: {kafka: [{'
                              f'{"" if "brokers" in options else "brokers: x, "}{options}}}]}}\n')
            done = subprocess.run([TAPLINE, 'config', '--check', config], capture_output=True, text=True)
            said = done.stdout + done.stderr
            assert done.returncode == 2 and words in said and 'swordfish' not in said, said
        config.write_text('exporters: {kafka: [{brokers: x, properties: {sasl.password: swordfish-1}}]}\n')
        done = subprocess.run([TAPLINE, 'config', '--defaults', config], capture_output=True, text=True)
        assert done.returncode == 0 and 'swordfish' not in done.stdout, done.stdout + done.stderr


def main():
    failed = 0
    for name, function in list(globals().items()):
        if not name.startswith('test_') or (len(sys.argv) > 4 and name[5:] not in sys.argv[4:]):
            continue
        began = time.monotonic()
        try:
            function()
            print(f'ok {name} {time.monotonic() - began:.1f}s', flush=True)
        except (AssertionError, LookupError, subprocess.SubprocessError):
            failed += 1
            print(f'FAILED {name}\n{traceback.format_exc()}', flush=True)
    return 1 if failed else 0


sys.exit(main())
