#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The window from end to end, driven through accessibility, in front of the fake machine.

test_window.py PROGRAM FAKE_DIR PICTURES [TEST...]
"""
import glob
import os
import signal
import struct
import subprocess
import sys
import time

from driver import Desk, Failure, run_tests, wait_for


def check(condition, what):
    if not condition:
        raise Failure(what)


def start_from_list(desk, name):
    row = desk.find(contains=name, role="list item")
    desk.press("Start", "push button", under=row)
    desk.find(name, role="frame")
    desk.wait_log("state running")
    desk.find("Screen of the machine")


def test_create(desk):
    """An empty library, a wrong answer, a machine, started, typed to, photographed, off."""
    desk.start()
    desk.find("No Machines Yet")
    desk.picture("01-empty")
    desk.press("New Machine…", "push button")
    desk.find("New Machine", "frame")
    desk.press("Create", "push button")
    desk.find(contains="Choose the installation medium")
    desk.picture("02-create-wrong")

    combo = desk.find("Start From")
    desk.click(combo)
    desk.find("Nothing")
    desk.keys("Down", "Down", "Return")
    desk.gone(contains="Choose the installation medium")
    desk.find(contains="Give the machine a name")
    # The click and the keys come in this order: nothing to wait for.
    desk.click(desk.find("Name"))
    desk.type("First Light")
    desk.picture("03-create-ready")
    desk.press("Create", "push button")

    desk.find("First Light", "frame")
    desk.find("The Machine Is Off")
    check(glob.glob(desk.machines + "/*/machine.conf"), "no machine.conf was made")
    desk.picture("04-off")
    desk.press("Start", "push button")
    desk.wait_log("state running")
    screen = desk.find("Screen of the machine")
    desk.wait_log("attach")
    desk.picture("05-running")

    before = len(desk.log())
    desk.focus("First Light")
    desk.click(screen)
    desk.keys("h", "i", "F11", "ctrl+n", "Escape")
    for code in ("23", "a3", "17", "97", "57", "d7", "31", "b1", "01", "81"):
        desk.wait_log("key " + code, before)
    desk.picture("06-typed")

    desk.press("Take screenshot", "push button")
    desk.wait_log("screenshot")
    desk.find(contains="Screenshot saved")
    files = wait_for("the screenshot's file",
                     lambda: glob.glob(desk.home + "/**/Screenshots/*.png", recursive=True))
    with open(files[0], "rb") as file:
        size = "%d %d" % struct.unpack(">II", file.read(24)[16:])
    last = [line for line in desk.log() if line.startswith("size ")][-1]
    check(size == last[5:], f"the screenshot is {size}, the machine’s picture {last[5:]}")

    desk.press("Pause", "push button")
    desk.wait_log("state paused")
    desk.find("Paused", "label")
    desk.picture("07-paused")
    desk.press("Resume", "push button")
    wait_for("the machine to go on", lambda: desk.log().count("state running") == 2)

    desk.choose("Power", "Force Off")
    desk.find(contains="Force “First Light” Off?")
    desk.picture("08-force-off")
    desk.press("Force Off", "push button")
    desk.wait_log("state stopped")
    desk.find("The Machine Is Off")


def test_shut_down(desk):
    """The power button, and what the window says while and after."""
    desk.add_machine("plain")
    desk.start("view", "plain")
    desk.press("Start", "push button")
    desk.wait_log("state running")
    desk.find("Screen of the machine")
    desk.choose("Power", "Shut Down")
    desk.wait_log("state stopping")
    desk.wait_log("state stopped")
    desk.find("The Machine Is Off")
    desk.find(contains="The system inside shut it down")


def test_start_fails(desk):
    desk.add_machine("sick")
    desk.set_flag("fail-start", "The disk /nowhere/disk.img cannot be opened: it is not there.")
    desk.start("view", "sick")
    desk.press("Start", "push button")
    desk.find("The Machine Did Not Start")
    desk.find(contains="/nowhere/disk.img cannot be opened")
    desk.picture("09-start-failed")
    desk.clear_flag("fail-start")
    desk.press("Start Again", "push button")
    desk.find("Screen of the machine")


def test_fault(desk):
    """A guest that dies of a fault: the reason is shown and the machine can start again."""
    folder = desk.add_machine("mortal")
    desk.start("view", "mortal")
    desk.press("Start", "push button")
    desk.find("Screen of the machine")
    os.kill(wait_for("the VM process", lambda: desk.vmm_pid(folder)), signal.SIGUSR1)
    desk.find("The Machine Stopped by Itself")
    desk.find(contains="triple fault")
    desk.picture("10-fault")
    desk.press("Start Again", "push button")
    desk.find("Screen of the machine")


def test_fault_lingers(desk):
    """The same with a process that stays, as for a look at the dead guest: starting clears it."""
    folder = desk.add_machine("undead")
    desk.set_flag("linger")
    desk.start("view", "undead")
    desk.press("Start", "push button")
    desk.find("Screen of the machine")
    first = wait_for("the VM process", lambda: desk.vmm_pid(folder))
    os.kill(first, signal.SIGUSR1)
    desk.find("The Machine Stopped by Itself")
    desk.press("Start Again", "push button")
    desk.find("Screen of the machine")
    check(desk.vmm_pid(folder) != first, "the old process still has the machine")


def test_crash(desk):
    """The VM process is killed: the window says so and does not hang."""
    folder = desk.add_machine("crash")
    desk.start("view", "crash")
    desk.press("Start", "push button")
    desk.find("Screen of the machine")
    os.kill(wait_for("the VM process", lambda: desk.vmm_pid(folder)), signal.SIGKILL)
    desk.gone("Screen of the machine")
    desk.picture("11-killed")
    desk.find(contains="Start")


def test_close_leaves_running(desk):
    """Closing the window leaves the machine running, with a word; the next window finds it."""
    folder = desk.add_machine("steady")
    desk.start()
    start_from_list(desk, "steady")
    pid = wait_for("the VM process", lambda: desk.vmm_pid(folder))
    desk.focus("steady")
    desk.press("Close", "push button", under=desk.find("steady", "frame"))
    desk.gone("steady", "frame")
    desk.find(contains="goes on running without its window")
    desk.find(contains="Running", role="label")
    desk.picture("12-running-in-list")
    desk.stop()
    os.kill(pid, 0)

    desk.start("view", "steady")
    desk.find("Screen of the machine")
    os.kill(pid, 0)
    check(desk.log().count("state running") == 1, "it was started a second time")


def test_single_instance(desk):
    desk.add_machine("one")
    desk.start()
    desk.find(contains="one", role="list item")
    check(desk.run("view", "one").returncode == 0, "the second start failed")
    desk.find("one", "frame")
    check(desk.run("view", "nobody").returncode == 3, "a machine that is not there was opened")


def test_library(desk):
    """States, search, a machine that cannot be used, the trash and back."""
    desk.add_machine("alpha")
    desk.add_machine("beta")
    desk.write_machine("broken", "[machine]\nfoo=bar\n")
    desk.start()
    desk.find(contains="alpha", role="list item")
    desk.find(contains="Cannot Be Used")
    desk.picture("13-library")

    desk.focus("Alcove")
    desk.keys("ctrl+f")
    desk.wait_entry()
    desk.type("bet")
    desk.gone(contains="alpha", role="list item")
    desk.find(contains="beta", role="list item")
    desk.type("zzz")
    desk.find("No Machine Found")
    desk.keys("Escape")
    row = desk.find(contains="alpha", role="list item")

    desk.choose("Machine menu", "Move to Trash", under=row, picture="14-machine-menu")
    desk.gone(contains="alpha", role="list item")
    check(not os.path.exists(desk.machines + "/alpha"), "the folder is still there")
    desk.find(contains="is in the trash")
    desk.picture("15-trash")
    desk.press("Undo", "push button")
    desk.find(contains="alpha", role="list item")
    check(os.path.exists(desk.machines + "/alpha/machine.conf"), "it did not come back")

    desk.add_machine("gamma")
    desk.find(contains="gamma", role="list item")


def test_keyboard(desk):
    """Everything by keyboard: new, preferences, shortcuts, menu; the grab and the way out."""
    desk.add_machine("keys")
    desk.start()
    desk.find(contains="keys", role="list item")
    desk.focus("Alcove")
    desk.keys("ctrl+comma")
    desk.find("Release Keys")
    desk.picture("16-preferences")
    desk.keys("Escape")
    desk.gone("Release Keys")
    desk.keys("ctrl+question")
    desk.find("Get the keyboard back from the machine")
    desk.picture("17-shortcuts")
    desk.keys("Escape")
    desk.keys("F10")
    desk.find("About Alcove", role="menu item")
    desk.keys("Escape")

    start_from_list(desk, "keys")
    desk.focus("keys")
    desk.press("Give the machine the whole keyboard")
    desk.find(contains="The machine has the keyboard")
    desk.find(contains="to release the keyboard")
    desk.picture("18-grabbed")
    before = len(desk.log())
    desk.keys("ctrl+comma")
    desk.wait_log("key 33", before)
    check(not desk.look("Release Keys"), "a shortcut of ours was taken from the machine")
    desk.keys("ctrl+alt")
    desk.gone(contains="to release the keyboard")
    desk.keys("ctrl+comma")
    desk.find("Release Keys")
    desk.keys("Escape")

    desk.choose("Send keys", "Ctrl+Alt+Delete")
    desk.wait_log("send-keys [29, 56, 111]")


def test_fullscreen(desk):
    if not desk.manager:
        return
    desk.add_machine("wide")
    desk.start("view", "wide")
    desk.press("Start", "push button")
    desk.find("Screen of the machine")
    desk.press("Full screen", "push button")
    width, height = os.environ.get("ALCOVE_TEST_SCREEN", "1280x1024").split("x")
    desk.wait_log(f"resize 0 {width} {height}")
    time.sleep(1)
    desk.picture("19-fullscreen")
    check(not desk.look("Leave full screen"), "the header is in the way")
    desk.keys("ctrl+alt")
    desk.find("Leave full screen")
    desk.picture("20-fullscreen-header")
    desk.press("Leave full screen", "push button")
    desk.find("Full screen", "push button")


def test_drawables(desk):
    """A machine that sends drawables instead of memory."""
    desk.add_machine("old")
    desk.set_flag("drawables")
    desk.start("view", "old")
    desk.press("Start", "push button")
    desk.find("Screen of the machine")
    desk.wait_log("attach")
    desk.picture("21-drawables")


DOMAIN = """<domain type='kvm'><name>visitor</name><title>A Visitor &amp; Co</title>
<memory unit='MiB'>512</memory><vcpu>2</vcpu><os><type arch='x86_64' machine='pc-i440fx-6.2'>hvm</type></os>
<devices><disk type='file' device='disk'><driver type='raw'/><source file='%s'/>
<target dev='sda' bus='sata'/></disk><sound model='ich9'/><tpm model='tpm-crb'/>
<interface type='bridge'><source bridge='br0'/><model type='virtio'/></interface></devices></domain>
"""


def import_file(path):
    """As the desktop does that opens a file with the running program."""
    subprocess.run(["gapplication", "action", "io.github.alcove_vm.Alcove", "import-file",
                    "'" + path + "'"], check=True, timeout=30)


def test_import_export(desk):
    """Another program's machine: what is lost is said, then it is made; and out again."""
    disk = os.path.join(desk.home, "visitor.img")
    with open(disk, "wb") as file:
        file.truncate(8 << 20)
        file.seek(4 << 20)
        file.write(b"contents")
    document = os.path.join(desk.home, "visitor.xml")
    with open(document, "w", encoding="utf-8") as file:
        file.write(DOMAIN % disk)
    broken = os.path.join(desk.home, "broken.xml")
    with open(broken, "w", encoding="utf-8") as file:
        file.write("<network/>")
    desk.start()
    desk.find("No Machines Yet")
    import_file(broken)
    desk.find("This Cannot Be Imported")
    desk.find(contains="neither a libvirt domain")
    check(desk.look("Import", "push button", sensitive=True) is None, "it can be imported")
    desk.picture("30-import-refused")
    desk.press("Cancel", "push button")
    desk.gone("This Cannot Be Imported")

    # As the desktop opens a file: the running window takes it.
    check(desk.run(document).returncode == 0, "the second start failed")
    desk.find("Import a Machine", "frame")
    desk.find(contains="Will Be Lost")
    desk.find(contains="Sound card (ich9)")
    desk.find(contains="TPM")
    desk.find(contains="Will Be Changed")
    desk.picture("31-import-report")
    desk.press("Import", "push button")
    desk.find("A Visitor & Co", "frame")
    desk.find("The Machine Is Off")
    folder = os.path.join(desk.machines, "a-visitor-co")
    check(os.path.exists(os.path.join(folder, "system.qcow2")), "the disk was not converted")
    desk.picture("32-imported")

    desk.choose("Main menu", "Export", under=desk.find("A Visitor & Co", "frame"))
    desk.find("Export a Machine", "frame")
    desk.find(contains="Disk controller")
    desk.picture("33-export")
    desk.press("Export…", "push button")
    desk.find("Export To")
    desk.picture("34-export-to")
    desk.press("Save", "push button")
    out = os.path.join(desk.home, "a-visitor-co.ova")
    wait_for("the appliance", lambda: os.path.exists(out))
    desk.gone("Export a Machine", "frame")
    names = subprocess.run(["tar", "-tf", out], check=True, stdout=subprocess.PIPE, text=True,
                           timeout=30).stdout.split()
    check(names == ["a-visitor-co.ovf", "a-visitor-co.mf", "a-visitor-co-system.vmdk"],
          f"the appliance holds {names}")


TESTS = [test_create, test_shut_down, test_start_fails, test_fault, test_fault_lingers, test_crash,
         test_close_leaves_running, test_single_instance, test_library, test_keyboard,
         test_fullscreen, test_drawables, test_import_export]


def main():
    program, fake, pictures = map(os.path.abspath, sys.argv[1:4])
    wanted = sys.argv[4:]
    tests = [t for t in TESTS if not wanted or t.__name__ in wanted]
    return run_tests(tests, lambda name: Desk(program, fake, pictures))


if __name__ == "__main__":
    sys.exit(main())
