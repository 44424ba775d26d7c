# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks register themselves in, and what all of them share."""

import os

from vmms import WHO, image

CMDLINE = 'console=ttyS0 panic=-1 quiet loglevel=3'
CASES = {}


def case(name, where):
    def register(function):
        CASES[name] = (where, function)
        return function
    return register


def pairs_of(pairs):
    """Ours and the peer in turn, the first alternating: A B B A A B …"""
    for i in range(pairs):
        yield from (WHO if i % 2 == 0 else reversed(WHO))


def small_guest(folder, script):
    path = os.path.join(folder, 'run.sh')
    with open(path, 'w', encoding='utf-8') as f:
        f.write(script)
    out = os.path.join(folder, 'initrd')
    image('initrd', out, '--run', path)
    return {'kernel': image('kernel'), 'initrd': out, 'cmdline': CMDLINE, 'memory': 512}
