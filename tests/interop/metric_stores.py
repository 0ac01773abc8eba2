#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Metrics in other people's stores, on loopback: VictoriaMetrics (vmrange, from two probes with
four workers each, and through vmagent), Prometheus scraped with the configuration that tapline
prints, Prometheus as a receiver of remote write. What they answer is compared with what was sent.

    metric_stores.py TAPLINE [victoria]     programs that are not installed are skipped, in so many
                                            words; `victoria`: only that part
"""
import json
import math
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / 'agent'))
import traffic

TAPLINE = os.path.abspath(sys.argv[1])
SKIPPED = 77
REQUESTS = 3000  # of each probe
WAIT_SECONDS = 120  # for what takes a second on a machine of one's own
GROWTH = 10 ** (1 / 18)
COUNTED = ('http_requests_total', 'http_request_duration_seconds_count',
           'http_request_duration_seconds_bucket')
QUANTILES = (0.5, 0.9, 0.95, 0.99)
ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(tempfile.mkdtemp(prefix='tl-stores-'))
STARTED = []
FAILED = []


def check(what, good, *about):
    print('ok' if good else 'FAILED', what, *about, flush=True)
    if not good:
        FAILED.append(what)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def start(name, *command):
    log = open(FOLDER / f'{name}.log', 'wb')
    process = subprocess.Popen(command, stdout=log, stderr=log, cwd=FOLDER)
    STARTED.append(process)
    return process


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read()


def wait_for(url):
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return get(url)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def query(base, text, moment=None):
    """{labels as sorted tuple: value} of an instant query."""
    parameters = {'query': text, 'time': moment or time.time(), 'nocache': 1}
    answer = json.loads(get(f'{base}/api/v1/query?' + urllib.parse.urlencode(parameters)))
    assert answer['status'] == 'success', answer
    return {tuple(sorted(row['metric'].items())): float(row['value'][1])
            for row in answer['data']['result']}


def one(base, text, moment=None):
    found = query(base, text, moment)
    return next(iter(found.values())) if len(found) == 1 else math.nan


def wait_until(wanted, read):
    """What `read` gives: as soon as it is `wanted`, else at the end of a long time. Stores show what
    they have taken some time later."""
    end = time.monotonic() + WAIT_SECONDS
    while (found := read()) != wanted and time.monotonic() < end:
        time.sleep(0.2)
    return found


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(q * len(ordered)) - 1)]


def make_traffic(seed, count):
    """Many connections with known durations, as the bytes of a capture, and those durations."""
    chosen = random.Random(seed)
    durations, conversations = [], []
    for index in range(count // 50):
        talk = traffic.Conversation(port=20000 + index, client=f'10.1.{seed}.1')
        for _ in range(50):
            ns = int(chosen.lognormvariate(math.log(4e6), 1.0))
            talk.request('/item', server_ns=ns)
            durations.append(ns / 1e9)
        conversations.append(talk.close())
    return traffic.capture(*conversations), durations


def run_probe(name, capture, sinks, workers=4):
    """An agent over a whole file: it ends by itself, after its sinks have what it saw."""
    file = FOLDER / f'{name}.pcap'
    file.write_bytes(capture)
    config = FOLDER / f'{name}.yaml'
    config.write_text(f'probe: {name}\ncapture: {{ports: [{{file: {file}}}], workers: {workers}}}\n'
                      f'server: {{enabled: false}}\nexporters:\n  remote_write:\n' +
                      ''.join(f'  - {{{sink}, interval: 1s, queue: {{directory: {FOLDER}/queue-{name}}}}}\n'
                              for sink in sinks))
    done = subprocess.run([TAPLINE, 'agent', '--config', config], capture_output=True, timeout=300,
                          text=True)
    check(f'{name} ends in order', done.returncode == 0, done.stderr[-300:] if done.returncode else '')
    file.write_bytes(traffic.HEADER)
    end = time.monotonic() + WAIT_SECONDS
    # A store that was slow at that time gets the rest from further runs, over nothing.
    while 'stay in the queue' in done.stderr and time.monotonic() < end:
        done = subprocess.run([TAPLINE, 'agent', '--config', config], capture_output=True, timeout=300,
                              text=True)
    if 'stay in the queue' in done.stderr:
        check(f'{name}: nothing stays in its queue', False, done.stderr[-300:])


def within_a_bucket(estimate, exact):
    return exact / GROWTH / 1.001 <= estimate <= exact * GROWTH * 1.001


def check_dashboards(base, store):
    """Every expression of the dashboards for this store is one that it can answer."""
    lines = subprocess.run([ROOT / 'scripts/gen-dashboards', '--list'], check=True,
                           capture_output=True, text=True).stdout.splitlines()
    expressions = [line.partition('\t')[2] for line in lines if line.startswith(store + '\t')]
    wrong = []
    for expression in expressions:
        try:
            query(base, expression)
        except OSError as error:
            wrong.append((expression, str(error)))
    check(f'{store}: all {len(expressions)} expressions of the dashboards', not wrong and
          len(expressions) > 50, wrong[:3] if wrong else '')
    return expressions


def check_victoria(base, expected, where, probes, moment=None):
    total = len(expected)
    sums = {name: one(base, f'sum(increase({name}[1h]))', moment) for name in COUNTED}
    # The first burst is all there is: without a 0 before it nothing would be seen.
    check(f'{where}: increase() sees the first burst, buckets sum up to the count',
          all(value == total for value in sums.values()), sums, total)
    for q in QUANTILES:
        estimate = one(base, f'histogram_quantile({q}, sum(increase('
                       f'http_request_duration_seconds_bucket[1h])) by (vmrange))', moment)
        exact = quantile(expected, q)
        check(f'{where}: p{q * 100:g} within one bucket', within_a_bucket(estimate, exact),
              f'{estimate:.6f} exact {exact:.6f}')
    found = {dict(labels).get('probe') for labels in
             query(base, 'sum(increase(http_requests_total[1h])) by (probe)', moment)}
    check(f'{where}: series of each probe', found == set(probes), found)


def test_victoria():
    if not shutil.which('victoria-metrics'):
        print('skipped: victoria-metrics is not installed')
        return 0
    port, agent_port = free_port(), free_port()
    base = f'http://127.0.0.1:{port}'
    start('victoria', 'victoria-metrics', f'-storageDataPath={FOLDER}/victoria',
          f'-httpListenAddr=127.0.0.1:{port}', '-search.latencyOffset=0s', '-retentionPeriod=1')
    wait_for(f'{base}/health')
    expected = []
    for seed, name in ((1, 'probe-a'), (2, 'probe-b')):
        capture, durations = make_traffic(seed, REQUESTS)
        expected += durations
        run_probe(name, capture, [f'url: "{base}/api/v1/write", histogram: vmrange'])

    def stored(selector=''):
        get(f'{base}/internal/force_flush')
        return [one(base, f'sum(increase({name}{selector}[1h]))') for name in COUNTED]
    wait_until([len(expected)] * len(COUNTED), stored)
    check_victoria(base, expected, 'victoria-metrics', ('probe-a', 'probe-b'))
    check_dashboards(base, 'victoriametrics')
    if not shutil.which('vmagent'):
        print('skipped: vmagent is not installed')
        return 1
    forward = f'http://127.0.0.1:{agent_port}'
    start('vmagent', 'vmagent', f'-remoteWrite.url={base}/api/v1/write',
          f'-httpListenAddr=127.0.0.1:{agent_port}', f'-remoteWrite.tmpDataPath={FOLDER}/vmagent',
          '-remoteWrite.label=via=vmagent')
    wait_for(f'{forward}/health')
    capture, durations = make_traffic(3, REQUESTS)
    run_probe('probe-c', capture, [f'url: "{forward}/api/v1/write", histogram: vmrange, shards: 2'])
    found = wait_until([REQUESTS] * len(COUNTED), lambda: stored('{via="vmagent"}'))
    check('vmagent: everything passes through', found == [REQUESTS] * len(COUNTED), found)
    return 2


def le_neighbours(base, metric, exact):
    """The boundaries around a value, as the store has them."""
    bounds = sorted(float(dict(labels)['le']) for labels in query(base, f'count({metric}) by (le)'))
    return max([0.0] + [b for b in bounds if b < exact]), min(b for b in bounds if b >= exact)


def check_prometheus(base, expected, where):
    """By the last values that were scraped: a scrape that came too late would leave none for a while."""
    bucket = 'http_request_duration_seconds_bucket'
    for q in QUANTILES:
        estimate = one(base, f'histogram_quantile({q}, sum by (le) (last_over_time({bucket}[10m])))')
        exact = quantile(expected, q)
        # Values lie in vmrange buckets inside: a boundary may be missed by one of these.
        low, high = le_neighbours(base, f'max_over_time({bucket}[10m])', exact)
        high = le_neighbours(base, f'max_over_time({bucket}[10m])', high * GROWTH)[1] \
            if exact * GROWTH > high else high
        check(f'{where}: p{q * 100:g} within its bucket', low <= estimate <= high,
              f'{estimate:.6f} exact {exact:.6f} in {low:g}..{high:g}')


def check_native(base, expected):
    """The series may be gone for the moment after a scrape that came too late."""
    found = wait_until(REQUESTS, lambda: one(base, 'histogram_count(sum(native_duration_seconds))'))
    check('prometheus: native histograms count all', found == REQUESTS, found)
    for q in QUANTILES:
        text, exact = f'histogram_quantile({q}, sum(native_duration_seconds))', quantile(expected, q)
        good = wait_until(True, lambda text=text, exact=exact:
                          exact / GROWTH ** 2 <= one(base, text) <= exact * GROWTH ** 2)
        check(f'prometheus: native p{q * 100:g} within two buckets', good, f'exact {exact:.6f}')


def test_prometheus():
    if not shutil.which('prometheus'):
        print('skipped: prometheus is not installed')
        return 0
    port, server = free_port(), free_port()
    base = f'http://127.0.0.1:{port}'
    os.mkfifo(FOLDER / 'in.pcap')
    config = FOLDER / 'scraped.yaml'
    config.write_text(f'probe: probe-d\ncapture: {{ports: [{{file: {FOLDER}/in.pcap}}], workers: 2}}\n'
                      f'server: {{address: "127.0.0.1:{server}"}}\n'
                      f'exporters: {{roundtrips: [{{filename: {FOLDER}/records}}]}}\n')
    scrape = subprocess.run([TAPLINE, 'config', '--scrape', '--defaults', config], check=True,
                            capture_output=True, text=True).stdout
    # One more job reads the durations as native histograms, under a name of their own.
    native = ('- job_name: native\n  metrics_path: /protocol/metrics\n  params: {histogram: [native]}\n'
              f'  static_configs: [{{targets: ["127.0.0.1:{server}"]}}]\n'
              '  metric_relabel_configs:\n'
              '  - {source_labels: [__name__], regex: http_request_duration_seconds, action: keep}\n'
              '  - {target_label: __name__, replacement: native_duration_seconds}\n')
    (FOLDER / 'prometheus.yml').write_text('global: {scrape_interval: 1s}\n' + scrape + native)
    if shutil.which('promtool'):
        done = subprocess.run(['promtool', 'check', 'config', FOLDER / 'prometheus.yml'],
                              capture_output=True, text=True)
        check('promtool takes the printed configuration', done.returncode == 0)
    start('prometheus', 'prometheus', f'--config.file={FOLDER}/prometheus.yml',
          f'--storage.tsdb.path={FOLDER}/prometheus', f'--web.listen-address=127.0.0.1:{port}',
          '--web.enable-remote-write-receiver', '--enable-feature=native-histograms')
    agent = start('agent', TAPLINE, 'agent', '--config', str(config))
    capture, expected = make_traffic(4, REQUESTS)
    with open(FOLDER / 'in.pcap', 'wb') as pen:
        pen.write(capture)
        pen.flush()
        wait_for(f'{base}/-/ready')
        for name in ('http_request_duration_seconds_count', 'http_requests_total'):
            found = wait_until(REQUESTS, lambda: one(base, f'sum(last_over_time({name}[10m]))'))
            check(f'prometheus: scraped all of {name}', found == REQUESTS, found)
        found = wait_until(3, lambda: one(base, 'sum(up)'))
        check('prometheus: all targets are up', found == 3, found)
        check_native(base, expected)
        check('prometheus: series name the probe',
              one(base, 'count(last_over_time(http_requests_total{probe="probe-d"}[10m]))') > 0)
        check_prometheus(base, expected, 'prometheus scraped')
        used = {name for text in check_dashboards(base, 'prometheus')
                for name in re.findall(r'\btapline_\w+', text)}
        used |= set(re.findall(r'\btapline_\w+', (ROOT / 'deploy/prometheus/tapline-alerts.yml').read_text()))
        unknown = wait_until([], lambda: sorted(
            name for name in used if not query(base, f'count(last_over_time({name}[10m]))')))
        check(f'prometheus: the {len(used)} metrics of dashboards and alerts are there', not unknown, unknown)
    agent.wait(WAIT_SECONDS)
    expected = []
    for seed, name in ((5, 'probe-e'), (6, 'probe-f')):
        capture, durations = make_traffic(seed, REQUESTS)
        run_probe(name, capture, [f'url: "{base}/api/v1/write", histogram: le'])
        expected += durations
    counted = 'sum(max_over_time(http_requests_total{probe=~"probe-[ef]"}[10m]))'
    found = wait_until(2 * REQUESTS, lambda: one(base, counted))
    check('prometheus as a receiver: all arrived', found == 2 * REQUESTS, found)
    left = wait_until({}, lambda: query(base, 'http_requests_total{probe=~"probe-[ef]"}'))
    check('prometheus as a receiver: ended series are stale', left == {}, left)
    return 1


def main():
    try:
        done = test_victoria() + (0 if 'victoria' in sys.argv[2:] else test_prometheus())
    finally:
        for process in STARTED:
            process.terminate()
        for process in STARTED:
            process.wait(20)
    if done == 0:
        return SKIPPED
    if FAILED:
        print('logs in', FOLDER)
        return 1
    shutil.rmtree(FOLDER)
    return 0


sys.exit(main())
