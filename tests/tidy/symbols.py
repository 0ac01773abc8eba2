#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the hot path may call: the undefined symbols of its archives, object by object. Stronger
than reading includes: no malloc, lock, clock or printf can hide behind a macro."""
import re
import subprocess
import sys

# Everything a worker runs per packet may only call our own functions and these.
ALLOWED = re.compile(
    r"tl_\w+|mem(cpy|set|cmp|move|chr|rchr|mem)|str(len|cmp|ncmp|chr)|__mem\w+_chk|"
    r"__stack_chk_fail|__asan_\w+|__ubsan_\w+|__sanitizer_\w+|__gcov_\w+|__llvm_\w+|"
    r"inet_pton|_GLOBAL_OFFSET_TABLE_|__tls_get_addr|__stop_\w+|__start_\w+|__sancov_\w+")
# Objects of those archives that run on the control lcore only, with the reason.
CONTROL = {
    "rules.c.o": "rules are made at start and on reload",
    "rule_parse.c.o": "the same",
    "rule_options.c.o": "the same",
}
# Libraries that work on what they are given, in memory of ours (src/l7/inflate.c).
LIBRARIES = {"inflate.c.o": re.compile(r"inflate\w*|ZSTD_\w+|snappy_\w+")}
# Every global of ours begins with tl_.
GLOBAL = re.compile(r"tl_\w+|__odr_asan\w*|__\w+")


def own_prefix(archive, member):
    """Symbols of a decoder begin with its protocol's name, which its objects begin with too."""
    if "libprotocols" not in archive:
        return None
    return member.rsplit("/", 1)[-1].split("_")[0] + "_"


def is_own(archive, member, name):
    prefix = own_prefix(archive, member)
    return prefix is not None and name.startswith(prefix)


def is_library(member, name):
    pattern = LIBRARIES.get(member.rsplit("/", 1)[-1])
    return pattern is not None and pattern.fullmatch(name) is not None


def symbols(archive, option):
    output = subprocess.run(["nm", option, archive], capture_output=True, text=True,
                            check=True).stdout
    member = ""
    for line in output.splitlines():
        if line.endswith(":"):
            member = line[:-1]
        elif line.strip():
            yield member, line.split()[-1]


def main():
    problems, seen = [], 0
    hot = sys.argv[1:sys.argv.index("--")]
    for archive in hot:
        for member, name in symbols(archive, "-u"):
            seen += 1
            if not ALLOWED.fullmatch(name) and not any(member.endswith(c) for c in CONTROL) \
                    and not is_own(archive, member, name) and not is_library(member, name):
                problems.append(f"{archive}: {member}: calls {name}")
    for archive in hot + sys.argv[sys.argv.index("--") + 1:]:
        output = subprocess.run(["nm", "-g", "--defined-only", archive], capture_output=True,
                                text=True, check=True).stdout
        member = ""
        for line in output.splitlines():
            words = line.split()
            if line.endswith(":"):
                member = line[:-1]
            if len(words) == 3:
                seen += 1
                if not GLOBAL.fullmatch(words[2]) and not is_own(archive, member, words[2]):
                    problems.append(f"{archive}: global {words[2]} without the prefix tl_")
    print("\n".join(problems))
    print(f"{seen} symbols, {len(problems)} against the rules")
    return 1 if problems or seen == 0 else 0


sys.exit(main())
