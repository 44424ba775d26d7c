#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture that a stock guest draws through its DRM driver is in the Alcove window, pixel by
pixel, and follows when the window is resized."""

import os
import re
import subprocess
import sys
import time

from guestlab import CMDLINE, SLOW, Guest, Machine, Suite, image
import picture                          # found by the path that guestlab adds

SCREEN = (1600, 1200)


class XServer:
    """Xvfb with its frame buffer in a file."""

    def __init__(self, suite):
        folder = suite.path('x')
        os.makedirs(folder)
        r, w = os.pipe()
        self.log = open(os.path.join(suite.logs, 'window-x.log'), 'wb')
        self.process = subprocess.Popen(
            ['Xvfb', '-displayfd', str(w), '-screen', '0', f'{SCREEN[0]}x{SCREEN[1]}x24',
             '-fbdir', folder, '-nolisten', 'tcp'], pass_fds=[w], stdout=self.log, stderr=self.log)
        os.close(w)
        with os.fdopen(r) as line:      # the number and its end of line come in two writes
            self.display = ':' + line.readline().strip()
        self.file = os.path.join(folder, 'Xvfb_screen0')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def wait_pattern(suite, x, guest, unlike, seconds, name):
    """Waits until the picture that the guest drew last, of a size unlike another, is on the screen,
    whole. The window may ask for its own size meanwhile, and the guest then draws again. Returns
    the size and, when the time is over, the last difference."""
    limit = time.monotonic() + seconds * SLOW
    while True:
        drawn = re.findall(r'drew (\d+)x(\d+)', guest.serial())
        size = tuple(int(n) for n in drawn[-1])
        shot = picture.read(x.file)
        try:
            if size == unlike:
                raise ValueError(f'the guest has not drawn again since {size}')
            picture.check_pattern(shot, *size)
            return size, None
        except ValueError as e:
            if time.monotonic() > limit:
                picture.write_png(shot, os.path.join(suite.logs, f'window-{name}.png'))
                return size, str(e)
        time.sleep(1)


def run(suite, x):
    env = dict(os.environ)
    env.update(DISPLAY=x.display, GDK_BACKEND='x11', GSK_RENDERER='cairo', GSETTINGS_BACKEND='memory',
               GTK_A11Y='none', NO_AT_BRIDGE='1')
    env.pop('WAYLAND_DISPLAY', None)
    data = suite.path('data')
    env['XDG_DATA_HOME'] = data
    os.makedirs(os.path.join(data, 'alcove', 'machines'))
    guest = Machine(suite, 'drawing', {
        'firmware': 'none', 'kernel': image('kernel'),
        'initrd': suite.initrd('drawing', 'guest draw 600\n'), 'cmdline': CMDLINE},
        [('display screen', {'type': 'virtio-vga', 'width': 800, 'height': 600})])
    os.rename(guest.folder, os.path.join(data, 'alcove', 'machines', 'drawing'))

    def alcove(*args):
        r = subprocess.run(['alcove', *args], env=env, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, check=False, timeout=60 * SLOW)
        if r.returncode:
            raise RuntimeError(f'alcove {" ".join(args)}: status {r.returncode}\n{r.stdout}')
        return r.stdout

    alcove('start', 'drawing')
    view = Guest(suite, 'view')
    view.spawn(['alcove', 'view', 'drawing'], env=env)
    guest.process = view.process        # what ends early is the window
    try:
        guest.wait_serial(r'drew (\d+)x(\d+)', 60)
        size, wrong = wait_pattern(suite, x, guest, (800, 600), 40, 'first')
        suite.ok(wrong is None, f'the window shows the {size[0]}x{size[1]} picture, every pixel',
                 wrong)

        shot = suite.path('shot.png')
        alcove('screenshot', 'drawing', shot)
        try:
            whole = picture.read(shot)
            picture.check_pattern(whole, *size)
            suite.ok((whole.width, whole.height) == size,
                     'alcove screenshot has the same picture', f'{whole.width}x{whole.height}')
        except ValueError as e:
            suite.ok(False, 'alcove screenshot has the same picture', e)

        window = subprocess.run(
            ['xdotool', 'search', '--onlyvisible', '--name', 'drawing'], env=env,
            stdout=subprocess.PIPE, text=True, check=False).stdout.split()
        suite.ok(window, 'the window carries the name of the machine')
        subprocess.run(['xdotool', 'windowsize', window[0], '1100', '850'], env=env, check=True)
        new, wrong = wait_pattern(suite, x, guest, size, 40, 'resized')
        suite.ok(new != size, 'the guest follows the size of the window', f'{size} then {new}')
        suite.ok(wrong is None, f'the window shows the {new[0]}x{new[1]} picture, every pixel',
                 wrong)
        picture.write_png(picture.read(x.file), os.path.join(suite.logs, 'window-end.png'))
    finally:
        view.stop()
        alcove('stop', '--force', 'drawing')


def main():
    suite = Suite('window')
    with XServer(suite) as x:
        suite.case('the window', run, suite, x)
    return suite.end()


if __name__ == '__main__':
    sys.exit(main())
