#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints one line a test from Meson's JUnit report: "passed|failed|skipped NAME".

  count.py REPORT SUITE

A TAP test counts each of its subtests; a program that dies between two of them, or is killed by
the clock, counts as one failure more. A suite without any test says nothing.
"""

import json
import os
import sys
import xml.etree.ElementTree as ElementTree


def main():
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
    with open(os.path.join(os.path.dirname(report), 'testlog.json'), encoding='utf-8') as f:
        for line in f:
            test = json.loads(line)
            program = test['name'].split(' / ')[-1]
            if test['result'] in ('FAIL', 'ERROR', 'TIMEOUT', 'INTERRUPT') and program not in failing:
                print('failed', f'{suite}: {program} ended early: {test["result"]}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
