# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines whose guest is a payload that has an NVMe controller answer by DMA: soon begun, soon over."""

import contextlib
import os
import re
import subprocess

import hostpci
from guestlab import BUILD, Machine

PAYLOAD = os.path.join(BUILD, 'tests', 'guests', 'payload', 'nvme.elf')


def payload(suite, name, devices=('nvme0',), stay=False, keys=()):
    """A machine with these devices whose guest drives the NVMe controller. keys: more of them for
    each device."""
    return Machine(suite, name, {
        'memory': 64, 'firmware': 'none', 'debug-exit': '0xf4', 'on-triple-fault': 'stop',
        'kernel': PAYLOAD, 'cmdline': 'stay' if stay else 'once'},
        [(f'pci {n}', {'host': hostpci.address(n), 'address': f'{i:02x}:00.0', **dict(keys)})
         for i, n in enumerate(devices, 1)])


def lives(guest, serial='LAB-NVME'):
    """The payload ran to its good end (status 1 is its own)."""
    return guest.wait_exit(20) == 1 and f'SERIAL {serial}' in guest.serial(), guest.serial()


def alcove(*args):
    r = subprocess.run([os.path.join(BUILD, 'app', 'programs', 'alcove'), *args],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    return r.returncode, r.stdout, r.stderr


def start_fails(suite, what, guest, *patterns):
    """The machine does not start, says why, and nothing of it stays."""
    with guest:
        guest.start()
        status = guest.wait_exit(20)
        text = guest.messages()
    suite.ok(status != 0 and 'STAYS' not in guest.serial() and
             all(re.search(p, text, re.I) for p in patterns), what, f'status {status}\n{text}')


@contextlib.contextmanager
def setting(path, value):
    """A file of /sys has this value for a while."""
    old = hostpci.read(path)
    hostpci.write(path, value)
    try:
        yield
    finally:
        hostpci.write(path, old)
