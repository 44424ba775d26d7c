#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""virtio-scsi under a stock guest: starts from a SCSI disk, writes, unmaps, reads a CD; a device of
the host by passthrough (the kernel's scsi_debug).

scsi.py [direct] [changes] [passthrough] [bios] [uefi]: only these
"""

import glob
import os
import re
import subprocess
import sys
import time

from guestlab import QUICK, Machine, Suite, image, kit, modules, tool
from peerbus import BusError

BOOT = QUICK + modules('virtio_scsi', 'sd_mod', 'sr_mod')
SCRIPT = '''
for i in $(seq 100); do [ -b /dev/sda ] && [ -b /dev/sr0 ] && break; sleep 0.2; done
for d in /sys/class/scsi_device/*; do
  echo "SCSI ${d##*/} $(cat $d/device/vendor) $(cat $d/device/model) type $(cat $d/device/type)"
done
echo "DRIVER $(basename $(readlink -f /sys/class/scsi_host/host0/device/../driver))"
echo "CACHE $(cat /sys/class/scsi_disk/*/cache_type)"
echo "PROVISIONING $(cat /sys/class/scsi_disk/*/provisioning_mode)"
guest disk write /dev/sda 1048576 8388608 77 && echo DISK-WRITTEN
guest disk verify /dev/sda 16777216 4194304 78 && echo DISK-READ
blkdiscard -o 33554432 -l 16777216 /dev/sda && echo DISK-UNMAPPED
guest disk zero /dev/sda 16777216 2097152 && echo DISK-ZEROED
guest disk verify /dev/sr0 0 6291456 79 && echo CD-READ
echo "CD-SIZE $(cat /sys/block/sr0/size)"
dd if=/dev/zero of=/dev/sr0 bs=2048 count=1 2>/dev/null || echo CD-READ-ONLY
cat /proc/interrupts | grep virtio
dmesg | grep -iE "sd [0-9]|sr [0-9]|I/O error|scsi" | tail -30 | sed 's/^/DMESG /'
'''


def allocated(path):
    return os.stat(path).st_blocks * 512


def pattern(path, offset, size, seed):
    subprocess.run([tool(), 'disk', 'write', path, str(offset), str(size), str(seed)], check=True)


def holds(path, offset, size, seed):
    return subprocess.run([tool(), 'disk', 'verify', path, str(offset), str(size), str(seed)],
                          check=False).returncode == 0


def guest_checks(suite, text):
    found = re.findall(r'^SCSI (\S+) (\S+)\s+(\S+)\s+type (\d+)', text, re.M)
    suite.ok([('ALCOVE', 'DISK', '0'), ('ALCOVE', 'CD-ROM', '5')] == [i[1:] for i in found],
             'the guest finds a disk and a CD-ROM drive', text[-2500:])
    suite.ok('DRIVER virtio_scsi' in text, 'virtio_scsi drives the controller', text[-2500:])
    suite.ok('CACHE write back' in text, 'the disk has a write cache', text[-2500:])
    suite.ok('PROVISIONING unmap' in text, 'the disk can be unmapped', text[-2500:])


def direct(suite):
    data, cd = suite.blank('data.img', 64), suite.blank('cd.iso', 6)
    pattern(data, 16777216, 4194304, 78)
    pattern(data, 33554432, 16777216, 80)
    pattern(cd, 0, 6291456, 79)
    full = allocated(data)
    devices = [('disk data', {'file': data, 'bus': 'scsi', 'target': 2, 'serial': 'ROOM-7'}),
               ('cdrom install', {'file': cd, 'bus': 'scsi', 'target': 5}),
               ('scsi main', {'queues': 2})]
    with Machine(suite, 'direct', {
            'cpus': 2, 'firmware': 'none', 'kernel': image('kernel'),
            'initrd': suite.initrd('direct', SCRIPT), 'cmdline': BOOT}, devices).start() as guest:
        guest.wait_serial(r'^ALCOVE-GUEST: script ended', 60)
        status = guest.wait_exit(15)
        text = guest.serial()
    suite.ok(status == 0, 'powers off in order', f'status {status}\n{guest.messages()}')
    guest_checks(suite, text)
    suite.ok('DISK-WRITTEN' in text and holds(data, 1048576, 8388608, 77),
             'what the guest wrote is on the disk, seen from outside', text[-2500:])
    suite.ok('DISK-READ' in text, 'the guest reads what was written from outside', text[-2500:])
    suite.ok('DISK-UNMAPPED' in text and allocated(data) <= full + 8388608 - 16777216 + 65536,
             'what the guest unmaps goes back to the host',
             f'{full} bytes before, {allocated(data)} after\n{text[-2500:]}')
    with open(data, 'rb') as f:
        f.seek(16777216)
        zeroes = f.read(2097152) == bytes(2097152)
    suite.ok('DISK-ZEROED' in text and zeroes,
             'zeroes by WRITE SAME', text[-2500:])
    suite.ok('CD-READ' in text and f'CD-SIZE {6291456 // 512}' in text, 'the guest reads the CD',
             text[-2500:])
    suite.ok('CD-READ-ONLY' in text, 'the CD cannot be written', text[-2500:])


def firmware(suite, kind, seconds):
    # One image for both.
    disk = suite.path('system.img')
    if not os.path.exists(disk):
        suite.disk('system', 'echo "ROOT $(cat /sys/block/sda/device/model)"\n', cmdline=BOOT)
    with Machine(suite, kind, {'firmware': kind, 'firmware-vars': suite.path(kind + '.fd')},
                 [('disk system', {'file': disk, 'bus': 'scsi', 'target': 3})]).start() as guest:
        guest.wait_serial(r'^ALCOVE-GUEST: script ended', seconds)
        text = guest.serial()
    suite.ok('ALCOVE-GRUB: loading' in text and 'ROOT DISK' in text,
             f'{kind}: the firmware starts a system from a SCSI disk', text[-2000:])


CHANGES = '''
for i in $(seq 100); do [ -b /dev/sr0 ] && break; sleep 0.2; done
try () { # until the command succeeds; the kernel looks for a new medium when the drive is opened
  for i in $(seq 150); do "$@" 2>/dev/null && return; sleep 0.2; done
  false
}
gone () { ! dd if=/dev/sr0 of=/dev/null bs=2048 count=1 2>/dev/null; }
plugged () { [ -b /dev/sda ]; }
unplugged () { ! [ -b /dev/sda ]; }
guest disk verify /dev/sr0 0 4194304 90 && echo CD-FIRST
echo CD-WAITING
try guest disk verify /dev/sr0 0 6291456 91 && echo CD-SECOND
echo "CD-SIZE $(cat /sys/block/sr0/size)"
guest disk eject /dev/sr0 && gone && echo CD-EJECTED
echo CD-EMPTY
try guest disk verify /dev/sr0 0 4194304 90 && echo CD-THIRD
echo LUN-WAITING
try plugged && guest disk verify /dev/sda 0 4194304 92 && echo LUN-READ
guest disk write /dev/sda 4194304 4194304 93 && echo LUN-WRITTEN
try unplugged && echo LUN-GONE
echo LUN-AGAIN
try plugged && guest disk verify /dev/sda 4194304 4194304 93 && echo LUN-BACK
dmesg | grep -iE "sd [0-9]|sr [0-9]|I/O error|scsi" | tail -30 | sed 's/^/DMESG /'
'''


def change(guest, path):
    """The guest's kernel locks the tray while a program has the drive open."""
    for _ in range(100):
        try:
            return guest.call('ChangeMedium', 'ssb', 'install', path, False)
        except BusError as e:
            if 'WrongState' not in str(e):
                raise
            time.sleep(0.3)
    raise TimeoutError('the drive stays locked')


def changes(suite):
    first, second = suite.blank('first.iso', 4), suite.blank('second.iso', 6)
    disk = suite.blank('plugged.img', 16)
    pattern(first, 0, 4194304, 90)
    pattern(second, 0, 6291456, 91)
    pattern(disk, 0, 4194304, 92)
    group = f'[disk more]\nfile={disk}\nbus=scsi\n'
    with Machine(suite, 'changes', {
            'firmware': 'none', 'kernel': image('kernel'),
            'initrd': suite.initrd('changes', CHANGES), 'cmdline': BOOT},
            [('cdrom install', {'file': first, 'bus': 'scsi'})]).start() as guest:
        guest.wait_serial(r'^CD-WAITING', 60)
        change(guest, second)
        guest.wait_serial(r'^CD-EMPTY', 30)
        change(guest, first)
        guest.wait_serial(r'^LUN-WAITING', 40)
        guest.call('AddDisk', 's', group)
        guest.wait_serial(r'^LUN-WRITTEN', 40)
        guest.call('RemoveDisk', 'sa{sv}', 'more', {'force': True})
        guest.wait_serial(r'^LUN-AGAIN', 40)
        guest.call('AddDisk', 's', group)
        guest.wait_serial(r'^ALCOVE-GUEST: script ended', 60)
        guest.wait_exit(15)
        text = guest.serial()
    for word, what in (
            ('CD-FIRST', 'the guest reads the first CD'),
            ('CD-SECOND', 'the guest sees the medium change and reads the second CD'),
            (f'CD-SIZE {6291456 // 512}', 'the guest sees the size of the second CD'),
            ('CD-EJECTED', 'the guest ejects it, and the drive is empty'),
            ('CD-THIRD', 'a CD that is put in after that is read'),
            ('LUN-READ', 'a disk that is plugged in is found and read'),
            ('LUN-GONE', 'a disk that is taken out is gone in the guest'),
            ('LUN-BACK', 'it comes back with what the guest wrote')):
        suite.ok(word in text, what, text[-2500:] + guest.messages())
    suite.ok('LUN-WRITTEN' in text and holds(disk, 4194304, 4194304, 93),
             'what the guest wrote to it is there, seen from outside', text[-2500:])


PASSTHROUGH = '''
for i in $(seq 100); do [ -b /dev/sda ] && break; sleep 0.2; done
echo "SCSI $(cat /sys/block/sda/device/vendor) $(cat /sys/block/sda/device/model)"
echo "LIMIT $(cat /sys/block/sda/queue/max_hw_sectors_kb)"
guest disk verify /dev/sda 4194304 4194304 81 && echo HOST-READ
guest disk write /dev/sda 1048576 2097152 82 && echo GUEST-WRITTEN
dmesg | grep -iE "sd [0-9]|I/O error|scsi" | tail -20 | sed 's/^/DMESG /'
'''


def load_debug_device():
    """(sg, sd) of a made-up SCSI device in this kernel's memory, or the reason why not."""
    if os.getuid() != 0 or 'LAB' not in os.environ:
        return 'the kernel is given a SCSI device only inside the lab'
    options = {'scsi_debug': ['dev_size_mb=16', 'lbpu=1', 'inq_vendor=ROOM']}
    before = set(glob.glob('/sys/class/scsi_generic/sg*'))
    for path in kit.kernel().module_files(['sd_mod', 'sg', 'scsi_debug']):
        name = os.path.basename(path).split('.')[0]
        r = subprocess.run(['insmod', path, *options.get(name, [])], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, check=False)
        if r.returncode and 'File exists' not in r.stdout:
            return f'{name}: {r.stdout.strip()}'
    for _ in range(100):
        for sg in set(glob.glob('/sys/class/scsi_generic/sg*')) - before:
            disks = glob.glob(sg + '/device/block/*')
            if disks and os.path.exists('/dev/' + os.path.basename(disks[0])):
                return '/dev/' + os.path.basename(sg), '/dev/' + os.path.basename(disks[0])
        time.sleep(0.2)
    return 'scsi_debug made no device'


def passthrough(suite):
    device = load_debug_device()
    what = 'a device of the host is the guest\'s'
    if isinstance(device, str):
        suite.skip(what, device)
        return
    sg, disk = device
    pattern(disk, 4194304, 4194304, 81)
    devices = [('disk host', {'file': sg, 'bus': 'scsi', 'passthrough': 'true'})]
    with Machine(suite, 'passthrough', {
            'firmware': 'none', 'kernel': image('kernel'),
            'initrd': suite.initrd('passthrough', PASSTHROUGH), 'cmdline': BOOT},
            devices).start() as guest:
        guest.wait_serial(r'^ALCOVE-GUEST: script ended', 60)
        guest.wait_exit(15)
        text = guest.serial()
    suite.ok(re.search(r'^SCSI ROOM\s+scsi_debug', text, re.M), what + ', under its own name',
             text[-2500:] + guest.messages())
    suite.ok('HOST-READ' in text, 'passthrough: the guest reads what the host wrote', text[-2500:])
    suite.ok('GUEST-WRITTEN' in text and holds(disk, 1048576, 2097152, 82),
             'passthrough: the host reads what the guest wrote', text[-2500:])
    suite.ok('I/O error' not in text, 'passthrough: no errors', text[-2500:])


CASES = {
    'direct': ('a stock guest', direct),
    'changes': ('media and disks that come and go', changes),
    'passthrough': ('passthrough', passthrough),
    'bios': ('SeaBIOS', firmware, 'bios', 45),
    'uefi': ('OVMF', firmware, 'uefi', 60),
}


def main():
    suite = Suite('scsi')
    for name in sys.argv[1:] or CASES:
        what, function, *rest = CASES[name]
        suite.case(what, function, suite, *rest)
    return suite.end()


if __name__ == '__main__':
    sys.exit(main())
