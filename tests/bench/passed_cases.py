# SPDX-License-Identifier: GPL-3.0-or-later
"""Benchmarks of devices that are passed through: the same device of the lab's profile vfio."""

import os
import re
import sys

from registry import case, pairs_of
from stats import Metric
from vmms import ROOT, BenchError, Guest, image, output_of

sys.path.insert(0, os.path.join(ROOT, 'tests', 'lab', 'suites'))

ROUNDS = 3
SCRIPT = '''
for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/nvme0n1 ] && break; sleep 1; done
card=/dev/fb$(sed -n 's/ ATY.*//p' /proc/fb)
guest frame fill $card 1
guest bench disk /dev/nvme0n1 1 4
''' + '''echo ROUND
guest bench disk /dev/nvme0n1 3 1
guest bench disk /dev/nvme0n1 3 4
guest frame fill $card 2
''' * ROUNDS


@case('passthrough', 'vfio')
def passthrough(pairs):
    """An NVMe disk and a graphics card of the host: random 4 KiB reads, filling the framebuffer."""
    import hostpci      # only the lab has what it looks for
    rows = {'disk 1': Metric('passthrough/nvme-depth-1', 'IOPS', better='more', goal=0.98),
            'disk 4': Metric('passthrough/nvme-depth-4', 'IOPS', better='more', goal=0.98),
            'fill': Metric('passthrough/framebuffer-fill', 'B/s', better='more', goal=0.98)}
    guest = Guest({})
    script = os.path.join(guest.folder.name, 'run.sh')
    with open(script, 'w', encoding='utf-8') as f:
        f.write(SCRIPT)
    initrd = os.path.join(guest.folder.name, 'initrd')
    image('initrd', initrd, '--run', script, '--modules', image('passed-modules'))
    guest.machine.update({'kernel': image('kernel'), 'initrd': initrd, 'memory': 512,
                          'cmdline': 'console=ttyS0 panic=-1 quiet loglevel=3'})
    with hostpci.lent('nvme0', 'gpu0', 'sound0') as (disk, card, _):
        guest.devices = [('pci disk', {'host': disk, 'address': '01:00.0'}),
                         ('pci card', {'host': card, 'address': '02:00.0'})]
        guest.peer = ['-device', 'pcie-root-port,id=p1,chassis=1,slot=1',
                      '-device', f'vfio-pci,host={disk},bus=p1',
                      '-device', 'pcie-root-port,id=p2,chassis=2,slot=2',
                      '-device', f'vfio-pci,host={card},bus=p2']
        for who in pairs_of(min(pairs, 5)):
            text = output_of(guest, who, 120)
            found = re.findall(r'^BENCH (disk \d+|fill) (\d+)', text.partition('ROUND')[2], re.M)
            if len(found) != len(rows) * ROUNDS:
                raise BenchError(f'{who}: {text[-800:]}')
            for what, value in found:
                rows[what].add(who, int(value))
    return list(rows.values())
