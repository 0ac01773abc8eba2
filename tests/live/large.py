#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Downloads in the kernel's 64 KiB super-frames (GSO, GRO and TSO on): the sizes are exact."""

import lab
from lab import check

MIB = 1 << 20
SIZES = {"/large": 16 * MIB + 12345, "/middle": 300001, "/small": 1}
TIMES = 3


def run(l):
    lab.need("nginx")
    client, server = l.pair()
    l.nginx(server, http="gzip_types *; gzip_min_length 1000; gzip_comp_level 1;",
            locations="location /zip/ { gzip on; }")
    www = l.folder / "www"
    (www / "zip").mkdir()
    (www / "zip" / "text").write_text("".join(f"line {n}\n" for n in range(400000)))
    for path, size in SIZES.items():
        with open(www / path[1:], "wb") as file:
            file.truncate(size)
    agent = l.agent(server, ["interface: s0"])
    heads = {}
    for _ in range(TIMES):
        for path, size in SIZES.items():
            out = l.on(client, "curl", "-s", "-o", "/dev/null", "-w",
                       "%{size_download} %{size_header}", f"http://{lab.HTTP}{path}").split()
            check(int(out[0]) == size, f"curl got {out}")
            heads[path] = int(out[1])
    # Chunked: the body is what is left without the chunk lines.
    zipped = int(l.on(client, "curl", "-s", "-o", "/dev/null", "-H", "Accept-Encoding: gzip", "-w",
                      "%{size_download}", f"http://{lab.HTTP}/zip/text"))
    own, seen, status = l.settled(server)
    losses = lab.check_books(own, seen, status)
    l.stop(agent)
    records = l.records()
    packets = own.sum("tapline_packets_offered_total")
    mean = own.sum("tapline_bytes_offered_total") / max(1, packets)
    print(f"{packets} packets of {mean:.0f} bytes on average, {status['ports'][0]['bytes']} bytes, "
          f"{len(records)} records, chunked {zipped}, lost {losses}, "
          f"skipped {own.sum('tapline_stream_bytes_by_use_total', use='skipped')}")
    check(len(records) == TIMES * len(SIZES) + 1 or sum(losses.values()) > 0,
          f"{len(records)} records")
    if sum(losses.values()) == 0:
        check(mean > 1600, "there were no super-frames")
    for record in records:
        flags, response = record.get("flags", []), record["response"]
        path = record["request"]["path"]
        if "gap" in flags:
            check(sum(losses.values()) > 0, f"a gap without a loss: {record}")
            continue
        body = SIZES.get(path, zipped)
        check(record["status"] == "ok" and response["body_bytes"] == body,
              f"{path}: {response}, the body has {body} bytes")
        if path in SIZES:
            check(response["bytes"] == body + heads[path], f"{path}: {response}, head {heads[path]}")


lab.main(run)
