#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Rules of CONTRIBUTING.md that a machine can check: licence line, line length, banned calls,
leftovers, long functions."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
COLUMNS = 104  # 100, and a little grace for trailing comments
FUNCTION_LINES = 70
FILE_LINES = 900
BANNED = {
    r"\b(strcat|sprintf|vsprintf|strtok|gets|alloca|atoi|atol|rand)\s*\(":
        "use the bounded or checked form",
    r"\b(TODO|FIXME|XXX)\b": "finish it or file an issue",
}
EXCEPTIONS = ROOT / "tests/tidy/style-exceptions.txt"  # "path: rule": may only shrink


def sources():
    for top in ("src", "protocols", "pmd", "exporters", "collectors", "config", "tests"):
        yield from sorted((ROOT / top).rglob("*.[ch]"))


def columns(line):
    return len(line.expandtabs(8))


def check(path):
    rel = path.relative_to(ROOT)
    lines = path.read_text(errors="replace").splitlines()
    if not lines or "SPDX-License-Identifier: Apache-2.0" not in lines[0]:
        yield f"{rel}: licence: the first line must name the licence"
    # Tables that a script writes are as long as they are.
    is_written = len(lines) > 1 and lines[1].startswith("// Written by scripts/")
    if len(lines) > FILE_LINES and not is_written:
        yield f"{rel}: long file: {len(lines)} lines"
    start = None
    for number, line in enumerate(lines, 1):
        if columns(line) > COLUMNS and '"' not in line and "http" not in line:
            yield f"{rel}:{number}: columns: {columns(line)}"
        if line != line.rstrip():
            yield f"{rel}:{number}: blanks at the end"
        code = re.sub(r'"(\\.|[^"\\])*"', '""', line)
        for pattern, why in BANNED.items():
            if re.search(pattern, code):
                yield f"{rel}:{number}: banned: {why}: {line.strip()}"
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            if number - start - 1 > FUNCTION_LINES:
                yield f"{rel}:{start}: long function: {number - start - 1} lines"
            start = None


def main():
    known = set(EXCEPTIONS.read_text().splitlines()) if EXCEPTIONS.exists() else set()
    problems, seen, used = [], 0, set()
    for path in sources():
        seen += 1
        for problem in check(path):
            place, rule = problem.split(": ", 1)
            key = f"{place.split(':')[0]}: {rule.split(':')[0]}"
            if key in known:
                used.add(key)
            else:
                problems.append(problem)
    problems += [f"style-exceptions.txt: no longer needed: {key}"
                 for key in sorted(known - used) if key and not key.startswith("#")]
    shell = [str(p) for p in sorted((ROOT / "scripts").iterdir())
             if p.is_file() and p.read_bytes().startswith(b"#!/bin/bash")]
    result = subprocess.run(["shellcheck", "-x", "-S", "warning", *shell], capture_output=True,
                            text=True, cwd=ROOT) if shell else None
    if result is not None and result.returncode != 0:
        problems.append(result.stdout)
    print("\n".join(problems))
    print(f"{seen} files, {len(problems)} problems")
    return 1 if problems or seen == 0 else 0


sys.exit(main())
