#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's cards in a machine's window, over faked hosts (tests/vfio-tree), with the fake machine.

test_passthrough.py PROGRAM FAKE_DIR PICTURES [TEST...]
ALCOVE_VFIO_TREE: the program that makes a faked host; ALCOVE_VFIO_TREES: the folder of its hosts.
"""
import json
import os
import signal
import subprocess
import sys

import gi

gi.require_version("Atspi", "2.0")
from gi.repository import Atspi  # noqa: E402

from driver import Desk, Failure, run_tests, wait_for  # noqa: E402

DISPLAY = "\n[display screen]\n"
GPU = "NVIDIA GeForce RTX 3070"
OFF = "remove /sys/kernel/iommu_groups\nremove /sys/class/iommu\n"
MATE = "function 0000:0f:00.3\ngroup 15\nremove /proc/1893\n"
BOUND = "function 0000:0d:00.0\ndriver vfio-pci\nfunction 0000:0d:00.1\ndriver vfio-pci\n"
GIVEN = "\n[pci gpu]\nhost=0000:0d:00.0\n[pci gpu.1]\nhost=0000:0d:00.1\n"


def check(condition, what):
    if not condition:
        raise Failure(what)


def make_host(desk, name, changes=""):
    """A faked host, which the program then takes for its own. Called again: it has changed."""
    trees = os.environ["ALCOVE_VFIO_TREES"]
    extra = os.path.join(desk.home, "changes.tree")
    number = getattr(desk, "hosts", 0)
    root = os.path.join(desk.home, f"host{number}")
    with open(extra, "w", encoding="utf-8") as file:
        file.write(changes + "\n")
    subprocess.run([os.environ["ALCOVE_VFIO_TREE"], os.path.join(trees, "names.tree"),
                    os.path.join(trees, name + ".tree"), extra, root], check=True)
    desk.hosts = number + 1
    current = os.path.join(desk.home, "host")
    if os.path.islink(current):
        os.unlink(current)
    os.symlink(root, current)
    desk.env["ALCOVE_HOST_ROOT"] = current


def conf(folder):
    with open(os.path.join(folder, "machine.conf"), encoding="utf-8") as file:
        return file.read().replace(" = ", "=")


def open_page(desk, name):
    desk.start("view", name)
    desk.find("The Machine Is Off")
    desk.press("Passthrough", "toggle button" if desk.look("Passthrough", "toggle button")
               else "push button")


def start_machine(desk, name):
    desk.start("view", name)
    desk.press("Start", "push button")
    desk.find("Screen of the machine")
    desk.wait_log("state running")
    desk.press("Passthrough")


def row(desk, contains):
    return desk.find(contains=contains, role="list item")


def look_switch(desk, name):
    return desk.look(contains=f"{name} to this machine", role="check box")


def find_switch(desk, name):
    return wait_for(f"the switch of {name}", lambda: look_switch(desk, name))


def is_on(desk, name):
    node = look_switch(desk, name)
    return bool(node) and node.get_state_set().contains(Atspi.StateType.CHECKED)


def has_focus(desk, name):
    node = look_switch(desk, name)
    return bool(node) and node.get_state_set().contains(Atspi.StateType.FOCUSED)


def turn(desk, name):
    desk.press(contains=f"{name} to this machine", role="check box")


def open_steps(desk, name):
    """Turns a switch on, which shows what will change."""
    turn(desk, name)
    desk.find(contains="to This Machine?")


def has_card(folder):
    return "host=0000:0d:00.0" in conf(folder) and "host=0000:0d:00.1" in conf(folder)


def mark_started(desk, *addresses):
    """As if the cards had been in a machine since the host's own start."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        folder = os.path.join(desk.env["XDG_STATE_HOME"], "alcove/passed-through",
                              file.read().strip())
    os.makedirs(folder, mode=0o700)
    for address in addresses:
        with open(os.path.join(folder, address), "w", encoding="ascii"):
            pass


def test_give(desk):
    """A card that is ready: the dry run, Cancel, Give, off again; hard stops have no switch."""
    make_host(desk, "desktop")
    folder = desk.add_machine("give", DISPLAY + "\n[snapshots]\nevery=60\n")
    open_page(desk, "give")
    row(desk, GPU)
    desk.find(contains="shows your desktop: gnome-shell (process 1893)")
    desk.picture("70-passthrough")
    for stopped in ("RX 6600", "SM981", "I211"):
        check(desk.look(contains=stopped, role="list item"), f"{stopped} is not listed")
        check(not look_switch(desk, stopped), f"{stopped} is a hard stop, and has a switch")
    open_steps(desk, GPU)
    desk.find(contains="Take 0000:0d:00.0 from the driver nouveau")
    desk.find(contains="To undo: The driver nouveau takes it back")
    desk.find(contains="no snapshot of it can be taken")
    desk.picture("71-dry-run")
    desk.press("Cancel", "push button")
    desk.gone(contains="to This Machine?")
    check(not is_on(desk, GPU) and "[pci" not in conf(folder), "it was given although cancelled")
    # With the keyboard alone.
    desk.focus("give")
    for _ in range(30):
        if has_focus(desk, GPU):
            break
        desk.keys("Tab")
    check(has_focus(desk, GPU), "the switch cannot be reached")
    desk.keys("space")
    desk.find(contains="to This Machine?")
    desk.keys("Escape")
    desk.gone(contains="to This Machine?")
    wait_for("the switch to have the keyboard", lambda: has_focus(desk, GPU))
    desk.focus("give")
    desk.keys("space")
    desk.find(contains="to This Machine?")
    desk.press("Give", "push button")
    desk.find(contains="This machine gets it when it starts")
    desk.find(contains="keeps its own screen in this window")
    wait_for("the switch to be on", lambda: is_on(desk, GPU))
    wait_for("all of the card in machine.conf", lambda: has_card(folder))
    desk.picture("72-given")
    # What is not possible with a card is said where people look for it.
    desk.press("Snapshots")
    desk.find(contains="no snapshot of it can be taken")
    desk.picture("72-given-snapshots")
    said = desk.run("show", "give").stdout
    check("no snapshot of it can be taken" in said and "automatic snapshots, every 60" in said, said)
    desk.press("Passthrough")
    row(desk, GPU)
    turn(desk, GPU)
    desk.gone(contains="This machine gets it when it starts")
    wait_for("machine.conf to be without", lambda: "[pci" not in conf(folder))


def test_no_isolation(desk):
    """Without an IOMMU the page says why, and how it is turned on; it looks again."""
    make_host(desk, "desktop", OFF)
    desk.add_machine("off")
    open_page(desk, "off")
    desk.find("Device Isolation Is Off")
    desk.find(contains="What to do: ")
    desk.press("Copy the commands", "push button")
    desk.find("Copied")
    desk.picture("73-no-isolation")
    make_host(desk, "desktop", OFF + "remove /sys/firmware")
    desk.press("Look Again", "push button")
    desk.find(contains="Turn it on in the BIOS setup")
    desk.picture("74-no-isolation-firmware")
    make_host(desk, "desktop")
    desk.press("Look Again", "push button")
    row(desk, GPU)


def test_reasons(desk):
    """Who uses a card; what comes along; what blocks; what may not start twice."""
    make_host(desk, "desktop", "process 77 ollama /dev/dri/renderD129")
    folder = desk.add_machine("reasons")
    open_page(desk, "reasons")
    desk.find(contains="Used now by ollama (process 77)")
    desk.find("Needs a step: In use")
    desk.picture("75-in-use")
    open_steps(desk, GPU)
    desk.find(contains="By you, before that:")
    desk.picture("76-in-use-steps")
    desk.press("Cancel", "push button")
    make_host(desk, "acs-poor")
    desk.press("Look again", "push button")
    desk.find(contains="Blocked: The system's disk, in the same isolation group")
    desk.find("This Computer", "label")
    desk.find("Locked memory", "label")
    check(not look_switch(desk, "GTX 1050"), "a card that is blocked by a mate has a switch")
    desk.picture("77-blocked-by-mate")
    make_host(desk, "desktop", MATE)
    desk.press("Look again", "push button")
    desk.find(contains="Matisse USB 3.0 Host Controller (0000:0f:00.3)", role="label")
    desk.find(contains="Comes along")
    desk.picture("78-comes-along")
    open_steps(desk, GPU)
    desk.find(contains="Comes along, as it shares the card’s isolation group")
    desk.find(contains="nobody can use it until then")
    desk.press(contains="(0000:0f:00.3) too", role="check box")
    desk.picture("78-comes-along-steps")
    desk.press("Give", "push button")
    wait_for("card and mate in machine.conf",
             lambda: has_card(folder) and "host=0000:0f:00.3" in conf(folder))
    desk.find(contains="Matisse USB")
    turn(desk, GPU)
    wait_for("machine.conf without the card", lambda: not has_card(folder))
    turn(desk, "Matisse USB 3.0 Host Controller")
    wait_for("machine.conf without its mate", lambda: "[pci" not in conf(folder))
    make_host(desk, "apu")
    desk.press("Look again", "push button")
    desk.find(contains="family Navi 22 do not come back from a reset")
    desk.picture("79-bad-reset")


def test_running(desk):
    """In a running machine: plugged in at once, an error with its remedy, given back now."""
    make_host(desk, "desktop", BOUND)
    folder = desk.add_machine("live", DISPLAY)
    start_machine(desk, "live")
    desk.set_flag("no-cards")
    open_steps(desk, GPU)
    desk.press("Give", "push button")
    desk.find(contains="end that program first")
    desk.picture("81-error")
    check(not is_on(desk, GPU) and "[pci" not in conf(folder), "it is given although refused")
    desk.press("Dismiss", "push button")
    desk.clear_flag("no-cards")
    # A password is looked for: that can be cancelled, and the machine has heard of it.
    desk.set_flag("ask-cards")
    open_steps(desk, GPU)
    desk.press("Give", "push button")
    desk.wait_log("ask-pci [pci gpu]")
    desk.picture("81-asking")
    desk.press("Cancel", "push button")
    desk.wait_log("cancel-pci gpu")
    desk.gone("Cancel", "push button")
    check(not is_on(desk, GPU) and "[pci" not in conf(folder), "it is given although cancelled")
    desk.clear_flag("ask-cards")
    open_steps(desk, GPU)
    desk.find(contains="Plug the card into the running machine")
    make_host(desk, "desktop", BOUND + 'file /dev/vfio/15 ""\nprocess 9 alcove-vmm /dev/vfio/15')
    said = desk.run("pci", "check", "0000:0d:00.0").stdout
    check("used by alcove-vmm" in said, "nobody uses the card")
    desk.press("Give", "push button")
    desk.wait_log("add-pci [pci gpu]")
    desk.find(contains="In use by this machine")
    wait_for("all of the card in machine.conf", lambda: has_card(folder))
    check(not desk.look(contains="Needs a step", under=row(desk, GPU)),
          "the machine is in its own way")
    desk.find(contains=f"{GPU}: 01:00.0 in the guest, MSI-X interrupts, 5 vectors")
    desk.picture("82-live")
    desk.set_flag("card-notes", "It could not be reset: it goes on with what was in it\n"
                                "The host has no interrupt for it (No space left on device)\n")
    desk.set_flag("asked-back")
    said = desk.run("pci", "list", "live").stdout
    check("gpu (0000:0d:00.0): It could not be reset" in said and "msix (5)" in said and
          "asked back by the host" in said, said)
    said = json.loads(desk.run("pci", "list", "live", "--json").stdout)
    check(len(said) == 2 and sorted(len(one["notes"]) for one in said) == [0, 2] and
          all(one["live"] and one["asked-back"] for one in said), said)
    check("The host has no interrupt for it" in desk.run("show", "live").stdout, "show lacks a note")
    # What changes is told by the machine; nobody presses anything.
    os.kill(desk.vmm_pid(folder), signal.SIGUSR2)
    desk.find(contains="The host asked for it back, and the guest keeps it")
    desk.find(contains="It could not be reset: it goes on")
    desk.picture("82-live-notes")
    desk.clear_flag("card-notes")
    desk.clear_flag("asked-back")
    desk.set_flag("leaving")
    desk.press("Look again", "push button")
    desk.find(contains="The guest was asked to let go of it")
    check(not desk.look(contains=f"{GPU} to this machine", role="check box", sensitive=True),
          "it can be asked twice")
    desk.clear_flag("leaving")
    desk.press("Look again", "push button")
    desk.find(contains="In use by this machine")
    desk.press(contains="back to the host now", role="push button")
    desk.find(contains="out of the Running Machine?")
    desk.picture("83-take-out")
    desk.set_flag("keep-cards")
    desk.press("Take Out", "push button")
    desk.find(contains="does not release the device")
    desk.clear_flag("keep-cards")
    desk.press("Dismiss", "push button")
    desk.press(contains="back to the host now", role="push button")
    desk.press("Take Out", "push button")
    desk.wait_log("remove-pci gpu")
    desk.find(contains="This machine gets it at its next start")
    check(has_card(folder), "machine.conf forgot it")
    turn(desk, GPU)
    wait_for("machine.conf to be without", lambda: "[pci" not in conf(folder))


def test_elsewhere(desk):
    """What another machine has or is given; what is given and no longer there."""
    make_host(desk, "desktop", BOUND)
    desk.add_machine("owner", GIVEN)
    gone = desk.add_machine("second", "\n[pci gpu]\nhost=0000:77:00.0\n")
    open_page(desk, "second")
    desk.find(contains="Given to the machine “owner”, which is off")
    desk.find(contains="no longer in this computer")
    desk.picture("84-missing")
    turn(desk, "0000:77:00.0")
    wait_for("machine.conf to be without", lambda: "[pci" not in conf(gone))
    check(desk.run("start", "owner").returncode == 0, "it does not start")
    desk.press("Look again", "push button")
    desk.find(contains="In use by the machine “owner”")
    desk.picture("85-elsewhere")
    check(not desk.look(contains=f"{GPU} to this machine", role="check box", sensitive=True),
          "a card of a running machine can be given")


def test_second_start(desk):
    """A card that may not start twice: said before the second start, which can be cancelled."""
    make_host(desk, "apu")
    desk.add_machine("twice", "\n[pci gpu]\nhost=0000:03:00.0\n[pci gpu.1]\nhost=0000:03:00.1\n")
    mark_started(desk, "0000:03:00.0")
    desk.start("view", "twice")
    desk.press("Start", "push button")
    desk.find("Start with This Card Again?")
    desk.picture("86-second-start")
    desk.press("Cancel", "push button")
    desk.gone("Start with This Card Again?")
    check("state running" not in desk.log(), "it started all the same")
    # Nothing of it would show the guest before its driver is up: said, with what mends it.
    desk.press("Passthrough")
    desk.find(contains="The machine has no screen of its own in this window")
    desk.find(contains="family Navi 22 do not come back from a reset")
    desk.picture("86-no-screen")
    desk.press("Passthrough")
    desk.press("Start", "push button")
    desk.find("Start with This Card Again?")
    desk.press("Start Anyway", "push button")
    desk.wait_log("state running")


MANY = 20
LONG = "Card of an Uncommonly Long Name, Workstation Edition, Revised, with Everything, " \
       "UnbrokenPartNumber-0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def many_cards():
    lines = [f'append /usr/share/misc/pci.ids "10de  NVIDIA Corporation\\n\\t2fff  {LONG}"']
    for i in range(MANY):
        lines += [f"function 0000:{0x20 + i:02x}:00.0 10de:2fff class=030000 driver=nouveau "
                  f"group={40 + i} on=0000:00:03.2", "bar 0 16M", "reset flr"]
    return "\n".join(lines)


def check_names(desk):
    """Each thing that can be used has a name for a reader."""
    for node in desk._walk(desk.root()):
        if node.get_role_name() in ("push button", "toggle button", "check box") and \
                not (node.get_name() or node.get_description()):
            raise Failure(f"a {node.get_role_name()} under {node.get_parent().get_name()!r} has no name")


def test_many(desk):
    """Twenty cards of long names, in a narrow window, in the dark style, with the keyboard."""
    make_host(desk, "desktop", many_cards())
    desk.add_machine("many", DISPLAY)
    desk.env["ADW_DEBUG_COLOR_SCHEME"] = "prefer-dark"
    open_page(desk, "many")
    row(desk, "Uncommonly")
    check_names(desk)
    desk.picture("87-many-dark")
    # Cards of one kind have one name: their places tell them apart. The last can be reached.
    last = next(node for node in desk._walk(desk.root())
                if node.get_role_name() == "check box" and "0000:33:00.0" in node.get_description())
    desk.focus("many")
    for _ in range(5 * MANY):
        desk.keys("Tab")
        if last.get_state_set().contains(Atspi.StateType.FOCUSED):
            break
    check(last.get_state_set().contains(Atspi.StateType.FOCUSED), "the last switch is not reached")
    desk.picture("88-many-scrolled")
    window = desk.windows("many")[-1]
    subprocess.run(["xdotool", "windowsize", "--sync", window, "420", "800"], check=True,
                   timeout=60)
    desk.picture("89-narrow")
    desk.press(contains="Uncommonly", role="check box")
    desk.find(contains="to This Machine?")
    desk.picture("90-narrow-steps")
    desk.press("Cancel", "push button")


TESTS = [test_give, test_no_isolation, test_reasons, test_running, test_elsewhere,
         test_second_start, test_many]


def main():
    program, fake, pictures = map(os.path.abspath, sys.argv[1:4])
    wanted = sys.argv[4:]
    tests = [t for t in TESTS if not wanted or t.__name__ in wanted]
    return run_tests(tests, lambda name: Desk(program, fake, pictures))


if __name__ == "__main__":
    sys.exit(main())
