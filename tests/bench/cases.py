# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks. Each is a function(pairs) that returns its metrics; `where` says what it needs:
bare, any /dev/kvm; stock, a KVM that runs stock kernels (the lab gives one)."""

import os
import re
import subprocess
import sys
import time

import disk_cases  # noqa: F401 (registers its own)
import passed_cases  # noqa: F401
from registry import CASES, CMDLINE, case, pairs_of, small_guest
from stats import Metric
from vmms import (SLOW, BenchError, Guest, Running, exits_payload, first_firmware, floor,
                  image, latency_client, output_of, timed)

USERSPACE = 'ALCOVE-GUEST: userspace reached'


@case('exit-cost', 'bare')
def exit_cost(pairs):
    """TSC cycles of port and memory accesses that reach user space."""
    guest = Guest({'kernel': exits_payload(), 'cmdline': 'exits', 'debug-exit': '0xf4'})
    goals = {'pm-timer': 0.8, 'unclaimed': 0.8, 'serial': 0.8, 'rtc': 0.8, 'config': 0.8}
    metrics = {}
    least = Metric('exit-cost/floor', 'cycles',
                   note='a bare loop round KVM_RUN, in both columns: nobody can be below it')
    for who in pairs_of(pairs):
        least.add(who, floor())
        for name, cycles in re.findall(r'^EXIT (\S+) (\d+)', output_of(guest, who, 60), re.M):
            if name not in metrics:
                metrics[name] = Metric(f'exit-cost/{name}', 'cycles', goal=goals.get(name))
            metrics[name].add(who, int(cycles))
    if 'in-kernel' in metrics:
        metrics['in-kernel'].note = 'no user space involved: the floor, and a check of the method'
    return [least, *metrics.values()]


@case('start', 'bare')
def start(pairs):
    """exec to the first guest instruction (at the reset vector, and of a directly started kernel)."""
    first = Metric('start/reset-vector', 'ms', goal=0.35)
    kernel = Metric('start/multiboot-kernel', 'ms', goal=0.35,
                    note='QEMU goes through SeaBIOS first, as it always does with -kernel')
    cpu = Metric('start/cpu-time', 'ms')
    guest = Guest({'bios': first_firmware()})
    for who in pairs_of(pairs):
        marks, used = timed(guest, who, ['!'], 20)
        first.add(who, marks[0] / 1e6)
        cpu.add(who, sum(used) * 1000)
    guest = Guest({'kernel': exits_payload(), 'cmdline': 'idle'})
    for who in pairs_of(pairs):
        kernel.add(who, timed(guest, who, ['IDLE'], 20)[0][0] / 1e6)
    return [first, kernel, cpu]


def full_devices(folder):
    disk = os.path.join(folder, 'disk.img')
    with open(disk, 'wb') as f:
        f.truncate(64 << 20)
    ours = [('disk system', {'file': disk}), ('nic lan', {'backend': 'user'}),
            ('display screen', {'type': 'virtio-vga'}), ('input tablet', {'type': 'tablet'}),
            ('input keyboard', {'type': 'keyboard'}), ('rng random', {}),
            ('console agent', {'backend': 'null'})]
    peer = ['-object', 'iothread,id=io0',
            '-drive', f'if=none,id=d0,file={disk},format=raw,aio=io_uring,cache=writeback',
            '-device', 'virtio-blk-pci,drive=d0,iothread=io0',
            '-netdev', 'user,id=n0', '-device', 'virtio-net-pci,netdev=n0',
            '-device', 'virtio-vga', '-device', 'virtio-tablet-pci', '-device',
            'virtio-keyboard-pci', '-device', 'virtio-rng-pci', '-device', 'virtio-serial-pci',
            '-chardev', 'null,id=c0', '-device', 'virtserialport,chardev=c0',
            '-spice', f'unix=on,addr={folder}/spice,disable-ticketing=on']
    return ours, peer


@case('memory', 'bare')
def memory(pairs):
    """Memory besides guest RAM: a machine with a serial line, and one with everything."""
    basic = Metric('memory/basic', 'MiB', goal=12, absolute=True)
    full = Metric('memory/full', 'MiB', goal=20, absolute=True)
    for metric in (basic, full):
        guest = Guest({'kernel': exits_payload(), 'cmdline': 'idle'})
        if metric is full:
            guest.devices, guest.peer = full_devices(guest.folder.name)
        for who in pairs_of(min(pairs, 3)):
            with Running(guest, who, 'IDLE', 20) as r:
                time.sleep(0.5 * SLOW)
                metric.add(who, r.non_guest_kib() / 1024)
    return [basic, full]


@case('idle-payload', 'bare')
def idle_payload(pairs):
    """What the VMM does of its own accord: the guest halts for ever, every device is there."""
    wakeups = Metric('idle/vmm-wakeups', '1/s', goal=5, absolute=True)
    cpu = Metric('idle/vmm-cpu', '%')
    guest = Guest({'kernel': exits_payload(), 'cmdline': 'idle'})
    guest.devices, guest.peer = full_devices(guest.folder.name)
    seconds = 10
    for who in pairs_of(min(pairs, 2)):
        with Running(guest, who, 'IDLE', 20) as r:
            time.sleep(2)
            n, used = r.wakeups(), r.cpu_seconds()
            time.sleep(seconds)
            wakeups.add(who, (r.wakeups() - n) / seconds)
            cpu.add(who, (r.cpu_seconds() - used) / seconds * 100)
    return [wakeups, cpu]


@case('display', 'bare')
def display(pairs):
    """A key press at a SPICE client to its picture there (a foreign client, through a listener)."""
    round_trip = Metric('display/key-to-picture', 'ms', goal=0.7)
    guest = Guest({'kernel': payload('flash'), 'cmdline': 'flash'})
    socket = os.path.join(guest.folder.name, 'spice')
    guest.devices = [('display screen', {'type': 'vga'}), ('spice', {'listen': 'unix:' + socket})]
    guest.peer = ['-device', 'VGA', '-spice', f'unix=on,addr={socket},disable-ticketing=on,'
                  'image-compression=off,streaming-video=off']
    for who in pairs_of(min(pairs, 5)):
        if os.path.exists(socket):
            os.unlink(socket)
        with Running(guest, who, 'FLASH ready', 20):
            r = subprocess.run([latency_client(), socket, '20'], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, timeout=60 * SLOW, check=False)
        found = [int(x) for x in re.findall(r'^LATENCY (\d+)', r.stdout, re.M)]
        if r.returncode or len(found) != 20:
            raise BenchError(f'{who}: {r.stderr[-800:]}')
        for x in found[2:]:     # the first ones are the connection's
            round_trip.add(who, x / 1e6)
    return [round_trip]


# -- stock guests --

@case('boot-direct', 'stock')
def boot_direct(pairs):
    """exec to user space of the distribution's kernel, started directly."""
    wall = Metric('boot-direct/user-space', 's', goal=0.5)
    cpu = Metric('boot-direct/cpu-time', 's')
    guest = Guest({})
    guest.machine.update(small_guest(guest.folder.name, 'sleep 1000\n'))
    for who in pairs_of(min(pairs, 5)):
        marks, used = timed(guest, who, [USERSPACE], 60)
        wall.add(who, marks[0] / 1e9)
        cpu.add(who, sum(used))
    return [wall, cpu]


@case('boot-uefi', 'stock')
def boot_uefi(pairs):
    """exec to the first boot loader under the distribution's OVMF, first boot of a fresh store."""
    wall = Metric('boot-uefi/boot-loader', 's', goal=0.9)
    guest = Guest({'memory': 512, 'firmware': 'uefi'})
    folder = guest.folder.name
    disk, variables = os.path.join(folder, 'disk.img'), os.path.join(folder, 'firmware-vars.fd')
    image('disk', disk, '--cmdline', CMDLINE)
    code, template = (f'/usr/share/OVMF/OVMF_{n}_4M.fd' for n in ('CODE', 'VARS'))
    guest.devices = [('disk system', {'file': disk, 'boot-index': 1})]
    guest.peer = ['-machine', 'smm=off',
                  '-drive', f'if=pflash,unit=0,readonly=on,format=raw,file={code}',
                  '-drive', f'if=pflash,unit=1,format=raw,file={variables}',
                  '-drive', f'if=none,id=d0,format=raw,file={disk},snapshot=on',
                  '-device', 'virtio-blk-pci,drive=d0,bootindex=1']
    for who in pairs_of(min(pairs, 3)):
        subprocess.run(['cp', template, variables], check=True)
        wall.add(who, timed(guest, who, ['BdsDxe: starting'], 60)[0][0] / 1e9)
    return [wall]


@case('idle-linux', 'stock')
def idle_linux(pairs):
    """Exits and wakeups of a Linux guest at rest, and its memory besides guest RAM."""
    exits = Metric('idle-linux/exits', '1/s', goal=0.5,
                   note='all exits: most are the guest\'s own timer')
    userspace = Metric('idle-linux/io-and-mmio-exits', '1/s', goal=0.5)
    wakeups = Metric('idle-linux/wakeups', '1/s')
    pss = Metric('idle-linux/memory', 'MiB', goal=20, absolute=True)
    guest = Guest({})
    guest.machine.update(small_guest(guest.folder.name, 'sleep 1\necho AT-REST\nsleep 1000\n'))
    ours, guest.peer = full_devices(guest.folder.name)
    guest.devices = ours
    seconds = 20
    for who in pairs_of(min(pairs, 2)):
        with Running(guest, who, 'AT-REST', 60) as r:
            time.sleep(2)
            before, n = r.kvm_counts(), r.wakeups()
            time.sleep(seconds)
            after = r.kvm_counts()
            wakeups.add(who, (r.wakeups() - n) / seconds)
            pss.add(who, r.non_guest_kib() / 1024)
            if before and after:
                exits.add(who, (after['exits'] - before['exits']) / seconds)
                userspace.add(who, sum(after.get(k, 0) - before.get(k, 0)
                                       for k in ('io_exits', 'mmio_exits')) / seconds)
    return [exits, userspace, wakeups, pss]


def network(pairs, name, address, goal, devices, peer, before=''):
    send = Metric(f'{name}/send', 'MB/s', better='more', goal=goal)
    receive = Metric(f'{name}/receive', 'MB/s', better='more', goal=goal)
    tool = image('tool')
    server = subprocess.Popen([tool, 'bench', 'serve'], stdout=subprocess.PIPE, text=True)
    try:
        port = server.stdout.readline().split()[-1]
        guest = Guest({}, devices, peer)
        guest.machine.update(small_guest(
            guest.folder.name, before + ''.join(
                f'guest bench {way} {address} {port} 4\n' for way in ('send', 'receive') * 2)))
        for who in pairs_of(min(pairs, 5)):
            text = output_of(guest, who, 90)
            found = re.findall(r'^BENCH (send|receive) (\d+)', text, re.M)
            if len(found) != 4:
                raise BenchError(f'{who}: {text[-800:]}')
            for way, rate in found:
                (send if way == 'send' else receive).add(who, int(rate) / 1e6)
    finally:
        server.kill()
        server.wait()
    return [send, receive]


@case('net-user', 'stock')
def net_user(pairs):
    """TCP between the guest and this machine through user networking."""
    return network(pairs, 'net-user', '10.0.2.2', 1.0, [('nic lan', {'backend': 'user'})],
                   ['-netdev', 'user,id=n0', '-device', 'virtio-net-pci,netdev=n0'], 'network\n')


@case('net-vhost', 'stock')
def net_vhost(pairs):
    """TCP between the guest and this machine through a tap interface and vhost-net."""
    tap, host, guest = 'alcove-bench0', '192.168.78.1', '192.168.78.2'
    if os.getuid() != 0 or 'LAB' not in os.environ:
        raise BenchError('makes a tap interface, which is done only inside the lab')
    for argv in (['tuntap', 'add', tap, 'mode', 'tap'], ['addr', 'add', host + '/24', 'dev', tap],
                 ['link', 'set', tap, 'up']):
        subprocess.run(['ip', *argv], check=True)
    try:
        return network(pairs, 'net-vhost', host, 0.97,
                       [('nic lan', {'backend': 'tap', 'ifname': tap, 'vhost': 'true'})],
                       ['-netdev', f'tap,id=n0,ifname={tap},script=no,downscript=no,vhost=on',
                        '-device', 'virtio-net-pci,netdev=n0'],
                       f'ip addr add {guest}/24 dev eth0\nip link set eth0 up\nsleep 1\n')
    finally:
        subprocess.run(['ip', 'link', 'del', tap], check=False)


def run(name, pairs):
    """(rows, error text or None)"""
    begin = time.monotonic()
    try:
        rows = [m.as_dict() for m in CASES[name][1](pairs)]
        error = None
    except (BenchError, OSError, subprocess.SubprocessError, RuntimeError) as e:
        rows, error = [], f'{name}: {e}'
    print(f'{name}: {time.monotonic() - begin:.0f} s', file=sys.stderr, flush=True)
    return rows, error
