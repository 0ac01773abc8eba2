#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the tables of the Huffman decoder. The code of RFC 7541, appendix B, is canonical: its
lengths, here by symbol, say all of it."""

LENGTHS = """
13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28
6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6 5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10
13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6
15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28
20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24
22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23
26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27
20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26
30
"""


def array(kind, name, values):
    print("static const %s %s[%d] = {" % (kind, name, len(values)))
    for i in range(0, len(values), 16):
        print("\t" + ", ".join(str(v) for v in values[i:i + 16]) + ",")
    print("};")


def main():
    lengths = [int(word) for word in LENGTHS.split()]
    assert len(lengths) == 257
    order = sorted(range(257), key=lambda symbol: (lengths[symbol], symbol))
    limit, first, index = [0] * 31, [0] * 31, [0] * 31
    short, short_length = [0] * 256, [0] * 256
    code = position = 0
    for length in range(1, 31):
        code <<= 1
        first[length], index[length] = code, position
        while position < 257 and lengths[order[position]] == length:
            for i in range(1 << (8 - length) if length <= 8 else 0):
                short[(code << (8 - length)) + i] = order[position]
                short_length[(code << (8 - length)) + i] = length
            code, position = code + 1, position + 1
        limit[length] = code << (32 - length)
    assert position == 257 and code == 1 << 30
    print("// SPDX-License-Identifier: Apache-2.0\n// Written by huffman_table.py.\n#pragma once\n")
    print("#include <stdint.h>\n")
    array("uint16_t", "huffman_symbols", order)
    array("uint64_t", "huffman_limit", limit)
    array("uint32_t", "huffman_first", first)
    array("uint16_t", "huffman_index", index)
    array("uint8_t", "huffman_short", short)
    array("uint8_t", "huffman_short_length", short_length)


main()
