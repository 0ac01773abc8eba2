#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The exporter otlp against a receiver built from the vendored .proto files: every roundtrip that
`tapline watch` shows arrives as one span with its times, status and attributes; histograms say the
quantiles; the receiver's answers are honoured as OTLP asks.

    otlp.py TAPLINE CAPTURES
"""
import collections
import datetime
import gzip
import importlib
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from receiver import Receiver

SKIPPED = 77
TAPLINE, CAPTURES = os.path.realpath(sys.argv[1]), pathlib.Path(sys.argv[2])
PROTO = pathlib.Path(__file__).parents[2] / 'exporters/otlp/proto'


def load(folder):
    files = [str(path.relative_to(PROTO)) for path in PROTO.rglob('*.proto')]
    subprocess.run(['protoc', f'--python_out={folder}', f'--proto_path={PROTO}', *files], check=True)
    sys.path.insert(0, folder)
    base = 'opentelemetry.proto.collector.'
    return (importlib.import_module(base + 'trace.v1.trace_service_pb2'),
            importlib.import_module(base + 'metrics.v1.metrics_service_pb2'))


def value_of(value):
    kind = value.WhichOneof('value')
    if kind == 'array_value':
        return [value_of(one) for one in value.array_value.values]
    return getattr(value, kind)


def attributes(pairs):
    names = [pair.key for pair in pairs]
    for pair in pairs:
        assert ('.header.' in pair.key) == (pair.value.WhichOneof('value') == 'array_value') or \
            pair.key == 'dns.answers', f'{pair.key}: a header is a list, and little else'
    assert len(names) == len(set(names)), f'an attribute twice: {names}'
    return {pair.key: value_of(pair.value) for pair in pairs}


Span = collections.namedtuple('Span', 'span attributes resource')


def spans_of(receiver, answers=(200,)):
    found = []
    for request in receiver.requests:
        if request.path != '/v1/traces' or request.answer not in answers:
            continue
        assert request.headers['content-type'] == 'application/x-protobuf', request.headers
        body = gzip.decompress(request.body) if request.headers.get(
            'content-encoding') == 'gzip' else request.body
        message = TRACES.ExportTraceServiceRequest()
        message.ParseFromString(body)
        assert message.resource_spans, 'an empty envelope'
        for resource in message.resource_spans:
            assert resource.schema_url.endswith('/1.44.0')
            of_resource = attributes(resource.resource.attributes)
            for scope in resource.scope_spans:
                found += [Span(span, attributes(span.attributes), of_resource)
                          for span in scope.spans]
    return found


def run_agent(folder, capture, receiver, otlp='', environment=None, names='{}', protocols='{}'):
    config = pathlib.Path(folder) / 'agent.yaml'
    config.write_text(f'''
probe: probe-a
capture: {{ports: [{{file: {CAPTURES / capture}}}]}}
server: {{enabled: false}}
collectors: {{metrics: false}}
names: {names}
protocols: {protocols}
exporters:
  otlp:
    - {{{f'url: "{receiver.url("")}"' if environment is None else ''}
       queue: {{storage: memory}}, backoff: {{min: 10ms, max: 50ms}}, {otlp} }}
'''.replace('''""
       queue''', '''"",
       queue''').replace('"\n       queue', '",\n       queue'))
    done = subprocess.run([TAPLINE, 'agent', '--config', config], capture_output=True, text=True,
                          timeout=60, env={**os.environ, **(environment or {})})
    assert done.returncode == 0, done.stderr
    return done.stderr


def records_of(capture):
    done = subprocess.run([TAPLINE, 'watch', '-q', '--output', 'json', '--pcap-file',
                           CAPTURES / capture], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def nanoseconds(text):
    seconds, fraction = text.rstrip('Z').split('.')
    moment = datetime.datetime.strptime(seconds + '+0000', '%Y-%m-%dT%H:%M:%S%z')
    return int(moment.timestamp()) * 10**9 + int(fraction)


# ---- Spans -----------------------------------------------------------------------------------------

def check_against_records(capture, spans):
    """One span per record with a request, with its times and trace."""
    records = [r for r in records_of(capture) if r['request'] is not None]
    key = collections.Counter((nanoseconds(r['time']), r['duration_ns'], r['status'])
                              for r in records)
    seen = collections.Counter((s.span.start_time_unix_nano,
                                s.span.end_time_unix_nano - s.span.start_time_unix_nano,
                                s.attributes['tapline.status']) for s in spans)
    assert key == seen, f'{capture}: {key - seen} are missing, {seen - key} are too many'
    parents = {bytes.fromhex(r['trace']['trace_id']): bytes.fromhex(r['trace']['parent_span_id'])
               for r in records if 'trace' in r and 'parent_span_id' in r['trace']}
    for one in spans:
        assert len(one.span.trace_id) == 16 and len(one.span.span_id) == 8
        assert any(one.span.trace_id) and any(one.span.span_id)
        assert one.span.parent_span_id == parents.get(one.span.trace_id, b''), 'invented parent'
        assert one.resource['tapline.probe'] == 'probe-a', one.resource
        is_error = one.span.status.code == 2
        assert is_error == ('error.type' in one.attributes), one.attributes
    ids = [s.span.span_id for s in spans]
    assert len(set(ids)) == len(ids), 'span ids twice'
    return len(records)


# By the semantic conventions v1.44: all attributes of one span of each protocol, but for those that
# a recording changes (ports, ids).
CHANGING = {'client.port', 'network.peer.port', 'tapline.record.id', 'server.port', 'dns.id',
            'user_agent.original', 'http.response.header.server', 'server.address',
            'client.address', 'network.peer.address', 'messaging.client.id'}


def find(spans, name, **wanted):
    for one in spans:
        if one.span.name == name and all(one.attributes.get(k.replace('__', '.')) == v
                                         for k, v in wanted.items()):
            return one
    names = collections.Counter(s.span.name for s in spans)
    raise AssertionError(f'no span {name} {wanted}; there are {names}')


def check_golden(one, kind, expected):
    seen = {k: v for k, v in one.attributes.items() if k not in CHANGING}
    assert one.span.kind == kind, f'{one.span.name}: kind {one.span.kind}'
    assert seen == expected, f'{one.span.name}:\n seen     {seen}\n expected {expected}'
    for name in ('server.address', 'server.port', 'network.peer.address', 'network.peer.port'):
        assert name in one.attributes, f'{one.span.name}: no {name}'


TCP = {'network.type': 'ipv4', 'network.transport': 'tcp'}
SERVER, CLIENT, CONSUMER = 2, 3, 5


def check_http(spans):
    one = find(spans, 'GET', url__path='/broken')
    check_golden(one, SERVER, {
        **TCP, 'http.request.method': 'GET', 'url.path': '/broken', 'url.scheme': 'http',
        'http.response.status_code': 503, 'network.protocol.version': '1.1',
        'error.type': '503', 'tapline.status': 'server_error'})
    one = find(spans, 'GET', url__path='/missing')
    assert one.span.status.code == 0 and 'error.type' not in one.attributes, \
        'a 4xx is no error of a server'
    traced = [s for s in spans if s.span.parent_span_id]
    assert len(traced) == 1 and traced[0].span.trace_id.hex() == '0af7651916cd43dd8448eb211c80319c'
    assert traced[0].span.flags == 0x301, hex(traced[0].span.flags)
    return 1


def check_dns(spans):
    one = find(spans, 'DNS A')
    expected = {**TCP, 'network.transport': one.attributes['network.transport'],
                'network.protocol.name': 'dns', 'dns.question.type': 'A',
                'dns.question.name': one.attributes['dns.question.name'], 'dns.opcode': 'QUERY',
                'dns.question.class': 'IN', 'dns.response_code': 'NOERROR', 'tapline.status': 'ok'}
    check_golden(one, CLIENT, expected)


def check_mysql(spans):
    errors = [s for s in spans if s.attributes['tapline.status'] == 'client_error']
    for one in spans:
        assert one.attributes['db.system.name'] == 'mysql', one.attributes
        assert one.span.kind == CLIENT
    for one in errors:
        assert one.span.status.code == 2, 'a client span whose call failed is an error'
        assert one.attributes['error.type'] == one.attributes['db.response.status_code'].__str__()
    check_golden(find(spans, 'SELECT t1'), CLIENT, {
        **TCP, 'db.system.name': 'mysql', 'db.operation.name': 'QUERY', 'db.namespace': 'shop',
        'db.user': 'app', 'db.query.summary': 'SELECT t1', 'db.query.text': 'SELECT id FROM t1',
        'db.response.returned_rows': 5, 'tapline.status': 'ok'})
    selects = [s for s in spans if s.span.name.startswith('SELECT ')]
    assert selects, [s.span.name for s in spans]
    assert all(s.attributes['db.query.summary'] == s.span.name for s in selects)


def check_operation_types(spans, types):
    """The type of each operation that has one by the conventions, none of any other."""
    for one in spans:
        seen = one.attributes.get('messaging.operation.type')
        assert seen == types.get(one.attributes['messaging.operation.name']), one.attributes
    seen = {s.attributes['messaging.operation.type'] for s in spans
            if 'messaging.operation.type' in s.attributes}
    assert seen == set(types.values()), seen


def check_kafka(spans):
    check_operation_types(spans, {'Produce': 'send', 'Fetch': 'receive', 'OffsetCommit': 'settle',
                                  'TxnOffsetCommit': 'settle'})
    check_golden(find(spans, 'CreateTopics orders', tapline__status='client_error'), CLIENT, {
        **TCP, 'messaging.system': 'kafka', 'messaging.operation.name': 'CreateTopics',
        'messaging.operation.version': 7, 'messaging.destination.name': 'orders',
        'error.type': 'TOPIC_ALREADY_EXISTS', 'error.message': "Topic 'orders' already exists.",
        'tapline.status': 'client_error'})


def check_redis(spans):
    check_golden(find(spans, 'LPUSH', tapline__status='client_error'), CLIENT, {
        **TCP, 'db.system.name': 'redis', 'db.operation.name': 'LPUSH', 'db.namespace': '3',
        'db.response.status_code': 'WRONGTYPE', 'error.type': 'WRONGTYPE',
        'tapline.status': 'client_error'})


def check_postgresql(spans):
    check_golden(find(spans, 'SELECT', tapline__status='client_error'), CLIENT, {
        **TCP, 'db.system.name': 'postgresql', 'db.operation.name': 'SELECT',
        'db.query.summary': 'SELECT', 'db.query.text': 'SELECT ?/?', 'db.namespace': 'postgres',
        'db.response.status_code': '22012', 'error.type': '22012',
        'tapline.status': 'client_error'})


def check_grpc(spans):
    check_golden(find(spans, 'tap.test.Shapes/Missing'), SERVER, {
        **TCP, 'rpc.system.name': 'grpc', 'rpc.method': 'tap.test.Shapes/Missing',
        'rpc.response.status_code': 'UNIMPLEMENTED', 'error.type': 'UNIMPLEMENTED',
        'url.path': '/tap.test.Shapes/Missing', 'http.request.method': 'POST',
        'http.response.status_code': 200, 'network.protocol.version': '2',
        'tapline.status': 'server_error'})


def check_http2(spans):
    check_golden(find(spans, 'POST', url__path='/missing'), SERVER, {
        **TCP, 'http.request.method': 'POST', 'url.path': '/missing', 'url.scheme': 'http',
        'http.response.status_code': 404, 'network.protocol.version': '2',
        'tapline.status': 'client_error'})


def check_amqp(spans):
    check_operation_types(spans, {'Publish': 'send', 'Get': 'receive', 'Deliver': 'process'})
    for one in spans:
        consumed = one.attributes['messaging.operation.name'] == 'Deliver'
        assert one.span.kind == (CONSUMER if consumed else CLIENT), one
        assert 'messaging.consumer.group.name' not in one.attributes, 'a consumer tag is no group'
    assert any(s.attributes.get('messaging.rabbitmq.consumer.tag') for s in spans)
    check_golden(find(spans, 'Publish no.such.queue'), CLIENT, {
        **TCP, 'messaging.system': 'rabbitmq', 'network.protocol.name': 'amqp',
        'messaging.operation.name': 'Publish', 'messaging.operation.type': 'send',
        'messaging.rabbitmq.vhost': '/',
        'messaging.destination.name': 'no.such.queue',
        'messaging.rabbitmq.destination.routing_key': 'no.such.queue',
        'messaging.message.body.size': 4, 'error.type': '312', 'error.message': 'NO_ROUTE',
        'tapline.status': 'client_error'})


def check_mongodb(spans):
    check_golden(find(spans, 'insert items_plain', tapline__status='client_error'), CLIENT, {
        **TCP, 'db.system.name': 'mongodb', 'db.operation.name': 'insert',
        'db.collection.name': 'items_plain', 'db.namespace': 'db', 'db.operation.batch.size': 1,
        'db.response.ok': True, 'db.response.status_code': '11000', 'error.type': '11000',
        'error.message': 'E11000 duplicate key', 'tapline.status': 'client_error'})


CHECKS = {'http-nginx.pcap': check_http, 'dns-unbound.pcap': check_dns,
          'mysql-mariadb.pcap': check_mysql, 'kafka-broker.pcap': check_kafka,
          'redis-clients.pcap': check_redis, 'postgresql-clients.pcap': check_postgresql,
          'grpc-grpcio.pcap': check_grpc, 'http2-h2.pcap': check_http2,
          'amqp-pika.pcap': check_amqp, 'mongodb-pymongo.pcap': check_mongodb}


def test_every_record_is_a_span():
    for capture, check in CHECKS.items():
        receiver = Receiver(default=200)
        with tempfile.TemporaryDirectory() as folder:
            run_agent(folder, capture, receiver)
        spans = spans_of(receiver)
        count = check_against_records(capture, spans)
        check(spans)
        print(f'  {capture}: {count} records, {len(spans)} spans')
        receiver.close()


def test_services_are_resources():
    receiver = Receiver(default=200)
    with tempfile.TemporaryDirectory() as folder:
        run_agent(folder, 'http-nginx.pcap', receiver, 'resource: {team: web}',
                  names='{":8080": shop, ":80": shop, ":8081": other}')
    services = {s.resource['service.name'] for s in spans_of(receiver)}
    ports = {s.attributes['server.port'] for s in spans_of(receiver)}
    named = {8080: 'shop', 80: 'shop', 8081: 'other'}
    for one in spans_of(receiver):
        port = one.attributes['server.port']
        assert one.resource['service.name'] == named.get(port, one.resource['service.name'])
        assert port in named or one.resource['service.name'].endswith(f':{port}'), one.resource
        assert one.resource['team'] == 'web'
    print(f'  services {sorted(services)} on ports {sorted(ports)}')


def test_captured_headers():
    """A header that is captured and has a field of its own is one list, as the conventions have it."""
    receiver = Receiver(default=200)
    with tempfile.TemporaryDirectory() as folder:
        run_agent(folder, 'http-nginx.pcap', receiver, protocols='{http: {request_headers: [accept, host], '
                  'response_headers: [server, content-type]}}')
    spans = spans_of(receiver)
    assert len(spans) == len(records_of('http-nginx.pcap'))
    servers = [s.attributes['http.response.header.server'] for s in spans
               if 'http.response.header.server' in s.attributes]
    assert servers and all(value == ['nginx/1.22.1'] for value in servers), servers
    assert any(s.attributes.get('http.request.header.accept') == ['*/*'] for s in spans)


def test_sampling_keeps_errors():
    receiver = Receiver(default=200)
    with tempfile.TemporaryDirectory() as folder:
        run_agent(folder, 'http-nginx.pcap', receiver, 'sample: 0, slow: 0s')
    spans = spans_of(receiver)
    assert [s.attributes['http.response.status_code'] for s in spans] == [503], \
        [s.attributes['tapline.status'] for s in spans]


# ---- Metrics ---------------------------------------------------------------------------------------

def points_of(receiver):
    """The last point of each series: {(name, attributes): point}."""
    found = {}
    for request in receiver.requests:
        if request.path != '/v1/metrics':
            continue
        message = METRICS.ExportMetricsServiceRequest()
        message.ParseFromString(gzip.decompress(request.body))
        for resource in message.resource_metrics:
            assert attributes(resource.resource.attributes)['service.name'] in ('tapline', 'probes')
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    kind = metric.WhichOneof('data')
                    data = getattr(metric, kind)
                    assert kind == 'gauge' or data.aggregation_temporality == 2, 'cumulative'
                    for point in data.data_points:
                        found[metric.name, tuple(sorted(attributes(
                            point.attributes).items()))] = point
    return found


def quantile(point, q):
    """Upper bound of the exponential bucket in which the quantile lies."""
    rank, seen = max(1, math.ceil(q * point.count)), point.zero_count
    if seen >= rank:
        return 0
    for i, count in enumerate(point.positive.bucket_counts):
        seen += count
        if seen >= rank:
            return 2 ** ((point.positive.offset + i + 1) / 2 ** point.scale)
    raise AssertionError('the buckets sum to less than the count')


def test_metrics():
    receiver = Receiver(default=200)
    with tempfile.TemporaryDirectory() as folder:
        run_agent(folder, 'http-nginx.pcap', receiver)
    points = points_of(receiver)
    records = [r for r in records_of('http-nginx.pcap') if r['protocol'] == 'http']
    requests = sum(p.as_double for (name, _), p in points.items() if name == 'http_requests_total')
    assert requests == len(records), f'{requests} requests, {len(records)} records'
    durations = [p for (name, _), p in points.items() if name == 'http_request_duration_seconds']
    assert sum(p.count for p in durations) == len(records)
    assert abs(sum(p.sum for p in durations) - sum(r['duration_ns'] for r in records) / 1e9) < 1e-9
    for point in durations:
        assert point.count == point.zero_count + sum(point.positive.bucket_counts)
        assert point.scale == 3 and point.start_time_unix_nano <= point.time_unix_nano
    # One series by method and status code: its exact durations are known from the records.
    checked = 0
    for (name, labels), point in points.items():
        labels = dict(labels)
        if name != 'http_request_duration_seconds':
            continue
        exact = sorted(r['duration_ns'] / 1e9 for r in records
                       if r['request'].get('method') == labels.get('method') and
                       str(r['response'].get('status_code')) == labels.get('status_code') and
                       str(r['server']['port']) == labels.get('server_port',
                                                              str(r['server']['port'])))
        if len(exact) != point.count:
            continue
        for q in (0.5, 0.95):
            wanted = exact[max(1, math.ceil(q * len(exact))) - 1]
            width = 10 ** (1 / 18) * 2 ** (1 / 8) # a vmrange bucket and an exponential one
            assert wanted / width <= quantile(point, q) <= wanted * width, (labels, q)
            checked += 1
    assert checked, 'no quantile was compared'
    print(f'  {len(points)} series, {checked} quantiles within one bucket')


# ---- What receivers answer -------------------------------------------------------------------------

def partial(rejected, message):
    response = TRACES.ExportTraceServiceResponse()
    response.partial_success.rejected_spans = rejected
    response.partial_success.error_message = message
    return (200, {}, response.SerializeToString())


def test_retryable_answers():
    for answer in (429, 502, 503, 504, 'reset', (503, {'Retry-After': '1'}, b'')):
        receiver = Receiver(default=200, script=[answer, answer])
        with tempfile.TemporaryDirectory() as folder:
            run_agent(folder, 'http-nginx.pcap', receiver, 'metrics: false')
        spans = spans_of(receiver)
        assert len(spans) == check_against_records('http-nginx.pcap', spans), answer
        assert len(receiver.requests) >= 3, f'{answer}: not tried again'


def test_final_answers():
    for answer in (400, 405, 408, 500, 501):
        receiver = Receiver(default=200, script=[answer])
        with tempfile.TemporaryDirectory() as folder:
            run_agent(folder, 'http-nginx.pcap', receiver, 'metrics: false')
        assert len(receiver.requests) == 1, f'{answer} was tried again'
    receiver = Receiver(default=partial(3, 'too old'))
    with tempfile.TemporaryDirectory() as folder:
        run_agent(folder, 'http-nginx.pcap', receiver, 'metrics: false')
    assert len(receiver.requests) == 1, 'a partial success was tried again'
    receiver = Receiver(default=partial(3, 'not for\nswordfish-of-otlp'))
    with tempfile.TemporaryDirectory() as folder:
        logged = run_agent(folder, 'http-nginx.pcap', receiver,
                           'metrics: false, bearer_token: swordfish-of-otlp')
    assert 'not for ****' in logged and 'swordfish' not in logged, logged


def test_too_large_is_halved():
    def limited(request):
        message = TRACES.ExportTraceServiceRequest()
        message.ParseFromString(gzip.decompress(request.body))
        count = sum(len(s.spans) for r in message.resource_spans for s in r.scope_spans)
        return 413 if count > 3 else 200
    receiver = Receiver(default=limited)
    with tempfile.TemporaryDirectory() as folder:
        run_agent(folder, 'http-nginx.pcap', receiver, 'metrics: false')
    spans = spans_of(receiver)
    check_against_records('http-nginx.pcap', spans)


def test_environment():
    receiver = Receiver(default=200)
    environment = {'OTEL_EXPORTER_OTLP_ENDPOINT': receiver.url('/base/'),
                   'OTEL_EXPORTER_OTLP_METRICS_ENDPOINT': receiver.url('/own'),
                   'OTEL_EXPORTER_OTLP_HEADERS': 'x-tenant=a%20b,x-other=c',
                   'OTEL_SERVICE_NAME': 'probes',
                   'OTEL_RESOURCE_ATTRIBUTES': 'deployment.environment.name=prod'}
    with tempfile.TemporaryDirectory() as folder:
        run_agent(folder, 'http-nginx.pcap', receiver, environment=environment)
    paths = {request.path for request in receiver.requests}
    assert paths == {'/base/v1/traces', '/own'}, paths
    for request in receiver.requests:
        assert request.headers['x-tenant'] == 'a b' and request.headers['x-other'] == 'c'
    message = METRICS.ExportMetricsServiceRequest()
    body = [r.body for r in receiver.requests if r.path == '/own'][-1]
    message.ParseFromString(gzip.decompress(body))
    resource = attributes(message.resource_metrics[0].resource.attributes)
    assert resource['service.name'] == 'probes', resource
    assert resource['deployment.environment.name'] == 'prod', resource


def test_environment_of_one_signal():
    """A signal's own variable comes before the one for both."""
    receiver, slow = Receiver(default=200), Receiver(default='never')
    environment = {'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT': receiver.url('/t'),
                   'OTEL_EXPORTER_OTLP_METRICS_ENDPOINT': slow.url('/m'),
                   'OTEL_EXPORTER_OTLP_HEADERS': 'x-tenant=both',
                   'OTEL_EXPORTER_OTLP_TRACES_HEADERS': 'x-tenant = own%2C , x-long=' + 'l' * 5000,
                   'OTEL_EXPORTER_OTLP_TRACES_COMPRESSION': 'none',
                   'OTEL_EXPORTER_OTLP_TIMEOUT': '150'}
    with tempfile.TemporaryDirectory() as folder:
        run_agent(folder, 'http-nginx.pcap', receiver, environment=environment)
    (traces,) = receiver.requests
    assert 'content-encoding' not in traces.headers, traces.headers
    assert traces.headers['x-tenant'] == 'own,' and traces.headers['x-long'] == 'l' * 5000
    assert TRACES.ExportTraceServiceRequest.FromString(traces.body).resource_spans
    metrics = slow.requests
    assert len(metrics) > 1, 'the time-out did not end a request'
    assert all(r.headers['x-tenant'] == 'both' for r in metrics), metrics[0].headers
    assert all(r.headers['content-encoding'] == 'gzip' for r in metrics), metrics[0].headers


def test_environment_is_checked():
    for name, value, says in (('TIMEOUT', 'soon', 'must be milliseconds'),
                              ('TRACES_HEADERS', 'x-a=b%0D%0Ax-injected: c', 'must be one line'),
                              ('ENDPOINT', 'collector:4318', 'must be http://'),
                              ('METRICS_PROTOCOL', 'grpc', 'only http/protobuf')):
        with tempfile.TemporaryDirectory() as folder:
            config = pathlib.Path(folder) / 'agent.yaml'
            config.write_text(f'capture: {{ports: [{{file: {CAPTURES}/http-nginx.pcap}}]}}\n'
                              'exporters: {otlp: [{queue: {storage: memory}}]}\n')
            done = subprocess.run([TAPLINE, 'agent', '--config', config], capture_output=True,
                                  text=True, timeout=60,
                                  env={**os.environ, 'OTEL_EXPORTER_OTLP_' + name: value})
        assert done.returncode != 0 and says in done.stderr, (name, done)


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


with tempfile.TemporaryDirectory() as generated:
    try:
        TRACES, METRICS = load(generated)
    except (ImportError, OSError, subprocess.CalledProcessError) as missing:
        print('skipped: needs python3-protobuf and protobuf-compiler:', missing)
        sys.exit(SKIPPED)
    sys.stdout.reconfigure(line_buffering=True)
    sys.exit(main())
