#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Who may include whom: the table is the architecture (docs/architecture.md), this is its test."""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()

# folder -> folders (or single headers) it may include, besides itself. The longest match rules.
ALLOWED = {
    "src/base": [],
    "src/packet": ["src/base"],
    "src/flow": ["src/base", "src/packet"],
    "src/l7": ["src/base", "src/packet", "src/flow"],
    "src/stream": ["src/base", "src/packet", "src/flow", "src/l7"],
    "src/engine": ["src/base", "src/packet", "src/flow", "src/l7", "src/stream"],
    "src/metrics": ["src/base", "src/packet", "src/flow", "src/l7", "src/engine"],
    "src/worker": ["src/base", "src/packet", "src/flow", "src/l7", "src/stream", "src/engine",
                   "src/metrics", "pmd"],
    "src/control": ["src", "config", "exporters", "collectors"],
    "src/cli": ["src", "config", "exporters", "collectors"],
    "src": ["src", "config", "exporters"],
    "protocols": ["src/base/bytes.h", "src/base/check.h", "src/base/option.h", "src/l7/decoder.h",
                  "src/l7/field.h", "src/l7/roundtrip.h", "src/l7/trace.h", "protocols/common"],
    "pmd": ["src/base", "src/packet", "src/worker/pipeline.h"],
    "exporters": ["src/base", "src/packet", "src/l7", "src/metrics", "exporters/exporter.h",
                  "exporters/record", "exporters/queue", "exporters/http_sink"],
    "collectors": ["src/base", "src/metrics/points.h", "exporters/record/rotate.h"],
    "config": ["src/base", "src/packet", "src/flow", "src/l7", "src/stream", "src/engine",
               "collectors/manager.h",
               "src/metrics", "exporters/exporter.h"],
    "tests": ["src", "protocols", "pmd", "exporters", "config", "collectors", "tests"],
}
# Only these may see DPDK, only these libpcap and so on.
LIBRARIES = {
    r"rte_\w+\.h": ["pmd", "src/worker", "src/cli/version.c", "tests"],
    r"pcap(/\w+)?\.h": ["pmd", "src/cli/config.c", "src/cli/ifaces.c", "src/cli/version.c",
                         "tests"],
    r"microhttpd\.h": ["src/control", "src/cli/version.c"],
    r"jansson\.h": ["src/base/jansson.h", "src/control", "src/cli", "exporters", "collectors", "tests"],
    r"bpf/\w+\.h|(lib|g)elf\.h": ["collectors/bpf"],
    r"yaml\.h": ["config", "src/cli/version.c"],
    r"zstd(_errors)?\.h|snappy-c\.h": ["src/l7/inflate.c", "src/cli/version.c", "exporters", "tests"],
    r"librdkafka/\w+\.h": ["exporters/kafka", "tests"],
    r"zlib\.h": ["pmd/pcap", "collectors/store", "src/l7/inflate.c", "src/control", "exporters", "src/cli/version.c", "tests"],
    r"(stdio|time|pthread)\.h": ["src/base", "src/control", "src/cli", "src/metrics", "src/worker",
                                 "src/main.c", "src/l7/rules.c", "src/l7/rule_parse.c", "src/l7/rule_options.c",
                                 "pmd", "exporters", "collectors", "config",
                                 "tests"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def folder_of(path):
    best = ""
    for folder in ALLOWED:
        if (path == folder or path.startswith(folder + "/")) and len(folder) > len(best):
            best = folder
    return best


def resolve(source, name):
    for base in (ROOT / "src", ROOT, source.parent):
        if (base / name).is_file():
            return str((base / name).resolve().relative_to(ROOT))
    return None


def inside(path, place):
    return path == place or path.startswith(place + "/")


def check(source):
    rel = str(source.relative_to(ROOT))
    folder = folder_of(rel)
    for number, line in enumerate(source.read_text(errors="replace").splitlines(), 1):
        found = INCLUDE.match(line)
        if not found:
            continue
        target = resolve(source, found.group(2)) if found.group(1) == '"' else None
        if target is None:
            for pattern, places in LIBRARIES.items():
                if re.fullmatch(pattern, found.group(2)) and not any(inside(rel, p) for p in places):
                    yield f"{rel}:{number}: {found.group(2)} may only be included by {', '.join(places)}"
            continue
        if folder == "protocols":  # each protocol stands alone
            own = "/".join(rel.split("/")[:2])
            ok = inside(target, own) or any(inside(target, p) for p in ALLOWED[folder])
        elif folder == "exporters":
            own = "/".join(rel.split("/")[:2])
            ok = inside(target, own) or any(inside(target, p) for p in ALLOWED[folder])
        else:
            ok = inside(target, folder) or any(inside(target, p) for p in ALLOWED[folder])
        if not ok:
            yield f"{rel}:{number}: {folder} may not include {target}"


def main():
    problems, seen = [], 0
    for top in ("src", "protocols", "pmd", "exporters", "collectors", "config", "tests"):
        for source in sorted((ROOT / top).rglob("*.[ch]")):
            seen += 1
            problems += check(source)
    print("\n".join(problems))
    print(f"{seen} files, {len(problems)} includes against the layers")
    return 1 if problems or seen == 0 else 0


sys.exit(main())
