# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab suites share: TAP output, machines of alcove-vmm, and the peer (QEMU) beside them.

A suite runs where KVM runs stock kernels: on this machine, or inside the lab (run-guest-test
decides). It finds the build through MESON_BUILD_ROOT and leaves logs in $LAB_OUT.
"""

import functools
import importlib.machinery
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import uuid

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'images'))
os.environ['ALCOVE_LAB_OFFLINE'] = '1'      # the kernel is in the cache already
import kit  # noqa: E402
import peerbus  # noqa: E402
import picture  # noqa: E402,F401

BUILD = os.environ.get('MESON_BUILD_ROOT') or os.path.join(ROOT, 'build')
SLOW = 1 if 'LAB' not in os.environ else 4      # how much longer the emulated machine may take
CMDLINE = 'console=tty0 console=ttyS0 panic=-1 quiet loglevel=4'
# Where how the kernel boots is not what is looked at: without what costs time in the outer machine.
QUICK = CMDLINE + (' mitigations=off nokaslr init_on_alloc=0 apparmor=0 audit=0 8250.nr_uarts=1 '
                   'rcupdate.rcu_expedited=1 random.trust_cpu=on')


def _load_images():
    path = os.path.join(ROOT, 'tests', 'images', 'image')
    loader = importlib.machinery.SourceFileLoader('image', path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader('image', loader))
    loader.exec_module(module)
    return module


# In this process: an interpreter of its own costs seconds in the outer machine.
_images = _load_images()
PASSED_MODULES = _images.PASSED_MODULES


def image(what):
    """The path of the stock kernel as it comes ("vmlinuz") or unpacked ("kernel", which boots in half the
    time), or of the guest's test program ("tool")."""
    return {'vmlinuz': lambda: kit.kernel().vmlinuz, 'kernel': lambda: kit.kernel().vmlinux,
            'tool': tool}[what]()


def modules(*names):
    """For the end of a kernel command line: the guest loads only these (and what they need)."""
    files = kit.kernel().module_files(['virtio_pci', *names])
    return ' alcove.modules=' + ','.join(os.path.basename(f).split('.')[0] for f in files)


class Suite:
    """One TAP test a check; the plan comes last."""

    def __init__(self, name):
        self.name = name
        self.count = 0
        self.failed = 0
        self.folder = tempfile.mkdtemp(prefix=f'alcove-{name}-')
        self.logs = os.environ.get('LAB_OUT') or self.folder
        print('TAP version 13', flush=True)

    def ok(self, good, what, detail=''):
        self.count += 1
        self.failed += not good
        print(f'{"ok" if good else "not ok"} {self.count} - {what}')
        if not good:
            for line in str(detail).splitlines()[-30:]:
                print('# ' + line)
        sys.stdout.flush()
        return good

    def skip(self, what, reason):
        self.count += 1
        print(f'ok {self.count} - {what} # SKIP {reason}', flush=True)

    def case(self, what, function, *args):
        """A group of checks; an exception in it is one failed check."""
        begin = time.monotonic()
        print(f'# {what} begins', flush=True)       # when the time is over, the log says where
        try:
            function(*args)
        except Exception as e:  # noqa: BLE001 - the suite goes on
            self.ok(False, f'{what} ran to its end', f'{traceback.format_exc()}\n{e}')
        print(f'# {what}: {time.monotonic() - begin:.1f} s', flush=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def initrd(self, name, script, modules=(), program=None):
        """The small guest with this script, these drivers too, and a program ('fio')."""
        _images.initrd(self.path(name + '.cpio'), script.encode(), modules, program)
        return self.path(name + '.cpio')

    def disk(self, name, script, **options):
        """A disk that boots the small guest. options: cmdline, data_mib."""
        _images.disk(self.path(name + '.img'), script.encode(), **options)
        return self.path(name + '.img')

    def blank(self, name, mib):
        with open(self.path(name), 'wb') as f:
            f.truncate(mib << 20)
        return self.path(name)

    def end(self):
        print(f'1..{self.count}', flush=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        return 0


class Guest:
    """A running virtual machine, ours or the peer's, with its serial line in a file."""

    def __init__(self, suite, name):
        self.suite = suite
        self.name = name
        # In memory: where the logs go is this machine's own disk, a round trip for every character.
        self.serial_path = suite.path(f'{suite.name}-{name}.serial.log')
        self.log_path = suite.path(f'{suite.name}-{name}.log')
        open(self.serial_path, 'wb').close()
        self.process = None

    def spawn(self, argv, **kw):
        self.log = open(self.log_path, 'wb')
        self.begin = time.monotonic()
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, **kw)

    def serial(self):
        with open(self.serial_path, encoding='utf-8', errors='replace') as f:
            return f.read().replace('\r', '')

    def messages(self):
        if not os.path.exists(self.log_path):
            return ''
        with open(self.log_path, encoding='utf-8', errors='replace') as f:
            return f.read()

    def wait_serial(self, pattern, seconds, times=1):
        """The matches of the pattern in whole lines once there are so many; raises TimeoutError
        with the end of the serial output. A line comes byte by byte: its first digits are no number."""
        limit = time.monotonic() + seconds * SLOW
        while True:
            ended = self.process.poll() is not None
            text = self.serial()
            found = list(re.finditer(pattern, text if ended else text[:text.rfind('\n') + 1], re.M))
            if len(found) >= times:
                return found
            if ended:
                raise TimeoutError(f'{self.name} ended with status {self.process.returncode} before '
                                   f'{pattern!r}:\n{self.messages()[-1500:]}\n{self.serial()[-1500:]}')
            if time.monotonic() > limit:
                raise TimeoutError(f'{self.name}: no {pattern!r} in {seconds * SLOW} s:\n'
                                   f'{self.messages()[-1500:]}\n{self.serial()[-1500:]}')
            time.sleep(0.3)

    def wait_exit(self, seconds):
        try:
            return self.process.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f'{self.name} did not end in {seconds * SLOW} s:\n'
                               f'{self.messages()[-1500:]}\n{self.serial()[-1500:]}') from None

    def keep_logs(self):
        for path in (self.serial_path, self.log_path):
            if os.path.exists(path) and os.path.dirname(path) != self.suite.logs:
                shutil.copy(path, self.suite.logs)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10 * SLOW)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.keep_logs()


class Machine(Guest):
    """A machine of alcove-vmm from a definition. devices: (group, {key: value}) pairs."""

    def __init__(self, suite, name, machine, devices=()):
        super().__init__(suite, name)
        self.folder = suite.path(name + '.machine')
        self.runtime = suite.path(name + '.run')
        self.control = None
        os.makedirs(self.folder, exist_ok=True)
        head = {'uuid': str(uuid.uuid4()), 'name': name, 'memory': 512, 'cpus': 1}
        head.update(machine)
        groups = [('machine', head), ('serial log', {'backend': 'file', 'file': self.serial_path}),
                  *devices]
        self.conf = os.path.join(self.folder, 'machine.conf')
        with open(self.conf, 'w', encoding='utf-8') as f:
            for group, keys in groups:
                f.write(f'[{group}]\n')
                f.writelines(f'{k}={v}\n' for k, v in keys.items())
                f.write('\n')

    def start(self, *args):
        self.spawn([os.path.join(BUILD, 'app', 'programs', 'alcove-vmm'), '--conf', self.conf,
                    '--runtime-dir', self.runtime, *args])
        return self

    def call(self, method, signature='', *values, seconds=20):
        """A method of the control protocol; the raw body of its answer."""
        if self.control is None:
            self.control = peerbus.Peer(f'{self.runtime}/control', seconds * SLOW)
        return self.control.call('/io/github/alcove_vm/Machine1', 'io.github.alcove_vm.Machine1',
                                 method, signature, values)

    def text_property(self, name):
        """A property of the control protocol that is a text."""
        self.call('GetStats')       # connects
        body = self.control.call('/io/github/alcove_vm/Machine1', 'org.freedesktop.DBus.Properties',
                                 'Get', 'ss', ('io.github.alcove_vm.Machine1', name))
        size = int.from_bytes(body[4:8], 'little')
        return bytes(body[8:8 + size]).decode()


class Peer(Guest):
    """The same in QEMU, for comparison only."""

    def __init__(self, suite, name, argv):
        super().__init__(suite, name)
        self.argv = ['qemu-system-x86_64', '-nodefaults', '-no-user-config', '-display', 'none',
                     '-no-reboot', '-machine', 'q35,accel=kvm', '-cpu', 'host', '-m', '512',
                     '-serial', 'file:' + self.serial_path, *argv]

    def start(self):
        self.spawn(self.argv)
        return self


def report(text):
    """The lines of "guest report" as {kind: [rest of the line]}."""
    facts = {}
    for line in text.splitlines():
        kind, _, rest = line.partition(' ')
        if kind in ('CPUS', 'PCI', 'VIRTIO', 'IRQ', 'KMSG', 'CLOCK', 'EFI', 'REPORT'):
            facts.setdefault(kind, []).append(rest)
    return facts


def acpi_messages(facts):
    """Kernel warnings and errors that are about ACPI, without what differs from boot to boot."""
    return {re.sub(r'0x[0-9a-f]+|\d+', 'N', line.lower()) for line in facts.get('KMSG', [])
            if re.search(r'acpi|\baml\b|dsdt|firmware bug', line, re.I)}


@functools.lru_cache
def tool():
    """The guest's test program, for use on this side."""
    return _images.tool()
