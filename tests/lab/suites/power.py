#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reboots, the power button, pause and reset of a stock guest."""

import sys
import time

from guestlab import QUICK, Machine, Suite, image, modules

REBOOTS = 10


def reboots(suite):
    kernel = image('kernel')
    ramdisk = suite.initrd('reboots', 'n=$(guest disk count /dev/vda 0)\n'
                                      'echo "BOOT $n"\n'
                                      f'[ "$n" -gt {REBOOTS} ] || reboot -f\n')
    disk = suite.blank('counter.img', 1)
    with Machine(suite, 'reboots', {'firmware': 'none', 'kernel': kernel, 'initrd': ramdisk,
                                    'cmdline': QUICK + modules('virtio_blk'), 'memory': 128},
                 [('disk counter', {'file': disk})]).start() as guest:
        for n in range(1, REBOOTS + 2):
            guest.wait_serial(rf'^BOOT {n}$', 30)
        status = guest.wait_exit(20)
        suite.ok(True, f'{REBOOTS} reboots in a row')
        suite.ok(status == 0, 'then powers off in order', f'status {status}\n{guest.messages()}')
    with open(disk, 'rb') as f:
        n = int.from_bytes(f.read(8), 'little')
    suite.ok(n == REBOOTS + 1, 'the counter on the disk agrees', n)


def button(suite):
    kernel = image('kernel')
    ramdisk = suite.initrd('button', 'guest events 120 116 && echo BUTTON-PRESSED\n')
    with Machine(suite, 'button', {'firmware': 'none', 'kernel': kernel, 'initrd': ramdisk,
                                   'cmdline': QUICK + modules('evdev', 'button'),
                                   'cpus': 2}).start() as guest:
        guest.wait_serial(r'^EVENTS ready', 30)
        guest.call('PowerButton')
        guest.wait_serial(r'^BUTTON-PRESSED', 10)
        status = guest.wait_exit(15)
        suite.ok(status == 0, 'the guest sees the ACPI power button and powers off',
                 f'status {status}\n{guest.messages()}')


def pause(suite):
    kernel = image('kernel')
    ramdisk = suite.initrd('pause', 'i=0; while :; do i=$((i+1)); echo "TICK $i"; sleep 1; done\n')
    with Machine(suite, 'pause', {'firmware': 'none', 'kernel': kernel, 'initrd': ramdisk,
                                  'cmdline': QUICK + modules('button'), 'cpus': 2}).start() as guest:
        guest.wait_serial(r'^TICK 2$', 30)
        guest.call('Pause')
        before = guest.serial()
        time.sleep(3)
        suite.ok(guest.serial() == before, 'a paused guest stands still',
                 guest.serial()[len(before):])
        guest.call('Resume')
        ticks = before.count('TICK')
        guest.wait_serial(r'^TICK', 10, ticks + 2)
        suite.ok(True, 'and goes on when resumed')
        guest.call('Reset')
        guest.wait_serial(r'^TICK 1$', 30, 2)
        suite.ok(True, 'reset starts it anew')
        guest.call('Quit')
        status = guest.wait_exit(15)
        suite.ok(status == 0, 'force off ends it', f'status {status}\n{guest.messages()}')


def main():
    suite = Suite('power')
    suite.case('power button', button, suite)
    suite.case('pause', pause, suite)
    suite.case('reboots', reboots, suite)
    return suite.end()


if __name__ == '__main__':
    sys.exit(main())
