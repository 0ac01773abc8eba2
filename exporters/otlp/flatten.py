#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes of the vendored .proto files what Debian's protoc-c can read: one flat folder, one package
(its name is not on the wire), no services, and proto3 `optional` spelled as the oneof that it is.

    flatten.py OUTPUT.proto INPUT.proto
"""
import re
import sys

text = open(sys.argv[2], encoding="utf-8").read()
text = re.sub(r"^package [\w.]+;", "package otlp;", text, flags=re.M)
text = re.sub(r"opentelemetry\.proto\.(?:\w+\.)*v1\.", "otlp.", text)
text = re.sub(r'import "(?:[\w/]+/)?(\w+)\.proto"', r'import "\1.proto"', text)
text = re.sub(r"^service .*?^}\n", "", text, flags=re.M | re.S)
text = re.sub(r"^(\s*)optional ([\w.]+) (\w+) = (\d+);", r"\1oneof _\3 { \2 \3 = \4; }", text,
              flags=re.M)
open(sys.argv[1], "w", encoding="utf-8").write(text)
