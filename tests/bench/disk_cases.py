# SPDX-License-Identifier: GPL-3.0-or-later
"""Benchmarks of disks: reads by a guest, live snapshots and restores, alcove disk beside qemu-img."""

import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from registry import case, pairs_of, small_guest
from stats import Metric, cpu_of_children
from vmms import ROOT, SLOW, VMM, BenchError, Guest, Running, output_of, payload

sys.path.insert(0, os.path.join(ROOT, 'tests', 'lab', 'suites'))
import peerbus  # noqa: E402


# -- reads by a guest --

PEER_DISKS = {
    'virtio': ['-object', 'iothread,id=io0', '-device',
               'virtio-blk-pci,drive=d0,iothread=io0,num-queues=4,disable-legacy=on'],
    # Its NVMe controller cannot have an I/O thread.
    'nvme': ['-device', 'nvme,drive=d0,serial=ONE,ioeventfd=on'],
}


def our_disk(path, image_format, bus):
    place = {'bus': 'nvme', 'controller': 'fast'} if bus == 'nvme' else {}
    return [('disk data', {'file': path, 'format': image_format, 'queues': 4, **place})]


def peer_disk(path, image_format, bus):
    return ['-drive', f'if=none,id=d0,file={path},format={image_format},aio=io_uring,'
            'cache=writeback', *PEER_DISKS[bus]]


def random_images(folder, mib):
    """The same data as raw and qcow2."""
    raw, qcow2 = (os.path.join(folder, 'data.' + n) for n in ('raw', 'qcow2'))
    with open(raw, 'wb') as f:
        for _ in range(mib):
            f.write(os.urandom(1 << 20))
    subprocess.run(['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', raw, qcow2], check=True)
    return raw, qcow2


def guest_reads(bus, pairs):
    metrics = []
    with tempfile.TemporaryDirectory(prefix='alcove-bench-reads-') as folder:
        raw, qcow2 = random_images(folder, 256)

        def measure(name, goal, queues, depth, images, note=''):
            metric = Metric(f'guest-reads/{bus}-{name}', 'IOPS', better='more', goal=goal, note=note)
            metrics.append(metric)
            for who in pairs_of(pairs):
                path, image_format, program = images[who]
                guest = Guest({'kernel': payload('reads'), 'debug-exit': '0xf4', 'cmdline':
                               f'nvme={int(bus == "nvme")} queues={queues} depth={depth} ms=800'},
                              our_disk(path, image_format, bus), peer_disk(path, image_format, bus))
                text = output_of(guest, program, 30)
                found = re.search(r'^READS ([1-9]\d*)$', text, re.M)
                if not found:
                    raise BenchError(f'{bus}-{name}, {who}: {text[-400:]}')
                metric.add(who, int(found.group(1)))

        both = {'ours': (qcow2, 'qcow2', 'ours'), 'peer': (qcow2, 'qcow2', 'peer')}
        own = {'ours': (qcow2, 'qcow2', 'ours'), 'peer': (raw, 'raw', 'ours')}
        measure('depth-1', 1.0, 1, 1, both)
        measure('depth-16', 1.0, 1, 16, both)
        measure('many-readers', 1.0, 4, 16, both, '4 queues, 16 requests in each')
        measure('own-raw', 0.9, 1, 16, own, 'the peer is our own raw image')
    return metrics


@case('guest-reads', 'bare')
def guest_reads_virtio(pairs):
    """4 KiB random reads by a polling guest of 256 MiB of qcow2 in the page cache, virtio-blk."""
    return guest_reads('virtio', pairs)


@case('guest-reads-nvme', 'bare')
def guest_reads_nvme(pairs):
    """The same through NVMe."""
    return guest_reads('nvme', pairs)


@case('disk', 'stock')
def disk(pairs):
    """virtio-blk: 4 KiB random reads past the guest's cache, depth 1 and 32, file in RAM."""
    latency = Metric('disk/depth-1-latency', 'us', goal=0.85)
    rate = Metric('disk/depth-32', 'IOPS', better='more', goal=1.2)
    guest = Guest({})
    guest.machine.update(small_guest(
        guest.folder.name, 'guest bench disk /dev/vda 4 1\nguest bench disk /dev/vda 4 32\n'
        'guest bench disk /dev/vda 4 1\nguest bench disk /dev/vda 4 32\n'))
    path = os.path.join('/dev/shm' if os.path.isdir('/dev/shm') else guest.folder.name,
                        f'alcove-bench-{os.getpid()}.img')
    with open(path, 'wb') as f:
        for _ in range(64):
            f.write(os.urandom(1 << 20))
    guest.devices = [('disk data', {'file': path, 'queues': 1})]
    guest.peer = ['-object', 'iothread,id=io0',
                  '-drive', f'if=none,id=d0,file={path},format=raw,aio=io_uring,cache=writeback',
                  '-device', 'virtio-blk-pci,drive=d0,iothread=io0,num-queues=1']
    try:
        for who in pairs_of(min(pairs, 5)):
            text = output_of(guest, who, 60)
            found = re.findall(r'^BENCH disk (\d+) (\d+) (\d+)', text, re.M)
            if len(found) != 4:
                raise BenchError(f'{who}: {text[-800:]}')
            for depth, iops, nanoseconds in found:
                if depth == '1':
                    latency.add(who, int(nanoseconds) / 1000)
                else:
                    rate.add(who, int(iops))
    finally:
        os.unlink(path)
    return [latency, rate]


@case('disk-qcow2', 'stock')
def disk_qcow2(pairs):
    """The same of a qcow2 image by virtio-blk and NVMe, and by four readers at once."""
    rows = {(bus, what): Metric(f'disk-qcow2/{bus}-{what}', 'IOPS', better='more', goal=1.0)
            for bus in PEER_DISKS for what in ('depth-1', 'depth-32', 'four-readers')}
    memory = '/dev/shm' if os.path.isdir('/dev/shm') else None
    with tempfile.TemporaryDirectory(prefix='alcove-bench-', dir=memory) as folder:
        _, qcow2 = random_images(folder, 64)
        for bus in PEER_DISKS:
            device = '/dev/nvme0n1' if bus == 'nvme' else '/dev/vda'
            guest = Guest({}, our_disk(qcow2, 'qcow2', bus), peer_disk(qcow2, 'qcow2', bus))
            guest.machine.update(small_guest(
                guest.folder.name, f'for i in 1 2 3 4 5; do [ -b {device} ] && break; sleep 1; '
                f'done\nguest bench disk {device} 3 1\nguest bench disk {device} 3 32\n'
                f'for i in 1 2 3 4; do guest bench disk {device} 3 8 & done\nwait\n'))
            for who in pairs_of(min(pairs, 3)):
                text = output_of(guest, who, 60)
                found = re.findall(r'BENCH disk (\d+) (\d+) \d+', text)
                if [int(depth) for depth, _ in found] != [1, 32, 8, 8, 8, 8]:
                    raise BenchError(f'{bus}, {who}: {text[-800:]}')
                rates = [int(rate) for _, rate in found]
                for what, rate in (('depth-1', rates[0]), ('depth-32', rates[1]),
                                   ('four-readers', sum(rates[2:]))):
                    rows[bus, what].add(who, rate)
    return list(rows.values())


# -- snapshots --

class Monitor:
    """QEMU's machine protocol, for human commands."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120 * SLOW)
        limit = time.monotonic() + 20 * SLOW
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if time.monotonic() > limit:
                    raise
                time.sleep(0.02)
        self.file = self.socket.makefile('rw')
        self.file.readline()
        self.execute('qmp_capabilities')

    def execute(self, command, **arguments):
        self.file.write(json.dumps({'execute': command, 'arguments': arguments}) + '\n')
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if 'error' in answer:
                raise BenchError(f'{command}: {answer["error"]["desc"]}')
            if 'return' in answer:
                return answer['return']

    def human(self, line):
        answer = self.execute('human-monitor-command', **{'command-line': line})
        if answer.strip():
            raise BenchError(f'{line}: {answer}')


def until_byte(argv, seconds):
    """Milliseconds from exec to the first byte that the guest says."""
    begin = time.monotonic()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    try:
        if not select.select([process.stdout], [], [], seconds * SLOW)[0] or \
                not process.stdout.read(1):
            raise BenchError(f'{argv[0]} did not go on in {seconds * SLOW} s')
        return (time.monotonic() - begin) * 1000
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@case('snapshot', 'bare')
def snapshot(pairs):
    """A live snapshot of 512 MiB, half of it written, and the restore of 1 GiB."""
    pause = Metric('snapshot/pause', 'ms', goal=0.05,
                   note='how long the guest stands; QEMU\'s savevm stands to its end')
    whole = Metric('snapshot/whole', 'ms', note='until it is on disk')
    restore = Metric('snapshot/restore', 'ms', goal=0.10,
                     note='exec to the first byte of the guest that goes on, 1 GiB')
    for mib, live in ((512, True), (1024, False)):
        guest = Guest({'kernel': payload('fill'), 'cmdline': f'mib={mib // 2}', 'memory': mib})
        folder = guest.folder.name
        disk, qmp = os.path.join(folder, 'state.qcow2'), os.path.join(folder, 'qmp')
        guest.peer = ['-qmp', f'unix:{qmp},server=on,wait=off',
                      '-drive', f'if=none,id=d0,file={disk},format=qcow2',
                      '-device', 'virtio-blk-pci,drive=d0']
        for who in pairs_of(min(pairs, 3)):
            saved = tempfile.mkdtemp(prefix='saved-', dir=folder)
            subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', disk, '64M'], check=True)
            with Running(guest, who, 'FILLED', 60) as r:
                time.sleep(0.5)
                begin = time.monotonic()
                if who == 'ours':
                    runtime = r.process.args[r.process.args.index('--runtime-dir') + 1]
                    bus = peerbus.Peer(os.path.join(runtime, 'control'), 120 * SLOW)
                    result = peerbus.parse_dict(bus.call(
                        '/io/github/alcove_vm/Machine1', 'io.github.alcove_vm.Machine1', 'Snapshot',
                        'sa{sv}', (os.path.join(saved, 'state'), {'live': live})))
                    took = result['pause-ns'] / 1e6
                else:
                    Monitor(qmp).human('savevm one')
                    took = (time.monotonic() - begin) * 1000
                if live:
                    pause.add(who, took)
                    whole.add(who, (time.monotonic() - begin) * 1000)
            if not live:
                more = ['--restore', os.path.join(saved, 'state')] if who == 'ours' \
                    else ['-loadvm', 'one']
                restore.add(who, until_byte([*guest.argv(who), *more], 60))
            shutil.rmtree(saved)
    return [pause, whole, restore]


# -- tools --

def durable_seconds(command, out):
    """Wall time until the result is on stable storage, for both (ours comes back when it is,
    qemu-img leaves that to the kernel), and CPU time. Nothing else waits to be written at first."""
    if out and os.path.exists(out):
        os.unlink(out)
    os.sync()
    start, used = time.monotonic(), cpu_of_children()
    r = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                       timeout=300 * SLOW, check=False)
    if r.returncode:
        raise BenchError(f'{" ".join(command)}: {r.stderr[-800:]}')
    if out:
        fd = os.open(out, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    return time.monotonic() - start, cpu_of_children() - used


def scattered_disk(path, mib):
    """A disk with data that does not pack, data that does, and a quarter of holes. The MiB of data."""
    pieces = [os.urandom(1 << 20) for _ in range(16)]
    with open(path, 'wb') as f:
        f.truncate(mib << 20)
        for i in range(mib * 3 // 4):
            piece = pieces[i % 16]
            f.seek(i * 4 // 3 << 20)
            f.write(piece if i % 2 else piece[:64] * (1 << 14))
    return mib * 3 // 4


def tool_metrics(name, note=''):
    return (Metric('disk-tools/' + name, 'MiB/s', better='more', goal=1.0, note=note),
            Metric(f'disk-tools/{name}/cpu', 's'))


@case('disk-tools', 'bare')
def disk_tools(pairs):
    """alcove disk convert and compact beside qemu-img, each until the result is on the disk."""
    alcove = os.path.join(os.path.dirname(VMM), 'alcove')
    ours, peer = [alcove, 'disk', 'convert', '-f'], ['qemu-img', 'convert', '-f']
    metrics = []
    with tempfile.TemporaryDirectory(prefix='alcove-bench-disk-') as folder:
        raw, qcow2, small, out, work = (os.path.join(folder, n) for n in (
            'a.raw', 'a.qcow2', 'small.raw', 'out', 'work.qcow2'))
        large, little = scattered_disk(raw, 1024), scattered_disk(small, 256)
        subprocess.run([*peer, 'raw', '-O', 'qcow2', raw, qcow2], check=True)
        for name, data, one, other in (
                ('raw-to-qcow2', large, [*ours, 'raw', raw, '--to', 'qcow2', out],
                 [*peer, 'raw', raw, '-O', 'qcow2', out]),
                ('qcow2-to-raw', large, [*ours, 'qcow2', qcow2, '--to', 'raw', out],
                 [*peer, 'qcow2', qcow2, '-O', 'raw', out]),
                ('compressed', little, [*ours, 'raw', small, '--to', 'qcow2', '-c', out],
                 [*peer, 'raw', small, '-O', 'qcow2', '-c', out])):
            metric, cpu = tool_metrics(name)
            durable_seconds(one, out)   # once for nothing: memory that the host has not given yet
            for who in pairs_of(min(pairs, 3) if name == 'compressed' else pairs):
                seconds, used = durable_seconds(one if who == 'ours' else other, out)
                metric.add(who, data / seconds)
                cpu.add(who, used)
            metrics += [metric, cpu]
        os.unlink(out)
        compact, cpu = tool_metrics('compact', 'qemu-img has no compact: convert, and rename over '
                                    'the old image')
        # The old image's end is a part of it for both.
        commands = {'ours': [alcove, 'disk', 'compact', '-f', 'qcow2', work],
                    'peer': ['sh', '-c', 'qemu-img convert -f qcow2 -O qcow2 "$1" "$2" && '
                             'sync "$2" && mv "$2" "$1"', 'sh', work, out]}
        for who in pairs_of(pairs):
            subprocess.run(['cp', qcow2, work], check=True)
            seconds, used = durable_seconds(commands[who], None)
            compact.add(who, large / seconds)
            cpu.add(who, used)
    return [*metrics, compact, cpu]
