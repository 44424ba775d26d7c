# SPDX-License-Identifier: GPL-3.0-or-later
"""fio of the installed package for the small guest: the program as it is, the libraries that a disk
job uses, and empty stand-ins for those of the engines that it does not (Ceph, Gluster, RDMA, NBD: 60
MiB with all that they need). A stand-in has the symbols that fio's loader asks for; calling one ends
the program."""

import os
import re
import shutil
import subprocess
import tempfile

import kit

WHAT = 'fio for the guest'
# Everything that the program needs and whose name does not begin so gets a stand-in.
KEPT = ('libc.so', 'libm.so', 'libz.so', 'libaio.so', 'libnuma.so', 'libdl.so', 'libpthread.so',
        'librt.so', 'libgcc_s.so', 'ld-linux')


def _text(*argv):
    return kit.run(list(argv), WHAT)


def _needed(path):
    return re.findall(r'^\s+NEEDED\s+(\S+)', _text('objdump', '-p', path), re.M)


def _versions(path):
    """{version: library} of what the program asks from others."""
    found, library = {}, None
    for line in _text('objdump', '-p', path).splitlines():
        head = re.match(r'\s+required from (\S+):', line)
        entry = re.match(r'\s+0x[0-9a-f]+ 0x[0-9a-f]+ \d+ (\S+)', line)
        if head:
            library = head.group(1)
        elif entry and library:
            found[entry.group(1)] = library
    return found


def _symbols(path, which):
    """[(symbol, version or '')]"""
    found = []
    for line in _text('nm', '-D', '-P', '--with-symbol-versions', which, path).splitlines():
        words = line.split()
        name, _, version = words[0].partition('@')
        if words[1] not in 'wv':
            found.append((name, version.lstrip('@')))
    return found


def _stand_in(name, symbols, folder):
    """A shared object of this name whose functions end the program."""
    source, script, out = (os.path.join(folder, n) for n in ('stand-in.c', 'versions', 'out.so'))
    with open(source, 'w', encoding='ascii') as f:
        f.writelines(f'void {s} (void);\nvoid {s} (void) {{ __builtin_trap (); }}\n'
                     for s in sorted({s for s, _ in symbols}))
    flags = []
    if any(v for _, v in symbols):
        flags = ['-Wl,--version-script=' + script]
        with open(script, 'w', encoding='ascii') as f:
            for version in sorted({v for _, v in symbols if v}):
                names = ' '.join(s + ';' for s, v in sorted(symbols) if v == version)
                f.write(f'{version} {{ global: {names} }};\n')
    kit.run(kit.compiler() + ['-shared', '-nostdlib', '-fno-builtin', '-w', '-Wl,-soname=' + name,
                              '-o', out, source] + flags, WHAT)
    with open(out, 'rb') as f:
        return f.read()


def archive():
    """The path of a cpio archive to append to the guest's initial RAM disk; cached."""
    program = shutil.which('fio')
    if not program:
        raise kit.KitError(f'{WHAT}: fio is not installed; run: sh data/packages/install.sh lab')
    places = dict(re.findall(r'^\s*(\S+) => (/\S+)', _text('ldd', program), re.M))
    needed, kept, todo = set(), {}, [program]
    while todo:
        for name in _needed(todo.pop()):
            needed.add(name)
            if name.startswith(KEPT) and name not in kept and name in places:
                kept[name] = places[name]
                todo.append(places[name])
    loader = re.search(r'^\s*(/\S*ld-linux\S*)', _text('ldd', program), re.M).group(1)
    key = kit.digest(*(f'{p} {os.path.getmtime(p)} {os.path.getsize(p)}'
                       for p in [program, loader, *sorted(kept.values())]), __doc__)

    def make(tmp):
        have = {s for path in kept.values() for s, _ in _symbols(path, '--defined-only')}
        versions = _versions(program)
        absent = sorted(n for n in needed if n not in kept and not n.startswith('ld-linux'))
        wanted = {name: [] for name in absent}
        for symbol, version in _symbols(program, '--undefined-only'):
            library = versions.get(version)
            if library in wanted:
                wanted[library].append((symbol, version))
            elif library is None and symbol not in have and absent:
                wanted[absent[-1]].append((symbol, ''))     # the loader looks in all of them
        entries = [kit.file_entry('bin/fio', program), kit.file_entry(loader.lstrip('/'), loader)]
        entries += [kit.file_entry('lib/' + name, path) for name, path in sorted(kept.items())]
        with tempfile.TemporaryDirectory() as folder:
            entries += [('lib/' + name, 0o100755, _stand_in(name, symbols, folder))
                        for name, symbols in wanted.items()]
        with open(tmp, 'wb') as f:
            f.write(kit.cpio(entries))
    return kit.cached(f'guest-fio-{key}.cpio', make)
