#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking devices from the host's drivers and giving them back, by the real kernel: "alcove pci" as
root, killed on its way; then alcove-helper on the real system bus with the real polkit, for users
who may and who may not."""

import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time

import hostpci
from guestlab import BUILD, Machine, Suite

PROGRAM = os.path.join(BUILD, 'app', 'programs', 'alcove')
LEDGER = '/run/alcove/bindings'
# LAB_KILLS=N: more of them.
KILLS = int(os.environ.get('LAB_KILLS', '4'))
FRIEND, STRANGER = 'labfriend', 'labstranger'
POLKIT = '/usr/lib/polkit-1/polkitd'
LIBEXEC = '/usr/local/libexec'
RULES = '''polkit.addRule(function(action, subject) {
  if (action.id.indexOf("io.github.alcove-vm.helper.") == 0)
    return subject.user == "%s" ? polkit.Result.YES : polkit.Result.NO;
});
''' % FRIEND
UNIT = os.path.join(BUILD, 'data', 'alcove-helper.service')
CAPABILITY_BITS = {'CAP_CHOWN': 0, 'CAP_DAC_READ_SEARCH': 2, 'CAP_FOWNER': 3, 'CAP_SYS_PTRACE': 19,
                   'CAP_SYS_RESOURCE': 24}     # linux/capability.h
# No systemd runs here: the bus starts the helper through this, which confines it as the unit has it
# (but for the filter on system calls): all is read-only but /dev, /proc, /sys and /run/alcove, /home
# and /root are empty, /tmp is its own; those capabilities, and none to be gained.
CONFINED = '''#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
mkdir -p /run/alcove
exec unshare --mount --propagation private sh -c '
  for d in /home /root /tmp; do mount -t tmpfs -o mode=0755 none $d; done
  mount --bind /run/alcove /run/alcove
  cut -d" " -f5 /proc/self/mountinfo | sort -u | while read -r at; do
    case $at in
      /dev | /dev/* | /proc | /proc/* | /sys | /sys/* | /run/alcove | /tmp) ;;
      *) mount -o remount,bind,ro "$at" || echo "$at stays writable" >&2 ;;
    esac
  done
  exec setpriv --bounding-set=-all,%s --inh-caps=-all --no-new-privs %s/alcove-helper'
'''
PAYLOAD = os.path.join(BUILD, 'tests', 'guests', 'payload', 'nvme.elf')
# A user's process that takes a device for as long as it lives, opens its group, and waits.
TAKER = '''
import os, sys, time
from gi.repository import Gio, GLib
bus = Gio.bus_get_sync(Gio.BusType.SYSTEM, None)
def call(method, arguments):
    return bus.call_sync('io.github.alcove_vm.Helper1', '/io/github/alcove_vm/Helper1',
                         'io.github.alcove_vm.Helper1', method, arguments, None, 0, 60000, None)
call('Bind', GLib.Variant('(asb)', ([sys.argv[1]], True)))
call('GrantGroup', GLib.Variant('(u)', (int(sys.argv[2]),)))
fd = os.open('/dev/vfio/' + sys.argv[2], os.O_RDWR)
for method, arguments in (('RaiseMemlock', GLib.Variant('(ut)', (os.getpid(), 1 << 26))),
                          ('GrantGroup', GLib.Variant('(u)', (int(sys.argv[3]),))),
                          ('Bind', GLib.Variant('(asb)', (['../../../etc'], False)))):
    try:
        call(method, arguments)
        print(method, 'done')
    except GLib.Error as e:
        print(method, Gio.DBusError.get_remote_error(e))
print('ready', flush=True)
time.sleep(300)
'''


def alcove(*args, user=None):
    argv = [PROGRAM, 'pci', *args]
    if user:
        argv = ['setpriv', '--reuid', user, '--clear-groups', '--no-new-privs', *argv]
    r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    return r.returncode, r.stdout, r.stderr


def ledger():
    try:
        return sorted(n for n in os.listdir(LEDGER) if n != '.lock')
    except FileNotFoundError:
        return []


def functions():
    names = ('gpu0', 'sound0', 'gpu1', 'nvme0', 'nic0', 'xhci0', 'gpu2', 'nic2', 'gpu3', 'nic3', 'gpu4')
    return {name: hostpci.address(name) for name in names}


def state():
    """Of every function: driver and override. And the nodes that there are."""
    out = {}
    for at in sorted(os.listdir(hostpci.DEVICES)):
        out[at] = hostpci.driver(at), hostpci.read(f'{hostpci.DEVICES}/{at}/driver_override')
    return out, sorted(os.listdir('/dev/vfio'))


def differences(a, b):
    return [f'{k}: {a[0][k]} -> {b[0].get(k)}' for k in a[0] if a[0][k] != b[0].get(k)] + \
        ([f'{a[1]} -> {b[1]}'] if a[1] != b[1] else [])


def same(suite, before, what):
    found = differences(before, state())
    suite.ok(not found and not ledger(), what, '\n'.join(found + ledger()))


def rounds(suite, at):
    """Each kind of card, taken and given back."""
    before = state()
    # A mate without a driver may stay; one that has one goes along.
    for names in (('gpu0', 'sound0'), ('gpu1',), ('nvme0',), ('nic0',), ('xhci0',), ('nic2',),
                  ('gpu3', 'nic2'), ('gpu4', 'nic3')):
        status, _, said = alcove('bind', at[names[0]])
        taken = [hostpci.driver(at[n]) for n in names]
        other = 'nic3' if names[0] == 'nic0' else 'nic0'    # of the same kind
        left = hostpci.driver(at[other])
        viable = hostpci.viable(hostpci.group(at[names[0]]))
        bound = json.loads(alcove('list-bound', '--json')[1])
        suite.ok(status == 0 and set(taken) == {'vfio-pci'} and viable is True,
                 f'{" and ".join(names)}: taken together, and the kernel hands the group out',
                 f'{status} {taken} viable {viable}\n{said}')
        suite.ok(all(at[n] in said for n in names[1:]) and left == 'e1000e' and
                 [b['function'] for b in bound] == sorted(at[n] for n in names),
                 f'{names[0]}: what went along was said, nothing else was touched',
                 f'{said}\n{other}: {left}\n{bound}')
        status, _, said = alcove('release', *(at[n] for n in names))
        suite.ok(status == 0, f'{" and ".join(names)}: given back', said)
    same(suite, before, 'every driver has its device again')


def used(suite, at):
    """What is in use stays where it is."""
    before = state()
    with open('/dev/nvme0n1', 'rb'):
        status, _, said = alcove('bind', at['nvme0'])
        suite.ok(status != 0 and str(os.getpid()) in said, 'a disk that is open is not taken', said)
    same(suite, before, 'and nothing was changed')
    alcove('bind', at['nic0'])
    group = hostpci.group(at['nic0'])
    fd = os.open(f'/dev/vfio/{group}', os.O_RDWR)
    status, _, said = alcove('release', at['nic0'])
    suite.ok(status != 0 and str(os.getpid()) in said, 'a group that is open is not given back', said)
    os.close(fd)
    status, _, said = alcove('release')
    suite.ok(status == 0, 'until it is closed', said)
    same(suite, before, 'then its driver has it again')
    status, text, said = alcove('bind', '--dry-run', '--json', at['gpu0'])
    steps = [s['step'] for s in json.loads(text)]
    suite.ok(status == 0 and steps.count('record') == 2 and steps.count('probe') == 2,
             'a dry run shows the steps', f'{steps}\n{said}')
    same(suite, before, 'and does none')


def kills(suite, at):
    """kill -9 as soon as this or that of taking is seen; then release."""
    before = state()
    sound, card = (f'{hostpci.DEVICES}/{at[n]}' for n in ('sound0', 'gpu0'))
    seen = (lambda: ledger(), lambda: len(ledger()) == 2,
            lambda: hostpci.read(sound + '/driver_override') == 'vfio-pci',
            lambda: hostpci.driver(at['sound0']) != 'snd_hda_intel',
            lambda: hostpci.driver(at['sound0']) == 'vfio-pci',
            lambda: hostpci.read(card + '/driver_override') == 'vfio-pci',
            lambda: hostpci.driver(at['gpu0']) == 'vfio-pci')
    half, bad = 0, []
    for i in range(KILLS):
        child = subprocess.Popen([PROGRAM, 'pci', 'bind', at['gpu0']], stderr=subprocess.DEVNULL)
        while child.poll() is None and not seen[i * 2 % len(seen)]():
            time.sleep(0.001)
        child.kill()
        child.wait()
        drivers = [hostpci.driver(at[n]) for n in ('gpu0', 'sound0')]
        half += bool(ledger()) and drivers.count('vfio-pci') < 2
        status, _, said = alcove('release')
        if status != 0 or differences(before, state()) or ledger():
            bad.append(f'{drivers} {status} {said} {differences(before, state())} {ledger()}')
    suite.ok(not bad, f'killed {KILLS} times: release puts everything back', '\n'.join(bad))
    print(f'# {half} of them half-way')


def halves(suite, at):
    """Every state that a kill can leave, made by hand from a true ledger."""
    before = state()
    sound, good, path = at['sound0'], 0, f'{hostpci.DEVICES}/{at["sound0"]}'
    native = hostpci.driver(sound)
    alcove('bind', at['gpu0'])
    files = {n: open(f'{LEDGER}/{n}', encoding='ascii').read() for n in ledger()}
    alcove('release')
    for step in range(4):
        for name, text in files.items():
            with open(f'{LEDGER}/{name}', 'w', encoding='ascii') as f:
                f.write(text)
        if step > 0:
            hostpci.write(f'{path}/driver_override', 'vfio-pci\n')
        if step > 1:
            hostpci.write(f'{path}/driver/unbind', sound)
        if step > 2:
            hostpci.write('/sys/bus/pci/drivers_probe', sound)
        status, _, said = alcove('release')
        good += status == 0 and not differences(before, state()) and not ledger()
        if status != 0:
            print('# ' + said)
    suite.ok(good == 4 and native, 'each step that a power cut can come after is undone', f'{good} of 4')
    for name, text in files.items():
        with open(f'{LEDGER}/{name}', 'w', encoding='ascii') as f:
            f.write('\n'.join('boot=0' if line.startswith('boot=') else line
                              for line in text.split('\n')))
    status, _, said = alcove('release')
    suite.ok(status == 0, 'records of an earlier boot are cleared away', said)
    same(suite, before, 'and change nothing')


class Bus:
    """The distribution's system bus and polkit, with our files where make install puts them."""

    def __init__(self, suite):
        self.log = open(os.path.join(suite.logs, 'bus.log'), 'w', encoding='utf-8')
        self.path = self.log.name
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', '..', 'data')
        for file, to in (
                (os.path.join(BUILD, 'data', 'io.github.alcove_vm.Helper1.service'),
                 '/usr/share/dbus-1/system-services'),
                (os.path.join(source, 'dbus', 'io.github.alcove_vm.Helper1.conf'),
                 '/usr/share/dbus-1/system.d'),
                (os.path.join(source, 'polkit', 'io.github.alcove-vm.helper.policy'),
                 '/usr/share/polkit-1/actions'),
                (os.path.join(BUILD, 'app', 'programs', 'alcove-helper'), LIBEXEC),
                (os.path.join(BUILD, 'app', 'programs', 'alcove-vmm'), LIBEXEC)):
            os.makedirs(to, exist_ok=True)
            shutil.copy(file, to)
        with open(UNIT, encoding='utf-8') as f:
            unit = dict(line.rstrip().split('=', 1) for line in f if re.match(r'\w+=', line))
        self.capabilities = unit['CapabilityBoundingSet'].split()
        with open(f'{LIBEXEC}/alcove-helper-confined', 'w', encoding='utf-8') as f:
            f.write(CONFINED % (','.join('+' + c[len('CAP_'):].lower() for c in self.capabilities),
                                LIBEXEC))
            os.fchmod(f.fileno(), 0o755)
        with open('/usr/share/dbus-1/system-services/io.github.alcove_vm.Helper1.service', 'r+',
                  encoding='utf-8') as f:
            text = '\n'.join(f'Exec={LIBEXEC}/alcove-helper-confined' if line.startswith('Exec=') else line
                             for line in f.read().split('\n'))
            f.seek(0)
            f.truncate()
            f.write(text)
        os.makedirs('/etc/polkit-1/rules.d', exist_ok=True)
        with open('/etc/polkit-1/rules.d/10-lab.rules', 'w', encoding='utf-8') as f:
            f.write(RULES)
        os.makedirs('/run/dbus', exist_ok=True)
        for name in ('/run/dbus/system_bus_socket', '/run/dbus/pid'):
            if os.path.exists(name):
                os.unlink(name)
        self.processes = [self.start('dbus-daemon', '--system', '--nofork', '--nosyslog')]
        hostpci.wait(lambda: os.path.exists('/run/dbus/system_bus_socket'), 20, 'the system bus')
        self.processes.append(self.start(POLKIT, '--no-debug'))
        hostpci.wait(lambda: subprocess.run(
            ['busctl', '--system', 'status', 'org.freedesktop.PolicyKit1'],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0,
            40, 'polkit')

    def start(self, *argv):
        return subprocess.Popen(argv, stdout=self.log, stderr=self.log)

    def text(self):
        with open(self.path, encoding='utf-8', errors='replace') as f:
            return f.read()

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait()


def helper(suite, at):
    if not os.path.exists(POLKIT) or not shutil.which('dbus-daemon'):
        suite.skip('the helper behind polkit', 'polkit or the message bus is not installed')
        return
    before = state()
    for user in (FRIEND, STRANGER):
        subprocess.run(['useradd', '--no-create-home', '--no-log-init', user], check=True)
    bus = Bus(suite)
    try:
        for_user(suite, at, before)
        users(suite, at, bus, before)
        confined(suite, bus)
        gone(suite, at, bus, before)
        machine(suite, at, bus, before)
    finally:
        bus.stop()
    text = bus.text()
    suite.ok('Bind ' in text and ': refused' in text and 'GiveBack ' in text,
             'every call is on record', text)


def for_user(suite, at, before):
    """Root takes a card for a user, without the helper."""
    status, _, said = alcove('bind', '--user', FRIEND, at['nic0'])
    uid = int(subprocess.check_output(['id', '-u', FRIEND], text=True))
    node = f'/dev/vfio/{hostpci.group(at["nic0"])}'
    now = os.stat(node) if os.path.exists(node) else None
    opened = [subprocess.run(['setpriv', '--reuid', user, '--clear-groups', 'sh', '-c',
                              f'exec 3<>{node}'], stderr=subprocess.DEVNULL, check=False).returncode == 0
              for user in (STRANGER, FRIEND)]
    bound = json.loads(alcove('list-bound', '--json')[1])
    suite.ok(status == 0 and now and now.st_uid == uid and stat.S_IMODE(now.st_mode) == 0o600 and
             opened == [False, True] and [b['uid'] for b in bound] == [uid],
             'pci bind --user: the user alone may open what root took for them',
             f'{status} {said} {now} {opened} {bound}')
    status, _, said = alcove('release')
    suite.ok(status == 0, 'and root gives it back', said)
    same(suite, before, 'every driver has its device again')


def users(suite, at, bus, before):
    """Two users: polkit's rule says yes to one of them."""
    actions = subprocess.run(['pkaction'], stdout=subprocess.PIPE, text=True, check=False).stdout
    suite.ok(actions.count('io.github.alcove-vm.helper.') == 4, 'polkit knows the four actions', actions)
    status, _, said = alcove('bind', at['nic0'], user=STRANGER)
    suite.ok(status == 1 and 'polkit' in said, 'who may not is refused', f'{status} {said}\n{bus.text()}')
    same(suite, before, 'and nothing was changed')
    status, _, said = alcove('bind', at['gpu0'], user=FRIEND)
    group = hostpci.group(at['gpu0'])
    node = os.stat(f'/dev/vfio/{group}') if status == 0 else None
    uid = int(subprocess.check_output(['id', '-u', FRIEND], text=True))
    suite.ok(status == 0 and hostpci.driver(at['gpu0']) == 'vfio-pci' and
             hostpci.driver(at['sound0']) == 'vfio-pci' and node and node.st_uid == uid and
             stat.S_IMODE(node.st_mode) == 0o600,
             'the bus starts the helper, which takes the card and gives its group to the user',
             f'{status} {said}\n{bus.text()}')
    status, _, said = alcove('release', at['gpu0'], user=STRANGER)
    suite.ok(status == 1, 'another user cannot give it back', said)
    listed = json.loads(alcove('list-bound', '--json', user=STRANGER)[1])
    suite.ok([b['uid'] for b in listed] == [uid, uid], 'anybody may see what is taken', listed)
    status, _, said = alcove('release', user=FRIEND)
    suite.ok(status == 0, 'its user gives it back', said)
    same(suite, before, 'every driver has its device again')


def helper_process():
    """The helper's process, and what the kernel says of its rights."""
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            if os.path.basename(os.readlink(f'/proc/{pid}/exe')) == 'alcove-helper':
                with open(f'/proc/{pid}/status', encoding='ascii') as f:
                    return pid, dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)
        except OSError:
            pass
    return None, {}


def confined(suite, bus):
    """The helper that has just done all that had no more rights than its unit gives."""
    pid, status = helper_process()
    wanted = sum(1 << CAPABILITY_BITS[c] for c in bus.capabilities)
    found = {k: int(status.get(k, '0'), 16) for k in ('CapEff', 'CapPrm', 'CapBnd')}
    suite.ok(set(found.values()) == {wanted} and status.get('NoNewPrivs') == '1' and
             int(status['CapInh'], 16) == int(status['CapAmb'], 16) == 0,
             "the helper works with its unit's capabilities, and with no more",
             f'{found}, not {wanted:#x}: {status}')
    writable = []
    if pid:
        with open(f'/proc/{pid}/mountinfo', encoding='utf-8') as f:
            writable = [line.split()[4] for line in f if 'rw' in line.split()[5].split(',')]
    suite.ok(pid and not [w for w in writable if
                          not re.match('/(dev|proc|sys|tmp|run/alcove|home|root)(/|$)', w)],
             'and with a file system that is read-only where its unit has it so', writable)


def user_process(uid, kib):
    """For a child: this user, who may lock so much memory."""
    def change():
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (kib << 10, kib << 10))
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    return change


def machine(suite, at, bus, before):
    """A user's machine with a card of the host: alcove-vmm gets it from the helper by itself."""
    disk = at['nvme0']
    for path in ('/dev/kvm', '/dev/vfio/vfio'):
        os.chmod(path, 0o666)
    os.chmod(suite.folder, 0o755)
    for user in (STRANGER, FRIEND):
        uid = int(subprocess.check_output(['id', '-u', user], text=True))
        guest = Machine(suite, user, {
            'memory': 64, 'firmware': 'none', 'debug-exit': '0xf4', 'on-triple-fault': 'stop',
            'kernel': PAYLOAD, 'cmdline': 'stay'},
            [('pci card', {'host': disk, 'address': '01:00.0'})])
        guest.runtime = os.path.join(guest.folder, 'run')
        for path in (guest.folder, guest.conf, guest.serial_path):
            os.chown(path, uid, uid)
        with guest:
            guest.spawn([f'{LIBEXEC}/alcove-vmm', '--conf', guest.conf, '--runtime-dir',
                         guest.runtime], preexec_fn=user_process(uid, 64))
            if user == STRANGER:
                status = guest.wait_exit(30)
                said = guest.messages()
                suite.ok(status == 1 and 'polkit' in said and 'pci card' in said,
                         'who may not gets no machine with the card, and is told why',
                         f'{status} {said}\n{bus.text()}')
                same(suite, before, 'and nothing was changed')
                continue
            lives(suite, guest, disk, uid, bus)
            guest.process.send_signal(signal.SIGKILL)
            guest.wait_exit(10)
        hostpci.wait(lambda: not ledger(), 30, 'giving back')
        same(suite, before, 'killed: its driver has the card again, by nobody\'s doing')


def lives(suite, guest, disk, uid, bus):
    try:
        guest.wait_serial('^STAYS', 60)
    except TimeoutError:
        suite.ok(False, "a user's machine runs with the card", guest.messages() + bus.text())
        return
    group = hostpci.group(disk)
    nodes = [os.stat(f'/dev/vfio/{group}').st_uid]
    with open(f'/proc/{guest.process.pid}/limits', encoding='ascii') as f:
        limit = next(line for line in f if line.startswith('Max locked memory')).split()[3]
    with open(f'{LEDGER}/function-{disk}', encoding='ascii') as f:
        record = dict(line.rstrip().split('=', 1) for line in f if '=' in line)
    suite.ok('SERIAL LAB-NVME' in guest.serial() and hostpci.driver(disk) == 'vfio-pci' and
             nodes == [uid] and int(limit) >= 64 << 20,
             "a user's machine gets the card from the helper and works with it",
             f'{nodes} {limit}\n{guest.serial()}\n{bus.text()}')
    suite.ok(record['uid'] == str(uid) and record['owner'].startswith(':') and
             record['driver'] == 'nvme', 'the ledger says whose it is, with whose end it goes back',
             record)


def gone(suite, at, bus, before):
    """A process that took a device is killed: the helper gives it back."""
    group, foreign = hostpci.group(at['nic0']), hostpci.group(at['nvme0'])
    child = subprocess.Popen(['setpriv', '--reuid', FRIEND, '--clear-groups', '/usr/bin/python3', '-c',
                              TAKER, at['nic0'], group, foreign], stdout=subprocess.PIPE, text=True)
    lines = []
    while not lines or lines[-1] not in ('ready', ''):
        lines.append(child.stdout.readline().strip())
    suite.ok(lines == ['RaiseMemlock org.freedesktop.DBus.Error.AccessDenied',
                       'GrantGroup org.freedesktop.DBus.Error.AccessDenied',
                       'Bind io.github.alcove_vm.Error.InvalidArgument', 'ready'],
             'a user opens the group; other programs, groups and paths are refused',
             '\n'.join(lines) + bus.text())
    memlock(suite, bus)
    child.kill()
    child.wait()
    hostpci.wait(lambda: not ledger(), 30, 'giving back')
    same(suite, before, 'killed: its driver has the device again')


def memlock(suite, bus):
    """The limit of a real alcove-vmm of the user's own, whose guest waits."""
    folder = '/tmp/lab-machine'
    os.mkdir(folder)
    shutil.chown(folder, FRIEND)
    os.chmod('/dev/kvm', 0o666)
    with open(f'{folder}/machine.conf', 'w', encoding='ascii') as f:
        f.write('[machine]\nuuid=6f6bd2ac-2d58-4b0e-8b76-3f3df3f1a001\nname=lock\nmemory=64\ncpus=1\n'
                'firmware=bios\n')
    with open(f'{folder}/messages', 'w', encoding='utf-8') as f:
        machine = subprocess.Popen(
            ['setpriv', '--reuid', FRIEND, '--clear-groups', 'prlimit', '--memlock=65536:65536',
             LIBEXEC + '/alcove-vmm', '--conf', f'{folder}/machine.conf', '--runtime-dir',
             f'{folder}/run', '--paused'], stdout=f, stderr=f)
    try:
        hostpci.wait(lambda: os.path.exists(f'{folder}/run/control'), 30, 'machine')
        answers = []
        for user in (STRANGER, FRIEND):
            r = subprocess.run(
                ['setpriv', '--reuid', user, '--clear-groups', 'gdbus', 'call', '--system', '--dest',
                 'io.github.alcove_vm.Helper1', '--object-path', '/io/github/alcove_vm/Helper1',
                 '--method', 'io.github.alcove_vm.Helper1.RaiseMemlock', str(machine.pid),
                 str(64 << 20)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            answers.append((r.returncode, r.stdout.strip()))
        with open(f'/proc/{machine.pid}/limits', encoding='ascii') as f:
            limit = next(line for line in f if line.startswith('Max locked memory')).split()
        suite.ok(answers[0][0] != 0 and answers[1][0] == 0 and limit[3:5] == [str(64 << 20)] * 2,
                 'the limit of a machine is raised for its user alone', f'{answers} {limit}\n{bus.text()}')
    except TimeoutError:
        with open(f'{folder}/messages', encoding='utf-8') as f:
            suite.ok(False, 'a machine of the user starts', f.read())
    finally:
        machine.kill()
        machine.wait()


def main():
    suite = Suite('vfio-bind')
    hostpci.modprobe('snd_hda_intel', 'e1000')
    at = functions()
    for name, function in (('sound0', 'snd_hda_intel'), ('nvme0', 'nvme'), ('nic0', 'e1000e'),
                           ('nic2', 'e1000'), ('nic3', 'e1000e')):
        hostpci.wait(lambda n=name, f=function: hostpci.driver(at[n]) == f, 30, name)
    hostpci.wait(lambda: os.path.exists('/dev/nvme0n1'), 30, '/dev/nvme0n1')
    suite.case('rounds', rounds, suite, at)
    suite.case('used', used, suite, at)
    suite.case('halves', halves, suite, at)
    suite.case('kills', kills, suite, at)
    suite.case('helper', helper, suite, at)
    return suite.end()


if __name__ == '__main__':
    sys.exit(main())
