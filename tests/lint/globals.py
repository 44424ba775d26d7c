#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuses mutable file-scope variables in vmm, devices and vfio: two machines in one process must
not share anything. Reads the object files of the build, so it sees what the compiler saw.

  globals.py BUILD-ROOT ALLOWED
"""

import os
import re
import subprocess
import sys

MUTABLE = re.compile(r'^\.(data|bss|tdata|tbss)(\.(?!rel\.ro).*)?$')


def objects(build):
    for top in ('vmm', 'devices', 'vfio'):
        for folder, _, names in os.walk(os.path.join(build, top)):
            for n in names:
                if n.endswith('.o'):
                    yield os.path.join(folder, n)


def main():
    build, allowed_file = sys.argv[1:3]
    allowed = {}
    with open(allowed_file, encoding='utf-8') as f:
        for line in f:
            line = line.split('#')[0].split()
            if line:
                allowed[line[0]] = line[1]
    print('1..1')
    paths = list(objects(build))
    if not paths:
        print('ok 1 - no mutable file-scope variables # SKIP nothing is built')
        return 0
    bad = []
    for path in paths:
        table = subprocess.run(['objdump', '-t', path], stdout=subprocess.PIPE, text=True,
                               check=True).stdout
        if '__asan_init' in table or '__sanitizer' in table:
            print('ok 1 - no mutable file-scope variables # SKIP a sanitizer build has its own')
            return 0
        for line in table.splitlines():
            m = re.match(r'[0-9a-f]{16} .{6}O (\S+)\s+[0-9a-f]+ (?:\.hidden )?(\S+)', line)
            if not m or not MUTABLE.match(m.group(1)):
                continue
            source = os.path.basename(path).removesuffix('.o').replace('_', '/')
            name = re.sub(r'\.\d+$', '', m.group(2))
            if name not in allowed:
                bad.append(f'{source}: {name} in {m.group(1)}')
    print(f'{"not " if bad else ""}ok 1 - no mutable file-scope variables')
    for b in bad:
        print('# ' + b)
    return 0


if __name__ == '__main__':
    sys.exit(main())
