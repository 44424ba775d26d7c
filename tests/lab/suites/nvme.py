#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""nvme.py: a stock guest on NVMe, two namespaces, several queues, deallocation, health; and disks of
NVMe and virtio that are plugged in and taken out while it runs, by the command line.
nvme.py boot: firmware starts it from NVMe."""

import hashlib
import os
import re
import subprocess
import sys
import uuid

from guestlab import BUILD, CMDLINE, Guest, Machine, Suite, image, tool

MIB = 1 << 20
SCRIPT = '''
for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/nvme0n2 ] && break; sleep 1; done
for n in nvme0n1 nvme0n2; do
  q=/sys/block/$n/queue
  echo "SPACE $n $(cat /sys/block/$n/size) $(cat $q/logical_block_size) $(cat $q/discard_max_bytes)" \\
    "$(cat $q/write_cache) $(ls /sys/block/$n/mq | wc -l) $(cat /sys/block/$n/wwid)"
done
echo "CONTROLLER $(cat /sys/class/nvme/nvme0/model /sys/class/nvme/nvme0/serial | tr -s ' \\n' ' ')"
guest disk write /dev/nvme0n1 1048576 8388608 77 && echo WRITTEN-1
guest disk write /dev/nvme0n2 2097152 4194304 78 && echo WRITTEN-2
guest disk verify /dev/nvme0n1 16777216 4194304 79 && echo VERIFIED-1
for i in 1 2 3 4; do
  guest disk write /dev/nvme0n2 $((8388608 + i * 2097152)) 2097152 $i &
done
wait
for i in 1 2 3 4; do
  guest disk verify /dev/nvme0n2 $((8388608 + i * 2097152)) 2097152 $i || echo PARALLEL-BAD
done
echo PARALLEL-END
guest nvme discard /dev/nvme0n1 20971520 2097152 && echo DISCARDED
guest nvme zero /dev/nvme0n1 23068672 1048576 && echo ZEROED
sync
guest nvme smart /dev/nvme0
cat /sys/class/nvme/nvme0/hwmon*/temp1_input | sed 's/^/TEMPERATURE /'
guest report | grep IRQ | grep nvme
echo READY
known="vda nvme0n1 nvme0n2"
while :; do
  now=$(ls /sys/block | grep -E '^(vd|nvme)')
  for d in $now; do
    case " $known " in *" $d "*) continue;; esac
    [ -b /dev/$d ] || mknod /dev/$d b $(tr : ' ' </sys/block/$d/dev)
    guest disk verify /dev/$d 1048576 1048576 81 && guest disk write /dev/$d 3145728 1048576 82 &&
      echo "CAME $d $(cat /sys/block/$d/size)"
    known="$known $d"
  done
  for d in $known; do
    [ -e /sys/block/$d ] || { echo "WENT $d"; known=$(echo " $known " | sed "s/ $d / /"); }
  done
  [ -e /dev/vda ] && dd if=/dev/vda bs=512 count=1 2>/dev/null | grep -q THE-END && break
  sleep 1
done
echo LOOP-END
'''


class Library(Guest):
    """A machine of the library, run through the command line."""

    def __init__(self, suite, name, machine, devices):
        super().__init__(suite, name)
        self.env = dict(os.environ, ALCOVE_LIBEXECDIR=os.path.join(BUILD, 'app', 'programs'),
                        XDG_DATA_HOME=suite.path('data'), XDG_RUNTIME_DIR=suite.path('run'))
        self.folder = os.path.join(suite.path('data'), 'alcove', 'machines', name)
        os.makedirs(self.folder)
        os.makedirs(self.env['XDG_RUNTIME_DIR'], mode=0o700, exist_ok=True)
        head = {'uuid': str(uuid.uuid4()), 'name': name, 'memory': 512, **machine}
        self.conf = os.path.join(self.folder, 'machine.conf')
        with open(self.conf, 'w', encoding='utf-8') as f:
            for group, keys in [('machine', head), ('serial log', {'backend': 'file',
                                                                   'file': self.serial_path}),
                                *devices]:
                f.write(f'[{group}]\n' + ''.join(f'{k}={v}\n' for k, v in keys.items()) + '\n')

    def alcove(self, *args):
        """(status, stdout and stderr)"""
        r = subprocess.run([os.path.join(BUILD, 'app', 'programs', 'alcove'), *args], env=self.env,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return r.returncode, r.stdout

    def start(self):
        status, text = self.alcove('start', self.name)
        if status:
            raise RuntimeError(f'start: {status} {text}')

        class Process:      # what Guest looks at
            returncode = None

            @staticmethod
            def poll():
                return None
        self.process = Process()

    def stop(self):
        self.alcove('stop', self.name, '--force')

    def text(self):
        with open(self.conf, encoding='utf-8') as f:
            return f.read()


def pattern(path, offset, size, seed):
    subprocess.run([tool(), 'disk', 'write', path, str(offset), str(size), str(seed)], check=True)


def holds(path, offset, size, seed):
    return subprocess.run([tool(), 'disk', 'verify', path, str(offset), str(size), str(seed)],
                          check=False).returncode == 0


def check_controller(suite, guest, one, two):
    guest.wait_serial(r'^READY', 90)
    text = guest.serial()
    spaces = {m[1]: m for m in re.finditer(
        r'^SPACE (\S+) (\d+) (\d+) (\d+) (.*) (\d+) (\S+)$', text, re.M)}
    first, second = spaces.get('nvme0n1'), spaces.get('nvme0n2')
    suite.ok(first and second and int(first[2]) * 512 == 32 * MIB and
             int(second[2]) * 512 == 24 * MIB, 'two namespaces with their sizes', text[-2000:])
    suite.ok(first and int(first[4]) > 0 and first[5] == 'write back' and int(first[6]) == 2,
             'deallocation, a write cache, a queue a CPU', text[-2000:])
    suite.ok(first and second and first[7] != second[7], 'namespaces have identities of their own')
    suite.ok('CONTROLLER Alcove NVMe FAST-01' in text, 'model and serial number', text[-2000:])
    for word in ('WRITTEN-1', 'WRITTEN-2', 'VERIFIED-1', 'DISCARDED', 'ZEROED'):
        suite.ok(re.search(f'^{word}$', text, re.M), f'the guest says {word}', text[-2000:])
    suite.ok('PARALLEL-END' in text and 'PARALLEL-BAD' not in text, 'four writers at once')
    suite.ok(holds(one, MIB, 8 * MIB, 77) and holds(two, 2 * MIB, 4 * MIB, 78),
             'the patterns are in the images')
    suite.ok(all(holds(two, (8 + 2 * i) * MIB, 2 * MIB, i) for i in range(1, 5)),
             'those of the four writers too')
    with open(one, 'rb') as f:
        f.seek(20 * MIB)
        suite.ok(f.read(3 * MIB).count(0) == 3 * MIB and holds(one, 23 * MIB, MIB, 5),
                 'discarded and zeroed blocks are zeroes, and no others')
    m = re.search(r'^SMART warning 0 kelvin 313 units-read (\d+) units-written (\d+) reads (\d+) '
                  r'writes (\d+) media-errors 0$', text, re.M)
    # 24 MiB and more were written, in units of 512000 bytes.
    suite.ok(m and int(m[2]) >= 20 * MIB // 512000 and int(m[3]) > 10 and int(m[4]) > 10,
             'the health log counts', text[-2000:])
    suite.ok('TEMPERATURE 40' in text or 'TEMPERATURE 39850' in text, 'and so does its sensor',
             text[-2000:])
    lines = re.findall(r'^IRQ .*nvme.*$', text, re.M)
    suite.ok(len(lines) >= 3 and all('MSI' in i for i in lines), 'queues have MSI-X vectors',
             '\n'.join(lines))


def plug(suite, guest, bus, force):
    path = suite.blank(f'hot-{bus}.img', 16)
    pattern(path, MIB, MIB, 81)
    came = len(re.findall(r'^CAME ', guest.serial(), re.M))
    status, text = guest.alcove('disk', 'add', guest.name, '--file', path, '--format', 'raw',
                                '--bus', bus, '--name', f'hot-{bus}')
    suite.ok(status == 0 and text == f'hot-{bus}\n', f'alcove disk add: {bus}', text)
    match = guest.wait_serial(r'^CAME (\S+) (\d+)$', 40, came + 1)[-1]
    suite.ok(int(match[2]) * 512 == 16 * MIB, 'the guest finds it, and the pattern on it')
    suite.ok(f'[disk hot-{bus}]' in guest.text(), 'it is in machine.conf')
    status, text = guest.alcove('disk', 'add', guest.name, '--file', path, '--format', 'raw',
                                '--name', 'again')
    suite.ok(status != 0 and 'again' not in guest.text(), 'its image is not given twice', text)
    args = ['--force'] if force else []
    status, text = guest.alcove('disk', 'remove', guest.name, f'hot-{bus}', *args)
    suite.ok(status == 0, f'alcove disk remove {" ".join(args)}: {bus}', text)
    guest.wait_serial(rf'^WENT {match[1]}$', 20)
    suite.ok(f'[disk hot-{bus}]' not in guest.text(), 'it is gone from guest and machine.conf')
    suite.ok(holds(path, 3 * MIB, MIB, 82), 'what the guest wrote is in its image')


def run(suite):
    one, two, mark = suite.blank('one.img', 32), suite.blank('two.img', 24), suite.blank('mark.img', 1)
    pattern(one, 16 * MIB, 4 * MIB, 79)
    for start in (20, 22):
        pattern(one, start * MIB, 2 * MIB, 5)
    guest = Library(suite, 'nvme', {
        'cpus': 2, 'firmware': 'none', 'kernel': image('kernel'),
        'initrd': suite.initrd('nvme', SCRIPT), 'cmdline': CMDLINE}, [
            ('disk one', {'file': one, 'bus': 'nvme', 'controller': 'fast', 'serial': 'FAST-01'}),
            ('disk two', {'file': two, 'bus': 'nvme', 'controller': 'fast'}),
            ('disk mark', {'file': mark})])
    try:
        guest.start()
        check_controller(suite, guest, one, two)
        for bus in ('nvme', 'virtio'):
            plug(suite, guest, bus, False)
        plug_again = suite.path('hot-nvme.img')
        os.remove(plug_again)
        plug(suite, guest, 'nvme', True)
        status, text = guest.alcove('disk', 'remove', guest.name, 'two')
        suite.ok(status != 0 and 'shares its controller' in text, 'a namespace among others stays',
                 text)
        status, text = guest.alcove('disk', 'remove', guest.name, 'mark')
        suite.ok(status != 0 and 'slot for hot-plug' in text, 'so does a disk on bus 00', text)
        status, text = guest.alcove('disk', 'remove', guest.name, 'two', '--force')
        guest.wait_serial(r'^WENT nvme0n2$', 20)
        suite.ok(status == 0, 'a namespace goes by force, and the guest is told', text)
        digest = hashlib.sha256(guest.text().encode()).hexdigest()
        status, text = guest.alcove('disk', 'remove', guest.name, 'nothing')
        suite.ok(status != 0 and hashlib.sha256(guest.text().encode()).hexdigest() == digest,
                 'an unknown disk changes nothing', text)
        with open(mark, 'r+b') as f:
            f.write(b'THE-END')
        guest.wait_serial(r'^LOOP-END', 20)
        suite.ok(True, 'the guest went on to the end')
    finally:
        guest.stop()


def boot(suite):
    """Firmware finds the disk by the boot order, though another one comes first on PCI: on bus 00
    with SeaBIOS, in a slot for hot-plug with OVMF."""
    disk, empty = suite.disk('boot', 'guest report\n'), suite.blank('empty.img', 4)
    for firmware, place in (('bios', {}), ('uefi', {'address': '02:00.0'})):
        with Machine(suite, firmware, {'cpus': 2, 'firmware': firmware}, [
                ('disk empty', {'file': empty, 'boot-index': 2}),
                ('disk system', {'file': disk, 'bus': 'nvme', 'boot-index': 1, **place})]) as guest:
            guest.start()
            guest.wait_serial(r'^ALCOVE-GUEST: script ended with status 0', 60)
            text = guest.serial()
            suite.ok(f'EFI {"yes" if firmware == "uefi" else "no"}' in text,
                     f'{firmware}: boots from NVMe', text[-2000:])
            suite.ok('ALCOVE-GRUB: loading' in text or firmware == 'uefi',
                     f'{firmware}: through its boot loader', text[:500])


def main():
    suite = Suite('nvme' + ''.join(sys.argv[1:2]))
    if sys.argv[1:] == ['boot']:
        suite.case('boot', boot, suite)
    else:
        suite.case('nvme', run, suite)
    return suite.end()


if __name__ == '__main__':
    sys.exit(main())
