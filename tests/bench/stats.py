# SPDX-License-Identifier: GPL-3.0-or-later
"""Medians, ratios and a permutation test; no packages beyond Python's own."""

import os
import random
import statistics


def median(values):
    return statistics.median(values)


def permutation_p(a, b, rounds=2000):
    """How often shuffled labels give medians at least as far apart: two-sided, at least 1/rounds.
    The same seed each time, so the same samples give the same answer."""
    if len(a) < 3 or len(b) < 3:
        return None
    rng = random.Random(1)
    both, n = list(a) + list(b), len(a)
    seen = abs(median(a) - median(b))
    hits = 0
    for _ in range(rounds):
        rng.shuffle(both)
        hits += abs(median(both[:n]) - median(both[n:])) >= seen
    return max(hits, 1) / rounds


def cpu_of_children():
    """Seconds of all children that have ended; it says something on a busy host, too."""
    times = os.times()
    return times.children_user + times.children_system


def load():
    return '/'.join(f'{x:.1f}' for x in os.getloadavg())


class Metric:
    """Samples of ours and of the peer, interleaved by the caller. better: 'less' or 'more'; goal: a
    bound of the ratio ours/peer, or with absolute=True of ours itself; None: reported only."""

    def __init__(self, name, unit, better='less', goal=None, absolute=False, note=''):
        self.name, self.unit, self.better = name, unit, better
        self.goal, self.absolute, self.note = goal, absolute, note
        self.ours, self.peer = [], []

    def add(self, who, value):
        (self.ours if who == 'ours' else self.peer).append(value)

    @property
    def ratio(self):
        if not self.ours or not self.peer or median(self.peer) == 0:
            return None
        return median(self.ours) / median(self.peer)

    @property
    def verdict(self):
        value = (median(self.ours) if self.ours else None) if self.absolute else self.ratio
        if self.goal is None or value is None:
            return '-'
        return 'met' if (value <= self.goal if self.better == 'less' else value >= self.goal) \
            else 'missed'

    def as_dict(self):
        return {'name': self.name, 'unit': self.unit, 'better': self.better, 'goal': self.goal,
                'absolute': self.absolute, 'ours': self.ours, 'peer': self.peer,
                'ratio': self.ratio, 'p': permutation_p(self.ours, self.peer),
                'verdict': self.verdict, 'note': self.note}


def spread(values):
    """Half of what lies between the quartiles, in per cent of the median."""
    if len(values) < 3 or median(values) == 0:
        return ''
    low, _, high = statistics.quantiles(values, n=4, method='inclusive')
    return f'±{(high - low) / 2 / median(values) * 100:.0f}%'


def number(value):
    if value is None:
        return '-'
    if abs(value) >= 1000:
        return f'{value:,.0f}'
    return f'{value:.3g}'


def table(rows):
    """rows: what as_dict gave, perhaps in another process."""
    lines = [('metric', 'unit', 'ours', '', 'QEMU', '', 'ratio', 'goal', '', 'n', 'p')]
    for r in rows:
        sign = '<=' if r['better'] == 'less' else '>='
        goal = '' if r['goal'] is None else f'{sign} {r["goal"]:g}{" abs" if r["absolute"] else ""}'
        lines.append((r['name'], r['unit'], number(median(r['ours']) if r['ours'] else None),
                      spread(r['ours']), number(median(r['peer']) if r['peer'] else None),
                      spread(r['peer']),
                      '-' if r['ratio'] is None else f'{r["ratio"]:.2f}', goal,
                      r['verdict'] if r['verdict'] != '-' else '',
                      f'{len(r["ours"])}/{len(r["peer"])}',
                      '' if r['p'] is None else f'{r["p"]:.3f}'))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = []
    for line in lines:
        cells = [c.ljust(w) if i < 2 or i == 8 else c.rjust(w)
                 for i, (c, w) in enumerate(zip(line, widths))]
        text.append('  '.join(cells).rstrip())
    notes = [f'  {r["name"]}: {r["note"]}' for r in rows if r['note']]
    return '\n'.join(text + notes)
