#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A small MongoDB for tests, as there is none in any registry: keeps documents in memory, speaks
OP_MSG, OP_QUERY for the handshake and OP_COMPRESSED, and counts what it was asked.

usage: mongo_server.py ADDRESS PORT COUNTS   counts go to the file COUNTS as JSON when it ends"""
import collections
import json
import signal
import socketserver
import struct
import sys
import threading
import zlib

import bson
import snappy
import zstandard

COMPRESSORS = {
    1: (snappy.compress, snappy.decompress),
    2: (zlib.compress, zlib.decompress),
    3: (lambda b: zstandard.ZstdCompressor().compress(b),
        lambda b: zstandard.ZstdDecompressor().decompress(b, max_output_size=1 << 26)),
}
NAMES = {"snappy": 1, "zlib": 2, "zstd": 3}
MORE_TO_COME, BATCH = 2, 101


class Store:
    def __init__(self):
        self.collections = collections.defaultdict(list)
        self.cursors = {}
        self.next_cursor = 1000
        self.counts = collections.Counter()
        self.lock = threading.Lock()


STORE = Store()


def matches(document, wanted):
    return all(document.get(k) == v for k, v in wanted.items())


def batch(name, documents, size, key):
    size = size or BATCH
    rest, ident = documents[size:], 0
    if rest:
        STORE.next_cursor += 1
        ident = STORE.next_cursor
        STORE.cursors[ident] = rest
    return {"cursor": {key: documents[:size], "id": bson.int64.Int64(ident), "ns": name},
            "ok": 1.0}


def insert(name, command):
    errors, n = [], 0
    for index, document in enumerate(command["documents"]):
        if any(d["_id"] == document.get("_id") for d in STORE.collections[name]
               if "_id" in document):
            errors.append({"index": index, "code": 11000, "errmsg": "E11000 duplicate key"})
            break
        STORE.collections[name].append(document)
        n += 1
    reply = {"n": n, "ok": 1.0}
    if errors:
        reply["writeErrors"] = errors
    return reply


def update(name, command):
    n = changed = 0
    for one in command["updates"]:
        for document in STORE.collections[name]:
            if not matches(document, one["q"]):
                continue
            before = dict(document)
            document.update(one["u"].get("$set", {}))
            n += 1
            changed += document != before
            if not one.get("multi"):
                break
    return {"n": n, "nModified": changed, "ok": 1.0}


def delete(name, command):
    before = len(STORE.collections[name])
    for one in command["deletes"]:
        keep, left = [], one.get("limit", 0) or len(STORE.collections[name])
        for document in STORE.collections[name]:
            if left > 0 and matches(document, one["q"]):
                left -= 1
            else:
                keep.append(document)
        STORE.collections[name] = keep
    return {"n": before - len(STORE.collections[name]), "ok": 1.0}


def hello(command):
    wanted = [c for c in command.get("compression", []) if c in NAMES]
    reply = {"ismaster": True, "isWritablePrimary": True, "maxBsonObjectSize": 16777216,
             "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 100000, "minWireVersion": 0,
             "maxWireVersion": 8, "readOnly": False, "ok": 1.0}
    if wanted:
        reply["compression"] = wanted
    return reply


def answer(command):
    word = next(iter(command))
    database = command.get("$db", "admin")
    STORE.counts[word] += 1
    if word.lower() in ("ismaster", "hello"):
        return hello(command)
    name = f"{database}.{command[word]}"
    if word == "insert":
        return insert(name, command)
    if word == "find":
        found = [d for d in STORE.collections[name] if matches(d, command.get("filter", {}))]
        return batch(name, found, command.get("batchSize"), "firstBatch")
    if word == "getMore":
        name = f"{database}.{command['collection']}"
        rest = STORE.cursors.pop(command["getMore"], None)
        if rest is None:
            return {"ok": 0.0, "errmsg": "cursor not found", "code": 43,
                    "codeName": "CursorNotFound"}
        return batch(name, rest, command.get("batchSize"), "nextBatch")
    if word == "update":
        return update(name, command)
    if word == "delete":
        return delete(name, command)
    if word == "count":
        return {"n": len(STORE.collections[name]), "ok": 1.0}
    if word in ("ping", "endSessions", "killCursors"):
        return {"ok": 1.0}
    return {"ok": 0.0, "errmsg": f"no such command: '{word}'", "code": 59,
            "codeName": "CommandNotFound"}


def read_msg(body):
    """(flags, command) of an OP_MSG."""
    flags, at, command = struct.unpack("<I", body[:4])[0], 4, {}
    end = len(body) - (4 if flags & 1 else 0)
    while at < end:
        kind, size = body[at], struct.unpack("<I", body[at + 1:at + 5])[0]
        if kind == 0:
            command = {**bson.BSON(body[at + 1:at + 1 + size]).decode(), **command}
        else:
            section = body[at + 5:at + 1 + size]
            name, documents = section.split(b"\0", 1)
            command[name.decode()] = bson.decode_all(documents)
        at += 1 + size
    first = next(k for k in command if k not in ("documents", "updates", "deletes"))
    return flags, {first: command[first], **command}


class Client(socketserver.BaseRequestHandler):
    def take(self, size):
        data = b""
        while len(data) < size:
            piece = self.request.recv(min(size - len(data), 1 << 20))
            if not piece:
                raise EOFError
            data += piece
        return data

    def message(self):
        length, ident, _, opcode = struct.unpack("<IIII", self.take(16))
        body, how = self.take(length - 16), None
        if opcode == 2012:
            opcode, _, how = struct.unpack("<IIB", body[:9])
            body = COMPRESSORS[how][1](body[9:])
        return ident, opcode, body, how

    def say(self, answers, opcode, body, how):
        STORE.next_cursor += 1
        if how is not None:
            body = struct.pack("<IIB", opcode, len(body), how) + COMPRESSORS[how][0](body)
            opcode = 2012
        self.request.sendall(struct.pack("<IIII", 16 + len(body), STORE.next_cursor, answers,
                                         opcode) + body)

    def handle(self):
        try:
            while True:
                ident, opcode, body, how = self.message()
                with STORE.lock:
                    if opcode == 2004:
                        start = body.index(b"\0", 4) + 9
                        document = answer(bson.BSON(body[start:]).decode())
                        flags, kind = 0, 1
                        reply = struct.pack("<IqII", 8, 0, 0, 1) + bson.BSON.encode(document)
                    else:
                        flags, command = read_msg(body)
                        kind = 2013
                        reply = struct.pack("<I", 0) + b"\0" + bson.BSON.encode(answer(command))
                    if not flags & MORE_TO_COME:
                        self.say(ident, kind, reply, how)
        except (EOFError, ConnectionError):
            pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def main():
    server = Server((sys.argv[1], int(sys.argv[2])), Client)

    def stop(*_):
        with open(sys.argv[3], "w") as out:
            json.dump(STORE.counts, out)
        sys.exit(0)
    signal.signal(signal.SIGTERM, stop)
    server.serve_forever()


main()
