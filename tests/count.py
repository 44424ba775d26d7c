#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of the tests from Meson's logs, for tests/run.sh.

  count.py REPORT SUITE           a line a test: "passed|failed|skipped SUITE: PROGRAM CASE"; after one
                                  that failed, the end of what it said, each line behind "  | "
  count.py --failed REPORT        the names of the programs that failed
  count.py --tests TREE SUITE     the names of a suite's programs, the longest (by time limit) first
  count.py --merge FIRST SECOND   two outputs: what the second has replaces the first's programs
  count.py --summary COUNTS       what failed, with its end; then what was skipped

REPORT is a JUnit report beside its JSON log. A TAP test counts each of its subtests; a program that
dies between two of them, or is killed by the clock, counts as one failure more. A suite without any
test says nothing.
"""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

BAD = ('FAIL', 'ERROR', 'TIMEOUT', 'INTERRUPT')
SAID = '  | '
LINES = 15              # of what one failed test said
SUMMARY_LINES = 45      # of all of them: the end of a log is what people see first
CASE = re.compile(r'^(?:not )?ok (\d+)\b')


def short(name):
    return name.split(' / ')[-1]


def results(report):
    """The log's entry of each program in the last run."""
    with open(report.removesuffix('.junit.xml') + '.json', encoding='utf-8') as f:
        for line in f:
            yield json.loads(line)


def running(entry):
    """The case that a GLib test had begun: the one after the last that ended; else nothing."""
    lines = lines_of(entry.get('stdout'))
    if not any(line.startswith('# random seed') for line in lines):
        return ''
    try:
        names = subprocess.run([*entry['command'], '-l'], stdout=subprocess.PIPE, text=True,
                               stderr=subprocess.DEVNULL, timeout=20, check=True).stdout.split('\n')
    except (OSError, subprocess.SubprocessError):
        return ''
    done = sum(1 for line in lines if CASE.match(line))
    names = [n for n in names if n.startswith('/')]
    return names[done] if done < len(names) else ''


def lines_of(text):
    return [line.rstrip() for line in (text or '').splitlines() if line.strip()]


def said_in_case(entry, number):
    """What a TAP test said about one case: the lines between its result and the next."""
    lines = lines_of(entry.get('stdout'))
    for i, line in enumerate(lines):
        if re.match(rf'not ok {number}\b', line):
            end = next((n for n in range(i + 1, len(lines))
                        if CASE.match(lines[n]) or lines[n].startswith('1..')), len(lines))
            return lines[i + 1:end] or lines_of(entry.get('stderr'))
    return []


def said_at_end(entry):
    """The end of what a program said that did not reach its own."""
    err = lines_of(entry.get('stderr'))[-LINES + 5:]
    return lines_of(entry.get('stdout'))[len(err) - LINES:] + err


def fail(name, said):
    print('failed', name)
    for line in said[-LINES:]:
        print(SAID + line)


def count(report, suite):
    if not os.path.exists(report):
        return 0
    entries = {short(e['name']): e for e in results(report)}
    failing = set()
    for case in ElementTree.parse(report).getroot().iter('testcase'):
        program, title = case.get('classname') or '', case.get('name') or ''
        if ' / ' in title:          # a program without a case
            program, title = title, ''
        program = short(program)
        name = f'{suite}: {program} {title}'.replace('\n', ' ').rstrip()
        tags = {child.tag for child in case}
        if tags & {'failure', 'error'}:
            if title:               # else it comes below
                failing.add(program)
                entry = entries.get(program, {})
                fail(name, said_in_case(entry, title.split(' ')[0]) or said_at_end(entry))
        elif 'skipped' in tags:
            print('skipped', name)
        else:
            print('passed', name)
    for program, entry in entries.items():
        if entry['result'] in BAD and program not in failing:
            case = running(entry)
            fail(f'{suite}: {program} ended early: {entry["result"]} after '
                 f'{entry["duration"]:.0f} s{" in " + case if case else ""}', said_at_end(entry))
    return 0


def groups(path):
    """[line, what was said...] for each result of an output of count.py."""
    found = []
    with open(path, encoding='utf-8') as f:
        for line in f:
            if line.startswith(SAID) and found:
                found[-1].append(line)
            else:
                found.append([line])
    return found


def program_of(line):
    suite, _, case = line.split(' ', 1)[1].partition(': ')
    return suite, case.split()[:1]


def merge(first, second):
    new = groups(second)
    programs = [program_of(group[0]) for group in new]
    kept = [group for group in groups(first) if program_of(group[0]) not in programs]
    for group in kept + new:
        sys.stdout.writelines(group)
    return 0


def summary(path):
    found = groups(path)
    failed = [group for group in found if group[0].startswith('failed')]
    room = max(SUMMARY_LINES // max(len(failed), 1), 2)
    for line, *said in failed:
        sys.stdout.writelines([line, *said[-min(LINES, room):]])
    sys.stdout.writelines(group[0] for group in found if group[0].startswith('skipped'))
    return 0


def tests(tree, suite):
    done = subprocess.run(['meson', 'introspect', '--tests', tree], stdout=subprocess.PIPE, text=True,
                          check=True)
    found = [t for t in json.loads(done.stdout) if suite in [s.split(':')[-1] for s in t['suite']]]
    print('\n'.join(t['name'] for t in sorted(found, key=lambda t: (-t['timeout'], t['name']))))
    return 0


def main():
    args = sys.argv[1:]
    if args[0] == '--merge':
        return merge(*args[1:])
    if args[0] == '--summary':
        return summary(*args[1:])
    if args[0] == '--tests':
        return tests(*args[1:])
    if args[0] == '--failed':
        if os.path.exists(args[1]):
            for entry in results(args[1]):
                if entry['result'] in BAD:
                    print(short(entry['name']))
        return 0
    return count(*args)


if __name__ == '__main__':
    sys.exit(main())
