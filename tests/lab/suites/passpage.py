#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Passthrough page against a real kernel, as a person at the outer machine's screen uses it: one
card of two parts goes to a machine, works there and comes back. Each step is looked at on the page, by
what assistive technologies are told, and on the host, by its drivers.

passpage.py PROGRAMS PICTURES CONF SERIAL ADDRESS...: by run-in-x; prints TAP lines without numbers,
which page () hands on. The machine's definition is CONF, its serial line goes to the file SERIAL, the
card's parts are at ADDRESS."""

import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
NAME = 'page'


def page(suite, guest, card):
    """In a suite: guest: a Machine, not started, whose script prints READY, and WENT for a device;
    card: names of the parts of the first graphics card (lab/profiles.py)."""
    import hostpci
    from guestlab import BUILD, SLOW

    env = dict(os.environ, ALCOVE_TEST_TIMEOUT=str(60 * SLOW))
    at = [hostpci.address(name) for name in card]
    begin = time.monotonic()
    run = subprocess.run(
        [os.path.join(ROOT, 'tests', 'ui', 'run-in-x'), os.path.abspath(__file__),
         os.path.join(BUILD, 'app', 'programs'), suite.logs, guest.conf, guest.serial_path, *at],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
        timeout=400 * SLOW)
    for line in run.stdout.splitlines():
        word, _, what = line.partition(' - ')
        if word in ('ok', 'not ok'):
            suite.ok(word == 'ok', what, run.stdout + run.stderr[-3000:])
        else:
            print('# ' + line)
    if run.returncode == 77:
        suite.skip('the Passthrough page', run.stdout.strip())
    else:
        suite.ok(run.returncode == 0, 'the Passthrough page was used to the end',
                 f'{run.stdout}\n{run.stderr[-3000:]}\n{guest.serial()[-1000:]}')
    print(f'# the page: {time.monotonic() - begin:.1f} s')


def use(programs, pictures, conf, serial, *card):
    """The person. The outer machine is slow: what is on disk is waited for before the page is asked,
    and things that were found once are used again."""
    sys.path[:0] = [os.path.join(ROOT, 'tests', 'ui'), HERE]
    import hostpci
    from driver import Desk, Failure, TIMEOUT
    from tree import Tree, fits

    desk = Desk(os.path.join(programs, 'alcove'), programs, pictures)
    tree = Tree()
    begin = time.monotonic()

    def wait(what, condition, pause=1):
        end = time.monotonic() + TIMEOUT
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > end:
                raise Failure(f'waited in vain for {what}')
            time.sleep(pause)

    def see(*wanted):
        """The things that fit each of these (name, role, part of the name), once all are there."""
        def look():
            items = tree.items(desk.app.pid)
            found = [next((i for i in items if fits(i.name, i.role, *one)), None) for one in wanted]
            return all(found) and found
        return wait(wanted, look)

    def ok(good, what, detail=''):
        print(f'{"ok" if good else "not ok"} - {what}', flush=True)
        print(f'{time.monotonic() - begin:.1f} s {"" if good else detail}', flush=True)

    def drivers():
        return [hostpci.driver(at) for at in card]

    def definition():
        with open(os.path.join(desk.machines, NAME, 'machine.conf'), encoding='utf-8') as f:
            text = f.read()
        return [at in text for at in card]

    def guest(pattern):
        with open(serial, encoding='utf-8', errors='replace') as f:
            return re.findall(pattern, f.read().replace('\r', ''), re.M)

    every, none = [True] * len(card), [False] * len(card)
    native, passed = drivers(), ['vfio-pci'] * len(card)
    with open(conf, encoding='utf-8') as f:
        desk.write_machine(NAME, f.read())
    try:
        desk.start('view', NAME)
        page_button, start = see(('Passthrough',), ('Start', 'push button'))
        page_button.press()
        # The first parts of the host's graphics cards are listed first, by address.
        switch, = see((None, 'check box', 'to this machine'))
        name = switch.name[len('Give '):-len(' to this machine')]
        desk.picture('passthrough-listed')
        switch.press()
        step = next(f'Take {at} from the driver {driver}'
                    for at, driver in zip(card, native) if driver)
        give, _ = see(('Give', 'push button'), (None, None, step))
        ok(definition() == none and drivers() == native,
           f'the page shows what would change ({step}), and changes nothing')
        desk.picture('passthrough-steps')
        give.press()
        wait('the definition to have the card', lambda: definition() == every)
        see((None, None, 'This machine gets it when it starts'))
        ok(drivers() == native, 'given to a machine that is off: written down, the host has it still',
           drivers())

        page_button.press()     # back to where it is started
        time.sleep(1)
        start.press()
        wait('the drivers to let go', lambda: drivers() == passed)
        page_button.press()
        switch, back, *_ = see((None, 'check box', f'{name} to this machine'),
                               (None, 'push button', f'Give {name} back'),
                               (None, None, 'In use by this machine'),
                               (None, None, f'{name}: 01:00.0 in the guest'))
        ok(switch.has('checked') and back.has('sensitive'),
           'while the machine runs the page says that it has the card, and where')
        wait('the guest to listen to its slots', lambda: guest('^READY'))
        desk.picture('passthrough-out')
        back.press()
        out, = see(('Take Out', 'push button'))
        out.press()
        wait('the guest to let go', lambda: drivers() == native)
        see((None, None, 'This machine gets it at its next start'))
        ok(definition() == every and len(guest('^WENT')) == len(card),
           'given back now: the guest let go, the host\'s drivers have it again', guest('^WENT.*'))
        desk.picture('passthrough-back')
    finally:
        desk.run('stop', '--force', NAME)
        desk.close()


if __name__ == '__main__':
    use(*sys.argv[1:])
