#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passing a device through, seen from the host: twenty lives of a machine, groups and the kernel's
verdict on them, and what goes wrong. The guest is a payload that has an NVMe controller answer a
command by DMA."""

import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

import hostpci
import passed
from guestlab import BUILD, Machine, Suite

CYCLES = 20


def payload(suite, name, devices=('nvme0',), stay=False, keys=()):
    """A machine with these devices whose guest drives the NVMe controller. keys: more of them for
    each device."""
    return Machine(suite, name, {
        'memory': 64, 'firmware': 'none', 'debug-exit': '0xf4', 'on-triple-fault': 'stop',
        'kernel': os.path.join(BUILD, 'tests', 'guests', 'payload', 'nvme.elf'),
        'cmdline': 'stay' if stay else 'once'},
        [(f'pci {n}', {'host': hostpci.address(n), 'address': f'{i:02x}:00.0', **dict(keys)})
         for i, n in enumerate(devices, 1)])


def lives(guest):
    """The payload ran to its good end (status 1 is its own)."""
    text = guest.serial()
    return guest.wait_exit(20) == 1 and 'SERIAL LAB-NVME' in guest.serial(), text


def cycles(suite):
    """Start, use, stop, again and again; the host's driver has the device after each fifth."""
    disk = hostpci.wait(passed.nvme, 30, 'NVMe disk')
    passed.pattern(disk, 0, passed.MIB, 11)
    good, times, back = 0, [], 0
    for i in range(CYCLES // 5):
        with hostpci.lent('nvme0'):
            for _ in range(5):
                begin = time.monotonic()
                with payload(suite, 'cycle') as guest:
                    guest.start()
                    good += lives(guest)[0]
                times.append(time.monotonic() - begin)
        back += passed.holds(hostpci.wait(passed.nvme, 30, 'NVMe disk'), 0, passed.MIB, 11)
    suite.ok(good == CYCLES, f'{CYCLES} machines in a row have the device', f'{good}')
    suite.ok(back == CYCLES // 5, 'the host has it in between', back)
    print(f'# {CYCLES} lives of {min(times):.1f} to {max(times):.1f} s')


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


def works(suite, what):
    with payload(suite, 'after') as guest:
        guest.start()
        good, text = lives(guest)
        suite.ok(good, what, text + guest.messages())


@contextlib.contextmanager
def setting(path, value):
    """A file of /sys has this value for a while."""
    old = hostpci.read(path)
    hostpci.write(path, value)
    try:
        yield
    finally:
        hostpci.write(path, old)


def no_limit_for(user, kib):
    """For a child: this user, with so much memory that it may lock."""
    def change():
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (kib << 10, kib << 10))
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    return change


def faults(suite):
    monitor = hostpci.Monitor()
    at = hostpci.address('nvme0')
    number = hostpci.group(at)

    with hostpci.lent('nvme0'):
        fd = os.open(f'/dev/vfio/{number}', os.O_RDWR)
        start_fails(suite, 'a group that another program has open is named', payload(suite, 'busy'),
                    re.escape(at), 'use|open')
        os.close(fd)

        with setting('/sys/module/vfio_iommu_type1/parameters/dma_entry_limit', '1'):
            start_fails(suite, 'mapping memory fails half-way: the cause is said',
                        payload(suite, 'entries'), 'map')
        works(suite, 'and nothing stays of it: the next machine has the device')

        rom = suite.path('rom')
        with open(rom, 'wb') as f:
            f.write(b'\x55\xaa' + os.urandom(4094))
        start_fails(suite, 'a start-up program that is none is refused by name',
                    payload(suite, 'rom', keys={'rom-file': rom}), re.escape(rom))

        with payload(suite, 'killed', stay=True) as guest:
            guest.start()
            guest.wait_serial('^STAYS', 30)
            guest.process.send_signal(signal.SIGKILL)
            guest.wait_exit(10)
        works(suite, 'after kill -9 in the middle of a command the device is usable')

        with hostpci.lent('nic0'):
            with payload(suite, 'error', ('nvme0', 'nic0'), stay=True) as guest:
                guest.start()
                guest.wait_serial('^STAYS', 30)
                hostpci.inject_error(hostpci.address('nic0'))
                reason = ''
                try:
                    hostpci.wait(lambda: guest.text_property('State') == 'paused', 20, 'pause')
                    reason = guest.text_property('StateReason')
                except TimeoutError as e:
                    reason = str(e)
                detail = guest.text_property('StateDetail')
                suite.ok(reason == 'device-error' and hostpci.address('nic0') in detail,
                         'an error that the card reports pauses the machine, and says which card',
                         f'{reason}: {detail}')

    start_fails(suite, 'a device that its driver has is not taken from it',
                payload(suite, 'driver'), re.escape(at), 'driver|nvme')
    suite.ok(hostpci.driver(at) == 'nvme', 'and stays with its driver')
    del monitor


def main():
    suite = Suite('vfio-host')
    suite.case('twenty lives', cycles, suite)
    suite.case('faults', faults, suite)
    return suite.end()


if __name__ == '__main__':
    sys.exit(main())
