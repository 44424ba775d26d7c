#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""SATA under a stock guest: disk with NCQ, CD-ROM, change of medium, locked tray,
hot-plug, boot by BIOS."""

import os
import re
import subprocess
import sys
import time

import peerbus
from guestlab import CMDLINE, Machine, Suite, image, tool

MIB = 1 << 20
CD_BYTES = 2 * MIB

SCRIPT = '''
dmesg | grep -E 'ahci|ata[0-9]|sr [0-9]|sr0' | sed 's/^/KERNEL /'
echo "DEPTH $(cat /sys/block/sda/device/queue_depth)"
guest disk write /dev/sda 1048576 8388608 77 && echo DISK-WRITTEN
for i in 0 1 2 3 4 5 6 7; do
  guest disk verify /dev/sda $((16777216 + i * 1048576)) 1048576 78 && echo DISK-READ &
done
wait
guest disk verify /dev/sr0 0 2097152 81 && echo CD-READ
n=0
until guest disk verify /dev/sr0 0 2097152 82 2>/dev/null; do
  n=$((n + 1)); [ $n -gt 60 ] && break; sleep 1
done
guest disk verify /dev/sr0 0 2097152 82 && echo CD-CHANGED
sleep 1000 </dev/sr0 &
holder=$!
sleep 1
echo CD-HELD
n=0
while guest disk verify /dev/sr0 0 65536 82 2>/dev/null; do
  n=$((n + 1)); [ $n -gt 60 ] && break
  echo 3 >/proc/sys/vm/drop_caches; sleep 1
done
kill $holder
sleep 1
guest disk verify /dev/sr0 0 65536 82 2>/dev/null || echo CD-GONE
echo HOT-READY
n=0
until [ -e /dev/sdb ]; do n=$((n + 1)); [ $n -gt 60 ] && break; sleep 1; done
guest disk verify /dev/sdb 0 1048576 90 && echo HOT-READ
n=0
while [ -e /dev/sdb ]; do n=$((n + 1)); [ $n -gt 60 ] && break; sleep 1; done
[ -e /dev/sdb ] || echo HOT-GONE
guest report | grep IRQ | grep -i ahci | sed 's/^/LAST /'
'''

# Saved, its disc changed while it is off, restored; then the same by taking it out.
AWAY = '''
guest disk verify /dev/sr0 0 2097152 81 && echo CD-READ
n=0
until guest disk verify /dev/sr0 0 2097152 82 2>/dev/null; do
  n=$((n + 1)); [ $n -gt 60 ] && break; sleep 1
done
guest disk verify /dev/sr0 0 2097152 82 && echo CD-OTHER
n=0
while guest disk verify /dev/sr0 0 65536 82 2>/dev/null; do
  n=$((n + 1)); [ $n -gt 60 ] && break; sleep 1
done
guest disk verify /dev/sr0 0 65536 82 2>/dev/null || echo CD-AWAY
'''

BOOT = '''
echo "ROOT-DISK $(cat /sys/block/sda/size)"
dmesg | grep -c 'exception Emask' | sed 's/^/EXCEPTIONS /'
'''


def refused(guest, method, signature, *values):
    """The message of an error, or None when there was none."""
    try:
        guest.call(method, signature, *values)
    except peerbus.BusError as e:
        return str(e)
    return None


def pattern(suite, name, seed):
    path = suite.blank(name, CD_BYTES // MIB)
    subprocess.run([tool(), 'disk', 'write', path, '0', str(CD_BYTES), str(seed)], check=True)
    return path


def run(suite):
    disk = suite.blank('disk.img', 64)
    subprocess.run([tool(), 'disk', 'write', disk, str(16 * MIB), str(8 * MIB), '78'], check=True)
    hot = suite.blank('hot.img', 8)
    subprocess.run([tool(), 'disk', 'write', hot, '0', str(MIB), '90'], check=True)
    first, second = pattern(suite, 'first.iso', 81), pattern(suite, 'second.iso', 82)
    with Machine(suite, 'drives', {
            'cpus': 2, 'firmware': 'none', 'kernel': image('kernel'),
            'initrd': suite.initrd('drives', SCRIPT), 'cmdline': CMDLINE},
            [('disk data', {'file': disk, 'bus': 'sata', 'serial': 'ROOM-0001'}),
             ('cdrom tray', {'file': first, 'port': 2})]).start() as guest:
        guest.wait_serial(r'^CD-READ', 60)
        queued = peerbus.parse_dict(guest.call('GetStats')).get('device.board.sata.queued-commands')
        guest.call('ChangeMedium', 'ssb', 'tray', second, False)
        guest.wait_serial(r'^CD-CHANGED', 40)
        guest.wait_serial(r'^CD-HELD', 20)
        locked = refused(guest, 'EjectMedium', 'sb', '', False)
        missing = refused(guest, 'ChangeMedium', 'ssb', 'tray', second + '.not', False)
        nobody = refused(guest, 'EjectMedium', 'sb', 'nobody', False)
        guest.call('EjectMedium', 'sb', '', True)
        guest.wait_serial(r'^HOT-READY', 60)
        guest.call('AddDisk', 's', f'[disk hot]\nfile={hot}\nbus=sata\nport=6\n')
        guest.wait_serial(r'^HOT-READ$', 60)
        guest.call('RemoveDisk', 'sa{sv}', 'hot', {'force': True})
        guest.wait_serial(r'^HOT-GONE', 60)
        guest.wait_serial(r'^ALCOVE-GUEST: script ended', 20)
        status = guest.wait_exit(15)
        text = guest.serial()

    kernel = '\n'.join(re.findall(r'^KERNEL .*$', text, re.M))
    suite.ok(status == 0, 'powers off in order', f'status {status}\n{guest.messages()}')
    suite.ok('NCQ (depth 32)' in kernel, 'the stock ahci driver takes the disk with NCQ', kernel)
    suite.ok(re.search(r'^DEPTH 32$', text, re.M), 'the disk has a queue of 32', text[-1500:])
    suite.ok((queued or 0) > 16, 'commands were queued', queued)
    suite.ok('DISK-WRITTEN' in text and subprocess.run(
        [tool(), 'disk', 'verify', disk, '1048576', '8388608', '77'], check=False).returncode == 0,
        'what the guest wrote is on the disk, seen from outside', text[-1500:])
    suite.ok(text.count('DISK-READ') == 8, 'eight readers at once read what is there', text[-1500:])
    suite.ok('CD-READ' in text, 'the guest reads the CD', text[-1500:])
    suite.ok('CD-CHANGED' in text, 'the guest sees another medium', text[-1500:])
    suite.ok(locked and 'locked the tray' in locked, 'a locked tray is not opened', locked)
    suite.ok(missing and 'second.iso.not' in missing, 'a missing image is named', missing)
    suite.ok(nobody and 'nobody' in nobody, 'a missing drive is named', nobody)
    suite.ok('CD-GONE' in text, 'by force the medium is taken out, and the guest sees it',
             text[-1500:])
    suite.ok('HOT-READ\n' in text, 'a disk plugged in is found and read', text[-1500:])
    suite.ok('HOT-GONE' in text, 'and gone when it is pulled', text[-1500:])
    suite.ok(re.search(r'^LAST .*MSI', text, re.M), 'the controller interrupts by MSI', text[-1500:])
    suite.ok('exception Emask' not in kernel, 'the driver saw no errors', kernel)


def put_medium(guest, path):
    with open(guest.conf, encoding='utf-8') as f:
        text = f.read()
    text = re.sub(r'(\[cdrom tray\]\n)(file=.*\n)?', r'\1' + (f'file={path}\n' if path else ''), text)
    with open(guest.conf, 'w', encoding='utf-8') as f:
        f.write(text)


def go_on(guest, folder):
    guest.wait_exit(30)
    guest.control = None
    guest.start('--restore', folder, '--consume')
    while not os.path.exists(f'{guest.runtime}/control'):
        if guest.process.poll() is not None:
            raise RuntimeError(f'it did not go on: {guest.messages()[-1500:]}')
        time.sleep(0.05)


def away(suite):
    first, second = pattern(suite, 'away-1.iso', 81), pattern(suite, 'away-2.iso', 82)
    with Machine(suite, 'away', {
            'firmware': 'none', 'kernel': image('kernel'), 'initrd': suite.initrd('away', AWAY),
            'cmdline': CMDLINE}, [('cdrom tray', {'file': first, 'bus': 'sata'})]).start() as guest:
        for i, (marker, medium) in enumerate(((r'^CD-READ', second), (r'^CD-OTHER', None))):
            guest.wait_serial(marker, 60)
            folder = suite.path(f'away-{i}')
            guest.call('Save', 'sa{sv}', folder, {'quit': True}, seconds=120)
            put_medium(guest, medium)
            go_on(guest, folder)
        guest.wait_serial(r'^ALCOVE-GUEST: script ended', 60)
        guest.wait_exit(15)
        text = guest.serial()
    suite.ok('CD-OTHER' in text, 'a disc that was changed while the machine was saved is seen',
             text[-1500:])
    suite.ok('CD-AWAY' in text, 'and one that was taken out is gone', text[-1500:])


def boot(suite):
    disk = suite.disk('boot', BOOT)
    with Machine(suite, 'boot', {'firmware': 'bios', 'boot-menu': 'false'},
                 [('disk system', {'file': disk, 'bus': 'sata'}),
                  ('cdrom empty', {})]).start() as guest:
        guest.wait_serial(r'^ALCOVE-GUEST: script ended', 120)
        guest.wait_exit(15)
        text = guest.serial()
    sectors = os.path.getsize(disk) // 512
    suite.ok(f'ROOT-DISK {sectors}' in text, 'SeaBIOS boots a stock kernel from a SATA disk',
             text[-1500:])
    suite.ok(re.search(r'^EXCEPTIONS 0$', text, re.M), 'its driver saw no errors', text[-1500:])


def main():
    suite = Suite('sata')
    suite.case('drives', run, suite)
    suite.case('away', away, suite)
    suite.case('boot', boot, suite)
    return suite.end()


if __name__ == '__main__':
    sys.exit(main())
