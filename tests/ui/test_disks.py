#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks of a machine in its window, driven through accessibility, with the fake machine.

test_disks.py PROGRAM FAKE_DIR PICTURES [TEST...]
"""
import json
import os
import sys

from driver import Desk, Failure, run_tests, wait_for

MIB = 1 << 20


def check(condition, what):
    if not condition:
        raise Failure(what)


def add_machine(desk, name, extra=""):
    """A machine with a qcow2 disk of 64 MiB called system, and what extra says."""
    folder = desk.add_machine(name, f"\n[disk system]\nfile=system.qcow2\nformat=qcow2\n{extra}")
    path = os.path.join(folder, "system.qcow2")
    check(desk.run("disk", "create", path, "64M").returncode == 0, "no disk was made")
    return folder


def image(desk, path, form="qcow2"):
    out = desk.run("disk", "info", path, "--format", form, "--json").stdout
    return json.loads(out)


def size_of(desk, path, form="qcow2"):
    info = image(desk, path, form)
    return (info[0] if isinstance(info, list) else info)["size"]


def conf(folder):
    with open(os.path.join(folder, "machine.conf"), encoding="utf-8") as file:
        return file.read().replace(" = ", "=")


def open_page(desk, name):
    desk.start("view", name)
    desk.find("The Machine Is Off")
    desk.press("Disks", "toggle button" if desk.look("Disks", "toggle button") else "push button")


def row(desk, name):
    return desk.find(name, "list item")


def fill_size(desk, text):
    desk.click(desk.find("Size"))
    desk.keys("ctrl+a")
    desk.type(text)


def resize(desk, name, text, picture=None):
    desk.choose("More", "Resize", under=row(desk, name))
    desk.find(f"Resize “{name}”")
    fill_size(desk, text)
    if picture:
        desk.picture(picture)
    desk.press("Resize", "push button")


def damage(path):
    """Makes a cluster's reference count too high: lost space, which a check finds."""
    with open(path, "r+b") as file:
        file.seek(48)
        table = int.from_bytes(file.read(8), "big")
        file.seek(table)
        block = int.from_bytes(file.read(8), "big")
        end = os.path.getsize(path) // 65536
        file.truncate((end + 1) * 65536)
        file.seek(block + end * 2)
        file.write((1).to_bytes(2, "big"))


def test_check_and_repair(desk):
    """What the list says; a check that finds nothing, one that finds something, its repair."""
    folder = add_machine(desk, "sound", "\n[cdrom cd]\nbus=sata\n")
    path = os.path.join(folder, "system.qcow2")
    open_page(desk, "sound")
    row(desk, "system")
    desk.find(contains="virtio · qcow2 · 64.0\u00a0MiB")
    desk.find(contains="SATA · empty")
    desk.picture("60-disks")
    desk.press("Check this disk", under=row(desk, "system"))
    desk.find(contains="no damage was found")
    damage(path)
    desk.click(row(desk, "system"), 3)
    desk.find("Check", "menu item")
    check(not desk.look("Repair", "menu item"), "there is nothing to repair")
    desk.press("Check", "menu item")
    desk.find(contains="1 cluster is lost to no use")
    desk.picture("61-check")
    desk.choose("More", "Repair", under=row(desk, "system"))
    desk.find(contains="1 cluster repaired")
    check(desk.run("disk", "check", "sound", "system").returncode == 0, "it is not repaired")
    # With the keyboard: the row has it, Shift+F10 opens its menu.
    desk.focus("sound")
    desk.keys("shift+F10")
    desk.find("Compact", "menu item")
    desk.keys("Escape")


def test_resize(desk):
    """Grow; shrink, with a snapshot before; what holds data is not cut off."""
    folder = add_machine(desk, "size", "\n[disk full]\nfile=full.img\nformat=raw\nsnapshot=false\n")
    path, full = os.path.join(folder, "system.qcow2"), os.path.join(folder, "full.img")
    with open(full, "wb") as file:
        file.write(b"x" * (2 * MIB))
    open_page(desk, "size")
    resize(desk, "system", "128 MiB", "62-resize")
    desk.find(contains="has its new size")
    desk.find(contains="128.0\u00a0MiB")
    check(size_of(desk, path) == 128 * MIB, "it did not grow")
    resize(desk, "system", "64 MiB")
    desk.find(contains="virtio · qcow2 · 64.0\u00a0MiB")
    wait_for("the disk to be smaller", lambda: size_of(desk, path) == 64 * MIB)
    taken = json.loads(desk.run("snapshot", "list", "size", "--json").stdout)
    check([s["name"] for s in taken] == ["Before resizing system"], "no snapshot was taken")
    desk.find(contains="1 snapshot")
    resize(desk, "full", "1 MiB")
    desk.find(contains="holds data")
    desk.picture("63-refused")
    check(os.path.getsize(full) == 2 * MIB, "data was cut off")
    desk.press("Dismiss", "push button")
    desk.gone(contains="holds data")
    resize(desk, "full", "3")
    desk.find(contains="“3” has no unit")


def test_refused_shrink(desk):
    """A shrink that is refused takes the snapshot back that was taken for it."""
    folder = add_machine(desk, "tail")
    path, raw = os.path.join(folder, "system.qcow2"), os.path.join(desk.home, "full.img")
    with open(raw, "wb") as file:
        file.write(b"x" * (2 * MIB))
    os.unlink(path)
    done = desk.run("disk", "convert", "--format", "raw", "--to", "qcow2", raw, path)
    check(done.returncode == 0, "no disk was made")
    open_page(desk, "tail")
    resize(desk, "system", "1 MiB")
    desk.find(contains="holds data")
    check(json.loads(desk.run("snapshot", "list", "tail", "--json").stdout) == [],
          "a snapshot was left")
    check(size_of(desk, path) == 2 * MIB, "data was cut off")


def test_compact_and_cancel(desk):
    """Compacting gives space back; a long one can be cancelled, and the page goes on."""
    folder = add_machine(desk, "room", "\n[disk huge]\nfile=huge.img\nformat=raw\n")
    path, huge = os.path.join(folder, "system.qcow2"), os.path.join(folder, "huge.img")
    with open(huge, "wb") as file:
        file.truncate(8 << 40)
    damage(path)
    before = os.stat(path).st_size
    open_page(desk, "room")
    desk.choose("More", "Compact", under=row(desk, "system"))
    desk.find(contains="“system” took")
    check(os.stat(path).st_size < before, "no space was given back")
    desk.choose("More", "Compact", under=row(desk, "huge"))
    desk.find("Compacting “huge”…")
    desk.picture("64-progress")
    desk.press("Cancel", "push button")
    desk.gone("Compacting “huge”…")
    check(not desk.look("Dismiss", "push button"), "a cancel is no error")
    check(os.path.getsize(huge) == 8 << 40, "the disk is not as it was")


def test_add_and_remove(desk):
    """A new disk; removing it can be undone, and is meant when the toast has gone."""
    folder = add_machine(desk, "more")
    open_page(desk, "more")
    row(desk, "system")
    desk.choose("Add Disk", "New Disk")
    desk.find("New Disk")
    fill_size(desk, "1 GiB")
    desk.picture("65-add")
    desk.press("Add", "push button")
    row(desk, "data")
    check("[disk data]" in conf(folder), "it is not in machine.conf")
    image_path = os.path.join(folder, "data.qcow2")
    check(size_of(desk, image_path) == 1 << 30, "its size")
    desk.focus("more")
    desk.click(row(desk, "data"))
    desk.keys("Delete")
    desk.find(contains="“data” removed")
    desk.gone("data", "list item")
    desk.picture("66-removed")
    desk.press("Undo", "push button")
    row(desk, "data")
    check("[disk data]" in conf(folder), "removed although undone")
    desk.choose("More", "Remove", under=row(desk, "data"))
    desk.gone("data", "list item")
    wait_for("the disk to go for good", lambda: "[disk data]" not in conf(folder), 30)
    check(os.path.exists(image_path), "the image file is gone")


def choose_file(desk, title, path):
    """Types a path into the file dialog, as its own keys have it."""
    desk.focus(title)
    desk.keys("ctrl+l")
    desk.wait_entry()
    desk.type(path)
    desk.press("Open", "push button")


def test_files(desk):
    """A medium goes into a drive and out again; an existing file becomes a disk, with the format
    that people confirm."""
    folder = add_machine(desk, "files", "\n[cdrom cd]\nbus=sata\n")
    iso, other = os.path.join(desk.home, "medium.iso"), os.path.join(desk.home, "other.qcow2")
    with open(iso, "wb") as file:
        file.truncate(MIB)
    check(desk.run("disk", "create", other, "16M").returncode == 0, "no disk was made")
    open_page(desk, "files")
    desk.press("Insert a medium", under=row(desk, "cd"))
    choose_file(desk, "Choose a Medium", iso)
    desk.find(contains="SATA · 1.0\u00a0MiB")
    check(f"file={iso}" in conf(folder), "it is not in machine.conf")
    desk.picture("68-medium")
    desk.press("Eject the medium", under=row(desk, "cd"))
    desk.find(contains="SATA · empty")
    check("medium.iso" not in conf(folder), "it is still in machine.conf")
    desk.choose("Add Disk", "Existing File")
    choose_file(desk, "Choose a Disk Image", other)
    desk.find("Add an Existing File")
    desk.picture("69-existing")
    desk.press("Add", "push button")
    row(desk, "data")
    check(f"file={other}\nformat=qcow2" in conf(folder), "not with its format")


def test_running(desk):
    """While the machine runs: work on images is refused with the remedy; disks come and go, a
    medium is ejected; a guest that keeps its disk keeps it."""
    iso = os.path.join(desk.home, "medium.iso")
    with open(iso, "wb") as file:
        file.truncate(MIB)
    folder = add_machine(desk, "live", f"\n[cdrom cd]\nbus=sata\nfile={iso}\n")
    desk.start("view", "live")
    desk.press("Start", "push button")
    desk.find("Screen of the machine")
    desk.wait_log("state running")
    desk.press("Disks")
    desk.press("Check this disk", under=row(desk, "system"))
    desk.find(contains="shut it down first")
    desk.picture("67-running")
    desk.press("Dismiss", "push button")
    desk.press("Eject the medium", under=row(desk, "cd"))
    desk.wait_log("eject cd")
    desk.find(contains="SATA · empty")
    check("medium.iso" not in conf(folder), "it is still in machine.conf")
    desk.choose("Add Disk", "New Disk")
    desk.press("Add", "push button")
    desk.wait_log("add-disk [disk data]")
    row(desk, "data")
    wait_for("machine.conf to have it", lambda: "[disk data]" in conf(folder))
    desk.set_flag("keep-disks")
    desk.choose("More", "Remove", under=row(desk, "data"))
    desk.find(contains="does not release the disk", timeout=30)
    row(desk, "data")
    desk.clear_flag("keep-disks")
    desk.choose("More", "Remove", under=row(desk, "data"))
    wait_for("the machine to be asked", lambda: "remove-disk data" in desk.log(), 30)
    wait_for("machine.conf to be without", lambda: "[disk data]" not in conf(folder))


TESTS = [test_check_and_repair, test_resize, test_refused_shrink, test_compact_and_cancel,
         test_add_and_remove, test_files, test_running]


def main():
    program, fake, pictures = map(os.path.abspath, sys.argv[1:4])
    wanted = sys.argv[4:]
    tests = [t for t in TESTS if not wanted or t.__name__ in wanted]
    return run_tests(tests, lambda name: Desk(program, fake, pictures))


if __name__ == "__main__":
    sys.exit(main())
