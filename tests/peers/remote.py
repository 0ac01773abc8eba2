# SPDX-License-Identifier: Apache-2.0
"""Remote write as others read it: python3-snappy and python3-protobuf, from our .proto file."""
import importlib
import pathlib
import struct
import subprocess
import sys

import snappy

from feeder import scratch

PROTO = pathlib.Path(__file__).parents[2] / 'exporters/remote_write/remote.proto'
STALE = 0x7ff0000000000002


def load():
    folder = scratch('tl-proto-')
    subprocess.run(['protoc', f'--python_out={folder}', f'--proto_path={PROTO.parent}', str(PROTO)],
                   check=True)
    sys.path.insert(0, folder)
    return importlib.import_module('remote_pb2')


MESSAGES = load()


def decode(body):
    request = MESSAGES.WriteRequest()
    request.ParseFromString(snappy.uncompress(body))
    return request


def is_stale(value):
    return struct.unpack('<Q', struct.pack('<d', value))[0] == STALE


def check_labels(series):
    """What the specification asks of a series' labels; the labels as a mapping."""
    names = [label.name for label in series.labels]
    assert names == sorted(names), names
    assert len(set(names)) == len(names), names
    assert '__name__' in names, names
    assert all(label.name and label.value for label in series.labels), series
    return {label.name: label.value for label in series.labels}


def series_of(bodies):
    """All samples in the order of arrival: {labels as sorted tuple: [(time, value), ...]}."""
    found = {}
    for body in bodies:
        for series in decode(body).timeseries:
            key = tuple(sorted(check_labels(series).items()))
            found.setdefault(key, []).extend((s.timestamp, s.value) for s in series.samples)
    return found
