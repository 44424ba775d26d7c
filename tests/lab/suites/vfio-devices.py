#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""vfio-devices.py [peer]: devices of the host in a guest, each by its stock driver, the data path
watched; taken out, put in and asked back while it runs; and back to the host. With "peer" QEMU is the
VMM (and nothing is plugged): what fails there is the lab's fault."""

import subprocess
import sys

import hostpci
import passed
from guestlab import PASSED_MODULES, QUICK, Machine, Peer, Suite, image, modules

WORDS = ['nvme', 'frame', 'draw', 'sound', 'usb', 'nic1', 'nic0']
NAMES = {'gpu0': '01:00.0', 'sound0': '01:00.1', 'gpu1': '02:00.0', 'nvme0': '03:00.0',
         'nic0': '04:00.0', 'xhci0': '05:00.0', 'nic1': '06:00.0'}      # where the guest has them
COMMAND_LINE = QUICK + modules('virtio_blk', 'nvme', 'af_packet', 'sd_mod', 'evdev', *PASSED_MODULES)


def peer(suite, initrd, word):
    argv = ['-kernel', image('kernel'), '-initrd', initrd, '-append', COMMAND_LINE,
            '-drive', f'if=none,id=word,file={word.path},format=raw',
            '-device', 'virtio-blk-pci,drive=word']
    for name, place in NAMES.items():
        port = int(place[:2])
        if place.endswith('.0'):
            argv += ['-device', f'pcie-root-port,id=port{port},chassis={port},slot={port}']
        argv += ['-device', f'vfio-pci,host={hostpci.address(name)},bus=port{port},'
                 f'addr={place[4:]},multifunction=on']
    return Peer(suite, 'peer', argv)


def ours(suite, initrd, word):
    return Machine(suite, 'ours', {
        'firmware': 'none', 'kernel': image('kernel'), 'initrd': initrd, 'cmdline': COMMAND_LINE},
        [('disk word', {'file': word.path, 'format': 'raw'}),
         *((f'pci {n}', {'host': hostpci.address(n), 'address': a}) for n, a in NAMES.items())])


def plug(suite, guest, word):
    """An NVMe disk leaves and comes back by our hand, the USB controller leaves by the host's."""
    at = hostpci.address('nvme0')
    word.go(guest, 'unplug')
    guest.call('RemovePci', 'sa{sv}', 'nvme0', {}, seconds=30)
    guest.wait_serial('^HOT-GONE', 20)
    suite.ok(True, 'a device is taken out of the running guest')
    hostpci.bind(at, None)
    suite.ok(passed.holds(hostpci.wait(passed.nvme, 20), 8 * passed.MIB, 4 * passed.MIB, 12),
             'the host has it while the guest runs on')
    hostpci.bind(at)
    guest.call('AddPci', 'as', [f'[pci nvme0]\nhost={at}\naddress={NAMES["nvme0"]}\n'], seconds=30)
    guest.wait_serial('^HOT-BACK', 60)
    suite.ok(True, 'and the guest gets it back, and works with it')

    at = hostpci.address('xhci0')
    word.go(guest, 'request')
    with subprocess.Popen(['sh', '-c', f'echo {at} >{hostpci.DEVICES}/{at}/driver/unbind']) as unbind:
        guest.wait_serial('^REQUEST-GONE', 60)
        suite.ok(unbind.wait(30) == 0 and hostpci.driver(at) is None,
                 'what the host asks back leaves the guest, which goes on')


def use(suite, kind):
    monitor = hostpci.Monitor()
    passed.prepare()
    word = passed.Word(suite)
    end = 'modes\necho ALL-DONE\njobs\n' + ('plug\n' if kind is ours else '')
    initrd = suite.initrd('all', passed.FUNCTIONS + '\n'.join(WORDS) + '\n' + end, PASSED_MODULES)
    with hostpci.lent(*NAMES):
        with kind(suite, initrd, word) as guest:
            guest.start()
            guest.wait_serial('^ALL-DONE', 120)
            text = guest.serial()
            passed.check_guest(suite, text, monitor, WORDS)
            passed.check_interrupts(suite, text, WORDS)
            passed.check_jobs(suite, guest, word)
            if kind is ours:
                plug(suite, guest, word)
            guest.wait_serial('^ALCOVE-GUEST: script ended with status 0', 30)
            status = guest.wait_exit(30)
            suite.ok(status == 0, 'powers off in order', f'status {status}\n{guest.messages()}')
    passed.check_host(suite, WORDS)


def main():
    suite = Suite('vfio-devices')
    suite.case('all devices in one guest', use, suite, peer if sys.argv[1:] == ['peer'] else ours)
    return suite.end()


if __name__ == '__main__':
    sys.exit(main())
