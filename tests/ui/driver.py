# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives the window as a person with a screen reader would: finds things by role and name through
AT-SPI, presses them, types with the X server's keyboard, and takes pictures of the screen.

The environment is that of run-in-x; every run gets its own data, configuration and runtime folders.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid

import gi

gi.require_version("Atspi", "2.0")
from gi.repository import Atspi  # noqa: E402

TIMEOUT = float(os.environ.get("ALCOVE_TEST_TIMEOUT", "60"))


class Failure(Exception):
    """A check that did not hold."""


def wait_for(what, condition, timeout=None):
    """Polls until the condition gives something true, and returns that."""
    end = time.monotonic() + (timeout or TIMEOUT)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"waited in vain for {what}")
        time.sleep(0.05)


class Desk:
    """Folders of a user of our own, a window manager, and the program in it."""

    def __init__(self, program, libexecdir=None, pictures=None):
        self.program = program
        self.pictures = pictures
        self.home = tempfile.mkdtemp(prefix="alcove-ui-")
        self.fake = os.path.join(self.home, "fake")
        self.machines = os.path.join(self.home, "data/alcove/machines")
        self.env = dict(os.environ)
        for name, folder in (("XDG_DATA_HOME", "data"), ("XDG_CONFIG_HOME", "config"),
                             ("XDG_CACHE_HOME", "cache"), ("XDG_STATE_HOME", "state"),
                             ("XDG_RUNTIME_DIR", "run")):
            self.env[name] = os.path.join(self.home, folder)
            os.makedirs(self.env[name], mode=0o700)
        os.makedirs(self.fake)
        os.makedirs(self.machines)
        self.env.update(HOME=self.home, ALCOVE_FAKE_DIR=self.fake, GTK_A11Y="atspi",
                        GDK_BACKEND="x11", GSK_RENDERER="cairo", GSETTINGS_BACKEND="memory",
                        NO_AT_BRIDGE="")
        if libexecdir:
            self.env["ALCOVE_LIBEXECDIR"] = libexecdir
        self.app = None
        self.manager = None
        if shutil.which("openbox"):
            self.manager = subprocess.Popen(["openbox"], env=self.env,
                                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.5)

    def write_machine(self, folder, text):
        """Puts a machine on disk as if it had been there before."""
        path = os.path.join(self.machines, folder)
        os.makedirs(path)
        with open(os.path.join(path, "machine.conf"), "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def add_machine(self, name, extra=""):
        return self.write_machine(name, f"[machine]\nuuid={uuid.uuid4()}\nname={name}\n"
                                        f"memory=2048\ncpus=2\nfirmware=bios\n{extra}")

    def start(self, *args):
        self.app = subprocess.Popen([self.program, *args], env=self.env)
        wait_for("the program to be accessible", self.root)

    def run(self, *args):
        """Runs the program once and waits for its end."""
        return subprocess.run([self.program, *args], env=self.env, timeout=60, check=False,
                              stdout=subprocess.PIPE, text=True)

    def root(self):
        if self.app.poll() is not None:
            raise Failure(f"the program ended with status {self.app.returncode}")
        desktop = Atspi.get_desktop(0)
        desktop.clear_cache()
        for i in range(desktop.get_child_count()):
            try:
                child = desktop.get_child_at_index(i)
                if child and child.get_process_id() == self.app.pid:
                    return child
            except Exception:  # it went away while we looked
                pass
        return None

    # finding

    def _walk(self, node, depth=0):
        """Everything that is there for a reader: what is hidden is left out with all in it."""
        if depth > 60:
            return
        try:
            node.clear_cache()
            if depth and not node.get_state_set().contains(Atspi.StateType.VISIBLE):
                return
            count = node.get_child_count()
        except Exception:
            return
        yield node
        for i in range(count):
            try:
                child = node.get_child_at_index(i)
            except Exception:
                continue
            if child is not None:
                yield from self._walk(child, depth + 1)

    def look(self, name=None, role=None, contains=None, under=None, sensitive=None):
        """The first thing that fits, or None."""
        for node in self._walk(under or self.root()):
            try:
                if role and node.get_role_name() != role:
                    continue
                text = node.get_name() or ""
                # GTK 4.8 names a button with a mnemonic twice: "_Start Start".
                if name is not None and text not in (name, name + " " + name) and \
                        text.replace("_", "") != name + " " + name:
                    continue
                if contains is not None and contains not in text:
                    continue
                states = node.get_state_set()
                if sensitive is not None and \
                        states.contains(Atspi.StateType.SENSITIVE) != sensitive:
                    continue
                return node
            except Exception:
                continue
        return None

    def find(self, name=None, role=None, contains=None, under=None, sensitive=None, timeout=None):
        what = " ".join(str(x) for x in (role or "thing", "named", name or contains))
        return wait_for(what, lambda: self.look(name, role, contains, under,
                                                sensitive=sensitive), timeout)

    def gone(self, name=None, role=None, contains=None, timeout=None):
        wait_for(f"{role or 'thing'} named {name or contains} to go",
                 lambda: not self.look(name, role, contains), timeout)

    def dump(self, file=sys.stderr):
        def show(node, depth):
            try:
                node.clear_cache()
                states = node.get_state_set()
                if depth and not states.contains(Atspi.StateType.VISIBLE):
                    return
                print("  " * depth + node.get_role_name(), repr(node.get_name()), file=file)
                for i in range(node.get_child_count()):
                    child = node.get_child_at_index(i)
                    if child:
                        show(child, depth + 1)
            except Exception as error:
                print("  " * depth + f"({error})", file=file)
        root = self.root()
        if root:
            show(root, 0)

    # doing

    def press(self, name=None, role=None, contains=None, under=None):
        """Uses the thing's own action, as assistive technologies do."""
        node = self.find(name, role, contains, under, sensitive=True)
        action = node.get_action_iface()
        if not action or action.get_n_actions() == 0:
            return self.click(node)
        action.do_action(0)
        return node

    def choose(self, button, contains, under=None, picture=None):
        """Opens a button's menu and uses an item of it."""
        for attempt in range(5):
            self.press(button, under=under)
            try:
                self.find(contains=contains, role="menu item", timeout=8)
                break
            except Failure:
                if self.look(contains=contains, role="menu item"):
                    break  # late, but there: another press would close it
                # The click may have closed something else: a tooltip, a dialog on its way out.
                if attempt == 4:
                    raise
        if picture:
            self.picture(picture)
        return self.press(contains=contains, role="menu item")

    def _window_of(self, node):
        while node and node.get_role_name() not in ("frame", "dialog", "window"):
            node = node.get_parent()
        return node

    def windows(self, title):
        out = subprocess.run(["xdotool", "search", "--onlyvisible", "--name", f"^{title}$"],
                             stdout=subprocess.PIPE, text=True, check=False).stdout.split()
        return out

    def center(self, node):
        """The middle of a thing on the screen."""
        extents = node.get_component_iface().get_extents(Atspi.CoordType.WINDOW)
        frame = self._window_of(node)
        title = frame.get_name()
        windows = wait_for(f"the window {title}", lambda: self.windows(title))
        out = subprocess.run(["xdotool", "getwindowgeometry", "--shell", windows[-1]],
                             stdout=subprocess.PIPE, text=True, check=True).stdout
        place = dict(line.split("=") for line in out.split())
        # Places count from inside the frame that the program draws around its window.
        inside = frame.get_child_at_index(0).get_component_iface().get_extents(
            Atspi.CoordType.WINDOW)
        border = (int(place["WIDTH"]) - inside.width) // 2
        return (int(place["X"]) + border + extents.x + extents.width // 2,
                int(place["Y"]) + border + extents.y + extents.height // 2)

    def click(self, node, button=1):
        x, y = self.center(node)
        subprocess.run(["xdotool", "mousemove", str(x), str(y), "sleep", "0.1", "click",
                        str(button)], check=True)
        return node

    def keys(self, *keys):
        subprocess.run(["xdotool", "key", "--delay", "40", *keys], check=True)

    def wait_entry(self):
        """Waits until something that takes text has the keyboard."""
        def focused():
            for node in self._walk(self.root()):
                try:
                    if node.get_state_set().contains(Atspi.StateType.FOCUSED) and \
                            node.get_role_name() in ("text", "entry"):
                        return node
                except Exception:
                    continue
            return None
        return wait_for("a text entry to have the keyboard", focused)

    def type(self, text):
        subprocess.run(["xdotool", "type", "--delay", "40", text], check=True)

    def focus(self, title):
        window = wait_for(f"the window {title}", lambda: self.windows(title))[-1]
        subprocess.run(["xdotool", "windowactivate" if self.manager else "windowfocus", "--sync",
                        window], check=False, timeout=TIMEOUT)

    def picture(self, name):
        if self.pictures and shutil.which("import"):
            os.makedirs(self.pictures, exist_ok=True)
            time.sleep(0.5)  # for transitions to end: pictures are looked at, not compared
            subprocess.run(["import", "-window", "root",
                            os.path.join(self.pictures, name + ".png")], check=False)

    # the machine's side

    def log(self):
        try:
            with open(os.path.join(self.fake, "log"), encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def wait_log(self, line, after=0):
        wait_for(f"the machine to see “{line}”", lambda: line in self.log()[after:])

    def set_flag(self, name, contents=""):
        with open(os.path.join(self.fake, name), "w", encoding="utf-8") as file:
            file.write(contents)

    def clear_flag(self, name):
        os.unlink(os.path.join(self.fake, name))

    def vmm_pid(self, folder):
        """The process that holds a machine, from its lock file."""
        try:
            with open(os.path.join(folder, "lock"), encoding="utf-8") as file:
                return int(file.read().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    # the end

    def stop(self):
        if self.app and self.app.poll() is None:
            self.app.send_signal(signal.SIGTERM)
            self.app.wait(10)

    def close(self):
        self.stop()
        for name in os.listdir(self.machines):
            pid = self.vmm_pid(os.path.join(self.machines, name))
            if pid and pid > 1:
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as file:
                        if b"alcove-vmm" in file.read():
                            os.kill(pid, signal.SIGTERM)
                except OSError:
                    pass
        if self.manager:
            self.manager.terminate()
            self.manager.wait(10)
        shutil.rmtree(self.home, ignore_errors=True)


def run_tests(tests, make_desk):
    """Runs each test with a desk of its own; prints TAP; returns the exit status."""
    failed = 0
    print(f"1..{len(tests)}", flush=True)
    for number, test in enumerate(tests, 1):
        desk = make_desk(test.__name__)
        try:
            test(desk)
            print(f"ok {number} {test.__name__}", flush=True)
        except Exception as error:  # any failure is the test's
            failed += 1
            print(f"not ok {number} {test.__name__}", flush=True)
            print(f"# {type(error).__name__}: {error}", flush=True)
            try:
                desk.dump()
                desk.picture("failed-" + test.__name__)
            except Exception:
                pass
        finally:
            desk.close()
    return 1 if failed else 0
