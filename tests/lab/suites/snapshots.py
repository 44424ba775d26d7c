#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stock Linux guest on qcow2 disks behind four controllers at once. fio writes and verifies on all of
them while the command line takes snapshots, saves and starts again, reverts three ways, clones both
ways and runs disposably; qemu-img judges the images."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid

from guestlab import BUILD, QUICK, SLOW, Suite, image, modules

# name, bus
DISKS = [('system', 'virtio'), ('data', 'nvme'), ('old', 'sata'), ('room', 'scsi')]
# Two jobs on every disk. "kept" is written once and found again by whoever starts from the disk's
# contents of any later time. "load" never ends: each pass writes blocks in a random order with
# contents of its own, and reads them all back. fio's own verify state lives in its memory, so that
# a disk of another instant than the memory is found by the pass that was under way.
# What fio cannot tell is whether the guest's other memory is of that instant, and a page of an older
# pass on a disk: "guest memory" can, it keeps a generation for each of its pages and blocks.
SCRIPT = """
for d in /sys/block/sd*; do
  case $(readlink $d) in */ata*) sata=/dev/${d##*/} ;; *virtio*) scsi=/dev/${d##*/} ;; esac
done
fio_run () { # name, options of the job...
  name=$1; shift
  echo "[global]
ioengine=libaio
direct=1
iodepth=8
bs=4k
thread
verify=crc32c
verify_fatal=1
clocksource=clock_gettime
gtod_reduce=1
disk_util=0" >/tmp/$name.fio
  for o in "$@"; do echo "$o"; done >>/tmp/$name.fio
  for disk in /dev/vda /dev/nvme0n1 $sata $scsi; do echo "[${disk##*/}]
filename=$disk"; done >>/tmp/$name.fio
  fio --output-format=terse /tmp/$name.fio >/tmp/$name.log 2>&1 && return
  sed "s/^/FIO WRONG $name: /" /tmp/$name.log
  return 1
}
kept="rw=write offset=0 size=128k randseed=7"
if [ "$(dd if=/dev/vda bs=4k count=1 2>/dev/null | tr -d '\\0' | wc -c)" = 0 ]; then
  fio_run keep $kept do_verify=0 && echo "KEPT written"
else
  fio_run kept $kept verify_only && echo "KEPT verified"
fi
guest memory 4 $scsi 10 &
n=0
while :; do
  n=$((n + 1))
  fio_run load rw=randwrite offset=1m size=256k do_verify=1 randseed=$n || break
  echo "FIO pass $n"
done
"""
PASS = r'^FIO pass \d+'
WRONG = r'^(?:MEMORY|FIO) WRONG.*|^.*(?:BUG:|Oops|soft lockup|Call Trace|I/O error).*'


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
        groups = [('machine', {'uuid': uuid.uuid4(), 'name': name, 'memory': 128, 'firmware': 'none',
                               'kernel': image('kernel'), 'cmdline': QUICK + modules(
                                   'virtio_blk', 'virtio_scsi', 'nvme', 'ahci', 'sd_mod'),
                               'initrd': self.suite.initrd('snapshots', SCRIPT, program='fio')}),
                  ('serial log', {'backend': 'file', 'file': self.serial})]
        for disk, bus in DISKS:
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
        """The pass that was under way, with blocks from before and after, has been verified."""
        self.wait(PASS)
        bad = '\n'.join(re.findall(WRONG, self.text(), re.M))
        self.suite.ok(not bad, what, bad)

    def tree(self, name):
        return {s['name']: s for s in json.loads(self.alcove('snapshot', 'list', name, '--json'))}

    def judge(self, name, what):
        bad = ''
        for disk, _ in DISKS:
            path = os.path.join(self.machines, name, f'{disk}.qcow2')
            done = subprocess.run(['qemu-img', 'check', '-q', path], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False)
            bad += done.stdout if done.returncode else ''
        self.suite.ok(not bad, what, bad)


def under_load(suite, desk):
    desk.make('box')
    desk.alcove('start', 'box')
    desk.wait(PASS, 1, 90)
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


def saved(suite, desk):
    begin = time.monotonic()
    desk.alcove('save', 'box')
    between = time.monotonic()
    desk.alcove('start', 'box')
    print(f'# save: {between - begin:.2f} s, start: {time.monotonic() - between:.2f} s')
    desk.goes_on('saved and started again: memory and disks belong together')


def images(desk, name):
    """Size, clusters and snapshots of each image, as qemu-img sees them."""
    return [subprocess.run(['qemu-img', 'info', '--output=json', os.path.join(
        desk.machines, name, f'{d[0]}.qcow2')], stdout=subprocess.PIPE, text=True,
        check=True).stdout for d in DISKS]


def starts(suite, desk, name, *args):
    desk.forget_serial()
    desk.alcove('start', name, *args)
    desk.wait(r'^KEPT', 1, 90)
    text = desk.text()
    suite.ok('KEPT verified' in text and not re.search(WRONG, text, re.M),
             f'the {name} clone starts with the contents of the snapshot', text[-1000:])


def clones(suite, desk):
    full = desk.alcove('clone', 'box', 'Full', '--snapshot', 'two')
    linked = desk.alcove('clone', 'box', 'Linked', '--linked', '--snapshot', 'two')
    starts(suite, desk, linked)
    desk.alcove('stop', linked, '--force')
    desk.judge(linked, 'and its images are sound')
    base = json.loads(desk.alcove('base', 'list', '--json'))[0]
    message = desk.alcove('base', 'delete', base['name'], fails=True)
    suite.ok('linked' in message, 'a base in use is refused, naming who needs it', message)
    shown = json.loads(desk.alcove('show', full, '--json'))
    suite.ok(shown['uuid'] != json.loads(desk.alcove('show', 'box', '--json'))['uuid'],
             'with an identity of its own')
    desk.judge(full, 'the images of the full clone are sound')

    # The full clone's first run is a disposable one.
    before = images(desk, full)
    starts(suite, desk, full, '--disposable')
    message = desk.alcove('snapshot', 'create', full, fails=True)
    suite.ok('disposable' in message, 'a disposable run refuses what would keep something', message)
    desk.goes_on('a disposable run writes and verifies')
    desk.alcove('stop', full, '--force')
    suite.ok(images(desk, full) == before and
             not os.path.exists(os.path.join(desk.machines, full, '.disposable')),
             'and leaves nothing behind')


def main():
    suite = Suite('snapshots')
    if not shutil.which('qemu-img'):
        suite.skip('snapshots', 'qemu-img is not installed')
        return suite.end()
    desk = Desk(suite)
    suite.case('under load', under_load, suite, desk)
    suite.case('saved', saved, suite, desk)
    suite.case('revert', revert, suite, desk)
    suite.case('clones', clones, suite, desk)
    for name in os.listdir(desk.machines):
        subprocess.run([os.path.join(BUILD, 'app', 'programs', 'alcove'), 'stop', name, '--force'],
                       env=desk.env, stderr=subprocess.DEVNULL, check=False)
    return suite.end()


if __name__ == '__main__':
    sys.exit(main())
