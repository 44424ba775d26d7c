#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The snapshots of a machine in its window, driven through accessibility, with the fake machine.

test_snapshots.py PROGRAM FAKE_DIR PICTURES [TEST...]
"""
import json
import os
import sys

from driver import Desk, Failure, run_tests, wait_for


def check(condition, what):
    if not condition:
        raise Failure(what)


def snapshots(desk, name):
    """What the command line says: name -> its description."""
    return {s["name"]: s for s in json.loads(desk.run("snapshot", "list", name, "--json").stdout)}


def open_page(desk, name):
    desk.start("view", name)
    desk.find("The Machine Is Off")
    desk.press("Snapshots", "push button")


def fill_entry(desk, name, text):
    # The click and the keys come in this order: nothing to wait for.
    desk.click(desk.find(name))
    desk.keys("ctrl+a")
    desk.type(text)


def take(desk, name, note=None):
    desk.press("Take Snapshot…", "push button")
    desk.find("Take a Snapshot")
    fill_entry(desk, "Name", name)
    if note:
        fill_entry(desk, "Note", note)
    return desk.press("Take Snapshot", "push button")


def row(desk, name):
    return desk.find(contains=name, role="list item")


def test_tree(desk):
    """Take two, go back, take a third: a tree; keep the present state; edit; the right menu."""
    desk.add_machine("tree")
    open_page(desk, "tree")
    desk.find("No Snapshots Yet")
    desk.picture("40-no-snapshots")
    desk.press("Take Snapshot…", "push button")
    desk.find("Take a Snapshot")
    desk.picture("41-take")
    fill_entry(desk, "Name", "fresh")
    fill_entry(desk, "Note", "just installed")
    desk.press("Take Snapshot", "push button")
    row(desk, "fresh, you are here")
    desk.find("just installed")
    take(desk, "updated")
    row(desk, "updated, you are here")
    tree = snapshots(desk, "tree")
    check(tree["fresh"]["note"] == "just installed", "the note is lost")
    check(tree["updated"]["parent"] == tree["fresh"]["id"], "no tree")

    desk.press("Go back to this snapshot", "push button", under=row(desk, "fresh"))
    desk.find(contains="Keep the present state first")
    desk.picture("42-go-back")
    desk.press("Go Back", "push button")
    row(desk, "fresh, you are here")
    row(desk, "Before reverting to fresh")
    tree = snapshots(desk, "tree")
    check(tree["fresh"]["current"], "not reverted")
    check(tree["Before reverting to fresh"]["automatic"], "the present state was not kept")
    take(desk, "branch")
    row(desk, "branch, you are here")
    desk.picture("43-tree")

    desk.click(row(desk, "branch"), 3)
    desk.press(contains="Edit", role="menu item")
    desk.find("Edit the Snapshot")
    fill_entry(desk, "Name", "experiment")
    desk.press("Save", "push button")
    row(desk, "experiment, you are here")
    check("experiment" in snapshots(desk, "tree"), "the name was not written")


def test_delete_and_undo(desk):
    """Deleting can be undone while the toast is there, and is meant when it has gone."""
    desk.add_machine("del")
    check(desk.run("snapshot", "create", "del", "one").returncode == 0, "create")
    check(desk.run("snapshot", "create", "del", "two").returncode == 0, "create")
    open_page(desk, "del")
    desk.focus("del")
    desk.click(row(desk, "one"))
    desk.keys("Delete")
    desk.find(contains="“one” deleted")
    desk.gone("one", "list item")
    desk.picture("44-deleted")
    desk.press("Undo", "push button")
    row(desk, "one")
    check(len(snapshots(desk, "del")) == 2, "deleted although undone")
    desk.choose("More", "Delete", under=row(desk, "one"))
    desk.find(contains="“one” deleted")
    wait_for("the snapshot to go for good", lambda: list(snapshots(desk, "del")) == ["two"], 30)
    check("parent" not in snapshots(desk, "del")["two"], "its child has no place")


def test_running(desk):
    """A running machine: with memory and a picture; progress and cancel; going back starts it."""
    desk.add_machine("live")
    desk.start("view", "live")
    desk.press("Start", "push button")
    desk.find("Screen of the machine")
    desk.wait_log("state running")
    desk.press("Snapshots", "push button")
    take(desk, "running", "with everything open")
    row(desk, "running, you are here")
    desk.wait_log("snapshot")
    check(snapshots(desk, "live")["running"]["memory"], "without memory")
    desk.picture("45-running")

    desk.set_flag("slow-snapshot")
    take(desk, "never")
    desk.find("Taking a snapshot…")
    desk.picture("46-progress")
    desk.press("Cancel", "push button")
    desk.wait_log("cancel-save")
    desk.gone("Taking a snapshot…")
    check(list(snapshots(desk, "live")) == ["running"], "a cancelled snapshot is there")
    desk.clear_flag("slow-snapshot")

    before = len(desk.log())
    desk.press("Go back to this snapshot", "push button", under=row(desk, "running"))
    desk.press("Go Back", "push button")
    desk.wait_log("restore consume generation", after=before)
    desk.wait_log("state running", after=before)
    row(desk, "Before reverting to running")
    wait_for("the list to say where it is", lambda: snapshots(desk, "live")["running"]["current"])
    desk.press("Snapshots", "push button")
    desk.find("Screen of the machine")


def test_refused(desk):
    """What cannot be done is said, and nothing changes."""
    desk.add_machine("raw", "\n[disk data]\nfile=data.img\nformat=raw\n")
    with open(os.path.join(desk.machines, "raw", "data.img"), "wb") as file:
        file.truncate(1 << 20)
    open_page(desk, "raw")
    take(desk, "x")
    # The remedy is at its end.
    desk.find(contains="snapshot=false in [disk data]")
    desk.picture("47-refused")
    desk.press("Dismiss", "push button")
    desk.gone(contains="cannot hold snapshots")
    desk.find("No Snapshots Yet")


TESTS = [test_tree, test_delete_and_undo, test_running, test_refused]


def main():
    program, fake, pictures = map(os.path.abspath, sys.argv[1:4])
    wanted = sys.argv[4:]
    tests = [t for t in TESTS if not wanted or t.__name__ in wanted]
    return run_tests(tests, lambda name: Desk(program, fake, pictures))


if __name__ == "__main__":
    sys.exit(main())
