#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stock Linux guest on qcow2 disks behind three controllers, snapshotted under load by the command
line, reverted three ways, cloned both ways, run disposably; qemu-img judges the images."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid

from guestlab import BUILD, CMDLINE, SLOW, Suite, image

DISKS = [('system', 'virtio', '/dev/vda'), ('data', 'nvme', '/dev/nvme0n1'), ('old', 'sata', '/dev/sda')]
SCRIPT = '''
for disk in @DISKS@; do
  if guest disk verify $disk 0 1048576 7; then echo "MARK $disk yes"; else
    guest disk write $disk 0 1048576 7
    echo "MARK $disk no"
  fi
done
for disk in @DISKS@; do guest memory 4 $disk & done
while :; do sleep 1; echo "TICK"; done
'''
WRONG = r'^MEMORY WRONG.*|^.*(?:BUG:|Oops|soft lockup|Call Trace|I/O error).*'


class Desk:
    """The command line with folders of its own, and a machine in them."""

    def __init__(self, suite):
        self.suite = suite
        self.env = dict(os.environ)
        for name, folder in (('XDG_DATA_HOME', 'data'), ('XDG_RUNTIME_DIR', 'run')):
            self.env[name] = suite.path(folder)
            os.makedirs(self.env[name], mode=0o700)
        self.env['ALCOVE_LIBEXECDIR'] = os.path.join(BUILD, 'app', 'programs')
        self.machines = suite.path('data/alcove/machines')
        self.serial = suite.path('serial')

    def alcove(self, *args, fails=False):
        done = subprocess.run([os.path.join(BUILD, 'app', 'programs', 'alcove'), *args],
                              env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=60 * SLOW, check=False)
        if (done.returncode != 0) != fails:
            raise RuntimeError(f'alcove {" ".join(args)}: status {done.returncode}: {done.stderr}')
        return done.stderr.strip() if fails else done.stdout.strip()

    def make(self, name):
        folder = os.path.join(self.machines, name)
        os.makedirs(folder)
        script = SCRIPT.replace('@DISKS@', ' '.join(d[2] for d in DISKS))
        groups = [('machine', {'uuid': uuid.uuid4(), 'name': name, 'memory': 128, 'firmware': 'none',
                               'kernel': image('kernel'), 'cmdline': CMDLINE,
                               'initrd': self.suite.initrd('snapshots', script)}),
                  ('serial log', {'backend': 'file', 'file': self.serial})]
        for disk, bus, _ in DISKS:
            groups.append((f'disk {disk}', {'file': f'{disk}.qcow2', 'format': 'qcow2', 'bus': bus}))
            self.alcove('disk', 'create', os.path.join(folder, f'{disk}.qcow2'), '32M')
        with open(os.path.join(folder, 'machine.conf'), 'w', encoding='utf-8') as f:
            for group, keys in groups:
                f.write(f'[{group}]\n' + ''.join(f'{k}={v}\n' for k, v in keys.items()) + '\n')

    def text(self):
        try:
            with open(self.serial, encoding='utf-8', errors='replace') as f:
                return f.read().replace('\r', '')
        except FileNotFoundError:
            return ''

    def forget_serial(self):
        if os.path.exists(self.serial):
            os.truncate(self.serial, 0)

    def wait(self, pattern, more=1, seconds=40):
        """So many more matches than now."""
        count = len(re.findall(pattern, self.text(), re.M)) + more
        limit = time.monotonic() + seconds * SLOW
        while len(re.findall(pattern, self.text(), re.M)) < count:
            if time.monotonic() > limit:
                raise TimeoutError(f'no {pattern!r}:\n{self.text()[-1500:]}')
            time.sleep(0.3)

    def goes_on(self, what):
        """The checkers of all disks have come round: nothing is of another instant."""
        self.wait(r'^MEMORY turn', 2 * len(DISKS))
        bad = '\n'.join(re.findall(WRONG, self.text(), re.M))
        self.suite.ok(not bad, what, bad)

    def tree(self, name):
        return {s['name']: s for s in json.loads(self.alcove('snapshot', 'list', name, '--json'))}

    def judge(self, name, what):
        bad = ''
        for disk, _, _ in DISKS:
            path = os.path.join(self.machines, name, f'{disk}.qcow2')
            done = subprocess.run(['qemu-img', 'check', '-q', path], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False)
            bad += done.stdout if done.returncode else ''
        self.suite.ok(not bad, what, bad)


def under_load(suite, desk):
    desk.make('box')
    desk.alcove('start', 'box')
    desk.wait(r'^MEMORY turn', len(DISKS), 90)
    for name in ('one', 'two'):
        begin = time.monotonic()
        desk.alcove('snapshot', 'create', 'box', name)
        print(f'# snapshot {name}: {time.monotonic() - begin:.2f} s')
        desk.goes_on(f'snapshot {name} under load: the guest goes on')
    tree = desk.tree('box')
    suite.ok(tree['two']['parent'] == tree['one']['id'] and tree['one']['memory'] and
             len(tree['one']['disks']) == len(DISKS), 'sets of all disks and memory, in a tree', tree)


def revert(suite, desk):
    for target in ('one', 'two', 'Before reverting to one'):
        # By its id: what is kept before a revert may get the same name again.
        wanted = desk.tree('box')[target]['id']
        begin = time.monotonic()
        desk.alcove('snapshot', 'revert', 'box', wanted)
        print(f'# revert to {target}: {time.monotonic() - begin:.2f} s')
        desk.goes_on(f'reverted to “{target}”: memory and disks belong together')
        shown = json.loads(desk.alcove('snapshot', 'show', 'box', wanted, '--json'))
        suite.ok(shown['current'], 'and the tree says so', shown)
    desk.alcove('snapshot', 'delete', 'box', 'one')
    desk.goes_on('a snapshot deleted under the running guest')
    desk.alcove('stop', 'box', '--force')
    desk.judge('box', 'qemu-img finds nothing wrong')


def clones(suite, desk):
    full = desk.alcove('clone', 'box', 'Full', '--snapshot', 'two')
    linked = desk.alcove('clone', 'box', 'Linked', '--linked', '--snapshot', 'two')
    for name in (full, linked):
        desk.forget_serial()
        desk.alcove('start', name)
        desk.wait(r'^MEMORY turn', len(DISKS), 90)
        text = desk.text()
        suite.ok(all(f'MARK {d[2]} yes' in text for d in DISKS),
                 f'the {name} clone starts with the contents of the snapshot', text[-1000:])
        desk.alcove('stop', name, '--force')
        desk.judge(name, 'and its images are sound')
    base = json.loads(desk.alcove('base', 'list', '--json'))[0]
    message = desk.alcove('base', 'delete', base['name'], fails=True)
    suite.ok('linked' in message, 'a base in use is refused, naming who needs it', message)
    suite.ok(desk.alcove('show', full, '--json') and
             json.loads(desk.alcove('show', full, '--json'))['uuid'] !=
             json.loads(desk.alcove('show', 'box', '--json'))['uuid'], 'with an identity of its own')


def disposable(suite, desk):
    def marks():
        return [subprocess.run(['qemu-img', 'info', '--output=json', os.path.join(
            desk.machines, 'full', f'{d[0]}.qcow2')], stdout=subprocess.PIPE, text=True,
            check=True).stdout for d in DISKS]

    before = marks()
    desk.forget_serial()
    desk.alcove('start', 'full', '--disposable')
    desk.wait(r'^MEMORY turn', 2 * len(DISKS), 90)
    message = desk.alcove('snapshot', 'create', 'full', fails=True)
    suite.ok('disposable' in message, 'a disposable run refuses what would keep something', message)
    desk.alcove('stop', 'full', '--force')
    suite.ok(marks() == before and
             not os.path.exists(os.path.join(desk.machines, 'full', '.disposable')),
             'and leaves nothing behind')


def main():
    suite = Suite('snapshots')
    if not shutil.which('qemu-img'):
        suite.skip('snapshots', 'qemu-img is not installed')
        return suite.end()
    desk = Desk(suite)
    suite.case('under load', under_load, suite, desk)
    suite.case('revert', revert, suite, desk)
    suite.case('clones', clones, suite, desk)
    suite.case('disposable', disposable, suite, desk)
    for name in os.listdir(desk.machines):
        subprocess.run([os.path.join(BUILD, 'app', 'programs', 'alcove'), 'stop', name, '--force'],
                       env=desk.env, stderr=subprocess.DEVNULL, check=False)
    return suite.end()


if __name__ == '__main__':
    sys.exit(main())
