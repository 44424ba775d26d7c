#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""One stock guest with every device: drivers, MSI-X, ACPI tables, disk, network, input."""

import hashlib
import http.server
import mmap
import os
import re
import socketserver
import subprocess
import sys
import tarfile
import threading
import time

from guestlab import CMDLINE, SLOW, Machine, Suite, image, report, tool

PAYLOAD = 3 << 20
TAP, HOST, GUEST = 'alcove-tap0', '192.168.77.1', '192.168.77.2'
DRIVERS = {1: 'virtio_net', 2: 'virtio_blk', 3: 'virtio_console', 4: 'virtio_rng',
           16: 'virtio_gpu', 18: 'virtio_input'}
KEY_A, KEY_B, KEY_ESC = 30, 48, 1
WORDS = 0x600DF00D, 0x0DDBA115          # in the shared memory: the host's and the guest's

SCRIPT = '''
guest report
guest disk write /dev/vda 1048576 4194304 77 && echo DISK-WRITTEN
guest disk verify /dev/vda 8388608 4194304 78 && echo DISK-READ
tar -C /sys/firmware/acpi/tables -cf /dev/vdb . && sync && echo TABLES
echo 'to the console port' >/dev/hvc0 && echo CONSOLE
dd if=/dev/hwrng bs=64 count=1 2>/dev/null | wc -c | sed 's/^/RNG /'
for d in /sys/bus/pci/devices/*; do
  read vendor <$d/vendor; read device <$d/device
  [ $vendor$device = 0x1af40x1110 ] || continue
  echo 1 >$d/enable
  { read a; read a; read base end flags; } <$d/resource
  echo "FRAMES $((end - base + 1)) $(devmem $base 32)"
  devmem $((base + 4096)) 32 @WORD@
done
network
wget -q -O /tmp/user http://10.0.2.2:@PORT@/payload && echo "USER $(sha256sum </tmp/user)"
if [ -e /sys/class/net/eth1 ]; then
  ip addr add @GUEST@/24 dev eth1
  ip link set eth1 up
  wget -q -O /tmp/tap http://@HOST@:@PORT@/payload && echo "TAP $(sha256sum </tmp/tap)"
fi
guest events 120 1 && echo INPUT-END
guest report | grep IRQ | sed 's/^IRQ/LAST/'
'''


class Files(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', str(len(self.server.payload)))
        self.end_headers()
        self.wfile.write(self.server.payload)

    def log_message(self, *_):
        pass


def make_tap():
    """A tap interface with an address, where this process may make one."""
    commands = (['ip', 'tuntap', 'add', TAP, 'mode', 'tap'],
                ['ip', 'addr', 'add', HOST + '/24', 'dev', TAP], ['ip', 'link', 'set', TAP, 'up'])
    if os.getuid() != 0 or 'LAB' not in os.environ:
        return 'a tap interface is made only inside the lab'
    for c in commands:
        r = subprocess.run(c, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if r.returncode:
            return f'{" ".join(c)}: {r.stdout.strip()}'
    return None


def check_report(suite, facts):
    bound = {}
    for line in facts.get('VIRTIO', []):
        m = re.match(r'(\S+) device (\d+) driver (\S+)', line)
        bound.setdefault(int(m.group(2)), []).append(m.group(3))
    for kind, driver in DRIVERS.items():
        suite.ok(bound.get(kind) and set(bound[kind]) == {driver}, f'{driver} drives its devices',
                 '\n'.join(facts.get('VIRTIO', []) + facts.get('PCI', [])))
    lines = [i for i in facts.get('IRQ', []) if 'virtio' in i]
    suite.ok(lines and all('MSI' in i for i in lines), 'every virtio interrupt is MSI-X',
             '\n'.join(facts.get('IRQ', [])))


def check_tables(suite, path):
    """The ACPI tables as the guest sees them, through iasl."""
    folder = suite.path('tables')
    os.makedirs(folder)
    with tarfile.open(path) as t:
        for m in t.getmembers():
            if m.isfile() and '/' not in m.name.lstrip('./'):
                with open(os.path.join(folder, os.path.basename(m.name) + '.dat'), 'wb') as f:
                    f.write(t.extractfile(m).read())
    names = sorted(os.listdir(folder))
    suite.ok({'DSDT.dat', 'FACP.dat', 'APIC.dat', 'MCFG.dat'} <= set(names),
             'the guest has DSDT, FACP, APIC and MCFG', names)
    for n in names:
        r = subprocess.run(['iasl', '-d', n], cwd=folder, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, check=False)
        suite.ok(r.returncode == 0 and not re.search(r'error|warning|invalid|unknown', r.stdout, re.I),
                 f'iasl reads {n[:-4]}', r.stdout)
    r = subprocess.run(['iasl', '-p', 'again', 'DSDT.dsl'], cwd=folder, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, check=False)
    suite.ok(r.returncode == 0 and ' 0 Errors, 0 Warnings' in r.stdout,
             'iasl compiles the DSDT again without errors', r.stdout)


def check_input(suite, guest):
    guest.wait_serial(r'^EVENTS ready', 60)
    guest.call('SendKeys', 'auu', [KEY_A, KEY_B], 50)
    guest.wait_serial(rf'^EVENT \d+ 1 {KEY_B} 0', 10)
    keys = re.findall(rf'^EVENT \d+ 1 ({KEY_A}|{KEY_B}) ([01])$', guest.serial(), re.M)
    suite.ok(keys == [(str(KEY_A), '1'), (str(KEY_B), '1'), (str(KEY_B), '0'), (str(KEY_A), '0')],
             'keys arrive, pressed in order and released in reverse', keys)
    guest.call('MovePointer', 'ddu', 0.25, 0.75, 1)
    guest.wait_serial(r'^EVENT \d+ 1 272 1', 10)
    guest.call('MovePointer', 'ddu', 0.25, 0.75, 0)
    guest.wait_serial(r'^EVENT \d+ 1 272 0', 10)
    text = guest.serial()
    ranges = re.search(r'^INPUT event\d+ ".*" abs (\d+)\.\.(\d+) (\d+)\.\.(\d+)', text, re.M)
    at = dict(re.findall(r'^EVENT \d+ 3 ([01]) (\d+)$', text, re.M))
    good = ranges and '0' in at and '1' in at
    if good:
        wide, high = int(ranges.group(2)), int(ranges.group(4))
        good = abs(int(at['0']) - 0.25 * wide) <= wide / 500 and \
            abs(int(at['1']) - 0.75 * high) <= high / 500
    suite.ok(good, 'absolute pointer events arrive at the right place', text[-1500:])
    guest.call('SendKeys', 'auu', [KEY_ESC], 20)
    guest.wait_serial(r'^INPUT-END', 10)


def share_frames(guest):
    """The memory of [frames], mapped as a program of the host does, with a word at its start."""
    path = f'{guest.runtime}/frames'
    limit = time.monotonic() + 20 * SLOW
    while not os.path.exists(path) and time.monotonic() < limit:
        time.sleep(0.1)
    with open(path, 'r+b') as f:
        frames = mmap.mmap(f.fileno(), os.fstat(f.fileno()).st_size)
    frames[:4] = WORDS[0].to_bytes(4, 'little')
    return frames


def run(suite):
    payload = os.urandom(PAYLOAD)
    want = hashlib.sha256(payload).hexdigest()
    server = socketserver.ThreadingTCPServer(('0.0.0.0', 0), Files)
    server.daemon_threads = True
    server.payload = payload
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]

    no_tap = make_tap()
    script = SCRIPT.replace('@PORT@', str(port)).replace('@HOST@', HOST).replace('@GUEST@', GUEST)
    script = script.replace('@WORD@', hex(WORDS[1]))
    data, tables = suite.blank('data.img', 16), suite.blank('tables.img', 4)
    subprocess.run([tool(), 'disk', 'write', data, '8388608', '4194304', '78'], check=True)
    devices = [('disk data', {'file': data}), ('disk tables', {'file': tables}),
               ('nic lan', {'backend': 'user'}), ('display screen', {'type': 'virtio-vga'}),
               ('input keyboard', {'type': 'keyboard'}), ('input tablet', {'type': 'tablet'}),
               ('rng random', {}), ('frames relay', {'width': 1024, 'height': 768}),
               ('console port', {'backend': 'file', 'file': suite.path('console.txt')})]
    if not no_tap:
        devices.append(('nic tap', {'backend': 'tap', 'ifname': TAP}))
    with Machine(suite, 'all', {
            'cpus': 2, 'firmware': 'none', 'kernel': image('kernel'),
            'initrd': suite.initrd('all', script), 'cmdline': CMDLINE}, devices).start() as guest:
        frames = share_frames(guest)
        guest.wait_serial(r'^REPORT end', 30)
        check_report(suite, report(guest.serial()))
        guest.wait_serial(r'^INPUT event', 60)
        check_input(suite, guest)
        seen = int.from_bytes(frames[4096:4100], 'little')
        guest.wait_serial(r'^ALCOVE-GUEST: script ended', 20)
        status = guest.wait_exit(15)
        text = guest.serial()

    suite.ok(status == 0, 'powers off in order', f'status {status}\n{guest.messages()}')
    suite.ok('DISK-WRITTEN' in text and subprocess.run(
        [tool(), 'disk', 'verify', data, '1048576', '4194304', '77'], check=False).returncode == 0,
        'what the guest wrote is on the disk, seen from outside', text[-1500:])
    suite.ok('DISK-READ' in text, 'the guest reads what was written from outside', text[-1500:])
    suite.ok(f'USER {want}' in text, 'a file arrives whole through user networking', text[-1500:])
    if no_tap:
        suite.skip('a file arrives whole through tap and vhost-net', no_tap)
    else:
        suite.ok(f'TAP {want}' in text, 'a file arrives whole through tap and vhost-net',
                 text[-1500:])
    suite.ok(f'FRAMES {len(frames)} 0x{WORDS[0]:08X}' in text and seen == WORDS[1],
             'the memory for frames is the same for the guest and the host', f'{seen:#x}\n{text[-1500:]}')
    suite.ok(not os.path.lexists(f'{guest.runtime}/frames'), 'and its name goes with the machine')
    suite.ok('RNG 64' in text, 'the random number generator answers', text[-1500:])
    with open(suite.path('console.txt'), encoding='utf-8', errors='replace') as f:
        suite.ok('to the console port' in f.read(), 'the virtio console port carries text')
    used = [i for i in re.findall(r'^LAST (.*virtio.*)$', text, re.M) if not i.endswith(' 0')]
    for name in ('-req.', '-input', '-control'):
        suite.ok(any(name in i for i in used), f'interrupts of virtio…{name}… are counted',
                 '\n'.join(used))
    check_tables(suite, tables)


def main():
    suite = Suite('devices')
    suite.case('all devices', run, suite)
    return suite.end()


if __name__ == '__main__':
    sys.exit(main())
