#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""vfio-devices.py [peer|page]: devices of the host in a guest, each by its stock driver, the data path
watched; taken out, put in and asked back while it runs; and back to the host. With "peer" QEMU is the
VMM (and nothing is plugged): what fails there is the lab's fault. With "page" the window does it, which
takes minutes."""

import os
import subprocess
import sys

import hostpci
import passed
import passpage
from guestlab import BUILD, PASSED_MODULES, QUICK, SLOW, Machine, Peer, Suite, image, modules

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
    end = 'modes\necho ALL-DONE\njobs\nbus\n' + ('plug\n' if kind is ours else '')
    initrd = suite.initrd('all', passed.FUNCTIONS + '\n'.join(WORDS) + '\n' + end, PASSED_MODULES)
    with hostpci.lent(*NAMES):
        with kind(suite, initrd, word) as guest:
            guest.start()
            guest.wait_serial('^ALL-DONE', 120)
            text = guest.serial()
            passed.check_guest(suite, text, monitor, WORDS)
            passed.check_interrupts(suite, text, WORDS)
            passed.check_jobs(suite, guest, word)
            passed.check_bus_reset(suite, guest)
            if kind is ours:
                plug(suite, guest, word)
            guest.wait_serial('^ALCOVE-GUEST: script ended with status 0', 30)
            status = guest.wait_exit(30)
            suite.ok(status == 0, 'powers off in order', f'status {status}\n{guest.messages()}')
    passed.check_host(suite, WORDS, monitor)


CARDS = """
echo READY
known=$(ls /sys/bus/pci/devices)
while :; do
  for d in $(ls /sys/bus/pci/devices); do
    case $known in *$d*) ;; *) echo "CAME $d $(cat /sys/bus/pci/devices/$d/vendor)" ;; esac
  done
  for d in $known; do [ -e /sys/bus/pci/devices/$d ] || echo "WENT $d"; done
  known=$(ls /sys/bus/pci/devices)
  sleep 1
done
"""


def command_line(suite):
    """A card of two parts by name: put into a running machine of the library, and taken out."""
    env = dict(os.environ, ALCOVE_LIBEXECDIR=os.path.join(BUILD, 'app', 'programs'))
    for name, folder in (('XDG_DATA_HOME', 'card.data'), ('XDG_RUNTIME_DIR', 'card.run')):
        env[name] = suite.path(folder)
        os.makedirs(env[name], mode=0o700)

    def alcove(*args):
        done = subprocess.run([os.path.join(BUILD, 'app', 'programs', 'alcove'), *args], env=env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=60 * SLOW, check=False)
        if done.returncode:
            raise RuntimeError(f'alcove {" ".join(args)}: status {done.returncode}: {done.stderr}')
        return done.stdout.split()

    guest = Machine(suite, 'card', {
        'firmware': 'none', 'kernel': image('kernel'), 'initrd': suite.initrd('card', CARDS),
        'cmdline': QUICK})
    folder = os.path.join(env['XDG_DATA_HOME'], 'alcove', 'machines', 'card')
    os.makedirs(os.path.dirname(folder))
    os.rename(guest.folder, folder)
    parts = [hostpci.address(n) for n in ('gpu0', 'sound0')]
    before = [hostpci.driver(at) for at in parts]
    alcove('start', 'card')
    guest.process = subprocess.Popen(['sleep', '1000'])     # what is asked whether the guest lives
    try:
        guest.wait_serial('^READY', 60)
        names = alcove('pci', 'attach', 'card', parts[0])
        came = guest.wait_serial(r'^CAME \S+\.([01]) 0x', 60, 2)
        with open(os.path.join(folder, 'machine.conf'), encoding='utf-8') as f:
            text = f.read()
        suite.ok(len(names) == 2 and {m[1] for m in came} == {'0', '1'} and
                 all(at in text for at in parts),
                 'alcove pci attach: both parts of a card come to the running guest',
                 f'{names} {came}\n{text}')
        alcove('pci', 'detach', 'card', names[0])
        guest.wait_serial('^WENT', 60, 2)
        with open(os.path.join(folder, 'machine.conf'), encoding='utf-8') as f:
            text = f.read()
        suite.ok('[pci' not in text and
                 hostpci.wait(lambda: [hostpci.driver(at) for at in parts] == before, 20),
                 'alcove pci detach: both go, and the host has them as before', text)
    finally:
        guest.process.kill()
        guest.process.wait()
        alcove('stop', '--force', 'card')


def page(suite):
    """A card of two parts by the window, in a running machine."""
    guest = Machine(suite, 'page', {
        'firmware': 'none', 'kernel': image('kernel'), 'memory': 256,
        'initrd': suite.initrd('card', CARDS), 'cmdline': QUICK}, [('display screen', {})])
    hostpci.modprobe('snd_hda_intel')
    hostpci.wait(lambda: hostpci.driver(hostpci.address('sound0')), 30, 'driver of sound0')
    passpage.page(suite, guest, ['gpu0', 'sound0'])


def main():
    suite = Suite('vfio-devices')
    mode = sys.argv[1] if len(sys.argv) > 1 else ''
    if mode == 'page':
        suite.case('the page', page, suite)
        return suite.end()
    if mode != 'peer':
        suite.case('a card by the command line', command_line, suite)
    suite.case('all devices in one guest', use, suite, peer if mode == 'peer' else ours)
    return suite.end()


if __name__ == '__main__':
    sys.exit(main())
