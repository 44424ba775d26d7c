#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuses C files that clang-format 14 would write differently.

  format.py ROOT
"""

import os
import re
import shutil
import subprocess
import sys


def main():
    root = sys.argv[1]
    print('1..1')
    tool = shutil.which('clang-format-14') or shutil.which('clang-format')
    version = subprocess.run([tool, '--version'], stdout=subprocess.PIPE, text=True,
                             check=True).stdout if tool else ''
    if not re.search(r'version 14\.', version):
        print(f'ok 1 - clang-format # SKIP needs clang-format 14, found {version.strip() or "none"}')
        return 0
    paths = []
    for top in ('app', 'vmm', 'devices', 'vfio', 'ui', 'tests'):
        for folder, subs, names in os.walk(os.path.join(root, top)):
            subs[:] = [s for s in subs if not s.startswith(('build', '.'))]
            paths += [os.path.join(folder, n) for n in names if n.endswith(('.c', '.h'))]
    bad = set()
    for i in range(0, len(paths), 50):
        out = subprocess.run([tool, '--dry-run', '--style=file'] + sorted(paths)[i:i + 50],
                             stderr=subprocess.PIPE, text=True, check=False).stderr
        bad |= set(re.findall(r'^(\S+?):\d+:\d+: warning: code should be clang-formatted', out, re.M))
    print(f'{"not " if bad else ""}ok 1 - clang-format of {len(paths)} files')
    for path in sorted(bad):
        print('# clang-format -i ' + os.path.relpath(path, root))
    return 0


if __name__ == '__main__':
    sys.exit(main())
