# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the same guest in alcove-vmm and in QEMU, and looks at their processes from outside."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'images'))
import kit  # noqa: E402

BUILD = os.environ.get('MESON_BUILD_ROOT') or os.path.join(ROOT, 'build')
os.environ.setdefault('ALCOVE_SPICE_MODULE_DIR', os.path.join(BUILD, 'devices/backends/spice'))
VMM = os.path.join(BUILD, 'app', 'programs', 'alcove-vmm')
PAYLOAD = os.path.join(ROOT, 'tests', 'guests', 'payload')
SLOW = 1 if 'LAB' not in os.environ else 4
WHO = ('ours', 'peer')
# QEMU 7.2 asserts when a software KVM refuses the MSR that this feature announces.
PEER_CPU = 'host,arch-capabilities=off'


class BenchError(Exception):
    pass


def image(*args):
    return subprocess.run([sys.executable, os.path.join(ROOT, 'tests', 'images', 'image'), *args],
                          stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def stopwatch():
    return kit.compile_cached('bench-stopwatch', [os.path.join(HERE, 'stopwatch.c')], [])


def floor():
    """TSC cycles of an exit whose handler does nothing."""
    program = kit.compile_cached('bench-floor', [os.path.join(HERE, 'floor.c')], [])
    text = subprocess.run([program], stdout=subprocess.PIPE, text=True, check=True).stdout
    return int(text.split()[1])


def payload(name):
    """A multiboot guest: guests/NAME.c with the payload library."""
    names = [os.path.join(PAYLOAD, n) for n in ('start.S', 'payload.c', 'pci.c', 'virtio.c')]
    return kit.compile_cached(
        'bench-' + name, [*names, os.path.join(HERE, 'guests', name + '.c')],
        ['-m32', '-ffreestanding', '-fno-pic', '-fno-stack-protector', '-mgeneral-regs-only',
         '-nostdlib', '-static', '-Wl,--build-id=none,-no-pie', '-I' + PAYLOAD,
         '-T', os.path.join(PAYLOAD, 'payload.ld')])


def exits_payload():
    return payload('exits')


def latency_client():
    flags = subprocess.run(['pkg-config', '--cflags', '--libs', 'spice-client-glib-2.0'],
                           stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return kit.compile_cached('bench-latency', [os.path.join(HERE, 'latency.c')],
                              ['-Wno-unused-parameter', *flags])


def first_firmware():
    return kit.compile_cached(
        'bench-first', [os.path.join(HERE, 'guests', 'first.S')],
        ['-m32', '-nostdlib', '-static', '-Wl,--build-id=none,-no-pie,-Ttext=0,--oformat=binary'])


class Guest:
    """One guest, described once for both. Keys of machine are those of machine.conf; devices are
    (group, {key: value}) pairs of machine.conf; peer: QEMU's arguments for the same devices."""

    def __init__(self, machine, devices=(), peer=()):
        self.machine = {'memory': 256, 'cpus': 1, 'firmware': 'none', **machine}
        self.devices, self.peer = list(devices), list(peer)
        self.folder = tempfile.TemporaryDirectory(prefix='alcove-bench-')

    def argv(self, who, serial='stdio'):
        return self.ours_argv(serial) if who == 'ours' else self.peer_argv(serial)

    def ours_argv(self, serial):
        conf = os.path.join(self.folder.name, 'machine.conf')
        head = {'uuid': str(uuid.uuid4()), 'name': 'bench', **self.machine}
        bios = head.pop('bios', None)
        environment = []
        if bios:
            # A firmware image of our own, by a descriptor that comes before the system's.
            found = os.path.join(self.folder.name, 'config', 'qemu', 'firmware')
            os.makedirs(found, exist_ok=True)
            with open(os.path.join(found, '00-bench.json'), 'w', encoding='utf-8') as f:
                json.dump({'description': 'bench', 'interface-types': ['bios'],
                           'mapping': {'device': 'memory', 'filename': bios},
                           'targets': [{'architecture': 'x86_64', 'machines': ['pc-q35-*']}],
                           'features': [], 'tags': []}, f)
            environment = ['env', 'XDG_CONFIG_HOME=' + os.path.join(self.folder.name, 'config')]
            head['firmware'] = 'bios'
        groups = [('machine', head), *self.devices]
        groups.append(('serial com1', {'backend': 'stdio'} if serial == 'stdio'
                       else {'backend': 'file', 'file': serial}))
        with open(conf, 'w', encoding='utf-8') as f:
            for group, keys in groups:
                f.write(f'[{group}]\n')
                f.writelines(f'{k}={v}\n' for k, v in keys.items())
        runtime = tempfile.mkdtemp(prefix='run-', dir=self.folder.name)
        return [*environment, VMM, '--conf', conf, '--runtime-dir', runtime]

    def peer_argv(self, serial):
        m = self.machine
        argv = ['qemu-system-x86_64', '-nodefaults', '-no-user-config', '-display', 'none',
                '-no-reboot', '-machine', 'q35,accel=kvm', '-cpu', PEER_CPU, '-m', str(m['memory']),
                '-smp', str(m['cpus']),
                '-serial', 'stdio' if serial == 'stdio' else 'file:' + serial]
        if m.get('bios'):
            argv += ['-bios', m['bios']]
        if m.get('kernel'):
            argv += ['-kernel', m['kernel'], '-append', m.get('cmdline', '')]
        if m.get('initrd'):
            argv += ['-initrd', m['initrd']]
        if m.get('debug-exit'):
            argv += ['-device', f'isa-debug-exit,iobase={m["debug-exit"]},iosize=4']
        return argv + self.peer


def timed(guest, who, markers, seconds):
    """Nanoseconds from exec to each marker on the serial line, and (user, system) CPU seconds."""
    output = os.path.join(guest.folder.name, f'{who}.out')
    r = subprocess.run([stopwatch(), output, str(int(seconds * SLOW)), *markers, '--',
                        *guest.argv(who)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True, errors='replace', check=False)
    if r.returncode:
        with open(output, encoding='utf-8', errors='replace') as f:
            tail = f.read()[-800:]
        raise BenchError(f'{who}: no {markers[-1]!r} in {seconds * SLOW} s\n{r.stderr[-800:]}{tail}')
    marks = [int(x) for x in re.findall(r'^MARK (\d+)', r.stdout, re.M)]
    user, system = re.search(r'^EXIT (\d+) (\d+)', r.stdout, re.M).groups()
    return marks, (int(user) / 1e6, int(system) / 1e6)


def output_of(guest, who, seconds):
    """Runs to the guest's own end; the text of the serial line."""
    try:
        r = subprocess.run(guest.argv(who), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=seconds * SLOW, check=False)
    except subprocess.TimeoutExpired as e:
        raise BenchError(f'{who}: did not end in {seconds * SLOW} s\n'
                         f'{(e.stdout or b"")[-800:].decode(errors="replace")}') from None
    text = r.stdout.decode(errors='replace').replace('\r', '')
    if not text:
        raise BenchError(f'{who}: status {r.returncode}, {r.stderr[-800:].decode(errors="replace")}')
    return text


class Running:
    """A guest that stays: with Running(guest, who, marker, seconds) as r: r.pids()."""

    def __init__(self, guest, who, marker, seconds):
        self.guest, self.who, self.marker, self.seconds = guest, who, marker, seconds
        self.serial = os.path.join(guest.folder.name, f'{who}.serial')

    def text(self):
        with open(self.serial, encoding='utf-8', errors='replace') as f:
            return f.read().replace('\r', '')

    def __enter__(self):
        open(self.serial, 'wb').close()
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.guest.argv(self.who, self.serial),
                                        stdin=subprocess.DEVNULL, stdout=self.errors,
                                        stderr=self.errors, start_new_session=True)
        try:
            self.wait(self.marker, self.seconds)
        except BaseException:
            self.__exit__()
            raise
        return self

    def wait(self, marker, seconds):
        limit = time.monotonic() + seconds * SLOW
        while marker not in self.text():
            if self.process.poll() is not None or time.monotonic() > limit:
                self.errors.seek(0)
                raise BenchError(f'{self.who}: no {marker!r}, status {self.process.poll()}\n'
                                 + self.errors.read()[-800:].decode(errors='replace')
                                 + self.text()[-800:])
            time.sleep(0.05)

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(5 * SLOW)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.errors.close()

    def pids(self):
        """The process and its descendants."""
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            for task in os.listdir(f'/proc/{pid}/task'):
                try:
                    with open(f'/proc/{pid}/task/{task}/children', encoding='ascii') as f:
                        todo += [int(x) for x in f.read().split()]
                except OSError:
                    pass
        return found

    def non_guest_kib(self):
        """Proportional set size without guest RAM, which is the mappings of at least half its size
        (a mapping may be split in two by the hole below 1 MiB)."""
        ram_kib = self.guest.machine['memory'] * 1024
        total = 0
        for pid in self.pids():
            size, inode = 0, None
            sizes = {}
            rows = []
            with open(f'/proc/{pid}/smaps', encoding='utf-8', errors='replace') as f:
                for line in f:
                    m = re.match(r'[0-9a-f]+-[0-9a-f]+ \S+ \S+ (\S+) (\d+)', line)
                    if m:
                        inode = m.groups() if m.group(2) != '0' else ('anon', len(rows))
                    elif line.startswith('Size:'):
                        size = int(line.split()[1])
                        sizes[inode] = sizes.get(inode, 0) + size
                    elif line.startswith('Pss:'):
                        rows.append((inode, int(line.split()[1])))
            total += sum(pss for key, pss in rows if sizes[key] < ram_kib // 2)
        return total

    def wakeups(self):
        """Voluntary context switches of all threads so far: each is a sleep and a wakeup."""
        total = 0
        for pid in self.pids():
            for task in os.listdir(f'/proc/{pid}/task'):
                try:
                    with open(f'/proc/{pid}/task/{task}/status', encoding='ascii') as f:
                        total += int(re.search(r'^voluntary_ctxt_switches:\s*(\d+)', f.read(),
                                               re.M).group(1))
                except OSError:
                    pass
        return total

    def cpu_seconds(self):
        total = 0
        for pid in self.pids():
            with open(f'/proc/{pid}/stat', encoding='ascii', errors='replace') as f:
                fields = f.read().rsplit(')', 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf('SC_CLK_TCK')

    def kvm_counts(self):
        """KVM's own counters of this machine, or None where debugfs is not there."""
        base = '/sys/kernel/debug/kvm'
        pids = {str(p) for p in self.pids()}
        try:
            names = [n for n in os.listdir(base) if n.split('-')[0] in pids]
        except OSError:
            return None
        counts = {}
        for n in names:
            for key in ('exits', 'io_exits', 'mmio_exits', 'irq_injections', 'halt_exits'):
                try:
                    with open(os.path.join(base, n, key), encoding='ascii') as f:
                        counts[key] = counts.get(key, 0) + int(f.read())
                except OSError:
                    pass
        return counts or None
