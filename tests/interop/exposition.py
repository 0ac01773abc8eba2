#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Has other people's parsers read our pages: promtool (text 0.0.4) and the OpenMetrics parser of
python3-prometheus-client. Both are Debian packages; without either of them the test is skipped.

    exposition.py PROGRAM     the prometheus unit test, which prints pages
"""
import shutil
import subprocess
import sys

SKIPPED = 77
STYLES = (('vmrange', '0'), ('le', '1'))
PAGES = (('protocol', '0'), ('self', '1'))

try:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
except ImportError:
    text_string_to_metric_families = None


def page(program, form, style, is_self):
    return subprocess.run([program, form, style, is_self], check=True, capture_output=True).stdout


def check_promtool(program):
    failures = 0
    for style, style_number in STYLES:
        for name, number in PAGES:
            done = subprocess.run(['promtool', 'check', 'metrics'],
                                  input=page(program, '0', style_number, number),
                                  capture_output=True, check=False)
            print('promtool:', name, style, 'exit', done.returncode)
            if done.returncode != 0:
                print(done.stdout.decode() + done.stderr.decode())
                failures += 1
    return failures


def check_openmetrics(program):
    """The parser raises on anything against the specification; then a few values are compared."""
    failures = 0
    for style, style_number in STYLES:
        for name, number in PAGES:
            text = page(program, '1', style_number, number).decode()
            try:
                families = {f.name: f for f in text_string_to_metric_families(text)}
            except ValueError as error:
                print('openmetrics:', name, style, error)
                failures += 1
                continue
            print('openmetrics:', name, style, len(families), 'families')
            if name == 'self':
                failures += 'tapline_packets_offered' not in families
                continue
            samples = families['http_requests'].samples
            odd = [s for s in samples if s.labels['method'] == 'a"b\\c\nd']
            good = [s for s in samples if s.name.endswith('_total') and s.exemplar]
            if not odd or len(good) != 1 or len(good[0].exemplar.labels['trace_id']) != 32:
                print('openmetrics: a label or the exemplar came back changed')
                failures += 1
            if style == 'le':
                buckets = families['http_request_duration_seconds'].samples
                total = sum(s.value for s in buckets if s.labels.get('le') == '+Inf')
                failures += total != 5
    return failures


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    failures = checks = 0
    if shutil.which('promtool'):
        failures += check_promtool(sys.argv[1])
        checks += 1
    if text_string_to_metric_families is not None:
        failures += check_openmetrics(sys.argv[1])
        checks += 1
    if checks < 2:
        missing = [] if shutil.which('promtool') else ['prometheus']
        missing += [] if text_string_to_metric_families else ['python3-prometheus-client']
        print('not read by: apt-get install', ' '.join(missing))
        if failures == 0:
            return SKIPPED
    return 1 if failures else 0


sys.exit(main())
