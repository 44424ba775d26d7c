#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stock kernel reaches user space: boot.py direct | bios | uefi

Each way with 1, 2 and 4 processors. The direct boots are also compared with the peer: no ACPI
message that the peer's machine does not cause. UEFI keeps a boot entry over a power cycle.
"""

import sys

from guestlab import CMDLINE, Machine, Peer, Suite, acpi_messages, image, report

END = r'^ALCOVE-GUEST: script ended with status \d+'


def check_boot(suite, what, guest, cpus, seconds):
    guest.wait_serial(r'ALCOVE-GUEST: userspace reached', seconds)
    guest.wait_serial(END, 20)
    status = guest.wait_exit(15)
    facts = report(guest.serial())
    suite.ok('ALCOVE-GUEST: script ended with status 0' in guest.serial(),
             f'{what}: reaches user space', guest.serial()[-2000:])
    suite.ok(facts.get('CPUS') == [str(cpus)], f'{what}: {cpus} processor(s) are up',
             facts.get('CPUS'))
    suite.ok(status == 0, f'{what}: powers off in order', f'status {status}\n{guest.messages()}')
    return facts


def direct(suite):
    kernel = image('vmlinuz')
    ramdisk = suite.initrd('report', 'guest report\n')
    peer_messages = set()

    def peer():
        with Peer(suite, 'peer', ['-kernel', kernel, '-initrd', ramdisk, '-append', CMDLINE,
                                  '-smp', '2', '-device', 'virtio-rng-pci']).start() as guest:
            guest.wait_serial(END, 30)
            peer_messages.update(acpi_messages(report(guest.serial())))

    def ours(cpus):
        with Machine(suite, f'direct{cpus}', {
                'cpus': cpus, 'firmware': 'none', 'kernel': kernel, 'initrd': ramdisk,
                'cmdline': CMDLINE}, [('rng random', {})]).start() as guest:
            facts = check_boot(suite, f'direct, {cpus} CPU', guest, cpus, 30)
        more = acpi_messages(facts) - peer_messages
        suite.ok('REPORT' in facts and not more,
                 f'direct, {cpus} CPU: no ACPI message that the peer has not', '\n'.join(more))

    suite.case('the peer', peer)
    for cpus in (1, 2, 4):
        suite.case(f'direct boot, {cpus} CPU', ours, cpus)


def bios(suite):
    disk = suite.disk('bios', 'guest report\n')

    def ours(cpus):
        with Machine(suite, f'bios{cpus}', {'cpus': cpus, 'firmware': 'bios'},
                     [('disk system', {'file': disk})]).start() as guest:
            facts = check_boot(suite, f'BIOS, {cpus} CPU', guest, cpus, 45)
            suite.ok('ALCOVE-GRUB: loading' in guest.serial(), f'BIOS, {cpus} CPU: through GRUB',
                     guest.serial()[:500])
            suite.ok(facts.get('EFI') == ['no'], f'BIOS, {cpus} CPU: not by UEFI', facts.get('EFI'))

    for cpus in (1, 2, 4):
        suite.case(f'SeaBIOS and GRUB, {cpus} CPU', ours, cpus)


def uefi(suite):
    disk = suite.disk('uefi', 'guest report\n'
                              'guest efi current\n'
                              'guest efi add 0099 "Alcove kept entry" && echo ENTRY-ADDED\n')
    variables = suite.path('kept-vars.fd')

    def ours(cpus, again):
        name = f'uefi{cpus}{"again" if again else ""}'
        store = variables if cpus == 2 else suite.path(name + '.fd')
        what = f'UEFI, {cpus} CPU{", second start" if again else ""}'
        with Machine(suite, name, {'cpus': cpus, 'firmware': 'uefi', 'firmware-vars': store},
                     [('disk system', {'file': disk})]).start() as guest:
            facts = check_boot(suite, what, guest, cpus, 60)
            suite.ok(facts.get('EFI') == ['yes'], f'{what}: by UEFI', facts.get('EFI'))
            text = guest.serial()
        if again:
            suite.ok('starting Boot0099 "Alcove kept entry"' in text and 'EFI-CURRENT 0099' in text,
                     'UEFI: the boot entry that the guest made is kept and used', text[:3000])
        else:
            suite.ok('ENTRY-ADDED' in text, f'{what}: the guest adds a boot entry', text[-2000:])

    for cpus, again in ((2, False), (2, True), (1, False), (4, False)):
        suite.case(f'OVMF, {cpus} CPU', ours, cpus, again)


def main():
    way = sys.argv[1]
    suite = Suite('boot-' + way)
    {'direct': direct, 'bios': bios, 'uefi': uefi}[way](suite)
    return suite.end()


if __name__ == '__main__':
    sys.exit(main())
