# SPDX-License-Identifier: GPL-3.0-or-later
"""A small D-Bus client for one peer-to-peer connection (no bus): enough to call the control
protocol of a running machine. D-Bus Specification 0.41."""

import os
import socket
import struct

ALIGN = {'y': 1, 't': 8, 'x': 8, 'u': 4, 'i': 4, 'b': 4, 'd': 8, 's': 4, 'o': 4, 'g': 1, 'a': 4}
FIXED = {'y': 'B', 't': 'Q', 'x': 'q', 'u': 'I', 'i': 'i', 'b': 'I', 'd': 'd'}


class BusError(Exception):
    """name: the D-Bus error name; str(): its message."""

    def __init__(self, name, message):
        super().__init__(f'{name}: {message}')
        self.name = name


def marshal(out, signature, values):
    """Appends the values to out, a bytearray whose start is aligned to eight. Array elements are
    strings or of one fixed type."""
    at, values = 0, list(values)
    while at < len(signature):
        kind = signature[at]
        value = values.pop(0)
        out.extend(b'\0' * (-len(out) % ALIGN[kind]))
        if signature.startswith('a{sv}', at):
            at += 4
            marshal_dict(out, value)
        elif kind == 'a':
            at += 1
            item = signature[at]
            if item == 's':
                body = bytearray()
                marshal(body, 's' * len(value), value)
            else:
                body = b''.join(struct.pack('<' + FIXED[item], v) for v in value)
            out.extend(struct.pack('<I', len(body)))
            out.extend(b'\0' * (-len(out) % ALIGN[item]) + body)
        elif kind in FIXED:
            out.extend(struct.pack('<' + FIXED[kind], value))
        else:
            text = value.encode()
            size = '<B' if kind == 'g' else '<I'
            out.extend(struct.pack(size, len(text)) + text + b'\0')
        at += 1


def marshal_dict(out, value):
    """A dict of str, bool and int (as t) to a{sv}."""
    at = len(out)
    out.extend(b'\0\0\0\0')
    out.extend(b'\0' * (-len(out) % 8))
    start = len(out)
    for key, item in value.items():
        out.extend(b'\0' * (-len(out) % 8))
        marshal(out, 's', [key])
        kind = 'b' if isinstance(item, bool) else 's' if isinstance(item, str) else 't'
        marshal(out, 'g', [kind])
        marshal(out, kind, [item])
    struct.pack_into('<I', out, at, len(out) - start)


def parse_dict(body):
    """The a{sv} that a reply's body begins with, its values of types s, b, u, t, x."""
    size, at, result = struct.unpack_from('<I', body)[0], 8, {}
    end = at + size
    while at < end:
        at += -at % 8
        n = struct.unpack_from('<I', body, at)[0]
        key, at = bytes(body[at + 4:at + 4 + n]).decode(), at + n + 5
        kind, at = chr(body[at + 1]), at + 3
        at += -at % ALIGN[kind]
        if kind == 's':
            n = struct.unpack_from('<I', body, at)[0]
            result[key], at = bytes(body[at + 4:at + 4 + n]).decode(), at + n + 5
        else:
            result[key] = struct.unpack_from('<' + FIXED[kind], body, at)[0]
            at += struct.calcsize('<' + FIXED[kind])
    return result


class Peer:
    def __init__(self, path, timeout):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        who = str(os.getuid()).encode().hex()
        self.socket.sendall(b'\0AUTH EXTERNAL ' + who.encode() + b'\r\n')
        answer = self._line()
        if not answer.startswith(b'OK '):
            raise BusError('auth', answer.decode(errors='replace'))
        self.socket.sendall(b'BEGIN\r\n')
        self.serial = 0

    def _line(self):
        line = b''
        while not line.endswith(b'\r\n'):
            byte = self.socket.recv(1)
            if not byte:
                raise ConnectionError('the machine closed the control connection')
            line += byte
        return line

    def _read(self, count):
        data = b''
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise ConnectionError('the machine closed the control connection')
            data += part
        return data

    def call(self, path, interface, member, signature='', values=()):
        """The raw body of the reply. Signals that come in between are left out."""
        self.serial += 1
        body = bytearray()
        marshal(body, signature, values)
        fields = bytearray()
        for code, kind, value in ((1, 'o', path), (2, 's', interface), (3, 's', member),
                                  (8, 'g', signature)):
            if code == 8 and not signature:
                continue
            fields.extend(b'\0' * (-len(fields) % 8))
            fields.append(code)
            marshal(fields, 'g', [kind])
            marshal(fields, kind, [value])
        head = struct.pack('<cBBBIII', b'l', 1, 0, 1, len(body), self.serial, len(fields))
        message = head + bytes(fields)
        self.socket.sendall(message + b'\0' * (-len(message) % 8) + bytes(body))
        while True:
            kind, reply_to, error, body = self._message()
            if reply_to != self.serial or kind not in (2, 3):
                continue
            if kind == 3:
                size = struct.unpack_from('<I', body)[0] if len(body) >= 4 else 0
                raise BusError(error, body[4:4 + size].decode(errors='replace'))
            return body

    def _message(self):
        head = self._read(16)
        if head[0:1] != b'l':
            raise BusError('protocol', 'a big-endian message')
        kind, size, length = head[1], *struct.unpack_from('<I', head, 4), \
            struct.unpack_from('<I', head, 12)[0]
        fields = self._read(length + -(length) % 8)
        body = self._read(size)
        reply_to, error, at = 0, '', 0
        while at < length:
            at += -at % 8
            code, at = fields[at], at + 1
            n = fields[at]
            form, at = fields[at + 1:at + 1 + n].decode(), at + n + 2
            if form == 'u':
                at += -at % 4
                value = struct.unpack_from('<I', fields, at)[0]
                at += 4
            elif form == 'g':
                n = fields[at]
                value, at = fields[at + 1:at + 1 + n].decode(), at + n + 2
            else:
                at += -at % 4
                n = struct.unpack_from('<I', fields, at)[0]
                value, at = fields[at + 4:at + 4 + n].decode(), at + n + 5
            if code == 5:
                reply_to = value
            elif code == 4:
                error = value
        return kind, reply_to, error, body
