#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""vfio-devices.py [peer]: real devices in a guest, each by its stock driver, and back to the host."""

import sys

import hostpci
import passed
from guestlab import CMDLINE, Machine, Peer, Suite, image

WORDS = ['nvme', 'frame', 'draw', 'sound', 'usb', 'nic1', 'nic0']
NAMES = ['gpu0', 'sound0', 'gpu1', 'nvme0', 'nic0', 'xhci0', 'nic1']


def peer(suite, name, initrd, found, word):
    argv = ['-kernel', image('kernel'), '-initrd', initrd, '-append', CMDLINE,
            '-drive', f'if=none,id=word,file={word.path},format=raw',
            '-device', 'virtio-blk-pci,drive=word']
    for i, at in enumerate(found):
        if at.endswith('.1'):
            argv += ['-device', f'vfio-pci,host={at},bus=p{i - 1},addr=0.1']
        else:
            argv += ['-device', f'pcie-root-port,id=p{i},chassis={i + 1},slot={i}',
                     '-device', f'vfio-pci,host={at},bus=p{i},addr=0.0,multifunction=on']
    return Peer(suite, name, argv).start()


def use(suite, kind):
    monitor = hostpci.Monitor()
    passed.prepare()
    word = passed.Word(suite)
    initrd = suite.initrd('all', passed.FUNCTIONS + '\n'.join(WORDS) + '\nmodes\necho ALL-DONE\njobs\n', passed.MODULES)
    with hostpci.lent(*NAMES) as found:
        with peer(suite, kind, initrd, found, word) as guest:
            guest.wait_serial('^ALL-DONE', 120)
            text = guest.serial()
            passed.check_guest(suite, text, monitor, WORDS)
            passed.check_interrupts(suite, text, WORDS)
            passed.check_jobs(suite, guest, word)
            guest.wait_exit(30)
    passed.check_host(suite, WORDS)


def main():
    kind = 'peer'
    suite = Suite('vfio-devices')
    suite.case('all devices in one guest', use, suite, kind)
    return suite.end()


if __name__ == '__main__':
    sys.exit(main())
