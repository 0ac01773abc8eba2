# SPDX-License-Identifier: Apache-2.0
"""Programs that Debian does not have, made of what public registries have; they stay in
~/.cache/tapline-interop."""
import os
import pathlib
import shutil
import subprocess

CACHE = pathlib.Path(os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache') / 'tapline-interop'
SKIPPED = 77
BUILD_SECONDS = 900  # the collector of OpenTelemetry takes six minutes of CPU, the others one


class Skip(Exception):
    """Why a program can't be had here."""


def build(folder, *command, **more):
    """What the command prints."""
    environment = {**os.environ, 'CGO_ENABLED': '0', 'GOFLAGS': '-buildvcs=false', **more}
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment,
                              timeout=BUILD_SECONDS, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise Skip(f'{" ".join(command[:3])} took longer than {BUILD_SECONDS} s') from None
    if done.returncode != 0:
        raise Skip(f'{" ".join(command[:3])}: {(done.stdout + done.stderr).strip()[-300:]}')
    return done.stdout


def need(program):
    if not shutil.which(program):
        raise Skip(f'{program} is not installed')
