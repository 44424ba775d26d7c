# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests of the lab's command to the emulator that carries it: what a hand would do to real
hardware. They come on the port lab.monitor, a line each; the answer is "ok SIZE" or "error SIZE",
a newline and so many bytes.

  screendump DEVICE                    what the screen on that card shows: a PPM
  device_add TEXT | device_del ID      puts a card into a slot, takes it out
  set_link NETWORK on|off              the cable
  info TEXT                            what the emulator knows

Other commands of the emulator's monitor are refused: they reach files of this side.
"""

import json
import os
import socket

ALLOWED = ('device_add', 'device_del', 'set_link', 'info')
PATIENCE = 20       # seconds for one command


class Monitor:
    """The emulator's machine protocol (QMP) on one side, the port's lines on the other."""

    def __init__(self, folder, port):
        self.folder = folder
        self.port = port
        self.pending = b''
        self.ours, theirs = socket.socketpair()
        self.theirs = theirs
        self.ours.settimeout(PATIENCE)
        self.stream = None

    def arguments(self):
        return ['-chardev', f'socket,id=qmp,fd={self.theirs.fileno()}',
                '-mon', 'chardev=qmp,mode=control']

    def execute(self, command, **arguments):
        """The result of a QMP command; RuntimeError with the emulator's words."""
        if self.stream is None:
            self.stream = self.ours.makefile('rb')
            self.stream.readline()      # the greeting
            self.execute('qmp_capabilities')
        self.ours.sendall(json.dumps({'execute': command, 'arguments': arguments}).encode())
        while True:
            line = self.stream.readline()
            if not line:
                raise RuntimeError('the emulator has gone')
            answer = json.loads(line)
            if 'error' in answer:
                raise RuntimeError(answer['error']['desc'])
            if 'return' in answer:
                return answer['return']

    def perform(self, line):
        word, _, rest = line.partition(' ')
        if word == 'screendump':
            path = os.path.join(self.folder, 'screen.ppm')
            self.execute('screendump', filename=path, device=rest)
            with open(path, 'rb') as f:
                return f.read()
        if word not in ALLOWED:
            raise RuntimeError(f'{word} is not for the lab; there is: screendump, {", ".join(ALLOWED)}')
        text = self.execute('human-monitor-command', **{'command-line': line})
        if text.lower().startswith('error'):
            raise RuntimeError(text)
        return text.encode()

    def serve(self, data):
        """Takes what came on the port and answers each whole line."""
        *lines, self.pending = (self.pending + data).split(b'\n')
        for line in lines:
            try:
                word, body = 'ok', self.perform(line.decode(errors='replace').strip())
            except (RuntimeError, OSError, ValueError) as e:
                word, body = 'error', str(e).encode()
            self.port.sendall(f'{word} {len(body)}\n'.encode() + body)
