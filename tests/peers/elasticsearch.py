#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The exporter elasticsearch against a strict receiver of the bulk API: every roundtrip is stored
once, whatever the receiver answers for single documents or whole requests.

    elasticsearch.py TAPLINE CAPTURES
"""
import collections
import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import traceback

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1] / 'agent')]
import traffic
from receiver import Receiver

TAPLINE, CAPTURES = os.path.realpath(sys.argv[1]), pathlib.Path(sys.argv[2])
# Types that the mappings of ECS insist on: another one would be refused by a real receiver.
NUMBERS = {'http.response.status_code', 'source.port', 'destination.port', 'client.port',
           'server.port', 'event.duration', 'network.bytes', 'source.bytes', 'destination.bytes'}
TEXTS = {'http.request.method', 'url.path', 'ecs.version', 'event.kind', 'event.outcome', 'span.id',
         'network.transport', 'network.protocol', 'source.ip', 'destination.ip', 'observer.name'}


class Store:
    """What a data stream does: `create` only, an id once; refusals by a script per document."""

    def __init__(self, verdicts=()):
        self.documents = {}
        self.verdicts = collections.deque(verdicts)
        self.requests = []

    def answer(self, request):
        assert request.method == 'POST' and request.path.startswith('/_bulk'), request.path
        assert request.headers['content-type'] == 'application/x-ndjson', request.headers
        body = request.body
        if request.headers.get('content-encoding') == 'gzip':
            body = gzip.decompress(body)
        assert body.endswith(b'\n'), 'no final newline'
        lines = body.decode().splitlines()
        assert len(lines) % 2 == 0
        items = [self.one(json.loads(a), json.loads(d)) for a, d in zip(lines[::2], lines[1::2])]
        self.requests.append(len(items))
        return (200, {}, json.dumps({
            'errors': any(i['create']['status'] not in (200, 201) for i in items),
            'items': items}).encode())

    def one(self, action, document):
        assert list(action) == ['create'], f'data streams take create only: {action}'
        self.check(document)
        verdict = self.verdicts.popleft() if self.verdicts else 201
        if isinstance(verdict, dict):
            return {'create': verdict}
        if verdict != 201:
            return {'create': {'status': verdict, 'error': {'type': 'mapper', 'reason': 'no'}}}
        key = action['create'].get('_id', len(self.documents))
        if key in self.documents:
            return {'create': {'status': 409, 'error': {'type': 'version_conflict', 'reason': ''}}}
        self.documents[key] = (action['create']['_index'], document)
        return {'create': {'status': 201}}

    @staticmethod
    def check(document):
        assert document['@timestamp'].endswith('Z') and document['ecs.version'] == '8.11.0'
        for key, value in document.items():
            assert key not in NUMBERS or isinstance(value, int), f'{key}: {value!r}'
            assert key not in TEXTS or isinstance(value, str), f'{key}: {value!r}'


def run(capture, receiver, options='', queue='storage: memory'):
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / 'agent.yaml'
        config.write_text(f'''
probe: probe-a
capture: {{ports: [{{file: {CAPTURES / capture}}}]}}
server: {{enabled: false}}
collectors: {{metrics: false}}
exporters:
  elasticsearch:
    - {{url: "{receiver.url('')}", queue: {{{queue}}}, backoff: {{min: 10ms, max: 50ms}}
        {', ' + options if options else ''}}}
''')
        done = subprocess.run([TAPLINE, 'agent', '--config', config], capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stderr


def records_of(capture):
    done = subprocess.run([TAPLINE, 'watch', '-q', '--output', 'json', '--pcap-file',
                           CAPTURES / capture], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def send(capture, verdicts=(), options='', script=()):
    store = Store(verdicts)
    receiver = Receiver(default=store.answer, script=script)
    run(capture, receiver, options)
    receiver.close()
    return store


def check_all(store, capture):
    expected = collections.Counter((r['time'][:26], r['status']) for r in records_of(capture))
    seen = collections.Counter((d['@timestamp'][:26], d['tapline']['status'])
                               for _, d in store.documents.values())
    assert expected == seen, f'{capture}: {expected - seen} missing, {seen - expected} too many'


def test_documents():
    for capture in ('http-nginx.pcap', 'dns-unbound.pcap', 'mysql-mariadb.pcap',
                    'kafka-broker.pcap'):
        store = send(capture)
        check_all(store, capture)
        protocols = {index for index, _ in store.documents.values()}
        assert protocols == {f"logs-tapline.{d['network.protocol']}-default"
                             for _, d in store.documents.values()}, protocols
        print(f'  {capture}: {len(store.documents)} documents in {sorted(protocols)}')


def test_one_document():
    store = send('http-nginx.pcap')
    one = next(d for _, d in store.documents.values() if d.get('url.path') == '/broken')
    expected = {
        'ecs.version': '8.11.0', 'event.kind': 'event', 'event.dataset': 'http',
        'event.category': ['network'], 'event.type': ['connection', 'protocol'],
        'event.outcome': 'failure', 'network.transport': 'tcp', 'network.type': 'ipv4',
        'network.protocol': 'http', 'observer.name': 'probe-a', 'observer.type': 'probe',
        'http.request.method': 'GET', 'http.response.status_code': 503, 'http.version': '1.1'}
    seen = {key: one.get(key) for key in expected}
    assert seen == expected, seen
    assert one['event.duration'] == one['tapline']['duration_ns']
    assert one['source.ip'] == one['client.ip'] == one['tapline']['client']['address']
    traced = [d for _, d in store.documents.values() if 'trace.id' in d]
    assert [d['trace.id'] for d in traced] == ['0af7651916cd43dd8448eb211c80319c']


def test_refused_documents():
    store = send('http-nginx.pcap', verdicts=[201, 429, 201, 503, 201])
    check_all(store, 'http-nginx.pcap')
    assert store.requests[1:] == [2], f'only the two refused ones come again: {store.requests}'
    store = send('http-nginx.pcap', verdicts=[400, 201, 400])
    assert len(store.documents) == len(records_of('http-nginx.pcap')) - 2, 'a bad one came again'
    assert len(store.requests) == 1, store.requests
    # An index that is closed for writing, by its operator or a full disk, is opened again.
    store = send('http-nginx.pcap', verdicts=[{'status': 403, 'error': {
        'type': 'cluster_block_exception', 'reason': 'index read-only'}}])
    check_all(store, 'http-nginx.pcap')
    assert store.requests[1:] == [1], store.requests


def test_secrets_that_come_back():
    """A receiver that puts what it was sent into its reasons: the log does not show it."""
    verdict = {'status': 400, 'error': {'type': 'mapper', 'reason': 'no\nfor swordfish-of-the-bulk'}}
    receiver = Receiver(default=Store([verdict]).answer)
    logged = run('http-nginx.pcap', receiver, 'bearer_token: swordfish-of-the-bulk')
    assert '400 mapper: no for ****' in logged, logged
    assert 'swordfish' not in logged, logged


def test_whole_requests():
    for answer in (429, 503, 500, 'reset', 'close_mid_body', 'close_mid_success', 'garbage'):
        store = send('http-nginx.pcap', script=[answer, answer])
        check_all(store, 'http-nginx.pcap')


def test_sent_twice_is_stored_once():
    store = Store()

    def forget_first(request): # stores, then says that it did not
        answer = store.answer(request)
        return answer if len(store.requests) > 1 else 503
    receiver = Receiver(default=forget_first)
    run('http-nginx.pcap', receiver)
    assert len(store.requests) == 2
    check_all(store, 'http-nginx.pcap')


def test_too_large_is_halved():
    store = Store()

    def limited(request):
        count = gzip.decompress(request.body).count(b'\n') // 2
        return 413 if count > 4 else store.answer(request)
    run('http-nginx.pcap', Receiver(default=limited))
    check_all(store, 'http-nginx.pcap')
    assert max(store.requests) <= 4


def test_an_answer_beyond_the_limit_is_halved():
    """A receiver whose answer for many documents is longer than is read: fewer at a time."""
    store = Store()

    def verbose(request):
        count = gzip.decompress(request.body).count(b'\n') // 2
        return (200, {}, b'{"items": [' + b' ' * (5 << 20)) if count > 4 else store.answer(request)
    run('http-nginx.pcap', Receiver(default=verbose))
    check_all(store, 'http-nginx.pcap')
    assert max(store.requests) <= 4


def test_nobody_listens():
    """The log says what failed and what stays."""
    receiver = Receiver()
    receiver.close()
    with tempfile.TemporaryDirectory() as folder:
        logged = run('http-nginx.pcap', receiver, queue=f'directory: {folder}')
        count = len(records_of('http-nginx.pcap'))
        assert f'{count} items stay in the queue for the next start' in logged, logged
        assert 'what comes is kept' in logged, logged
        store = Store()
        logged = run('http-nginx.pcap', Receiver(default=store.answer), queue=f'directory: {folder}')
    assert f'{count} items of an earlier run wait' in logged and 'stay in' not in logged, logged
    assert len(store.documents) == 2 * count, len(store.documents)


def test_a_file_is_read_no_faster_than_documents_are_made():
    """Far more documents than have room before the sink's thread: none is dropped for that."""
    count, store = 3000, Store()
    receiver = Receiver(default=store.answer)
    with tempfile.TemporaryDirectory() as folder:
        capture = pathlib.Path(folder) / 'many.pcap'
        talks = [traffic.Conversation(port=20000 + i) for i in range(count // 500)]
        for talk in talks:
            for _ in range(500):
                talk.request('/item')
        capture.write_bytes(traffic.capture(*(talk.close() for talk in talks)))
        logged = ''
        for _ in range(10):  # what the end left in the queue goes out with the next run
            logged += run(capture, receiver, 'batch: 10', f'directory: {folder}/queue')
            if len(store.documents) >= count:
                break
            capture.write_bytes(traffic.HEADER)
    assert 'lost' not in logged, logged
    assert len(store.documents) == count, (len(store.documents), logged)
    receiver.close()


def test_options():
    store = send('http-nginx.pcap', options='index: all, id: auto, compression: none, batch: 5')
    check_all(store, 'http-nginx.pcap')
    assert {index for index, _ in store.documents.values()} == {'all'}
    assert max(store.requests) == 5, store.requests
    with tempfile.NamedTemporaryFile('w') as file:
        file.write('exporters: {elasticsearch: [{url: "http://a", namespace: Bad}]}')
        file.flush()
        done = subprocess.run([TAPLINE, 'config', '--check', file.name], capture_output=True, text=True)
    assert done.returncode == 2 and 'namespace: must be lower-case' in done.stderr + done.stdout, done


def main():
    failed = 0
    for name, test in sorted(globals().items()):
        if not name.startswith('test_'):
            continue
        try:
            test()
            print('ok    ', name[5:])
        except Exception:
            failed += 1
            print('FAILED', name[5:])
            traceback.print_exc(file=sys.stdout)
    return 1 if failed else 0


sys.stdout.reconfigure(line_buffering=True)
sys.exit(main())
