#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""python3-pymongo and libmongoc with no and with all three compressors against tests/peers/
mongo_server.py: the records are the commands that the drivers' own monitors saw, and what the
server was asked.

usage: mongodb.py TAPLINE [MONGOC_CLIENT] [--record FILE]   also writes what is on the wire"""
import collections
import json
import pathlib
import random
import sys

import lab
from lab import check

PORT = 27017
SERVER = pathlib.Path(__file__).resolve().parents[1] / "peers" / "mongo_server.py"
HELLOS = ("ismaster", "isMaster", "hello")


def session(pymongo, compressor, calls):
    """What one driver does with one compressor; `calls` has its own list of commands."""
    from pymongo import monitoring

    class Listener(monitoring.CommandListener):
        def started(self, event):
            pass

        def succeeded(self, event):
            calls[(event.command_name, not event.reply.get("writeErrors"))] += 1

        def failed(self, event):
            calls[(event.command_name, False)] += 1

    uri = f"mongodb://{lab.HTTP}:{PORT}/?appname=tap-{compressor or 'plain'}"
    if compressor:
        uri += f"&compressors={compressor}"
    client = pymongo.MongoClient(uri, event_listeners=[Listener()])
    items = client.db[f"items_{compressor or 'plain'}"]
    items.insert_many([{"_id": n, "ok": 0, "code": 7, "text": "word " * 40} for n in range(250)])
    check(len(list(items.find({}, batch_size=100))) == 250, "documents are missing")
    items.update_many({"code": 7}, {"$set": {"code": 8}})
    check(items.find_one({"_id": 3})["code"] == 8, "the update")
    try:
        items.insert_one({"_id": 1})
        raise lab.Failed("a duplicate was taken")
    except pymongo.errors.DuplicateKeyError:
        pass
    try:
        client.db.command("nosuchcommand")
        raise lab.Failed("an unknown command was taken")
    except pymongo.errors.OperationFailure:
        pass
    items.insert_one({"_id": "large", "text": " ".join(
        f"{n} lorem ipsum dolor sit amet consectetur" for n in range(10 if RECORDS else 7000))})
    check(items.find_one({"_id": "large"}) is not None, "the large document")
    if not RECORDS: # nothing makes this one smaller
        items.insert_one({"_id": "noise", "bytes": random.Random(7).randbytes(2 << 20)})
    items.with_options(write_concern=pymongo.WriteConcern(w=0)).insert_one({"_id": "unsure"})
    items.delete_many({"code": 8})
    client.close()


RECORDS = "--record" in sys.argv


def run(l):
    try:
        import bson
        import pymongo
        import snappy
        import zstandard
    except ImportError as missing:
        raise lab.Skip(f"not installed: {missing}")
    del bson, snappy, zstandard
    left, host = l.pair(offload=False)
    counts = l.folder / "counts.json"
    server = l.start(host, "/usr/bin/python3", SERVER, lab.HTTP, PORT, counts, log="mongo.log")
    lab.wait_for("the server", lambda: l.answers(host, lab.HTTP, PORT))
    agent = l.agent(host, ["interface: s0"])
    dump = None
    if RECORDS:
        dump = l.start(left, "tcpdump", "-Z", "root", "-i", "c0", "-U", "--immediate-mode", "-s",
                       "0", "-w", sys.argv[sys.argv.index("--record") + 1], "tcp port 27017",
                       log="tcpdump.log")
        lab.wait_for("tcpdump", lambda: "listening" in dump.log.read_text())
    calls = collections.Counter()
    # Drivers have threads of their own, which stay in the namespace that they are made in.
    with l.inside(left):
        for compressor in (None, "snappy", "zlib", "zstd"):
            session(pymongo, compressor, calls)
    mongoc = len(sys.argv) > 2 and not RECORDS
    if mongoc:
        for compressor in ("", "snappy", "zlib", "zstd"):
            for line in l.on(left, sys.argv[2], lab.HTTP, str(PORT), compressor).splitlines():
                name, ok = line.split()
                calls[(name, ok == "1")] += 1
    own, seen, status = l.settled(host)
    losses = lab.check_books(own, seen, status)
    l.stop(agent)
    if dump is not None:
        l.stop(dump)
    l.stop(server)
    asked = json.loads(counts.read_text())
    records = [r for r in l.records() if r["protocol"] == "mongodb"]
    requests = [r for r in records if r.get("request")]
    print(f"{len(records)} records, {lab.count_by(records, 'status')}, compressors "
          f"{lab.count_by(records, 'request', 'compressor')}, lost {losses}")
    if sum(losses.values()) > 0:
        print("the probe lost packets: only the books are checked")
        return
    # By the drivers: each command with its success; their monitors don't show hellos, and of a
    # w: 0 insert they show a success that nobody said.
    found = collections.Counter((r["request"]["command"], r["status"] in ("ok", "one_way"))
                                for r in requests if r["request"]["command"] not in HELLOS)
    for key in sorted(set(found) | set(calls)):
        check(found[key] == calls[key], f"{key}: {calls[key]} by the drivers, {found[key]} found")
    # By the server: every command, hellos too. One that a driver's monitor sends while its client
    # is closed may not be read any more.
    by_name = collections.Counter(r["request"]["command"] for r in requests)
    left = collections.Counter(r["request"]["command"] for r in requests
                               if r["status"] in ("unanswered", "reset") and
                               r["request"]["command"] in HELLOS)
    for name in sorted(set(by_name) | set(asked)):
        check(by_name[name] - left[name] <= asked.get(name, 0) <= by_name[name],
              f"{name}: the server was asked {asked.get(name, 0)} times, {by_name[name]} found")
    check({"snappy", "zlib", "zstd"} <= set(lab.count_by(records, "request", "compressor")),
          "a compressor is missing")
    check(all(r["status"] != "orphan" and "estimated" not in r.get("flags", [])
              for r in records), "something was not read")
    finds = [r["response"]["returned"] for r in requests
             if r["request"]["command"] in ("find", "getMore")]
    # 250 and twice one document of pymongo, 150 of libmongoc, with every compressor.
    wanted = 4 * 252 + (4 * 150 if mongoc else 0)
    check(sum(finds) == wanted, f"{sum(finds)} documents returned, {wanted} were")


lab.main(run)
