#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The dashboards are what their generator writes; promtool reads the alert rules and runs their
tests. That their expressions work is shown by metric_stores.py.

    dashboards.py
"""
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = ROOT / 'deploy/prometheus'


def main():
    failures = subprocess.run([ROOT / 'scripts/gen-dashboards', '--check']).returncode
    if not shutil.which('promtool'):
        print('skipped: promtool (of Debian\'s prometheus) is not installed')
        return 77 if failures == 0 else 1
    for command in (('check', 'rules', RULES / 'tapline-alerts.yml'),
                    ('test', 'rules', RULES / 'tapline-alerts-test.yml')):
        failures += subprocess.run(['promtool', *command]).returncode
    return 1 if failures else 0


sys.exit(main())
