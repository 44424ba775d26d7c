# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest that uses the devices of the lab's profile vfio by its stock kernel's own drivers, and
what must be seen inside, outside and on the devices themselves. The VMM is ours or the peer."""

import hashlib
import re
import socket
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
  go packets; fetch 52:54:00:0a:1c:05 5 4
  echo JOBS-END
}
fetch () { # MAC NUMBER SECONDS: the network's file again and again
  local n files=0 end
  for n in /sys/class/net/*; do [ "$(cat $n/address)" = $1 ] && break; done
  n=${n##*/}
  ip link set $n up; ip addr add 10.0.$2.15/24 dev $n
  till 20 grep -q 1 /sys/class/net/$n/carrier
  end=$(($(cut -d. -f1 /proc/uptime) + $3))
  while [ $(cut -d. -f1 /proc/uptime) -lt $end ]; do
    ( cd /tmp && tftp -g -r file -l fetched 10.0.$2.2 ) && files=$((files + 1))
  done
  ip addr flush dev $n
  echo "BENCH fetch $files"
}
bar () { # MAC: what a reset of the bus does to a register that keeps what is written
  local d
  for d in /sys/class/net/*; do [ "$(cat $d/address)" = $1 ] && break; done
  d=$(readlink -f $d/device)
  echo ${d##*/} >$d/driver/unbind
  echo 1 >$d/enable
  guest bar $d/resource0 0x5408 0x1234
  echo bus >$d/reset_method && echo 1 >$d/reset && echo "BUS-RESET $(cat $d/reset_method)"
  guest bar $d/resource0 0x5408
  echo ${d##*/} >/sys/bus/pci/drivers_probe
}
bus () { bar 52:54:00:0a:1c:05; nic1; }
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
        check_sound(suite, text, 'the sound stream advances at its pace')
    if 'frame' in words:
        m = re.search(r'^FRAME (\d+)x(\d+) (\d+)$', text, re.M)
        ok(m and m[3] == '0', 'the framebuffer reads back as it was painted', tail)
        screen(suite, monitor, 'gpu0', m and (int(m[1]), int(m[2])), False)
    if 'draw' in words:
        m = re.search(r'ALCOVE-GUEST: drew (\d+)x(\d+)', text)
        screen(suite, monitor, 'gpu1', m and (int(m[1]), int(m[2])), False)


def check_sound(suite, text, what):
    m = re.search(r'^SOUND (\d+) (\d+) (\d+)$', text, re.M)
    rate = int(m[1]) * 1000 / int(m[2]) if m else 0
    suite.ok(m and int(m[3]) > 5 and 24000 < rate < 72000, what,
             f'{rate:.0f} frames a second\n{text[-3000:]}')


def screen(suite, monitor, name, size, cursor, who='the guest'):
    """The picture of this size is on the physical screen of the card."""
    path = monitor.screen(name, suite.path(name + '.ppm'))
    try:
        if not size:
            raise ValueError(f'{who} said no size')
        picture.check_pattern(picture.read(path), *size, cursor)
        suite.ok(True, f'the screen on {name} shows what {who} painted')
    except ValueError as e:
        picture.write_png(picture.read(path), f'{suite.logs}/{suite.name}-{name}.png')
        suite.ok(False, f'the screen on {name} shows what {who} painted', e)


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


def fetch(interface, number):
    """The file of a network, by TFTP (RFC 1350) over this interface of the host's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        s.settimeout(5)
        s.sendto(b'\0\1file\0octet\0', (f'10.0.{number}.2', 69))
        data, expected = b'', 1
        while True:
            packet, server = s.recvfrom(1024)
            if packet[:2] != b'\0\3':
                raise RuntimeError(f'the server says {packet!r}')
            if int.from_bytes(packet[2:4], 'big') == expected:
                data += packet[4:]
                expected += 1
            s.sendto(b'\0\4' + packet[2:4], server)
            if len(packet) < 516:
                return data


def host_network(suite, name, number):
    found = wait(lambda: hostpci.glob.glob(f'{hostpci.DEVICES}/{hostpci.address(name)}/net/*'), 20,
                 'interface')
    interface = found[0].rsplit('/', 1)[1]
    subprocess.run(['ip', 'addr', 'add', f'10.0.{number}.15/24', 'dev', interface], check=True)
    subprocess.run(['ip', 'link', 'set', interface, 'up'], check=True)
    wait(lambda: hostpci.read(f'/sys/class/net/{interface}/carrier') == '1', 20, 'carrier')
    data = fetch(interface, number)
    suite.ok(hashlib.sha256(data).hexdigest() == network_digest(),
             f'the host has {name} again: a file comes whole over it', f'{len(data)} bytes')
    subprocess.run(['ip', 'addr', 'flush', 'dev', interface], check=True)


def host_sound(suite):
    hostpci.modprobe('snd_hda_codec_generic', 'snd_hda_intel')
    at = hostpci.address('sound0')
    found = wait(lambda: hostpci.glob.glob(f'{hostpci.DEVICES}/{at}/sound/card*/pcmC*p'), 20,
                 'sound card')
    out = subprocess.run([tool(), 'sound', '/dev/snd/' + found[0].rsplit('/', 1)[1], '1500'],
                         stdout=subprocess.PIPE, text=True, check=False).stdout
    check_sound(suite, out, 'the host has the sound function again: its stream advances')


def host_frame(suite, monitor):
    hostpci.modprobe('aty128fb')
    number = wait(lambda: re.search(r'^(\d+) ATY', hostpci.read('/proc/fb'), re.M), 20, 'screen')[1]
    out = subprocess.run([tool(), 'frame', 'paint', '/dev/fb' + number], stdout=subprocess.PIPE,
                         text=True, check=False).stdout
    m = re.search(r'^FRAME (\d+)x(\d+) (\d+)$', out, re.M)
    suite.ok(m and m[3] == '0', 'the host has its display again: what it paints reads back', out)
    screen(suite, monitor, 'gpu0', m and (int(m[1]), int(m[2])), False, 'the host')


def check_host(suite, words, monitor):
    """The host's own drivers have the devices again, and work with them."""
    if 'nic0' in words:
        host_network(suite, 'nic0', 4)
    if 'sound' in words:
        host_sound(suite)
    if 'frame' in words:
        host_frame(suite, monitor)
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
    for name, job, counted in (('an NVMe read job', 'nvme', 50), ('a framebuffer fill', 'frame', 0),
                               ('packets through a device that has INTx only', 'packets', 50)):
        guest.wait_serial(f'^READY-{job}', 60)
        with hostpci.Exits() as exits:
            word.go(guest, job)
            time.sleep(1.5)
            exits.record(1.5)
        suite.ok(exits.lost == 0 and exits.reasons.get('KVM_EXIT_MMIO', 0) == 0 and
                 exits.reasons.get('KVM_EXIT_IO', 0) == 0,
                 f'{name}: no exit to user space', f'{exits.reasons} {exits.pages()} '
                 f'{exits.lost} lost')
        print(f'# {name}: exits to user space {exits.reasons}, interrupts {exits.interrupts}, '
              f'{exits.asked} raised and {exits.unmasked} unmasked by system call')
        if counted:
            suite.ok(exits.interrupts > counted and exits.asked == 0 and exits.unmasked == 0,
                     f'{name}: interrupts come from the kernel alone',
                     f'{exits.interrupts} interrupts, {exits.asked} raised and {exits.unmasked} '
                     'unmasked by system call')
    guest.wait_serial('^JOBS-END', 60)
    figures = re.findall(r'^BENCH (\S+) (?:1 |4 )?(\d+)', guest.serial(), re.M)
    suite.ok(len(figures) == 3 and all(int(n) > 0 for _, n in figures), 'the jobs ran', figures)


def check_bus_reset(suite, guest):
    """The guest resets the bus behind a virtual port: the device on it has been through a reset, and
    works for its driver after it."""
    guest.wait_serial('^FILE-5 ', 60, 2)
    text = guest.serial()
    text = text[text.rindex('JOBS-END'):]
    values = re.findall(r'^BAR 0x5408 (\S+)$', text, re.M)
    suite.ok('BUS-RESET bus' in text and values == ['0x1234', '0'],
             'the guest resets the bus of its port: the card is reset', f'{values}\n{text[-1000:]}')
    suite.ok(re.search(rf'^FILE-5 {network_digest()} ', text, re.M),
             'and works for its driver again', text[-2000:])
