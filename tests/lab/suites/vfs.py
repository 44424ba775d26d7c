# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller that is split (profile sriov): a virtual function in a guest while the host keeps the
physical one, and one whose physical function belongs to another program, by a token."""

import contextlib
import ctypes
import fcntl
import glob
import json
import mmap
import os
import re
import struct
import uuid

import hostpci
import passed
import payloads
from guestlab import QUICK, Machine, image, modules

MIB = passed.MIB
IDENTIFY, READ, MANAGE = 0x06, 0x02, 0x1c
SECONDARIES = 0x15                                      # what to identify (CNS)
OFFLINE, ASSIGN, ONLINE = 7, 8, 9                       # NVM Express 1.4, 5.22
QUEUES, INTERRUPTS = 0, 1
SCRIPT = passed.FUNCTIONS + f'''
till 20 [ -b /dev/nvme0n1 ]
guest disk verify /dev/nvme0n1 0 {MIB} 11 && echo NVME-READ
guest disk write /dev/nvme0n1 {8 * MIB} {MIB} 12 && echo NVME-WRITTEN
guest report | grep "^IRQ.*nvme"
'''


def attribute(at, name):
    return f'{hostpci.DEVICES}/{at}/{name}'


class Kernel:
    """Commands by the host's nvme driver: NVME_IOCTL_ADMIN_CMD, NVME_IOCTL_IO_CMD (linux/nvme_ioctl.h)."""

    ADMIN, IO = 0xC0484E41, 0xC0484E43

    def __init__(self, at):
        found = glob.glob(attribute(at, 'nvme/nvme*'))
        self.path = '/dev/' + os.path.basename(found[0]) if found else None

    def command(self, opcode, *words, nsid=0, size=0, request=ADMIN):
        """words: from dword 10 on. The answer's bytes."""
        data = ctypes.create_string_buffer(max(size, 1))
        words = list(words) + [0] * (6 - len(words))
        block = bytearray(struct.pack('<BBHIIIQQII6III', opcode, 0, 0, nsid, 0, 0, 0,
                                      ctypes.addressof(data) if size else 0, 0, size, *words, 0, 0))
        fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            status = fcntl.ioctl(fd, request, block)
        finally:
            os.close(fd)
        if status:
            raise RuntimeError(f'command {opcode:#x} {words}: status {status:#x}')
        return data.raw[:size]


def give(controller, number):
    """The virtual function with this number gets its queues and its interrupt, and goes online."""
    listed = controller.command(IDENTIFY, SECONDARIES, size=4096)
    entries = [struct.unpack_from('<HHB3xHHH', listed, 32 + 32 * i) for i in range(listed[0])]
    identity = next(e[0] for e in entries if e[3] == number)
    for action, kind, count in ((OFFLINE, 0, 0), (ASSIGN, QUEUES, 2), (ASSIGN, INTERRUPTS, 1),
                                (ONLINE, 0, 0)):
        controller.command(MANAGE, identity << 16 | kind << 8 | action, count)


def disk(at):
    """The namespace: several functions reach it, so what is below one of them is but a path to it."""
    found = glob.glob(attribute(at, 'nvme/nvme*/nvme*n*'))
    return '/dev/' + re.sub(r'c\d+n', 'n', os.path.basename(found[0])) if found else None


@contextlib.contextmanager
def split(at, probe):
    """The physical function has one virtual one; yields its address. probe: the host's drivers take it."""
    hostpci.write(attribute(at, 'sriov_drivers_autoprobe'), '01'[probe])
    hostpci.write(attribute(at, 'sriov_numvfs'), '1')
    try:
        yield hostpci.address('vf0')
    finally:
        hostpci.write(attribute(at, 'sriov_numvfs'), '0')


def said(*args):
    """What alcove pci says; its standard error when it fails."""
    status, out, err = payloads.alcove('pci', *args)
    if status:
        raise RuntimeError(f'alcove pci {" ".join(args)}: {err}')
    return out


def listed(at):
    return next(f for f in json.loads(said('list', '--json'))['functions'] if f['address'] == at)


def guest(suite, at):
    return Machine(suite, 'vf', {
        'firmware': 'none', 'kernel': image('kernel'), 'initrd': suite.initrd('vf', SCRIPT),
        'cmdline': QUICK + modules('nvme')}, [('pci vf', {'host': at})])


def shared(suite):
    """The host's nvme driver has the physical function and, before and after, the virtual one."""
    pf = hostpci.address('pf0')
    name = hostpci.wait(lambda: disk(pf), 30, 'disk')
    passed.pattern(name, 0, MIB, 11)
    with split(pf, False) as vf:
        give(Kernel(pf), 1)
        hostpci.write(attribute(pf, 'sriov_drivers_autoprobe'), '1')
        hostpci.bind(vf, None)
        hostpci.wait(lambda: hostpci.driver(vf) == 'nvme' and Kernel(vf).path, 20, 'virtual function')
        suite.ok(hostpci.group(vf) != hostpci.group(pf), 'a virtual function has a group of its own')
        fact = listed(vf)
        suite.ok(fact.get('physical-function') == pf, 'alcove pci list says whose part it is', fact)
        out = said('bind', vf)
        suite.ok(hostpci.driver(vf) == 'vfio-pci' and hostpci.driver(pf) == 'nvme' and
                 hostpci.viable(hostpci.group(vf)) is True,
                 'alcove pci bind takes it alone, and the kernel hands its group out', out)
        with guest(suite, vf) as machine:
            machine.start()
            machine.wait_serial('^ALCOVE-GUEST: script ended with status 0', 60)
            status, text = machine.wait_exit(30), machine.serial()
        suite.ok('NVME-READ' in text, 'a stock guest reads through it what the host wrote', text[-2000:])
        suite.ok('NVME-WRITTEN' in text and status == 0, 'and writes', f'{status}\n{text[-2000:]}')
        count = sum(int(n) for n in re.findall(r'^IRQ \d+ \S+ .*nvme\S* (\d+)$', text, re.M))
        suite.ok(count > 5, 'by interrupts of its own', text[-2000:])
        suite.ok(passed.holds(name, 8 * MIB, MIB, 12), 'the host sees that by its own function')
        said('release', vf)
        hostpci.wait(lambda: hostpci.driver(vf) == 'nvme' and disk(vf), 20, 'virtual function')
        with open(name, 'rb') as f:
            first = f.read(4096)
        got = Kernel(vf).command(READ, 0, 0, 4096 // 512 - 1, nsid=1, size=4096, request=Kernel.IO)
        suite.ok(got == first and any(first), 'given back, the host uses it again')
    suite.ok(hostpci.address('vf0') is None and passed.holds(name, 0, MIB, 11),
             'and can take it away')


class Owner:
    """A program that has the physical function by vfio-pci (linux/vfio.h) and drives it: its
    administration queue, as its guests' neighbour would."""

    GET_STATUS, SET_CONTAINER, GET_DEVICE, SET_IOMMU, MAP = 0x3B67, 0x3B68, 0x3B6A, 0x3B66, 0x3B71
    CONFIG = 7 << 40
    IOVA, DEPTH = 1 << 20, 32

    def __init__(self, at, token):
        self.fds, self.tail = [], 0
        try:
            self.open(at, token)
        except BaseException:
            self.close()        # or who takes it from vfio-pci would wait for us
            raise

    def open(self, at, token):
        self.group, self.container = (os.open(path, os.O_RDWR | os.O_CLOEXEC) for path in
                                      (f'/dev/vfio/{hostpci.group(at)}', '/dev/vfio/vfio'))
        self.fds = [self.group, self.container]
        fcntl.ioctl(self.group, self.SET_CONTAINER, struct.pack('i', self.container))
        fcntl.ioctl(self.container, self.SET_IOMMU, 3)          # type 1, version 2
        # By what can be written to, or the answer is not the call's.
        self.device = fcntl.ioctl(self.group, self.GET_DEVICE,
                                  bytearray(f'{at} vf_token={token}\0'.encode()))
        self.fds.insert(0, self.device)
        self.pages = mmap.mmap(-1, 3 * 4096)
        where = ctypes.addressof(ctypes.c_char.from_buffer(self.pages))
        fcntl.ioctl(self.container, self.MAP, struct.pack('<IIQQQ', 32, 3, where, self.IOVA, 3 * 4096))

    def begin(self):
        os.pwrite(self.device, struct.pack('<H', 6), self.CONFIG + 4)   # memory, bus master
        self.write(0x14, 0)
        hostpci.wait(lambda: not self.read(0x1c) & 1, 10, 'controller')
        for at, value in ((0x24, (self.DEPTH - 1) << 16 | (self.DEPTH - 1)), (0x28, self.IOVA), (0x2c, 0),
                          (0x30, self.IOVA + 4096), (0x34, 0), (0x14, 4 << 20 | 6 << 16 | 1)):
            self.write(at, value)
        hostpci.wait(lambda: self.read(0x1c) & 1, 10, 'controller')

    def read(self, at):
        return struct.unpack('<I', os.pread(self.device, 4, at))[0]

    def write(self, at, value):
        os.pwrite(self.device, struct.pack('<I', value), at)

    def command(self, opcode, *words, size=0):
        words = list(words) + [0] * (6 - len(words))
        slot, self.tail = self.tail, self.tail + 1
        struct.pack_into('<IIQQQQ6I', self.pages, 64 * slot, opcode | slot << 16, 0, 0, 0,
                         self.IOVA + 8192, 0, *words)
        self.write(0x1000, self.tail)
        hostpci.wait(lambda: self.pages[4096 + 16 * slot + 14] & 1, 10, 'answer')
        status = struct.unpack_from('<H', self.pages, 4096 + 16 * slot + 14)[0] >> 1
        if status:
            raise RuntimeError(f'command {opcode:#x} {words}: status {status:#x}')
        return self.pages[8192:8192 + size]

    def close(self):
        for fd in self.fds:
            os.close(fd)


def token(suite):
    """Another program has the physical function; who opens the virtual one must know its word."""
    pf, word = hostpci.address('pf0'), str(uuid.uuid4())
    passed.pattern(hostpci.wait(lambda: disk(pf), 30, 'disk'), 16 * MIB, MIB, 17)
    with hostpci.lent('pf0'), \
            payloads.setting('/sys/module/vfio_pci/parameters/enable_sriov', 'Y'), \
            contextlib.closing(Owner(pf, word)) as owner, split(pf, True) as vf:
        owner.begin()
        give(owner, 1)
        hostpci.wait(lambda: hostpci.driver(vf) == 'vfio-pci', 10, 'virtual function')
        for what, keys, said_then in (
                ('no token', {}, 'vf-token='),
                ('a wrong token', {'vf-token': str(uuid.uuid4())}, 'not the one')):
            payloads.start_fails(suite, f'{what}: the cause is named', payloads.payload(
                suite, 'token', ['vf0'], keys=keys), re.escape(vf), said_then, pf)
        with payloads.payload(suite, 'token', ['vf0'], keys={'vf-token': word}) as machine:
            machine.start()
            good, text = payloads.lives(machine, 'LAB-SPLIT')
            suite.ok(good, 'with the token the guest uses it', text + machine.messages())
    name = hostpci.wait(lambda: disk(pf), 30, 'disk')
    payloads.start_fails(suite, 'a token for what takes none is refused', payloads.payload(
        suite, 'token', ['nvme0'], keys={'vf-token': word}), 'vf-token=')
    suite.ok(passed.holds(name, 16 * MIB, MIB, 17), 'the host has the whole controller again')
