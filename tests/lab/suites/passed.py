# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest that uses the devices of the lab's profile vfio by its stock kernel's own drivers, and
what must be seen inside, outside and on the devices themselves. The VMM is ours or the peer."""

import hashlib
import re
import subprocess
import time

import hostpci
from guestlab import picture, tool
from hostpci import wait

MIB = 1 << 20

# Each word is a function of the guest's script. What it prints begins with a word of its own.
FUNCTIONS = r'''
till () { # SECONDS TEST...
  local n=$(($1 * 4)); shift
  while ! "$@"; do n=$((n - 1)); [ $n -gt 0 ] || return 1; usleep 250000; done
}
nvme () {
  till 20 [ -b /dev/nvme0n1 ]
  guest disk verify /dev/nvme0n1 0 4194304 11 && echo NVME-READ
  guest disk write /dev/nvme0n1 8388608 4194304 12 &&
    guest disk verify /dev/nvme0n1 8388608 4194304 12 && echo NVME-WRITTEN
}
card () { # MAC NUMBER
  local n
  for n in /sys/class/net/*; do [ "$(cat $n/address)" = $1 ] && break; done
  n=${n##*/}
  ip link set $n up; ip addr add 10.0.$2.15/24 dev $n
  till 20 grep -q 1 /sys/class/net/$n/carrier
  ping -c 3 -W 5 -I $n 10.0.$2.2 | grep 'packets transmitted' | sed "s/^/PING-$2 /"
  ( cd /tmp && tftp -g -r file -l file-$2 10.0.$2.2 && sha256sum file-$2 | sed "s/^/FILE-$2 /" )
  ip addr flush dev $n
}
nic0 () { card 52:54:00:0a:1c:04 4; }
nic1 () { card 52:54:00:0a:1c:05 5; }
usb () {
  till 20 [ -b /dev/sda ]
  for d in /sys/bus/usb/devices/*-*; do
    [ -f $d/product ] && echo "USB $(cat $d/idVendor):$(cat $d/idProduct) $(cat $d/product)"
  done
  guest disk verify /dev/sda 0 1048576 13 && echo STICK-READ
  guest disk write /dev/sda 2097152 1048576 14 && echo STICK-WRITTEN
  till 10 grep -q Tablet /proc/bus/input/devices && echo TABLET
}
sound () {
  till 20 [ -e /dev/snd/pcmC0D0p ]
  guest sound /dev/snd/pcmC0D0p 1500
}
frame () { # the Rage 128
  guest frame paint /dev/fb$(sed -n 's/ ATY.*//p' /proc/fb)
}
draw () { # the bochs card
  guest draw 1000 &
}
modes () {
  for i in /sys/bus/pci/devices/*/msi_irqs/*; do
    [ -f $i ] && echo "MODE $i $(cat $i)" | sed 's,/sys/bus/pci/devices/,,; s,/msi_irqs/, ,'
  done
  guest report | grep -v KMSG
}
go () { # NAME: waits for the host's word, on a small disk
  echo "READY-$1"
  until dd if=/dev/vda bs=512 count=1 iflag=direct 2>/dev/null | grep -q "GO-$1"; do usleep 200000; done
}
jobs () { # work that the host watches
  go nvme; guest bench disk /dev/nvme0n1 4 4
  go frame; guest frame fill /dev/fb$(sed -n 's/ ATY.*//p' /proc/fb) 4
  echo JOBS-END
}
plug () { # the NVMe disk comes and goes, then the USB controller is wanted back
  go unplug
  till 60 [ ! -e /sys/block/nvme0n1 ] && echo HOT-GONE
  till 60 [ -b /dev/nvme0n1 ]
  guest disk verify /dev/nvme0n1 0 4194304 11 && guest disk write /dev/nvme0n1 16777216 1048576 15 &&
    echo HOT-BACK
  go request
  till 60 [ ! -e /sys/block/sda ] && echo REQUEST-GONE
}
'''


def network_digest():
    """Of the file that the networks of lab/profiles.py offer."""
    return hashlib.sha256(b''.join(hashlib.sha256(b'alcove %d' % i).digest()
                                   for i in range(4096))).hexdigest()


def pattern(path, offset, size, seed):
    subprocess.run([tool(), 'disk', 'write', path, str(offset), str(size), str(seed)], check=True)


def holds(path, offset, size, seed):
    with open('/proc/sys/vm/drop_caches', 'w', encoding='ascii') as f:
        f.write('1')
    return subprocess.run([tool(), 'disk', 'verify', path, str(offset), str(size), str(seed)],
                          check=False).returncode == 0


def stick():
    """The block device of the stick when the host has it."""
    found = hostpci.glob.glob(f'{hostpci.DEVICES}/{hostpci.address("xhci0")}/usb*/*/*/host*/target*/'
                              '*/block/*')
    return '/dev/' + found[0].rsplit('/', 1)[1] if found else None


def nvme():
    found = hostpci.glob.glob(f'{hostpci.DEVICES}/{hostpci.address("nvme0")}/nvme/*/nvme*n*')
    return '/dev/' + found[0].rsplit('/', 1)[1] if found else None


def prepare():
    """The host uses its devices before it lends them."""
    pattern(wait(nvme, 30, 'NVMe disk'), 0, 4 * MIB, 11)
    pattern(wait(stick, 30, 'stick'), 0, MIB, 13)


def check_guest(suite, text, monitor, words):
    """What the guest printed, and what its screens show."""
    tail = text[-3000:]
    ok = suite.ok
    if 'nvme' in words:
        ok('NVME-READ' in text, 'the guest reads what the host wrote on the NVMe disk', tail)
        ok('NVME-WRITTEN' in text, 'and writes to it', tail)
    for number in (n for w, n in (('nic0', 4), ('nic1', 5)) if w in words):
        m = re.search(rf'^PING-{number} 3 packets transmitted, (\d) packets received', text, re.M)
        ok(m and m[1] == '3', f'pings over network {number} are answered', tail)
        ok(re.search(rf'^FILE-{number} {network_digest()} ', text, re.M),
           f'a file comes whole over network {number}', tail)
    if 'usb' in words:
        ok(re.search(r'^USB 0627:0001 QEMU USB Tablet$', text, re.M) and
           re.search(r'^USB 46f4:0001 ', text, re.M) and 'TABLET' in text,
           'the tablet and the stick are enumerated', tail)
        ok('STICK-READ' in text and 'STICK-WRITTEN' in text, 'the stick is read and written', tail)
    if 'sound' in words:
        m = re.search(r'^SOUND (\d+) (\d+) (\d+)$', text, re.M)
        rate = int(m[1]) * 1000 / int(m[2]) if m else 0
        ok(m and int(m[3]) > 5 and 24000 < rate < 72000,
           'the sound stream advances at its pace', f'{rate:.0f} frames a second\n{tail}')
    if 'frame' in words:
        m = re.search(r'^FRAME (\d+)x(\d+) (\d+)$', text, re.M)
        ok(m and m[3] == '0', 'the framebuffer reads back as it was painted', tail)
        screen(suite, monitor, 'gpu0', m and (int(m[1]), int(m[2])), False)
    if 'draw' in words:
        m = re.search(r'ALCOVE-GUEST: drew (\d+)x(\d+)', text)
        screen(suite, monitor, 'gpu1', m and (int(m[1]), int(m[2])), False)


def screen(suite, monitor, name, size, cursor):
    """The picture of this size is on the physical screen of the card."""
    path = monitor.screen(name, suite.path(name + '.ppm'))
    try:
        if not size:
            raise ValueError('the guest said no size')
        picture.check_pattern(picture.read(path), *size, cursor)
        suite.ok(True, f'the screen on {name} shows what the guest painted')
    except ValueError as e:
        picture.write_png(picture.read(path), f'{suite.logs}/{suite.name}-{name}.png')
        suite.ok(False, f'the screen on {name} shows what the guest painted', e)


def check_interrupts(suite, text, words):
    """Each kind of interrupt arrived: (driver's name in /proc/interrupts, kind)."""
    modes = {int(irq): kind for irq, kind in re.findall(r'^MODE \S+ (\d+) (\w+)$', text, re.M)}
    counts = {}
    for irq, name, count in re.findall(r'^IRQ (\d+) \S+ (.*) (\d+)$', text, re.M):
        kind = modes.get(int(irq), 'intx')
        for who in ('nvme0q1', 'eth', 'xhci_hcd', 'snd_hda_intel'):
            if who in name:
                key = (who, kind)
                counts[key] = counts.get(key, 0) + int(count)
    for word, key in (('nvme', ('nvme0q1', 'msix')), ('nic0', ('eth', 'msix')),
                      ('nic1', ('eth', 'intx')), ('usb', ('xhci_hcd', 'msix')),
                      ('sound', ('snd_hda_intel', 'msi'))):
        if word in words:
            suite.ok(counts.get(key, 0) > 5, f'{word}: interrupts of kind {key[1]} arrive',
                     f'{counts}\n{text[-2000:]}')


def check_host(suite, words, pause=time.sleep):
    """The host's own drivers have the devices again."""
    if 'nvme' in words:
        disk = wait(nvme, 30, 'NVMe disk')
        suite.ok(holds(disk, 0, 4 * MIB, 11) and holds(disk, 8 * MIB, 4 * MIB, 12),
                 'the host has its NVMe disk again, with what the guest wrote')
    if 'usb' in words:
        disk = wait(stick, 30, 'stick')
        suite.ok(holds(disk, 0, MIB, 13) and holds(disk, 2 * MIB, MIB, 14),
                 'the host has its stick again, with what the guest wrote')


class Word:
    """The small disk by which the guest is told to go on."""

    def __init__(self, suite):
        self.path = suite.blank('word.img', 1)

    def go(self, guest, name, seconds=60):
        guest.wait_serial(f'^READY-{name}', seconds)
        with open(self.path, 'r+b') as f:
            f.write(f'GO-{name}'.encode().ljust(64))


def check_jobs(suite, guest, word):
    """While the guest's jobs run, nothing of them passes through the VMM."""
    for name, job in (('an NVMe read job', 'nvme'), ('a framebuffer fill', 'frame')):
        guest.wait_serial(f'^READY-{job}', 60)
        with hostpci.Exits() as exits:
            word.go(guest, job)
            time.sleep(1.5)
            exits.record(1.5)
        suite.ok(exits.lost == 0 and exits.reasons.get('KVM_EXIT_MMIO', 0) == 0 and
                 exits.reasons.get('KVM_EXIT_IO', 0) == 0,
                 f'{name} makes no exit to user space', f'{exits.reasons} {exits.pages()} '
                 f'{exits.lost} lost')
        print(f'# {name}: exits to user space {exits.reasons}, interrupts {exits.interrupts}')
        if job == 'nvme':
            suite.ok(exits.interrupts > 50 and exits.asked == 0,
                     'its interrupts come from the kernel alone',
                     f'{exits.interrupts} interrupts, {exits.asked} by system call')
    guest.wait_serial('^JOBS-END', 60)
    figures = re.findall(r'^BENCH (\S+) (?:1 |4 )?(\d+)', guest.serial(), re.M)
    suite.ok(len(figures) == 2 and all(int(n) > 0 for _, n in figures), 'the jobs ran', figures)
