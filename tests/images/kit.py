# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab and the guest images share: a cache folder, the distribution's kernel with its
modules (downloaded, never installed), cpio archives, and static helper programs."""

import fcntl
import glob
import hashlib
import lzma
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import tempfile


class KitError(Exception):
    """A sentence for people: what was wanted, what went wrong, what mends it."""


def cache_dir():
    path = os.environ.get('ALCOVE_LAB_CACHE')
    if not path:
        base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
        path = os.path.join(base, 'alcove-lab')
    os.makedirs(path, mode=0o755, exist_ok=True)
    return path


class CacheLock:
    """Two runs at once fill the cache one after the other."""

    def __enter__(self):
        self.file = open(os.path.join(cache_dir(), 'lock'), 'w')
        fcntl.flock(self.file, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_):
        self.file.close()


def run(argv, what, **kw):
    try:
        return subprocess.run(argv, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, text=True, **kw).stdout
    except FileNotFoundError:
        raise KitError(f'{what}: {argv[0]} is not installed; '
                       'run: sh data/packages/install.sh try lab') from None
    except subprocess.CalledProcessError as e:
        raise KitError(f'{what}: {" ".join(argv[:3])} … failed: {e.stdout.strip()[-600:]}') from None


# --- the distribution's kernel ----------------------------------------------------------------

class Kernel:
    def __init__(self, release, vmlinuz, modules):
        self.release = release
        self.vmlinuz = vmlinuz
        self.modules = modules          # the folder .../lib/modules/RELEASE
        self._deps = None

    @property
    def vmlinux(self):
        """The kernel unpacked, with its PVH entry: emulated, unpacking takes longer than all else of a
        boot. Where it is packed in a way that is not known here: as it is."""
        status = os.stat(self.vmlinuz)

        def make(tmp):
            with open(self.vmlinuz, 'rb') as source, open(tmp, 'wb') as f:
                f.write(_unpacked(source.read()))
        try:
            return cached(f'vmlinux-{self.release}-{digest(status.st_size, status.st_mtime_ns)}', make)
        except lzma.LZMAError:
            return self.vmlinuz

    def module_files(self, names):
        """The files to load for these modules, in loading order. Names built into the kernel
        count as loaded; a name that the kernel does not know at all is an error."""
        if self._deps is None:
            self._deps, self._files = {}, {}
            with open(os.path.join(self.modules, 'modules.dep'), encoding='utf-8') as f:
                for line in f:
                    path, _, deps = line.partition(':')
                    self._deps[path] = deps.split()
                    self._files[self._name(path)] = path
            with open(os.path.join(self.modules, 'modules.builtin'), encoding='utf-8') as f:
                self._builtin = {self._name(line.strip()) for line in f}
        order = []

        def add(path):
            if path in order:
                return
            for dep in self._deps[path]:
                add(dep)
            if path not in order:
                order.append(path)

        for name in names:
            name = name.replace('-', '_')
            if name in self._files:
                add(self._files[name])
            elif name not in self._builtin:
                raise KitError(f'kernel {self.release} has no module {name}')
        return [os.path.join(self.modules, p) for p in order]

    @staticmethod
    def _name(path):
        return re.sub(r'\.ko(\.\w+)?$', '', os.path.basename(path)).replace('-', '_')


def module_bytes(path):
    with open(path, 'rb') as f:
        data = f.read()
    if path.endswith('.xz'):
        return lzma.decompress(data)
    if path.endswith('.gz'):
        import gzip
        return gzip.decompress(data)
    if path.endswith('.zst'):
        return subprocess.run(['zstd', '-dcq'], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


def _apt(argv, what, **kw):
    """apt-get, and once more after an update if the lists are missing or old."""
    try:
        return run(argv, what, **kw)
    except KitError:
        update = ['apt-get', '-q', 'update']
        if os.getuid() != 0:
            if not shutil.which('sudo'):
                raise
            update.insert(0, 'sudo')
        run(update, what)
        return run(argv, what, **kw)


def _apt_kernel():
    """The newest stock kernel package of Debian or Ubuntu, unpacked in the cache."""
    for meta in ('linux-image-amd64', 'linux-image-generic'):
        policy = run(['apt-cache', 'policy', meta], 'the guest kernel')
        if re.search(r'Candidate: \d', policy):
            break
    else:
        _apt(['apt-cache', 'show', 'linux-image-amd64'], 'the guest kernel')
        meta = 'linux-image-amd64'
    depends = run(['apt-cache', 'depends', meta], 'the guest kernel')
    image = re.search(r'Depends: (linux-image-(\d\S+))', depends)
    if not image:
        raise KitError(f'the guest kernel: {meta} names no kernel package')
    release = image.group(2)
    tree = os.path.join(cache_dir(), 'kernel-' + release)
    if not os.path.exists(os.path.join(tree, 'complete')):
        packages = [image.group(1)]
        if meta == 'linux-image-generic':
            packages += ['linux-modules-' + release, 'linux-modules-extra-' + release]
        print(f'lab: fetching the stock kernel {release}', file=sys.stderr, flush=True)
        shutil.rmtree(tree, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=cache_dir()) as tmp:
            _apt(['apt-get', '-q', 'download'] + packages, 'the guest kernel', cwd=tmp)
            for deb in glob.glob(tmp + '/*.deb'):
                run(['dpkg', '-x', deb, tree], 'the guest kernel')
        run(['depmod', '-b', tree, release], 'the guest kernel',
            env=dict(os.environ, PATH=os.environ.get('PATH', '') + ':/sbin:/usr/sbin'))
        open(os.path.join(tree, 'complete'), 'w').close()
    return Kernel(release, f'{tree}/boot/vmlinuz-{release}', f'{tree}/lib/modules/{release}')


def _installed_kernel():
    """A kernel that this system has installed: Fedora and Arch keep it beside its modules."""
    for modules in sorted(glob.glob('/lib/modules/*'), reverse=True):
        release = os.path.basename(modules)
        for vmlinuz in (modules + '/vmlinuz', '/boot/vmlinuz-' + release):
            if os.access(vmlinuz, os.R_OK) and os.path.exists(modules + '/modules.dep'):
                return Kernel(release, vmlinuz, modules)
    raise KitError('no kernel to boot: install the distribution\'s kernel package')


def _unpacked(image):
    """What a bzImage has packed with xz (Linux x86 boot protocol 2.08: payload_offset and
    payload_length, then the size in four bytes)."""
    start, size = struct.unpack_from('<II', image, 0x248)
    start += (image[0x1f1] + 1) * 512
    return lzma.decompress(image[start:start + size - 4], lzma.FORMAT_XZ)


_kernel = None


def kernel():
    global _kernel
    if _kernel is None:
        with CacheLock():
            if os.environ.get('ALCOVE_LAB_OFFLINE'):
                _kernel = _offline_kernel()
            elif shutil.which('apt-get'):
                try:
                    _kernel = _apt_kernel()
                except KitError as e:
                    try:
                        _kernel = _offline_kernel()
                        print(f'lab: {e}; using the cached kernel {_kernel.release}',
                              file=sys.stderr)
                    except KitError:
                        raise e from None
            else:
                _kernel = _installed_kernel()
    return _kernel


def _offline_kernel():
    trees = sorted(glob.glob(cache_dir() + '/kernel-*/complete'), key=os.path.getmtime)
    if not trees:
        return _installed_kernel()
    tree = os.path.dirname(trees[-1])
    release = os.path.basename(tree)[len('kernel-'):]
    return Kernel(release, f'{tree}/boot/vmlinuz-{release}', f'{tree}/lib/modules/{release}')


# --- cpio (newc) ------------------------------------------------------------------------------

def cpio(entries):
    """A newc archive. Entries: (path, mode, bytes), mode with its file type; parent folders are
    made. The bytes do not depend on the clock or on who builds."""
    out = bytearray()
    done = set()
    count = 0

    def member(path, mode, data):
        nonlocal count
        count += 1
        name = path.encode() + b'\0'
        head = '070701' + ''.join(f'{v:08x}' for v in (
            count, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0))
        out.extend(head.encode() + name)
        out.extend(b'\0' * (-len(out) % 4))
        out.extend(data)
        out.extend(b'\0' * (-len(out) % 4))

    for path, mode, data in entries:
        path = path.strip('/')
        parts = path.split('/')
        for i in range(1, len(parts)):
            parent = '/'.join(parts[:i])
            if parent not in done:
                done.add(parent)
                member(parent, stat.S_IFDIR | 0o755, b'')
        if path in done:
            continue
        done.add(path)
        member(path, mode, data)
    member('TRAILER!!!', 0, b'')
    out.extend(b'\0' * (-len(out) % 512))
    return bytes(out)


def file_entry(path, source, mode=0o755):
    with open(source, 'rb') as f:
        return (path, stat.S_IFREG | mode, f.read())


# --- things kept in the cache -----------------------------------------------------------------

def digest(*parts):
    h = hashlib.sha256()
    for p in parts:
        b = p if isinstance(p, bytes) else str(p).encode()
        h.update(len(b).to_bytes(8, 'little') + b)
    return h.hexdigest()[:16]


def cached(name, make):
    """The path of cache_dir()/name; make(temporary path) is called when it is not there yet."""
    path = os.path.join(cache_dir(), name)
    if not os.path.exists(path):
        with CacheLock():
            if not os.path.exists(path):
                tmp = path + '.new'
                make(tmp)
                os.rename(tmp, path)
    return path


def compiler():
    cc = os.environ.get('CC', '').split()
    for c in (cc, ['gcc'], ['clang'], ['cc']):
        if c and shutil.which(c[0]):
            return c
    raise KitError('no C compiler; run: sh data/packages/install.sh build')


def compile_cached(name, sources, flags):
    """A small C program or shared object of ours, compiled once for each state of its sources."""
    cc = compiler()
    texts = []
    for s in sources:
        with open(s, 'rb') as f:
            texts.append(f.read())
    key = digest(*texts, *flags, *cc)
    return cached(f'{name}-{key}', lambda tmp: run(
        cc + ['-O2', '-Wall', '-Wextra', '-o', tmp] + sources + flags, f'compiling {name}'))
