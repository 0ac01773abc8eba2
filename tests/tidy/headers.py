#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every header compiles alone, so that the order of includes never matters."""
import pathlib
import shlex
import subprocess
import sys

root, compiler, flags = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2], shlex.split(sys.argv[3])
bad, seen = 0, 0
for top in ("src", "pmd", "exporters", "collectors", "config", "protocols"):
    for header in sorted((root / top).rglob("*.h")):
        seen += 1
        name = header.relative_to(root)
        result = subprocess.run(
            [compiler, "-std=gnu17", "-D_GNU_SOURCE", "-fsyntax-only", "-Wall", "-Wextra", "-x", "c",
             "-march=x86-64-v3", f"-I{root}/src", f"-I{root}", *flags, "-"],
            input=f'#include "{name}"\n', capture_output=True, text=True)
        if result.returncode != 0 or "warning:" in result.stderr:
            bad += 1
            print(f"{name}: does not compile alone:\n{result.stderr[:600]}")
print(f"{seen} headers, {bad} not self-contained")
sys.exit(1 if bad or seen == 0 else 0)
