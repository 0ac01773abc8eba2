#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The exporter remote_write against a receiver that fails in every way of the retry table; what
arrives is decoded by python3-snappy and python3-protobuf.

    remote_write.py FEED
"""
import concurrent.futures
import math
import os
import pathlib
import random
import shutil
import ssl
import subprocess
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parent))
SKIPPED = 77
try:
    import remote
except (ImportError, OSError) as missing:
    print('skipped: needs python3-snappy, python3-protobuf, protobuf-compiler:', missing)
    sys.exit(SKIPPED)
from feeder import Feeder, scratch
from receiver import Receiver

FEED = sys.argv[1]
FAST = ('interval: 1s, histogram: vmrange, self_metrics: true, metadata: false, '
        'backoff: {min: 20ms, max: 100ms}, queue: {directory: {queue}, fsync: interval}')


def feeder(receiver, options='', base=FAST, **more):
    return Feeder(FEED, 'remote_write', f'url: "{receiver.url()}", {base}' +
                  (', ' + options if options else ''), **more)


def sequence(receiver, name='tapline_sequence_total'):
    """Samples of the test's own counter, in the order of arrival."""
    return [sample for key, samples in remote.series_of(receiver.bodies()).items()
            if dict(key)['__name__'] == name for sample in samples]


def values_of(samples):
    return [int(value) for _, value in samples if not remote.is_stale(value)]


def check_times(samples):
    times = [moment for moment, _ in samples]
    assert times == sorted(set(times)), samples


def run_ticks(feed, values, wait=True):
    for value in values:
        accepted = feed.stats()['accepted']
        time.sleep(max(0, feed.next_tick - time.monotonic()))
        feed.tick(tapline_sequence_total=value)
        feed.next_tick = time.monotonic() + 1.01
        if wait:
            feed.wait(lambda s: s['accepted'] > accepted, what=f'tick {value}')


def test_first_request():
    """Headers, labels, the 0 before a first sample, buckets that sum up, stale markers last."""
    receiver = Receiver()
    feed = feeder(receiver, 'external_labels: {zone: a, method: x, empty: ""}, '
                  'headers: {X-Scope-OrgID: tenant}')
    feed.tell(*['hit GET 200 1000000'] * 3, 'hit GET 200 250000000 1', 'hit POST 500 70000')
    run_ticks(feed, [5])
    feed.wait(lambda s: s['queued'] == 0)
    feed.tell('hit GET 200 5000000')
    run_ticks(feed, [6])
    feed.flush()
    stats = feed.stats()
    assert stats['accepted'] == stats['delivered'] and stats['dropped'] == 0, stats
    feed.quit()
    request = receiver.requests[0]
    assert request.method == 'POST' and request.path == '/api/v1/write'
    for name, value in (('content-encoding', 'snappy'), ('content-type', 'application/x-protobuf'),
                        ('x-prometheus-remote-write-version', '0.1.0'), ('x-scope-orgid', 'tenant')):
        assert request.headers[name] == value, request.headers
    assert request.headers['user-agent'], request.headers
    found = remote.series_of(receiver.bodies())
    counts = {}
    for key, samples in found.items():
        labels = dict(key)
        check_times(samples)
        assert labels['probe'] == 'probe-a' and labels['zone'] == 'a' and 'empty' not in labels
        assert remote.is_stale(samples[-1][1]), (labels, samples)
        if labels['__name__'] == 'http_requests_total':
            assert labels['method'] in ('GET', 'POST')  # not the external label
            assert samples[0][1] == 0 and samples[1][1] > 0, samples
            counts[labels['method']] = samples[-2][1]
    assert counts == {'GET': 5, 'POST': 1}, counts
    buckets = {dict(k)['vmrange']: s[-2][1] for k, s in found.items()
               if dict(k)['__name__'] == 'http_request_duration_seconds_bucket'
               and dict(k)['method'] == 'GET'}
    assert buckets == {'8.799e-04...1.000e-03': 3, '4.642e-03...5.275e-03': 1,
                       '2.448e-01...2.783e-01': 1}, buckets
    sums = [s[-2][1] for k, s in found.items() if dict(k).get('method') == 'GET'
            and dict(k)['__name__'] == 'http_request_duration_seconds_sum']
    assert math.isclose(sums[0], 0.258, rel_tol=1e-9), sums
    # A bucket that appears later has its 0 at the round before.
    late = next(s for k, s in found.items() if dict(k).get('vmrange') == '4.642e-03...5.275e-03'
                and dict(k)['__name__'] == 'http_request_duration_seconds_bucket')
    first = sequence(receiver)
    assert [v for _, v in late[:2]] == [0, 1] and late[0][0] == first[1][0], (late, first)


def test_le():
    receiver = Receiver()
    feed = feeder(receiver, base=FAST.replace('vmrange', 'le'))
    feed.tell('hit GET 200 1000000', 'hit GET 200 40000000')
    run_ticks(feed, [1])
    feed.flush()
    feed.quit()
    buckets = {dict(k)['le']: s[1][1] for k, s in remote.series_of(receiver.bodies()).items()
               if dict(k)['__name__'] == 'http_request_duration_seconds_bucket'}
    assert buckets['0.001'] == 1 and buckets['0.05'] == 2 and buckets['+Inf'] == 2, buckets
    assert buckets['5e-05'] == 0, buckets


def test_retry_table():
    """Every kind of failure once, then success: nothing lost, nothing twice, in order."""
    for answer in (500, 502, 503, 504, 599, 429, 401, 403, 404, 301, 'reset', 'close',
                   'close_mid_body', 'garbage', 'endless_header', 'huge'):
        receiver = Receiver(script=[answer, answer])
        feed = feeder(receiver)
        run_ticks(feed, [7])
        feed.wait(lambda s: s['queued'] == 0 and s['delivered'], what=answer)
        stats = feed.stats()
        assert stats['dropped'] == 0 and stats['retries'] >= 2, (answer, stats)
        if isinstance(answer, int):
            assert f'status {answer}' in stats['last_error'], (answer, stats)
        assert values_of(sequence(receiver)) == [0, 7], (answer, sequence(receiver))
        assert len(receiver.requests) == 3, (answer, len(receiver.requests))
        feed.quit()
        receiver.close()


def test_time_out():
    """A receiver that never answers, or a byte a second, holds a request for `timeout` only."""
    for answer in ('never', 'slow'):
        receiver = Receiver(script=[answer])
        feed = feeder(receiver, 'timeout: 300ms')
        began = time.monotonic()
        run_ticks(feed, [7])
        feed.wait(lambda s: s['queued'] == 0 and s['delivered'], what=answer)
        assert time.monotonic() - began < 3, answer
        assert values_of(sequence(receiver)) == [0, 7], answer
        feed.quit()
        receiver.close()


def test_retry_after():
    """The receiver's wish counts, as seconds and as a date; the backoff would be 100 ms at most."""
    soon = time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime(time.time() + 3))
    for wish, least in (('1', 0.95), (soon, 1.0)):
        receiver = Receiver(script=[(429, {'Retry-After': wish}, b'')])
        feed = feeder(receiver)
        run_ticks(feed, [7])
        feed.wait(lambda s: s['delivered'] != 0)
        waited = receiver.requests[1].time - receiver.requests[0].time
        assert waited >= least, (wish, waited)
        feed.quit()
        receiver.close()


def test_split():
    """400: halved once, and a bad half dropped. 413: halved until it fits. Others: dropped."""
    def refuse_sequence(request):
        """400 for whatever holds the test's counter."""
        return (400, {}, b'out of order') if b'tapline_sequence' in uncompressed(request) else 204

    def refuse_large(request):
        return 413 if len(uncompressed(request)) > 4000 else 204

    def uncompressed(request):
        return remote.snappy.uncompress(request.body)

    receiver = Receiver(default=refuse_sequence)
    feed = feeder(receiver)
    run_ticks(feed, [7])
    stats = feed.wait(lambda s: s['queued'] == 0)
    assert stats['rejected'] > 0 and stats['delivered'] > 0, stats
    assert stats['rejected'] + stats['delivered'] == stats['accepted'], stats
    assert [r.answer for r in receiver.requests].count(400) == 2, receiver.requests
    assert 'out of order' in stats['last_error']
    feed.quit()
    receiver.close()

    receiver = Receiver(default=refuse_large)
    feed = feeder(receiver)
    run_ticks(feed, [7])
    stats = feed.wait(lambda s: s['queued'] == 0)
    assert stats['delivered'] == stats['accepted'] and stats['dropped'] == 0, stats
    assert values_of(sequence(receiver)) == [0, 7]
    feed.quit()
    receiver.close()

    receiver = Receiver(default=422)
    feed = feeder(receiver)
    run_ticks(feed, [7])
    stats = feed.wait(lambda s: s['queued'] == 0)
    assert stats['rejected'] == stats['accepted'] and len(receiver.requests) == 1, stats
    feed.quit()


def test_limits_of_a_request():
    receiver = Receiver()
    feed = feeder(receiver, 'max_samples: 40, max_bytes: 3KiB')
    run_ticks(feed, [7])
    feed.wait(lambda s: s['queued'] == 0)
    for body in receiver.bodies():
        request = remote.decode(body)
        assert sum(len(s.samples) for s in request.timeseries) <= 40
        assert len(remote.snappy.uncompress(body)) <= 3072
    assert values_of(sequence(receiver)) == [0, 7]
    feed.quit()


def test_shards():
    """A series stays with its connection; nothing is doubled."""
    receiver = Receiver()
    feed = feeder(receiver, 'shards: 4')
    run_ticks(feed, [1, 2])
    feed.wait(lambda s: s['queued'] == 0)
    assert len(receiver.requests) == 8
    for samples in remote.series_of(receiver.bodies()).values():
        check_times(samples)
    feed.quit()


def test_shards_have_room():
    """A queue in which no shard has room for a request is refused, with its key."""
    for queue, key in (('max_size: 2MiB', 'queue.max_size'), ('storage: memory, memory: 2MiB', 'queue.memory')):
        folder = pathlib.Path(scratch('tl-room-'))
        (folder / 'a.yaml').write_text('exporters: {remote_write: [{url: "http://127.0.0.1:1/", histogram: le, '
                                       f'shards: 3, queue: {{directory: {folder}/queue, {queue}}}}}]}}\n')
        done = subprocess.run([FEED, folder / 'a.yaml', 'probe-a'], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=60)
        assert done.returncode != 0 and f'{key}: must be at least 1MiB' in done.stderr, done


def test_other_shards():
    """What waits in the queues of four shards goes out before anything of one."""
    receiver = Receiver(default=503)
    feed = feeder(receiver, 'shards: 4')
    run_ticks(feed, [1, 2])
    feed.flush(300)
    feed.quit()
    again = feeder(receiver, folder=feed.folder)
    run_ticks(again, [1])
    receiver.default = 204
    again.wait(lambda s: s['queued'] == 0 and s['delivered'])
    for samples in remote.series_of(receiver.bodies()).values():
        check_times(samples)
    assert values_of(sequence(receiver)) == [0, 1, 2, 0, 1], sequence(receiver)
    again.quit()
    left = sorted(p.name for p in (feed.folder / 'queue/remote_write-default').iterdir())
    assert left == ['1-of-1'], left
    receiver.close()


def test_outage():
    """Longer than anything waits in memory: every sample arrives, in order, after a restart too."""
    receiver = Receiver()
    port = receiver.port
    feed = feeder(receiver)
    run_ticks(feed, [1])
    feed.wait(lambda s: s['queued'] == 0)
    receiver.close()
    run_ticks(feed, [2, 3])
    assert feed.flush(3000) < 2  # on disk: no reason to wait for a dead receiver
    assert feed.stats()['queued'] > 0
    feed.quit()
    again = feeder(receiver, folder=feed.folder)
    run_ticks(again, [1])  # a new run: the counter begins again
    second = Receiver(port=port)
    again.wait(lambda s: s['queued'] == 0 and s['delivered'])
    again.quit()
    before, after = sequence(receiver), sequence(second)
    check_times(before + after)
    assert values_of(before) == [0, 1] and values_of(after) == [2, 3, 0, 1], (before, after)
    second.close()


def test_kill():
    """kill -9 during an outage, at 20 random times: what had been queued arrives, in order, and what
    had not is at most the last round; the gap is told."""
    receiver = Receiver()
    port = receiver.port
    receiver.close()
    folder, queued, sent, gaps = None, [], [], 0
    for value in range(1, 21):
        feed = feeder(receiver, folder=folder)
        folder = feed.folder
        stats = feed.stats()
        gaps += stats['unclean_starts']
        feed.tell(f'set tapline_sequence_total {value}', 'tick')
        sent.append(value)
        if random.random() < 0.5:
            feed.process.stdout.readline()
            feed.wait(lambda s: s['accepted'] > stats['accepted'])
            queued.append(value)
        else:
            time.sleep(random.random() * 0.1)
        feed.kill()
    assert gaps == 19, gaps
    feed = feeder(receiver, folder=folder)
    assert 'without an orderly stop' in feed.logged()
    second = Receiver(port=port)
    feed.wait(lambda s: s['queued'] == 0)
    feed.quit()
    arrived = sequence(second)
    check_times(arrived)
    values = [v for v in values_of(arrived) if v]
    assert set(queued) <= set(values) <= set(sent) and values == sorted(values), (values, queued)
    second.close()


def test_memory_only():
    receiver = Receiver(default=503)
    feed = feeder(receiver, base=FAST.replace('directory: {queue}',
                                              'storage: memory, directory: {queue}'))
    run_ticks(feed, [1])
    assert feed.flush(500) >= 0.45  # nothing else keeps it
    feed.quit()
    assert not (feed.folder / 'queue').exists()
    assert 'lost at the end' in feed.logged()


def test_a_flush_tells_nothing_new():
    """A receiver that failed before and takes its time to fail again does not work meanwhile."""
    def refuse(request):
        time.sleep(0.4)
        return 503
    receiver = Receiver(default=503)
    feed = feeder(receiver)
    run_ticks(feed, [1])
    feed.wait(lambda s: s['retries'] > 2)
    feed.wait(lambda s: 'what comes is kept' in feed.logged())
    receiver.default = refuse
    feed.flush(3000)
    assert 'works again' not in feed.logged(), feed.logged()
    receiver.default = 204
    feed.wait(lambda s: s['queued'] == 0)
    feed.wait(lambda s: 'works again' in feed.logged())
    feed.quit()
    receiver.close()


def certificate(folder, name, issuer=None):
    key, cert = f'{folder}/{name}.key', f'{folder}/{name}.pem'
    command = ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
               '-nodes', '-days', '1', '-subj', f'/CN={name}', '-keyout', key, '-out', cert,
               '-addext', 'subjectAltName=IP:127.0.0.1']
    if issuer:
        command += ['-CA', f'{folder}/{issuer}.pem', '-CAkey', f'{folder}/{issuer}.key',
                    '-addext', 'basicConstraints=critical,CA:FALSE']
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


def test_tls():
    """A certificate that leads to the given CA, a client's certificate; without it, nothing."""
    folder = scratch('tl-tls-')
    authority, _ = certificate(folder, 'authority')
    server_files = certificate(folder, 'server')
    client_files = certificate(folder, 'client')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*server_files)
    context.load_verify_locations(client_files[0])
    context.verify_mode = ssl.CERT_REQUIRED
    receiver = Receiver(tls=context)
    good = (f'tls: {{ca_file: {server_files[0]}, cert_file: {client_files[0]}, '
            f'key_file: {client_files[1]}}}')
    for options, works in ((good, True), (f'tls: {{ca_file: {server_files[0]}}}', False),
                           (good.replace(server_files[0], authority), False)):
        feed = feeder(receiver, options)
        run_ticks(feed, [1])
        if works:
            feed.wait(lambda s: s['delivered'] and s['queued'] == 0)
        else:
            feed.wait(lambda s: s['retries'] > 2)
            assert feed.stats()['delivered'] == 0 and feed.stats()['last_error']
        feed.quit()
    receiver.close()


def test_ca_file_alone_counts():
    """The system trusts the server, the configuration another authority: nothing is sent. The system's
    folder is one of the test's own, in a mount namespace that only the feeder is in."""
    namespace = ['unshare', '--mount', '--propagation', 'private']
    if not shutil.which('unshare') or not os.path.isdir('/etc/ssl/certs') or \
            subprocess.run([*namespace, 'true'], capture_output=True).returncode != 0:
        print('  skipped: needs root, unshare and /etc/ssl/certs, to mount another folder there')
        return
    folder = scratch('tl-tls-')
    authority, _ = certificate(folder, 'authority')
    server_files = certificate(folder, 'server')
    trusted, program = pathlib.Path(folder, 'trusted'), pathlib.Path(folder, 'feed')
    trusted.mkdir()
    shutil.copy(server_files[0], trusted / 'ca-certificates.crt')
    shutil.copy(server_files[0], trusted / 'server.pem')
    subprocess.run(['openssl', 'rehash', trusted], check=True, capture_output=True)
    program.write_text(f'#!/bin/sh\nexec {" ".join(namespace)} sh -c \'mount --bind {trusted} '
                       f'/etc/ssl/certs && exec {os.path.abspath(FEED)} "$@"\' feed "$@"\n')
    program.chmod(0o755)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*server_files)
    receiver = Receiver(tls=context)
    for options, works in (('', True), (f', tls: {{ca_file: {authority}}}', False)):
        feed = Feeder(str(program), 'remote_write', f'url: "{receiver.url()}", {FAST}{options}')
        run_ticks(feed, [1])
        if works:
            feed.wait(lambda s: s['delivered'] and s['queued'] == 0)
        else:
            feed.wait(lambda s: s['retries'] > 2)
            assert feed.stats()['delivered'] == 0 and feed.stats()['last_error']
        feed.quit()
    receiver.close()


def test_credentials():
    """Sent, rotated, and never shown: not even by a receiver that sends them back."""
    folder = scratch('tl-token-')
    token = pathlib.Path(folder, 'token')
    token.write_text('first-token-1234\n')
    receiver = Receiver(default=lambda r: (401, {}, b'no: ' + r.headers['authorization'].encode()))
    feed = feeder(receiver, f'bearer_token_file: {token}')
    run_ticks(feed, [1])
    feed.wait(lambda s: s['retries'] > 1)
    assert 'first-token' not in feed.stats()['last_error'] + feed.logged()
    assert 'status 401' in feed.stats()['last_error']
    token.write_text('second-token-5678\n')
    receiver.default = lambda r: 204 if r.headers['authorization'] == \
        'Bearer second-token-5678' else 401
    feed.wait(lambda s: s['delivered'] and s['queued'] == 0)
    feed.quit()
    receiver.close()

    receiver = Receiver(default=lambda r: (503, {}, b'you are ' + str(r.headers).encode()))
    feed = feeder(receiver, 'basic_auth: {username: u, password: swordfish-9}, '
                  'headers: {X-Api: hidden-value-7}')
    run_ticks(feed, [1])
    feed.wait(lambda s: s['retries'] > 1)
    assert receiver.requests[0].headers['authorization'] == 'Basic dTpzd29yZGZpc2gtOQ=='
    assert receiver.requests[0].headers['x-api'] == 'hidden-value-7'
    shown = feed.stats()['last_error'] + feed.logged()
    for secret in ('swordfish', 'dTpzd29yZGZpc2gtOQ', 'hidden-value'):
        assert secret not in shown, shown
    feed.quit()
    receiver.close()


def test_series_that_end():
    """A restart of the probe's clock and a clock that is set back: see the unit tests; here a
    receiver sees times that only rise although two runs follow within a moment."""
    receiver = Receiver()
    feed = feeder(receiver)
    run_ticks(feed, [9])
    feed.flush()
    feed.quit()
    feed = feeder(receiver, folder=feed.folder)
    run_ticks(feed, [4])
    feed.flush()
    feed.quit()
    samples = sequence(receiver)
    check_times(samples)
    kinds = ['stale' if remote.is_stale(v) else int(v) for _, v in samples]
    assert kinds == [0, 9, 'stale', 0, 4, 'stale'], kinds
    receiver.close()


def run(name):
    began = time.monotonic()
    try:
        globals()[name]()
        print(f'ok {name} {time.monotonic() - began:.1f}s', flush=True)
        return 0
    except (AssertionError, LookupError):
        print(f'FAILED {name}\n{traceback.format_exc()}', flush=True)
        return 1


def main():
    names = [name for name in globals() if name.startswith('test_')]
    if len(sys.argv) > 2:
        names = ['test_' + name for name in sys.argv[2:]]
    with concurrent.futures.ThreadPoolExecutor(5) as pool:  # they mostly wait
        return 1 if sum(pool.map(run, names)) else 0


sys.exit(main())
