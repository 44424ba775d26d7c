#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `alcove pci` says of groups and cards, beside the kernel's own answer: for every card of the
lab's host, as it is, with everything bound that the verdict names, and with one thing missing."""

import json
import os
import subprocess
import sys

import hostpci
from guestlab import BUILD, Suite


ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def alcove(*words):
    os.environ.setdefault('ALCOVE_QUIRKS', os.path.join(ROOT, 'data', 'passthrough-quirks'))
    run = subprocess.run([os.path.join(BUILD, 'app', 'programs', 'alcove'), 'pci', *words, '--json'],
                         stdout=subprocess.PIPE, text=True, check=False)
    return json.loads(run.stdout)


class Groups:
    """Every time that the kernel can be asked, it is; ours must say the same."""

    def __init__(self):
        self.asked, self.differ, self.said = 0, [], {True: 0, False: 0}

    def compare(self, when):
        for group in alcove('list')['groups']:
            kernel = hostpci.viable(group['id'])
            if kernel is None:
                continue
            self.asked += 1
            self.said[kernel] += 1
            if kernel != group['viable']:
                self.differ.append((when, group['id'], kernel))


def main():
    suite = Suite('vfio-verdicts')
    hostpci.modprobe('vfio-pci', 'snd_hda_intel', 'bochs', 'e1000', 'pci-stub')
    ours = {hostpci.address(name): name for name in hostpci.places() if hostpci.address(name)}
    ours = {at: name for at, name in ours.items()   # no bridges
            if not hostpci.read(f'{hostpci.DEVICES}/{at}/class').startswith('0x0604')}
    groups, wrong, cards = Groups(), [], alcove('check')['cards']
    suite.ok(len(cards) >= 10 and {a for c in cards for a in c['takes']} >= set(ours),
             'every device of the host is on a card', sorted(ours))
    kept = 0
    for card in cards:
        name = ours.get(card['id'])
        if name is None or not set(card['takes']) <= set(ours):
            continue
        before = {a: hostpci.driver(a) for a in card['takes']}
        try:
            for at in card['takes']:
                hostpci.bind(at)
                if at == card['id']:
                    groups.compare(f'{name}: {at} is bound')
            group = int(hostpci.group(card['id']))
            if hostpci.viable(group) is not True:
                wrong.append((name, 'everything it takes is bound'))
            now = alcove('check', card['id'])['cards'][0]
            if not (now['viable'] and now['reserved']):
                wrong.append((name, now['summary']))
            # Each of the others back with the host, where a driver of the host takes it.
            for at in [a for a in card['takes'] if a != card['id']]:
                hostpci.bind(at, None)
                groups.compare(f'{name}: {at} is back')
                if hostpci.driver(at) and hostpci.group(at) == str(group):
                    kept += 1
                    if hostpci.viable(group) is not False:
                        wrong.append((name, f'{at} is with the host'))
                # On no driver, and on one that does nothing: no harm.
                if hostpci.driver(at):
                    hostpci.write(f'{hostpci.DEVICES}/{at}/driver/unbind', at)
                groups.compare(f'{name}: {at} has no driver')
                hostpci.bind(at, 'pci-stub')
                groups.compare(f'{name}: {at} is a stub')
                hostpci.bind(at)
        finally:
            for at in before:
                hostpci.bind(at, None)
    suite.ok(not wrong, 'what a verdict names is what the kernel wants, no more and no less', wrong)
    suite.ok(kept > 0, 'a mate with the host keeps the group from being used', kept)
    suite.ok(not groups.differ and groups.asked > 20 and min(groups.said.values()) > 2,
             'groups: the same answer as the kernel\'s', f'{groups.differ} of {groups.asked}')
    print(f'# asked {groups.asked} times: {groups.said}')
    nvme = next(c for c in alcove('check')['cards'] if ours.get(c['id']) == 'nvme0')
    gpu = next(c for c in alcove('check')['cards'] if ours.get(c['id']) == 'gpu0')
    suite.ok(len(gpu['takes']) == 2 and not gpu['mates'], 'two functions of a slot are one card', gpu)
    suite.ok(any(c['id'] == 'reset' for c in nvme['checks']), 'its reset is known', nvme)
    return suite.end()


if __name__ == '__main__':
    sys.exit(main())
