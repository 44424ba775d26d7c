#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stock guest saved at random moments, each time restored in a new process; live snapshots; its
clock, its memory, its disk, its TCP connection.

usage: save.py [CYCLES]       5 by default; 100 for a long run
"""

import os
import random
import re
import shutil
import socketserver
import sys
import threading
import time

import peerbus
from guestlab import QUICK, SLOW, Machine, Suite, image

SCRIPT = '''
network
( while :; do
    ( i=0; while [ $i -lt 100000 ]; do i=$((i+1)); echo "LINE $i"; sleep 1; done ) | nc 10.0.2.2 @PORT@
    sleep 1
  done ) &
guest memory 12 /dev/vda &
while :; do
  read rtc </sys/class/rtc/rtc0/since_epoch
  echo "CLOCK $rtc $(date +%s)"
  sleep 2
done
'''


class Lines(socketserver.ThreadingTCPServer):
    """Counts the lines of each connection and how it ended."""
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Handler)
        self.connections = []


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        record = {'lines': 0, 'end': None}
        self.server.connections.append(record)
        try:
            for _ in self.rfile:
                record['lines'] += 1
            record['end'] = 'closed'
        except OSError as e:
            record['end'] = e.strerror


def make(suite, name, port, disk):
    kernel = image('kernel')
    ramdisk = suite.initrd('save', SCRIPT.replace('@PORT@', str(port)))
    return Machine(suite, name, {'firmware': 'none', 'kernel': kernel, 'initrd': ramdisk,
                                 'cmdline': QUICK, 'memory': 128},
                   [('disk system', {'file': disk}), ('nic user', {'backend': 'user'}),
                    ('display main', {'type': 'virtio-vga'}), ('rng entropy', {}),
                    ('input keys', {'type': 'keyboard'}), ('console agent', {'backend': 'console'})])


def turns(machine):
    found = re.findall(r'^MEMORY turn (\d+)', machine.serial(), re.M)
    return int(found[-1]) if found else 0


def wait_turn(machine, more=1):
    """Two more lines of the memory checker: it runs."""
    count = len(re.findall(r'^MEMORY turn', machine.serial(), re.M))
    machine.wait_serial(r'^MEMORY turn', 30, count + more)


def save(machine, member, folder, **options):
    return peerbus.parse_dict(machine.call(member, 'sa{sv}', folder, options, seconds=120))


def restart(machine, *args):
    """The same machine in a new process."""
    machine.wait_exit(30)
    machine.control = None
    begin = time.monotonic()
    machine.start(*args)
    while not os.path.exists(f'{machine.runtime}/control'):
        if machine.process.poll() is not None:
            raise RuntimeError(f'it did not start: {machine.messages()[-1500:]}')
        time.sleep(0.05)
    return time.monotonic() - begin


def wrong(machine):
    return '\n'.join(re.findall(r'^MEMORY WRONG.*|^.*(?:BUG|Oops|soft lockup|Call Trace).*',
                                machine.serial(), re.M))


def cycles(suite, machine, server, n):
    taken = []
    for i in range(n):
        time.sleep(random.uniform(0.1, 2) * SLOW / 2)
        folder = suite.path(f'saved-{i}')
        result = save(machine, 'Save', folder, quit=True)
        # Time goes by while it is saved: the guest's clock must find out.
        time.sleep(2 if i == 0 else 0)
        taken.append((result['duration-ns'] / 1e9, restart(machine, '--restore', folder, '--consume')))
        wait_turn(machine)
        if wrong(machine):
            break
        if i > 0:
            shutil.rmtree(suite.path(f'saved-{i - 1}'), ignore_errors=True)
    suite.ok(len(taken) == n and not wrong(machine),
             f'{n} times saved, ended and restored at random moments: memory and disk are right',
             wrong(machine))
    print(f'# save {max(t[0] for t in taken):.2f} s, process to ready '
          f'{max(t[1] for t in taken):.2f} s at most; {turns(machine)} turns of the checker')
    left = [i for i in range(n) if os.path.exists(suite.path(f'saved-{i}'))]
    limit = time.monotonic() + 60 * SLOW    # it has a low priority, and the guest never rests
    while left and time.monotonic() < limit:
        time.sleep(0.5)
        left = [i for i in left if os.path.exists(suite.path(f'saved-{i}'))]
    suite.ok(not left, 'a saved state that was used is removed behind the running guest', left)


def live(suite, machine, disk):
    for method in ('fork', 'dirty-log', 'write-protect'):
        folder = suite.path('live-' + method)
        try:
            result = save(machine, 'Snapshot', folder, method=method)
        except peerbus.BusError as e:
            if e.name.endswith('NotSupported'):
                suite.skip(f'a live snapshot by {method}', str(e))
                continue
            raise
        suite.ok(os.path.exists(os.path.join(folder, 'ram')) and not wrong(machine),
                 f'a live snapshot by {method}: the guest goes on', wrong(machine))
        print(f"# {method}: pause {result['pause-ns'] / 1e6:.1f} ms, whole "
              f"{result['duration-ns'] / 1e6:.0f} ms, {result['ram-stored'] >> 20} of "
              f"{result['ram-size'] >> 20} MiB, {result['rounds']} rounds")
        if method == 'fork':
            suite.ok(os.path.getsize(os.path.join(folder, 'thumbnail.png')) > 100
                     if os.path.exists(os.path.join(folder, 'thumbnail.png')) else True,
                     'with a picture when the display is on')
        else:
            shutil.rmtree(folder)
    wait_turn(machine)


def clock(machine):
    """What the guest's RTC and its system clock say, less this side's clock."""
    count = len(re.findall(r'^CLOCK', machine.serial(), re.M))
    found = machine.wait_serial(r'^CLOCK (\d+) (\d+)$', 20, count + 1)[-1]
    return int(found.group(1)) - time.time(), int(found.group(2)) - time.time()


def nic(machine):
    return {k: v for k, v in peerbus.parse_dict(machine.call('GetStats')).items()
            if k.startswith('device.nic')}


def connection(suite, server, machine):
    """When a process ends, the host sees the end of the connection; the guest finds out when it
    sends, and connects anew."""
    limit = time.monotonic() + 30 * SLOW
    while time.monotonic() < limit and not (
            len(server.connections) > 1 and not server.connections[-1]['end'] and
            server.connections[-1]['lines'] > 0):
        time.sleep(0.5)
    suite.ok(len(server.connections) > 1 and
             all(c['end'] == 'closed' for c in server.connections[:-1]),
             "the guest's TCP connection ends cleanly on both sides",
             f'{server.connections}\n{nic(machine)}')
    suite.ok(server.connections[-1]['lines'] > 0 and not server.connections[-1]['end'],
             'and a new one works', f'{server.connections}\n{nic(machine)}')


def run(suite, n):
    server = Lines()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    disk = suite.blank('system.img', 16)
    with make(suite, 'save', server.server_address[1], disk).start() as machine:
        machine.wait_serial(r'^MEMORY turn', 60)
        suite.case('live snapshots', live, suite, machine, disk)
        suite.case('cycles', cycles, suite, machine, server, n)
        suite.case('connection', connection, suite, server, machine)
        gaps = [int(g) for g in re.findall(r'^MEMORY turn \d+ gap (\d+)', machine.serial(), re.M)]
        suite.ok(gaps and max(gaps) < 60000, 'the monotonic clock never jumped', max(gaps or [0]))
        save(machine, 'Save', suite.path('last'), quit=True)
        time.sleep(10)
        restart(machine, '--restore', suite.path('last'), '--new-generation')
        rtc, system = clock(machine)
        suite.ok(abs(rtc) < 3 * SLOW, 'the RTC is right after ten seconds off', f'{rtc} s')
        print(f'# after a restore the RTC is off by {rtc:.1f} s, the system clock by {system:.1f} s')
        wait_turn(machine)
        suite.ok(not wrong(machine), 'and all is right at the end', wrong(machine))


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    random.seed(int(os.environ.get('ALCOVE_SEED', '1')))
    suite = Suite('save')
    suite.case('save and restore', run, suite, n)
    return suite.end()


if __name__ == '__main__':
    sys.exit(main())
