# SPDX-License-Identifier: GPL-3.0-or-later
"""The PCI devices of the lab's outer machine (profile vfio) as its kernel sees them, by the names of
lab/profiles.py: addresses, drivers, groups with the kernel's own verdict, and a hand at the
hardware."""

import contextlib
import fcntl
import glob
import os
import re
import struct
import subprocess
import time

DEVICES = '/sys/bus/pci/devices'
DRIVERS = '/sys/bus/pci/drivers'
VFIO_GROUP_GET_STATUS = 0x3B67      # linux/vfio.h: _IO(';', 100 + 3)
VFIO_GROUP_FLAGS_VIABLE = 1


def places():
    return dict(item.split('=', 1) for item in os.environ['LAB_DEVICES'].split())


def below(port, step='*'):
    """What sits behind this bridge, at device.function; None when nothing does."""
    found = glob.glob(f'{DEVICES}/{port}/*:*:{step}')
    found = [x for x in found if re.fullmatch(r'\w{4}:\w\w:\w\w\.\w', os.path.basename(x))]
    return os.path.basename(found[0]) if found else None


def address(name):
    """0000:03:00.0 for nvme0; None while there is no such device."""
    at, *steps = places()[name].split('/')
    for step in steps:
        at = below(at, step)
        if at is None:
            return None
    return at


def _link(at, what):
    try:
        return os.path.basename(os.readlink(f'{DEVICES}/{at}/{what}'))
    except OSError:
        return None


def driver(at):
    return _link(at, 'driver')


def group(at):
    return _link(at, 'iommu_group')


def read(path):
    with open(path, encoding='ascii', errors='replace') as f:
        return f.read().strip()


def write(path, text):
    with open(path, 'w', encoding='ascii') as f:
        f.write(text)


def modprobe(*names):
    subprocess.run(['modprobe', '-a', *names], check=True)


def wait(condition, seconds, what='the condition'):
    """The first true value of condition()."""
    limit = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > limit:
            raise TimeoutError(f'no {what} in {seconds} s')
        time.sleep(0.1)


def unbind(at):
    if driver(at):
        write(f'{DEVICES}/{at}/driver/unbind', at)


def bind(at, to='vfio-pci'):
    """To this driver by hand, the way that the product does it; None: to whichever matches."""
    unbind(at)
    write(f'{DEVICES}/{at}/driver_override', to or '\n')
    write('/sys/bus/pci/drivers_probe', at)
    if to and driver(at) != to:
        raise RuntimeError(f'{at} has driver {driver(at)}, not {to}')


@contextlib.contextmanager
def lent(*names):
    """These devices are vfio-pci's for a while; yields their addresses."""
    found = [address(name) for name in names]
    try:
        for at in found:
            bind(at)
        yield found
    finally:
        for at in found:
            bind(at, None)


def inject_error(at):
    """An uncorrectable error (a poisoned packet) as the card's port would report it."""
    modprobe('aer_inject')
    wait(lambda: os.path.exists('/dev/aer_inject'), 10, '/dev/aer_inject')
    where = re.fullmatch(r'(\w+):(\w+):(\w+)\.(\w)', at)
    domain, bus, slot, function = (int(x, 16) for x in where.groups())
    with open('/dev/aer_inject', 'wb', buffering=0) as f:
        f.write(struct.pack('<BBBxIIIIIII', bus, slot, function, 0x1000, 0, 0, 0, 0, 0, domain))


def viable(number):
    """The kernel's own answer for a group: True, False, or None when it cannot be asked (no device
    of it is vfio-pci's)."""
    try:
        fd = os.open(f'/dev/vfio/{number}', os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        status = bytearray((8).to_bytes(4, 'little') + bytes(4))
        fcntl.ioctl(fd, VFIO_GROUP_GET_STATUS, status)
        return bool(status[4] & VFIO_GROUP_FLAGS_VIABLE)
    finally:
        os.close(fd)


class Monitor:
    """What a hand or a fault does to the hardware: lab/monitor.py says which commands there are. Only one
    at a time can be open: with Monitor() as m, where others follow."""

    def __init__(self):
        for port in glob.glob('/sys/class/virtio-ports/*/name'):
            if read(port) == 'lab.monitor':
                self.fd = os.open('/dev/' + os.path.basename(os.path.dirname(port)),
                                  os.O_RDWR | os.O_CLOEXEC)
                return
        raise RuntimeError('this is not the lab: there is no port lab.monitor')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def ask(self, line):
        """The answer's bytes; RuntimeError with the emulator's words."""
        os.write(self.fd, line.encode() + b'\n')
        data = b''
        while b'\n' not in data:
            data += os.read(self.fd, 65536)
        head, _, body = data.partition(b'\n')
        word, size = head.split()
        while len(body) < int(size):
            body += os.read(self.fd, 65536)
        if word != b'ok':
            raise RuntimeError(f'{line}: {body.decode(errors="replace")}')
        return body

    def screen(self, name, path):
        """What the screen on this card shows, into a PPM."""
        with open(path, 'wb') as f:
            f.write(self.ask(f'screendump {name}'))
        return path


class Exits:
    """Counts the returns of KVM_RUN to a VMM, the interrupts that reach its guest, and those of them
    that the VMM asked for or unmasked by a system call, by the kernel's tracepoints: with Exits() as e (which
    takes a while): e.record(seconds)."""

    TRACING = '/sys/kernel/debug/tracing'
    EVENTS = ('kvm/kvm_userspace_exit', 'kvm/kvm_mmio', 'kvm/kvm_msi_set_irq', 'kvm/kvm_set_irq',
              'syscalls/sys_enter_ioctl')
    # KVM_IRQ_LINE, KVM_IRQ_LINE_STATUS, KVM_SIGNAL_MSI (linux/kvm.h)
    INJECT = ('4008ae61', 'c008ae67', '4020aea5')
    SET_IRQS = '3b6e'       # VFIO_DEVICE_SET_IRQS (linux/vfio.h): how user space unmasks INTx
    HOT_RESET = '3b71'      # VFIO_DEVICE_PCI_HOT_RESET

    def __enter__(self):
        if not os.path.exists(self.TRACING + '/trace'):
            subprocess.run(['mount', '-t', 'tracefs', 'tracefs', self.TRACING], check=True)
        write(self.TRACING + '/tracing_on', '0')
        write(self.TRACING + '/buffer_size_kb', '32768')
        write(self.TRACING + '/trace', '')
        for event in self.EVENTS:
            write(f'{self.TRACING}/events/{event}/enable', '1')
        return self

    def record(self, seconds):
        write(self.TRACING + '/tracing_on', '1')
        time.sleep(seconds)
        write(self.TRACING + '/tracing_on', '0')

    def __exit__(self, *_):
        for event in self.EVENTS:
            write(f'{self.TRACING}/events/{event}/enable', '0')
        with open(self.TRACING + '/trace', encoding='ascii', errors='replace') as f:
            self.text = f.read()
        kept = re.findall(r'entries-in-buffer/entries-written: (\d+)/(\d+)', self.text)
        self.lost = sum(int(b) - int(a) for a, b in kept)
        self.reasons = {}
        for reason in re.findall(r'kvm_userspace_exit: reason (\S+)', self.text):
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
        self.interrupts = len(re.findall(r'kvm_msi_set_irq:|kvm_set_irq: gsi \d+ level 1', self.text))
        called = re.findall(r'sys_ioctl\(fd: \w+, cmd: (\w+)', self.text)
        self.asked = sum(cmd in self.INJECT for cmd in called)
        self.unmasked = called.count(self.SET_IRQS)
        self.hot_resets = called.count(self.HOT_RESET)

    def pages(self):
        """{guest page: count} of the accesses to memory that somebody emulated."""
        found = {}
        for page in re.findall(r'kvm_mmio: mmio \S+ len \d+ gpa 0x([0-9a-f]+)', self.text):
            page = hex(int(page, 16) & ~0xfff)
            found[page] = found.get(page, 0) + 1
        return found
