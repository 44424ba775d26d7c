#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stock guest on qcow2: it boots from an overlay over a compressed image, writes to images of
several kinds, and qemu-img judges them afterwards. While it runs, other programs are refused."""

import subprocess
import sys

import peerbus
from guestlab import Machine, Suite, tool

MIB = 1 << 20
SCRIPT = '''
for d in b c d; do
  guest disk write /dev/vd$d 1048576 4194304 77 && echo WRITTEN-$d
  guest disk write /dev/vd$d 20971520 1048576 79 && echo WRITTEN-$d
  sync /dev/vd$d
done
guest disk verify /dev/vdb 8388608 4194304 78 && echo OLD-DATA
for d in b c d; do
  guest disk verify /dev/vd$d 1048576 4194304 77 && echo VERIFIED-$d
done
echo LOOK-NOW
sleep 4
'''


def qemu(suite, *args):
    r = subprocess.run(['qemu-img', *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, check=False)
    if r.returncode:
        suite.ok(False, 'qemu-img ' + ' '.join(args), r.stdout)
    return r


def make_images(suite):
    raw = suite.disk('qcow2', SCRIPT)
    base, system = suite.path('base.qcow2'), suite.path('system.qcow2')
    qemu(suite, 'convert', '-c', '-f', 'raw', '-O', 'qcow2', raw, base)
    qemu(suite, 'create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', system)
    old = suite.blank('old.img', 32)
    subprocess.run([tool(), 'disk', 'write', old, str(8 * MIB), str(4 * MIB), '78'], check=True)
    overlay = suite.path('overlay.qcow2')
    qemu(suite, 'create', '-q', '-f', 'qcow2', '-o', 'extended_l2=on', '-b', old, '-F', 'raw',
         overlay)
    small, lazy = suite.path('small.qcow2'), suite.path('lazy.qcow2')
    qemu(suite, 'create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4096', small, '32M')
    qemu(suite, 'create', '-q', '-f', 'qcow2', '-o', 'lazy_refcounts=on', lazy, '32M')
    return system, overlay, small, lazy


def check_locks(suite, guest, system, overlay):
    for path, what in ((overlay, 'a disk'), (system, 'the system disk')):
        r = subprocess.run(['qemu-img', 'check', '-f', 'qcow2', path], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, check=False)
        suite.ok(r.returncode != 0 and 'lock' in r.stdout, f'qemu-img is refused {what} in use',
                 r.stdout)
    stats = peerbus.parse_dict(guest.call('GetStats'))
    suite.ok(stats.get('device.disk.data.latency.write.count', 0) > 0 and
             stats.get('device.disk.data.latency.write.p99-us', 0) > 0,
             'latencies are told', {k: v for k, v in stats.items() if 'disk.data' in k})
    suite.ok(stats.get('device.disk.small.throttled', 0) > 0, 'the limited disk was slowed down',
             {k: v for k, v in stats.items() if 'disk.small' in k})


def run(suite):
    system, overlay, small, lazy = make_images(suite)
    disks = [('disk asystem', {'file': system, 'format': 'qcow2', 'boot-index': 1}),
             ('disk data', {'file': overlay, 'format': 'qcow2'}),
             ('disk small', {'file': small, 'format': 'qcow2', 'bandwidth': 2}),
             ('disk zlazy', {'file': lazy, 'format': 'qcow2', 'on-error': 'pause'})]
    with Machine(suite, 'qcow2', {'cpus': 1, 'firmware': 'bios'}, disks).start() as guest:
        guest.wait_serial(r'^LOOK-NOW', 180)
        check_locks(suite, guest, system, overlay)
        guest.wait_serial(r'^ALCOVE-GUEST: script ended', 30)
        status = guest.wait_exit(20)
        text = guest.serial()
    suite.ok('ALCOVE-GRUB: loading' in text and 'ALCOVE-GUEST: userspace reached' in text,
             'a stock guest boots from a qcow2 overlay over a compressed image', text[:1500])
    suite.ok(status == 0, 'powers off in order', f'status {status}\n{guest.messages()}')
    suite.ok('OLD-DATA' in text, 'the guest reads the backing image', text[-1500:])
    for letter, path in (('b', overlay), ('c', small), ('d', lazy)):
        suite.ok(f'WRITTEN-{letter}' in text and f'VERIFIED-{letter}' in text,
                 f'vd{letter}: the guest reads what it wrote', text[-1500:])
        raw = suite.path(f'out-{letter}.img')
        r = subprocess.run(['qemu-img', 'check', '-f', 'qcow2', path], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, check=False)
        suite.ok(r.returncode == 0, f'vd{letter}: qemu-img check', r.stdout)
        qemu(suite, 'convert', '-f', 'qcow2', '-O', 'raw', path, raw)
        good = all(subprocess.run([tool(), 'disk', 'verify', raw, str(at), str(n), seed],
                                  check=False).returncode == 0
                   for at, n, seed in ((MIB, 4 * MIB, '77'), (20 * MIB, MIB, '79')))
        suite.ok(good, f'vd{letter}: what the guest wrote is there, seen by qemu-img')
    r = subprocess.run(['qemu-img', 'check', '-f', 'qcow2', system], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, check=False)
    suite.ok(r.returncode == 0, 'the system disk: qemu-img check', r.stdout)


def main():
    suite = Suite('qcow2')
    suite.case('a guest on qcow2', run, suite)
    return suite.end()


if __name__ == '__main__':
    sys.exit(main())
