#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads every source file and refuses what the style forbids. TAP on stdout, a test a rule.

  source.py ROOT
"""

import glob
import os
import re
import sys

# Which folders a folder may include from. app/programs, the composition root, may use all.
ARROWS = {
    'vmm': {'vmm'},
    'devices': {'vmm', 'devices'},
    'vfio': {'vmm', 'devices/pci', 'vfio'},
    'app': {'vmm', 'devices', 'vfio', 'app', 'data'},
    'ui': {'app', 'ui', 'data'},
}
CORE = ('vmm', 'devices', 'vfio')
SYSTEM_REFUSED = re.compile(r'<(gtk/|gdk/|adwaita|gio/|glib-object)')
ENDS = re.compile(r'(?<![\w.>])(_exit|exit|abort|quick_exit|g_error)\s*\(')
# A frame clock that always wants its next frame starves idle sources (SPICE's) where drawing is slow.
ENDLESS = re.compile(r'\b(GtkSpinner|AdwSpinner|gtk_spinner_\w+|adw_spinner_\w+)\b')
# Posts a call that cannot be taken back: a device may be gone when it comes.
POSTS = re.compile(r'\bvmm_worker_post\s*\(')
CHILDREN = ('vmm/save-fork.c',)  # where a forked child has its end: _exit alone
UAPI_HEADERS = ('linux/pci*.h', 'linux/virtio*.h', 'linux/vfio*.h', 'linux/kvm*.h', 'linux/vhost*.h',
                'asm/kvm*.h', 'x86_64-linux-gnu/asm/kvm*.h', 'linux/iommufd.h')
SPDX = 'SPDX-License-Identifier: GPL-3.0-or-later'
SPDX_SUFFIXES = ('.c', '.h', '.S', '.s', '.ld', '.py', '.sh', '.build', '.xml', '.ui', '.txt', '.css',
                 '.in', '.options')
TOP = ('app', 'vmm', 'devices', 'vfio', 'ui', 'data', 'tests', 'flatpak')


def files(root):
    for top in TOP:
        for folder, subs, names in os.walk(os.path.join(root, top)):
            subs[:] = [s for s in sorted(subs) if not s.startswith(('build', '.', '__'))]
            for n in sorted(names):
                yield os.path.relpath(os.path.join(folder, n), root)
    yield from (n for n in ('meson.build', 'meson_options.txt', '.ci/run'))


def without_comments(text):
    """The text with comments and string contents blanked; line numbers stay."""
    def blank(m):
        s = m.group(0)
        if s.startswith('"') or s.startswith("'"):
            return s[0] + s[0]
        return re.sub(r'[^\n]', ' ', s)
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)


def arrow_ok(path, included):
    top = path.split('/')[0]
    if top not in ARROWS or path.startswith('app/programs/'):
        return True
    if '/' not in included:
        return included.endswith('-config.h')   # made by Meson; all else is written from the root
    return any(included.startswith(a + '/') for a in ARROWS[top])


def private_ok(path, included):
    return not included.endswith('-private.h') or os.path.dirname(path) == os.path.dirname(included)


def uapi_names():
    """What the kernel's headers define in the spaces that our devices are close to."""
    names = set()
    for pattern in UAPI_HEADERS:
        for path in glob.glob('/usr/include/' + pattern):
            with open(path, encoding='utf-8', errors='replace') as f:
                names.update(re.findall(r'^\s*(?:#\s*define\s+)?((?:VIRTIO|VFIO|KVM|PCI|VHOST)_\w+)',
                                        f.read(), re.M))
    return names


class Lint:
    def __init__(self, root):
        self.root = root
        self.found = {}
        self.uapi = uapi_names()

    def add(self, rule, path, line, text):
        self.found[rule].append(f'{path}:{line}: {text}')

    def check(self):
        rules = ['layer arrows', 'private headers', 'no GObject, GIO or GTK below app',
                 'no exit, abort or g_error outside the programs', 'no names of the kernel\'s headers',
                 'licence header', 'no tabs in C', 'no endless animation but AlcoveSpinner',
                 'calls to a worker by vmm/post.h']
        for r in rules:
            self.found[r] = []
        for path in files(self.root):
            try:
                with open(os.path.join(self.root, path), encoding='utf-8') as f:
                    text = f.read()
            except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
                continue
            base = os.path.basename(path)
            if (path.endswith(SPDX_SUFFIXES) or text.startswith('#!')) and text.strip() \
                    and SPDX not in text[:600] and not ('.metainfo.xml' in base and '<metadata_license>' in text):
                self.add('licence header', path, 1, f'lacks "{SPDX}"')
            if path.startswith('ui/') and path.endswith(('.c', '.ui')):
                for n, line in enumerate(without_comments(text).splitlines() if path.endswith('.c')
                                         else text.splitlines(), 1):
                    if ENDLESS.search(line):
                        self.add('no endless animation but AlcoveSpinner', path, n, line.strip())
            if path.endswith(('.c', '.h')):
                self.check_c(path, text)
        return self.found

    def check_c(self, path, text):
        top = path.split('/')[0]
        code = without_comments(text).splitlines()
        for n, (line, raw) in enumerate(zip(code, text.splitlines()), 1):
            if '\t' in raw:
                self.add('no tabs in C', path, n, 'a tab')
            if top == 'tests':
                continue
            m = re.match(r'\s*#\s*include\s+"([^"]+)"', raw)
            if m:
                if not arrow_ok(path, m.group(1)):
                    self.add('layer arrows', path, n, f'may not include {m.group(1)}')
                if not private_ok(path, m.group(1)):
                    self.add('private headers', path, n, f'{m.group(1)} is private to its folder')
            m = SYSTEM_REFUSED.search(raw) if raw.lstrip().startswith('#') else None
            if m and top in CORE:
                self.add('no GObject, GIO or GTK below app', path, n, raw.strip())
            if top != 'vmm' and POSTS.search(line):
                self.add('calls to a worker by vmm/post.h', path, n, line.strip())
            ends = ENDS.search(line)
            if ends and path in CHILDREN and ends.group(1) == '_exit':
                ends = None
            if not path.startswith('app/programs/') and ends:
                self.add('no exit, abort or g_error outside the programs', path, n, line.strip())
            m = re.match(r'\s*#\s*define\s+(\w+)', line)
            if m and m.group(1) in self.uapi:
                self.add('no names of the kernel\'s headers', path, n, m.group(1))


def main():
    found = Lint(sys.argv[1]).check()
    print(f'1..{len(found)}')
    for i, (rule, lines) in enumerate(found.items(), 1):
        print(f'{"not " if lines else ""}ok {i} - {rule}')
        for text in lines[:40]:
            print('# ' + text)
    return 0


if __name__ == '__main__':
    sys.exit(main())
