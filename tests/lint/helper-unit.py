#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What confines alcove-helper: its systemd unit as systemd itself reads and judges it, what must be in
it and must not, and udev's rule. TAP on stdout; what systemd is not there for is skipped.

  helper-unit.py UNIT HELPER RULES
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

# What app/helper needs, each with its reason in the unit. The lab takes them from there too.
CAPABILITIES = {'CAP_CHOWN', 'CAP_DAC_READ_SEARCH', 'CAP_FOWNER', 'CAP_SYS_PTRACE', 'CAP_SYS_RESOURCE'}
SET = {'NoNewPrivileges': 'yes', 'ProtectSystem': 'strict', 'ProtectHome': 'yes', 'DevicePolicy': 'closed',
       'RestrictAddressFamilies': 'AF_UNIX', 'MemoryDenyWriteExecute': 'yes', 'Type': 'dbus',
       'RuntimeDirectoryPreserve': 'yes', 'SystemCallFilter': '@system-service'}
# Each would blind it: to the host's routes, to who has devices open, to the drivers' files, to disks.
REFUSED = ('PrivateNetwork', 'ProtectProc', 'ProcSubset', 'PrivateUsers', 'ProtectKernelTunables',
           'PrivateDevices', 'User', 'DynamicUser', 'RootDirectory')
EXPOSURE = 30       # tenths, as systemd-analyze counts: 10.0 is without any confinement
# udev(7): seats are given their nodes by a rule numbered 73.
UACCESS = 73
TOKEN = re.compile(r'^[A-Z]+(\{\w+\})?(==|!=|=|\+=|:=)"[^"]*"$')


def check(name, good, why=''):
    check.n += 1
    print(f'{"ok" if good else "not ok"} {check.n} {name}')
    if not good:
        print(''.join(f'# {line}\n' for line in str(why).splitlines()), end='')
        check.bad += 1


check.n = check.bad = 0


def read(path):
    keys = {}
    with open(path, encoding='utf-8') as f:
        for line in f:
            if '=' in line and not line.startswith('#'):
                key, value = line.rstrip('\n').split('=', 1)
                keys.setdefault(key, []).append(value)
    return keys


def judge(unit, helper):
    """systemd's own words, with the program where it is now."""
    tool = shutil.which('systemd-analyze')
    if not tool:
        check.n += 1
        print(f'ok {check.n} systemd reads and judges the unit # SKIP no systemd-analyze')
        return
    with tempfile.TemporaryDirectory(prefix='helper-unit-') as folder:
        copy = os.path.join(folder, 'alcove-helper.service')
        with open(unit, encoding='utf-8') as f, open(copy, 'w', encoding='utf-8') as to:
            to.write(re.sub(r'^ExecStart=.*$', f'ExecStart={helper}', f.read(), flags=re.M))
        r = subprocess.run([tool, 'verify', '--man=no', copy], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, check=False)
        ours = [line for line in r.stdout.splitlines() if 'alcove-helper' in line]
        check('systemd understands every line of the unit', not ours, r.stdout)
        r = subprocess.run([tool, 'security', '--offline=true', f'--threshold={EXPOSURE}', copy],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        check(f'systemd finds the service exposed to at most {EXPOSURE / 10}', r.returncode == 0, r.stdout)


def main():
    unit, helper, rules = (os.path.abspath(path) for path in sys.argv[1:])
    keys = read(unit)
    found = {key: keys.get(key) for key in SET if keys.get(key) != [SET[key]]}
    check('what must be confined is', not found, found)
    check('nothing blinds the helper to what it must see', not any(key in keys for key in REFUSED),
          [key for key in REFUSED if key in keys])
    check('just the capabilities that it needs',
          set(' '.join(keys.get('CapabilityBoundingSet', [])).split()) == CAPABILITIES and
          'AmbientCapabilities' not in keys, keys.get('CapabilityBoundingSet'))
    judge(unit, helper)
    number = int(os.path.basename(rules).split('-')[0])
    with open(rules, encoding='utf-8') as f:
        lines = [line.strip() for line in f if line.strip() and not line.startswith('#')]
    wrong = [token for line in lines for token in re.split(r',\s*', line) if not TOKEN.match(token)]
    check("udev's rule comes before seats get their nodes, and is well-formed",
          lines and not wrong and number < UACCESS, wrong)
    check('it is about /dev/iommu alone, and opens it to nobody else',
          all('KERNEL=="iommu"' in line and 'MODE="0660"' in line for line in lines), lines)
    print(f'1..{check.n}')
    return 1 if check.bad else 0


if __name__ == '__main__':
    sys.exit(main())
