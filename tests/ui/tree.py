# SPDX-License-Identifier: GPL-3.0-or-later
"""What a program shows to assistive technologies, all of it in a few calls (by AT-SPI's cache), where
asking thing by thing takes a thousand: for waiting, and for slow machines."""
import gi

gi.require_version("Atspi", "2.0")
from gi.repository import Atspi, Gio, GLib  # noqa: E402

CACHE = "org.a11y.atspi.Cache"
STATES = {"checked": Atspi.StateType.CHECKED, "focused": Atspi.StateType.FOCUSED,
          "sensitive": Atspi.StateType.SENSITIVE, "visible": Atspi.StateType.VISIBLE}


class Item:
    """One thing, as it was when it was asked."""

    def __init__(self, tree, row):
        (self.sender, self.path), *_, name, role, description, states = row
        self.tree = tree
        self.name = name or ""
        self.role = Atspi.role_get_name(Atspi.Role(role))
        self.description = description or ""
        self.bits = states[0] | states[1] << 32

    def has(self, state):
        return bool(self.bits >> int(STATES[state]) & 1)

    def press(self):
        """Its own action, as assistive technologies use it."""
        self.tree.call(self.sender, self.path, "org.a11y.atspi.Action", "DoAction",
                       GLib.Variant("(i)", (0,)))


class Tree:
    """Everything that one program shows."""

    def __init__(self):
        session = Gio.bus_get_sync(Gio.BusType.SESSION, None)
        address = session.call_sync("org.a11y.Bus", "/org/a11y/bus", "org.a11y.Bus", "GetAddress",
                                    None, None, 0, -1, None).unpack()[0]
        self.bus = Gio.DBusConnection.new_for_address_sync(
            address, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT |
            Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
        self.names = {}     # pid -> name on the bus

    def call(self, name, path, interface, method, arguments=None):
        return self.bus.call_sync(name, path, interface, method, arguments, None,
                                  Gio.DBusCallFlags.NONE, 30000, None).unpack()

    def _ask_bus(self, method, arguments=None):
        return self.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                         method, arguments)[0]

    def find_name(self, pid):
        if pid not in self.names:
            for name in self._ask_bus("ListNames"):
                try:
                    if name.startswith(":") and pid == self._ask_bus(
                            "GetConnectionUnixProcessID", GLib.Variant("(s)", (name,))):
                        self.names[pid] = name
                except GLib.Error:      # it went away
                    pass
        return self.names.get(pid)

    def _children(self, places):
        """{place: places of its children} of these, asked all at once."""
        found = {}

        def on_done(bus, result, place):
            try:
                found[place] = bus.call_finish(result).unpack()[0]
            except GLib.Error:      # it went away
                found[place] = []
        for place in places:
            self.bus.call(*place, "org.a11y.atspi.Accessible", "GetChildren", None, None,
                          Gio.DBusCallFlags.NONE, 30000, None, on_done, place)
        while len(found) < len(places):
            GLib.MainContext.default().iteration(True)
        return found

    def items(self, pid):
        """All things of this process that are there for a reader: not what is hidden, nor what is in
        something hidden."""
        name = self.find_name(pid)
        children, level = {}, [(name, "/org/a11y/atspi/accessible/root")] if name else []
        first = level[:]
        # What was never asked for is not in the cache, and what went stays there.
        while level and len(children) < 10000:
            below = self._children(level)
            children.update(below)
            level = [place for places in below.values() for place in places
                     if place not in children]
        try:
            rows = self.call(name, "/org/a11y/atspi/cache", CACHE, "GetItems")[0] if name else []
        except GLib.Error:
            rows = []
        items = {row[0]: Item(self, row) for row in rows}
        found, left = [], first[:]
        while left:
            place = left.pop()
            item = items.get(place)
            if place in first or (item and item.has("visible")):
                left += reversed(children.pop(place, []))
                if item:
                    found.append(item)
        return found


def fits(name, role, wanted_name=None, wanted_role=None, contains=None):
    """Is it this that is looked for?"""
    if wanted_role and role != wanted_role:
        return False
    # GTK 4.8 names a button with a mnemonic twice: "_Start Start".
    if wanted_name is not None and name not in (wanted_name, wanted_name + " " + wanted_name) and \
            name.replace("_", "") != wanted_name + " " + wanted_name:
        return False
    return contains is None or contains in name
