#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures for tests: reads PNG and the X server's XWD frame buffer, writes PNG, and looks for
what the test guest draws (tests/guests/linux/draw.c and banner.c).

  picture.py convert IN OUT.png            XWD or PNG to PNG
  picture.py band IN                       status 0: the guest's band of colours is there
  picture.py pattern IN [WIDTHxHEIGHT]     status 0: the guest's picture is there, every pixel
"""

import struct
import sys
import zlib

BAND = [0x1a5fb4, 0x26a269, 0xe5a50a, 0xc64600, 0xa51d2d, 0x613583, 0x63452c, 0x3d3846]
CURSOR = (100, 50, 64, 64)      # where draw.c puts its cursor


class Picture:
    """rows: a list of bytes, 3 a pixel (red, green, blue)."""

    def __init__(self, width, height, rows):
        self.width, self.height, self.rows = width, height, rows

    def pixel(self, x, y):
        return int.from_bytes(self.rows[y][3 * x:3 * x + 3], 'big')

    def crop(self, x, y, width, height):
        return Picture(width, height, [r[3 * x:3 * (x + width)] for r in self.rows[y:y + height]])


def read(path):
    with open(path, 'rb') as f:
        data = f.read()
    if data.startswith(b'\x89PNG\r\n\x1a\n'):
        return _png(data)
    if data.startswith(b'P6'):
        return _ppm(data)
    return _xwd(data)


def _ppm(data):
    _, width, height, _, pixels = data.split(maxsplit=4)
    width, height = int(width), int(height)
    pixels = data[-3 * width * height:]
    return Picture(width, height, [pixels[3 * width * y:3 * width * (y + 1)] for y in range(height)])


def _from_bgrx(data, width, height, stride):
    rows = []
    for y in range(height):
        line = data[y * stride:y * stride + 4 * width]
        row = bytearray(3 * width)
        row[0::3], row[1::3], row[2::3] = line[2::4], line[1::4], line[0::4]
        rows.append(bytes(row))
    return Picture(width, height, rows)


def _xwd(data):
    """X window dump, version 7, 32 bits a pixel: a header of big-endian words, colours, pixels."""
    words = struct.unpack('>25I', data[:100])
    size, version, width, height = words[0], words[1], words[4], words[5]
    bits, stride, colours = words[11], words[12], words[19]
    if version != 7 or bits != 32:
        raise ValueError('not an XWD picture with 32 bits a pixel')
    return _from_bgrx(data[size + 12 * colours:], width, height, stride)


def _png(data):
    at, packed, palette = 8, b'', b''
    while at < len(data):
        length, kind = struct.unpack('>I4s', data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if kind == b'IHDR':
            width, height, depth, colour, _, _, interlace = struct.unpack('>IIBBBBB', body)
        elif kind == b'IDAT':
            packed += body
        elif kind == b'PLTE':
            palette = body
        at += 12 + length
    if depth != 8 or interlace or colour not in (0, 2, 3, 6):
        raise ValueError('a kind of PNG that is not read here')
    n = {0: 1, 2: 3, 3: 1, 6: 4}[colour]
    raw = zlib.decompress(packed)
    rows, before, line = [], bytearray(n * width), n * width
    for y in range(height):
        kind = raw[y * (line + 1)]
        now = bytearray(raw[y * (line + 1) + 1:(y + 1) * (line + 1)])
        _unfilter(kind, now, before, n)
        before = now
        if colour == 3:
            rows.append(b''.join(palette[3 * p:3 * p + 3] for p in now))
        elif n == 3:
            rows.append(bytes(now))
        else:
            row = bytearray(3 * width)
            for c in range(3):
                row[c::3] = now[min(c, n - 1)::n] if n == 4 else now
            rows.append(bytes(row))
    return Picture(width, height, rows)


def _unfilter(kind, now, before, n):
    if kind == 1:
        for i in range(n, len(now)):
            now[i] = now[i] + now[i - n] & 255
    elif kind == 2:
        for i, b in enumerate(before):
            now[i] = now[i] + b & 255
    elif kind == 3:
        for i, b in enumerate(before):
            now[i] = now[i] + ((now[i - n] if i >= n else 0) + b) // 2 & 255
    elif kind == 4:
        for i, b in enumerate(before):
            a, c = (now[i - n], before[i - n]) if i >= n else (0, 0)
            p = a + b - c
            pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
            now[i] = now[i] + (a if pa <= pb and pa <= pc else b if pb <= pc else c) & 255


def write_png(picture, path):
    def chunk(kind, body):
        return struct.pack('>I', len(body)) + kind + body + \
            struct.pack('>I', zlib.crc32(kind + body))
    raw = b''.join(b'\0' + r for r in picture.rows)
    with open(path, 'wb') as f:
        f.write(b'\x89PNG\r\n\x1a\n'
                + chunk(b'IHDR', struct.pack('>IIBBBBB', picture.width, picture.height, 8, 2, 0, 0, 0))
                + chunk(b'IDAT', zlib.compress(raw, 6)) + chunk(b'IEND', b''))


def has_band(picture, least=24):
    """The eight colours in their order, left to right, on at least so many rows."""
    found = 0
    for row in picture.rows:
        at = 0
        for colour in BAND:
            run = colour.to_bytes(3, 'big') * 8      # eight pixels of it, side by side
            at = row.find(run, at)
            while at >= 0 and at % 3:
                at = row.find(run, at + 1)
            if at < 0:
                break
        found += at >= 0
    return found >= least


def pattern_rows(width, height):
    """draw.c's picture."""
    red = bytes(x & 255 for x in range(width))
    rows = []
    for y in range(height):
        if y in (0, height - 1):
            rows.append(b'\xff' * (3 * width))
            continue
        row = bytearray(3 * width)
        base = y // 2 + width + height
        row[0::3] = red
        row[1::3] = bytes([y & 255]) * width
        row[2::3] = bytes((x // 4 + base) & 255 for x in range(width))
        row[0:3] = row[-3:] = b'\xff\xff\xff'
        rows.append(bytes(row))
    return rows


def check_pattern(picture, width, height, cursor=True):
    """Where the guest's picture of this size lies in the picture, as (x, y), or raises ValueError
    that says what differs. Every pixel must agree, but for the cursor's square."""
    rows = pattern_rows(width, height)
    middle = rows[height // 2]
    if width > picture.width or height > picture.height:
        raise ValueError(f'{picture.width}x{picture.height} has no room for {width}x{height}')
    for y in range(height // 2, picture.height - height // 2 + 1):
        x = picture.rows[y].find(middle)
        while x >= 0 and x % 3:
            x = picture.rows[y].find(middle, x + 1)
        if x >= 0:
            left, top = x // 3, y - height // 2
            break
    else:
        raise ValueError(f'no row of the {width}x{height} picture in {picture.width}x{picture.height}')
    cx, cy, cw, ch = CURSOR
    for i, want in enumerate(rows):
        have = picture.rows[top + i][3 * left:3 * (left + width)]
        if have == want:
            continue
        if cursor and cy <= i < cy + ch and have[:3 * cx] == want[:3 * cx] \
                and have[3 * (cx + cw):] == want[3 * (cx + cw):]:
            continue
        wrong = sum(have[k:k + 3] != want[k:k + 3] for k in range(0, len(want), 3))
        raise ValueError(f'row {i} of {height}: {wrong} of {width} pixels differ')
    return left, top


GLYPH_A = bytes.fromhex('000010386cc6c6fec6c6c6c600000000')


def find_font(rom):
    """The letters of 8x16 points that a VGA BIOS holds: {glyph: character}."""
    at = rom.index(GLYPH_A) - 0x41 * 16
    return {rom[at + 16 * c:at + 16 * c + 16]: chr(c) for c in range(0x7e, 0x1f, -1)}


def read_text(picture, font):
    """The lines of a VGA text screen (cells of 8 or 9 by 16 points); what is no letter is a '?'."""
    cell = 9 if picture.width == 720 else 8
    dots = bytes.maketrans(bytes(range(256)), b'0' + b'1' * 255)
    lines = []
    for top in range(0, picture.height - 15, 16):
        rows = [picture.rows[top + y][0::3].translate(dots) for y in range(16)]
        lines.append(''.join(
            font.get(bytes(int(row[x:x + 8], 2) for row in rows), '?')
            for x in range(0, picture.width - cell + 1, cell)).rstrip())
    return lines


def main():
    what, source = sys.argv[1:3]
    picture = read(source)
    if what == 'convert':
        write_png(picture, sys.argv[3])
        return 0
    if what == 'band':
        return 0 if has_band(picture) else 1
    if what == 'pattern':
        size = sys.argv[3] if len(sys.argv) > 3 else f'{picture.width}x{picture.height}'
        try:
            print('at %d,%d' % check_pattern(picture, *map(int, size.split('x'))))
        except ValueError as e:
            print(e)
            return 1
        return 0
    return 2


if __name__ == '__main__':
    sys.exit(main())
