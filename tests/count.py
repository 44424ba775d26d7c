#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints one line a test from Meson's JUnit report: "passed|failed|skipped NAME".

  count.py REPORT SUITE
  count.py --failed REPORT        the names of the tests that failed, on one line
  count.py --merge FIRST SECOND   two outputs: what the second has replaces the first's programs

A TAP test counts each of its subtests; a program that dies between two of them, or is killed by
the clock, counts as one failure more. A suite without any test says nothing.
"""

import json
import os
import sys
import xml.etree.ElementTree as ElementTree


BAD = ('FAIL', 'ERROR', 'TIMEOUT', 'INTERRUPT')


def results(report):
    """(program, result) of each test in the last run."""
    with open(os.path.join(os.path.dirname(report), 'testlog.json'), encoding='utf-8') as f:
        for line in f:
            test = json.loads(line)
            yield test['name'].split(' / ')[-1], test['result']


def program_of(line):
    return line.split(': ', 1)[1].split(' ')[0]


def merge(first, second):
    with open(second, encoding='utf-8') as f:
        new = f.readlines()
    programs = {program_of(line) for line in new}
    with open(first, encoding='utf-8') as f:
        kept = [line for line in f if program_of(line) not in programs]
    sys.stdout.writelines(kept + new)
    return 0


def main():
    if sys.argv[1] == '--merge':
        return merge(*sys.argv[2:4])
    if sys.argv[1] == '--failed':
        print(' '.join(name for name, result in results(sys.argv[2]) if result in BAD))
        return 0
    report, suite = sys.argv[1:3]
    if not os.path.exists(report):
        return 0
    failing = set()
    for case in ElementTree.parse(report).getroot().iter('testcase'):
        program = case.get('classname') or case.get('name') or ''
        name = f'{suite}: {program.split(" / ")[-1]} {case.get("name") or ""}'.replace('\n', ' ')
        tags = {child.tag for child in case}
        if tags & {'failure', 'error'}:
            failing.add(program.split(' / ')[-1])
        if tags & {'failure', 'error'}:
            print('failed', name)
        elif 'skipped' in tags:
            print('skipped', name)
        else:
            print('passed', name)
    for program, result in results(report):
        if result in BAD and program not in failing:
            print('failed', f'{suite}: {program} ended early: {result}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
