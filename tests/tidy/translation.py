#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""README.zh-CN.md says what README.md says: the same chapters, tables and links, and the same code
but for the comments in it. The prose is for a human to compare."""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
PAIR = ("README.md", "README.zh-CN.md")


def facts(name):
    text = (ROOT / name).read_text()
    code = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return {
        "chapters": len(re.findall(r"^## ", prose, re.M)),
        "sections": len(re.findall(r"^### ", prose, re.M)),
        "code": [(kind, [re.sub(r"\s*(^|\s)#.*", "", line) for line in block.splitlines()])
                 for kind, block in code],
        "tables": re.findall(r"^\|---.*", prose, re.M),
        "rows": len(re.findall(r"^\|", prose, re.M)),
        "items": len(re.findall(r"^\* ", prose, re.M)),
        "links": sorted(link for link in re.findall(r"\]\(([^)]+)\)", prose) if link not in PAIR),
        "paths and flags": sorted(set(re.findall(r"`([-/\w.]*[-/][-/\w.]+)", prose))),
        "generated parts": re.findall(r"<!-- .*? -->", prose),
    }


ours, theirs = (facts(name) for name in PAIR)
problems = 0
for what in ours:
    if ours[what] != theirs[what]:
        problems += 1
        print(f"{PAIR[1]}: other {what} than {PAIR[0]}:\n  {ours[what]}\n  {theirs[what]}")
print(f"{len(ours)} facts compared, {problems} differ")
sys.exit(problems != 0)
