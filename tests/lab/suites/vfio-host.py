#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""vfio-host.py [CASE...]: passing a device through, seen from the host: twenty lives of a machine, groups and the kernel's
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
import vfs
import vgabios
from guestlab import BUILD, Machine, Suite
from payloads import PAYLOAD, alcove, lives, payload, setting, start_fails

CYCLES = 20
NOBODY = 65534


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


def works(suite, what):
    with payload(suite, 'after') as guest:
        guest.start()
        good, text = lives(guest)
        suite.ok(good, what, text + guest.messages())


def as_user(user, kib):
    """For a child: this user, who may lock so much memory."""
    def change():
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (kib << 10, kib << 10))
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    return change


def little_memlock(suite, number):
    """A user to whom the group was given, but not the right to lock the machine's memory."""
    guest = payload(suite, 'memlock')
    home = suite.path('home')
    os.makedirs(home)
    for path in (home, f'/dev/vfio/{number}', guest.folder, guest.conf):
        os.chown(path, NOBODY, NOBODY)
    os.chown(guest.serial_path, NOBODY, NOBODY)
    os.chmod(suite.folder, 0o755)
    os.chmod('/dev/kvm', 0o666)
    os.chmod('/dev/vfio/vfio', 0o666)
    guest.runtime = os.path.join(home, 'run')
    with guest:
        guest.spawn([os.path.join(BUILD, 'app', 'programs', 'alcove-vmm'), '--conf', guest.conf,
                     '--runtime-dir', guest.runtime], preexec_fn=as_user(NOBODY, 8 << 10))
        status = guest.wait_exit(20)
        text = guest.messages()
    suite.ok(status == 1 and re.search('6[34] MiB.*limit is 8 MiB', text),
             'too low a limit on locked memory is said with what is needed', f'{status}\n{text}')
    os.chown(f'/dev/vfio/{number}', 0, 0)


def taken(suite):
    """Taken from the host by "alcove pci bind"; the VMM is killed in the middle of commands; the
    ledger's release puts everything back."""
    at = hostpci.address('nvme0')
    status, _, said = alcove('pci', 'bind', at)
    suite.ok(status == 0 and hostpci.driver(at) == 'vfio-pci', 'pci bind takes it from its driver', said)
    with payload(suite, 'killed', stay=True) as guest:
        guest.start()
        guest.wait_serial('^STAYS', 30)
        status, _, said = alcove('pci', 'release', at)
        suite.ok(status != 0 and hostpci.driver(at) == 'vfio-pci' and guest.process.poll() is None,
                 'what a machine uses is not released', said)
        guest.process.send_signal(signal.SIGKILL)
        guest.wait_exit(10)
    works(suite, 'after kill -9 in the middle of commands the device is usable')
    with payload(suite, 'killed-again', stay=True) as guest:
        guest.start()
        guest.wait_serial('^STAYS', 30)
        guest.process.send_signal(signal.SIGKILL)
        guest.wait_exit(10)
    status, out, _ = alcove('pci', 'list-bound', '--json')
    suite.ok(status == 0 and at in out, 'the ledger knows of it', out)
    status, _, said = alcove('pci', 'release')
    _, out, _ = alcove('pci', 'list-bound', '--json')
    suite.ok(status == 0 and hostpci.driver(at) == 'nvme' and json.loads(out) == [] and
             not hostpci.read(f'{hostpci.DEVICES}/{at}/driver_override').strip('(null)'),
             'after another kill the release gives it back to its driver', f'{said}\n{out}')
    disk = hostpci.wait(passed.nvme, 30, 'NVMe disk')
    passed.pattern(disk, passed.MIB, passed.MIB, 16)
    suite.ok(passed.holds(disk, passed.MIB, passed.MIB, 16), 'which works with it')


def card_error(suite):
    with hostpci.lent('nic0') as (nic,), payload(suite, 'error', ('nvme0', 'nic0'), stay=True) as guest:
        guest.start()
        guest.wait_serial('^STAYS', 30)
        hostpci.inject_error(nic)
        try:
            hostpci.wait(lambda: guest.text_property('State') == 'paused', 20, 'pause')
        except TimeoutError:
            pass
        said = [guest.text_property(n) for n in ('State', 'StateReason', 'StateDetail')]
        suite.ok(said[:2] == ['paused', 'device-error'] and nic in said[2],
                 'an error that a card reports pauses the machine, and says which card', said)


def got(suite):
    """What nobody uses is taken from its driver for the machine's life."""
    nic = hostpci.address('nic0')
    before = hostpci.driver(nic)
    with hostpci.lent('nvme0'), payload(suite, 'got', ('nvme0', 'nic0')) as guest:
        guest.start()
        good, text = lives(guest)
        said = guest.messages()
    suite.ok(good and before == 'e1000e', 'a card that nobody uses is got from its driver',
             text + said)
    suite.ok(hostpci.driver(nic) == before, 'and goes back to it', hostpci.driver(nic))


def vanished(suite, monitor):
    """A card that was there when the machine was defined."""
    port = hostpci.places()['spare']
    monitor.ask('device_add e1000,id=guest,bus=rp190')
    at = hostpci.wait(lambda: hostpci.below(port), 20, 'card')
    hostpci.bind(at)
    guest = Machine(suite, 'vanished', {'memory': 64, 'firmware': 'none', 'kernel': PAYLOAD,
                                        'cmdline': 'once'}, [('pci card', {'host': at})])
    monitor.ask('device_del guest')
    hostpci.wait(lambda: not hostpci.below(port), 20, 'empty slot')
    start_fails(suite, 'a card that has gone is named', guest, re.escape(at), 'no such|not there|gone|no PCI device')


@contextlib.contextmanager
def without_power(at):
    """The slot's power is off while the kernel believes that the card is there: its configuration space
    reads as all ones."""
    port = os.path.basename(os.path.dirname(os.path.realpath(f'{hostpci.DEVICES}/{at}')))
    # Or the kernel waits a minute for it to come back from a reset.
    hostpci.write(f'{hostpci.DEVICES}/{at}/reset_method', '\n')
    with open(f'{hostpci.DEVICES}/{port}/config', 'r+b', buffering=0) as config:
        data = config.read(256)
        where = data[0x34]
        while data[where] != 0x10:              # PCI Express
            where = data[where + 1]
        control = int.from_bytes(data[where + 0x18:where + 0x1a], 'little')     # of the slot

        def power(off):
            config.seek(where + 0x18)
            config.write((control & ~0x400 | off << 10).to_bytes(2, 'little'))

        power(True)
        try:
            yield
        finally:
            power(False)
    hostpci.unbind(at)
    hostpci.write(f'{hostpci.DEVICES}/{at}/remove', '1')
    hostpci.write('/sys/bus/pci/rescan', '1')
    hostpci.wait(lambda: os.path.exists(f'{hostpci.DEVICES}/{at}'), 20, 'card')


def dead(suite):
    """A card that does not answer any more."""
    with hostpci.lent('gpu1') as (at,):
        with without_power(at):
            with open(f'{hostpci.DEVICES}/{at}/config', 'rb') as f:
                ones = f.read(64) == bytes([255]) * 64
            start_fails(suite, 'a card whose configuration space is all ones is named',
                        Machine(suite, 'dead', {'memory': 64, 'firmware': 'none', 'kernel': PAYLOAD,
                                                'cmdline': 'once'}, [('pci card', {'host': at})]),
                        re.escape(at), 'does not answer')
        suite.ok(ones, 'the host read the same')


def faults(suite):
    at = hostpci.address('nvme0')
    number = hostpci.group(at)
    with hostpci.lent('nvme0'):
        fd = os.open(f'/dev/vfio/{number}', os.O_RDWR)
        start_fails(suite, 'a group that another program has open is named', payload(suite, 'busy'),
                    re.escape(at), 'use|open')
        os.close(fd)
        with setting('/sys/module/vfio_iommu_type1/parameters/dma_entry_limit', '1'):
            start_fails(suite, 'mapping memory fails half-way: the cause is said',
                        payload(suite, 'entries'), re.escape(at), 'dma_entry_limit')
        little_memlock(suite, number)
        works(suite, 'nothing stays of these: the next machine has the device')

        rom = suite.path('rom')
        with open(rom, 'wb') as f:
            f.write(b'\x55\xaa' + os.urandom(4094))
        start_fails(suite, 'a start-up program that is none is refused',
                    payload(suite, 'rom', keys={'rom-file': rom}), 'rom file', re.escape(at))
        card_error(suite)
    with open(hostpci.wait(passed.nvme, 30, 'NVMe disk'), 'rb'):
        start_fails(suite, 'a disk that somebody has open is not taken from its driver',
                    payload(suite, 'driver'), re.escape(at), 'use|open')
    suite.ok(hostpci.driver(at) == 'nvme', 'and stays with its driver')
    got(suite)
    dead(suite)
    with hostpci.Monitor() as monitor:
        vanished(suite, monitor)


def agree(suite, what, *names, expected):
    """The product's word on the group of these devices is the kernel's."""
    number = hostpci.group(hostpci.address(names[0]))
    status, out, err = alcove('pci', 'list', '--json')
    groups = {str(g['id']): g['viable'] for g in json.loads(out)['groups']} if status == 0 else {}
    kernel = hostpci.viable(number)
    suite.ok(kernel is expected and groups.get(number) is kernel, what,
             f'kernel {kernel}, alcove {groups.get(number)}, expected {expected} {err}')


def mates(suite, name, mate, driver):
    """The group of two devices, while the second has no driver, its own, and vfio-pci."""
    at, other = hostpci.address(name), hostpci.address(mate)
    suite.ok(hostpci.group(at) == hostpci.group(other), f'{name} and {mate} share a group')
    with hostpci.lent(name):
        agree(suite, f'{name}: free when {mate} has no driver', name, expected=True)
        hostpci.bind(other, driver)
        agree(suite, f'{name}: not free while {driver} has {mate}', name, expected=False)
        _, out, _ = alcove('pci', 'check', at, '--json')
        card = json.loads(out)['cards'][0]
        suite.ok(not card['viable'] and other in card['takes'] + card['mates'],
                 f'pci check {name} says that {mate} travels with it', out)
        start_fails(suite, f'a machine with {name} names {mate} and its driver',
                    Machine(suite, 'mates', {'memory': 64, 'firmware': 'none', 'kernel': PAYLOAD,
                                             'cmdline': 'once'}, [('pci card', {'host': at})]),
                    re.escape(other), driver)
        hostpci.bind(other)
        agree(suite, f'{name}: free when both are vfio-pci\'s', name, expected=True)
        hostpci.bind(other, None)


def groups(suite):
    hostpci.modprobe('bochs', 'snd_hda_intel')
    with hostpci.lent('nvme0'):
        agree(suite, 'a device behind a port of its own is free', 'nvme0', expected=True)
    for name, mate, driver in (('nic2', 'gpu3', 'bochs-drm'), ('nic3', 'gpu4', 'bochs-drm'),
                               ('gpu0', 'sound0', 'snd_hda_intel')):
        hostpci.unbind(hostpci.address(mate))
        mates(suite, name, mate, driver)


def main():
    suite = Suite('vfio-host')
    cases = {'groups': groups, 'faults': faults, 'taken': taken, 'lives': cycles, 'shared': vfs.shared,
             'token': vfs.token, 'vgabios': vgabios.seabios}
    for name in sys.argv[1:] or cases:
        suite.case(name, cases[name], suite)
    return suite.end()


if __name__ == '__main__':
    sys.exit(main())
