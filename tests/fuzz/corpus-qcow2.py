#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes inputs for fuzz-qcow2: corpus-qcow2.py FOLDER [COUNT [SEED]]. See fuzz-qcow2.c for the form.
The first ones change what the header says; the rest is random."""
import os
import random
import struct
import sys

HEADER = [(4, 4), (8, 8), (16, 4), (20, 4), (24, 8), (32, 4), (36, 4), (40, 8), (48, 8), (56, 4),
          (60, 4), (64, 8), (72, 8), (80, 8), (88, 8), (96, 4), (100, 4), (104, 1), (112, 4), (116, 4)]
VALUES = [0, 1, 2, 0x7f, 0x200, 0x10000, 0x100001, 0x7fffffff, 0xffffffff, 1 << 55, (1 << 63) - 1, (1 << 64) - 1]


def change(place, width, value):
    # kind: width by bits 3 and 4 (1, 4, 5, 8 bytes), bit 7: near the beginning
    kind = {1: 0x80, 4: 0x88, 8: 0x98}[width]
    value &= (1 << 8 * width) - 1
    return struct.pack('<I', place)[:3] + bytes([kind]) + struct.pack('<Q', value << 8 * (8 - width))


def operations(rng, n):
    return bytes(rng.randrange(256) for _ in range(6 * n))


def main():
    folder = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 40
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    os.makedirs(folder, exist_ok=True)
    for i in range(count):
        config = i % 6
        if i % 2 == 0:
            places = rng.sample(HEADER, rng.randrange(0, 3))
            body = b''.join(change(p, w, rng.choice(VALUES)) for p, w in places)
            n = len(places)
        else:
            n = rng.randrange(1, 8)
            body = b''.join(struct.pack('<I', rng.randrange(1 << 24))[:3] + bytes([rng.randrange(256)]) +
                            struct.pack('<Q', rng.choice(VALUES + [rng.randrange(1 << 64)]))
                            for _ in range(n))
        with open(os.path.join(folder, f'seed-{i:05}'), 'wb') as f:
            f.write(bytes([config, n | rng.choice([0, 0, 0, 0x40, 0x80])]) + body + operations(rng, 8))


main()
