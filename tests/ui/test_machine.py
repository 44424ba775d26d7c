#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The window in front of the real machine: firmware on this host's /dev/kvm.

test_machine.py PROGRAM LIBEXECDIR PICTURES
"""
import operator
import os
import shutil
import subprocess
import sys
import time

from driver import Desk, Failure, run_tests, wait_for

WINDOW = 1  # Atspi.CoordType.WINDOW


def check(condition, what):
    if not condition:
        raise Failure(what)


class Picture:
    """An image file as rows of RGB bytes."""

    def __init__(self, path, crop=None):
        command = ["convert", path] + (["-crop", crop, "+repage"] if crop else [])
        self.size = tuple(int(n) for n in subprocess.run(
            command + ["-format", "%w %h", "info:"], stdout=subprocess.PIPE, text=True,
            check=True).stdout.split())
        self.bytes = subprocess.run(command + ["-depth", "8", "rgb:-"], stdout=subprocess.PIPE,
                                    check=True).stdout

    def lit(self):
        """How many bytes are not black."""
        return len(self.bytes) - self.bytes.count(0)

    def lower(self, fraction):
        """What is below this part of its height, as lit() counts."""
        part = self.bytes[int(self.size[1] * fraction) * self.size[0] * 3:]
        return len(part) - part.count(0)


def machine_picture(desk, name):
    path = os.path.join(desk.home, "machine.png")
    done = desk.run("screenshot", name, path)
    return Picture(path) if done.returncode == 0 else None


def window_picture(desk, size):
    """What the X server shows where the display is, when the display has this size."""
    screen = desk.find("Screen of the machine")
    extents = screen.get_component_iface().get_extents(WINDOW)
    if (extents.width, extents.height) != size:
        return None
    x, y = desk.center(screen)
    path = os.path.join(desk.home, "window.png")
    subprocess.run(["import", "-window", "root", path], check=True)
    width, height = size
    return Picture(path, f"{width}x{height}+{x - width // 2}+{y - height // 2}")


def fit_window(desk, name, size):
    """Gives the window the size at which the picture is shown pixel by pixel."""
    screen = desk.find("Screen of the machine")
    extents = screen.get_component_iface().get_extents(WINDOW)
    window = desk.windows(name)[-1]
    out = subprocess.run(["xdotool", "getwindowgeometry", "--shell", window],
                         stdout=subprocess.PIPE, text=True, check=True).stdout
    place = dict(line.split("=") for line in out.split())
    subprocess.run(["xdotool", "windowsize", window,
                    str(int(place["WIDTH"]) - extents.width + size[0]),
                    str(int(place["HEIGHT"]) - extents.height + size[1])], check=True)


def pictures_agree(desk, name):
    machine = machine_picture(desk, name)
    if not machine:
        return False
    window = window_picture(desk, machine.size)
    if not window:
        fit_window(desk, name, machine.size)
        return False
    return window.bytes == machine.bytes


def alike(a, b):
    """The same but for a blinking text cursor."""
    return a.size == b.size and sum(map(operator.ne, a.bytes, b.bytes)) < 200


def settle(desk, name):
    """Waits until the firmware has said its last words, that it found nothing to boot and tries again
    in a minute: they are in the twelfth line of 25, where nothing but a cursor is before. Returns
    the picture."""
    seen = []

    def same():
        picture = machine_picture(desk, name)
        if not picture or picture.lower(11 / 25) < 1000:
            seen.clear()
        elif seen and alike(picture, seen[0][1]):
            return time.monotonic() - seen[0][0] > 1
        else:
            seen[:] = [(time.monotonic(), picture)]
        return False

    wait_for("the firmware's last words", same, 180)
    return seen[0][1]


def test_firmware(desk):
    """SeaBIOS in the window: seen, typed to, compared pixel by pixel, paused, reset, off."""
    name = "seabios"
    desk.add_machine(name, "\n[display main]\ntype=vga\n\n[input keyboard]\ntype=keyboard\n"
                           "\n[input tablet]\ntype=tablet\n")
    desk.start("view", name)
    desk.press("Start", "push button")
    screen = desk.find("Screen of the machine", timeout=60)
    settled = settle(desk, name)
    desk.picture("30-firmware")

    # The firmware has nothing to boot and waits a minute; one combination makes it start anew.
    desk.focus(name)
    desk.click(screen)
    time.sleep(0.5)
    desk.keys("ctrl+alt+Delete")
    wait_for("the keys to restart the firmware",
             lambda: (p := machine_picture(desk, name)) and not alike(p, settled))
    settle(desk, name)
    wait_for("the window to show the machine’s pixels", lambda: pictures_agree(desk, name))
    desk.picture("31-pixel-by-pixel")

    desk.press("Pause", "push button")
    desk.find("Resume", "push button")
    check("paused" in desk.run("list").stdout, "the command line sees another state")
    desk.press("Resume", "push button")
    desk.find("Pause", "push button")

    desk.choose("Power", "Reset")
    desk.press("Reset", "push button")
    settle(desk, name)

    desk.press("Take screenshot", "push button")
    desk.find(contains="Screenshot saved")

    desk.choose("Power", "Force Off")
    desk.press("Force Off", "push button")
    desk.find("The Machine Is Off")
    check("running" not in desk.run("list").stdout, "the command line still sees it running")


def test_save(desk):
    """Save and close, then go on where it was: the picture is the same, and the machine runs."""
    name = "saved one"
    desk.add_machine(name, "\n[display main]\ntype=vga\n\n[input keyboard]\ntype=keyboard\n")
    desk.start("view", name)
    desk.press("Start", "push button")
    desk.find("Screen of the machine", timeout=60)
    before = settle(desk, name)
    desk.choose("Power", "Save and Close")
    # The only window: the program ends with it.
    wait_for("the window to close", lambda: desk.app.poll() is not None, 60)
    wait_for("the command line to see it saved", lambda: "saved" in desk.run("list").stdout, 30)
    check(desk.run("pause", name).returncode == 4, "a saved machine can be paused")
    desk.start("view", name)
    desk.find("The Machine Is Saved")
    desk.picture("32-saved")
    desk.press("Go On", "push button")
    desk.find("Screen of the machine", timeout=60)
    after = settle(desk, name)
    check(alike(before, after), "the picture is another one after the machine went on")
    wait_for("the saved state to go", lambda: not os.path.exists(
        os.path.join(desk.home, "data", "alcove", "machines", name, "saved")), 30)
    check(desk.run("save", name).returncode == 0, "the command line cannot save it")
    check(desk.run("start", "--discard-saved", name).returncode == 0, "it does not start afresh")
    check(desk.run("stop", "--force", name).returncode == 0, "it cannot be forced off")


def main():
    program, libexecdir, pictures = map(os.path.abspath, sys.argv[1:4])
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("1..0 # SKIP no usable /dev/kvm")
        return 0
    for tool in ("import", "convert"):
        if not shutil.which(tool):
            print(f"1..0 # SKIP {tool} of ImageMagick is not installed")
            return 0
    return run_tests([test_firmware, test_save], lambda name: Desk(program, libexecdir, pictures))


if __name__ == "__main__":
    sys.exit(main())
