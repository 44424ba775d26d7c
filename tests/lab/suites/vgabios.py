# SPDX-License-Identifier: GPL-3.0-or-later
"""A graphics card that the host did not start on (profile sriov), in a guest that SeaBIOS starts: the
VGA BIOS on the card runs in the guest, and what it writes is on the physical screen."""

import hostpci
from guestlab import Machine, picture

LINES = ('SeaBIOS (version ', 'No bootable device.')


def read_rom(at):
    """The option ROM through the host's kernel, while no driver of it has the card."""
    path = f'{hostpci.DEVICES}/{at}'
    hostpci.write(f'{path}/enable', '1')
    try:
        with open(f'{path}/rom', 'r+b', buffering=0) as f:
            f.write(b'1')
            f.seek(0)
            rom = f.read()
            f.seek(0)
            f.write(b'0')
    finally:
        hostpci.write(f'{path}/enable', '0')
    return rom


class Screen:
    """The text on the physical screen, in the letters that the card's ROM holds."""

    def __init__(self, suite, monitor):
        self.path, self.monitor = suite.path('gpu5.ppm'), monitor
        self.font = picture.find_font(read_rom(hostpci.address('gpu5')))

    def picture(self):
        return picture.read(self.monitor.screen('gpu5', self.path))

    def missing(self):
        """Those of LINES that are not there."""
        lines = picture.read_text(self.picture(), self.font)
        return [start for start in LINES if not any(line.startswith(start) for line in lines)]


def run(suite, screen, at):
    console = suite.blank('vgabios.console', 0)

    def ready():
        """SeaBIOS has nothing more to do: looking at the screen before would only take its time."""
        if guest.process.poll() is not None:
            return True
        with open(console, encoding='ascii', errors='replace') as f:
            return LINES[-1] in f.read()

    before = screen.missing()
    with Machine(suite, 'vgabios', {'memory': 64, 'firmware': 'bios', 'boot-menu': 'false',
                                    'debug-console': console},
                 [('pci gpu5', {'host': at, 'address': '01:00.0', 'vga': 'true'})]) as guest:
        guest.start()
        try:
            hostpci.wait(ready, 90, 'last word of SeaBIOS')
            hostpci.wait(lambda: not screen.missing(), 20, 'text')  # the console has it a moment before
        except TimeoutError:
            pass
        left = screen.missing()
        if left:
            picture.write_png(screen.picture(), f'{suite.logs}/vgabios.png')
        suite.ok(before == list(LINES) and guest.process.poll() is None and not left,
                 "SeaBIOS runs a passed card's VGA BIOS: its text is on the physical screen",
                 f'before {before}, now {left}\n{guest.messages()}')


def seabios(suite):
    with hostpci.Monitor() as monitor:
        screen = Screen(suite, monitor)
        with hostpci.lent('gpu5') as (at,):
            run(suite, screen, at)
