"""What a decode step of so many rows takes, learned from the steps that were measured.

Every row count has a *shape*, its cost in relation to the others, and all share one *scale* in seconds. A
longer context or a busy machine changes the scale at once for all; the shape belongs to model and machine
and is learned slowly.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import accumulate

# Above this, counts are told of by groups, because kernels work on rows in groups; and above the next one by
# classes, each about a seventh wider than the one before.
_EXACT, _GROUP = 16, 4
_GROUPED, _WIDER = 64, 7
# Until it is measured, a row is thought to add this part of a row of the step: so little that it is tried.
_HOPED_SLOPE = 0.05
# Beyond the largest measured count: a little less than rows have added so far, so that more is tried, too.
_BEYOND = 0.8
_SCALE_RATE = 0.25
_SHAPE_RATE = 0.1
# Measurements of a count of which the quickest is taken; from then on they are averaged.
_FIRST = 3
# One step moves nothing further than this: another process may have been in its way.
_OUTLIER = 3.0
# After so many other steps, a count that others are compared with is measured again.
_OLD = 128


class StepCost:
    def __init__(self) -> None:
        self._rows: list[int] = []
        self._shapes: dict[int, float] = {}
        self._times: dict[int, int] = {}
        self._steps = 0
        self._last: dict[int, int] = {}
        # The shapes in the order of `_rows`, without dents: more rows cannot cost less.
        self._curve: list[float] = []
        self._scale: float | None = None

    def observe(self, rows: int, seconds: float) -> None:
        """A decode of `rows` tokens took `seconds`."""
        if rows < 1 or seconds <= 0:
            return
        rows = self.class_of(rows)
        if self._scale is None:
            self._scale = seconds / (1 + _HOPED_SLOPE * (rows - 1))
        known = self._times.get(rows, 0)
        if known:
            self._adjust(rows, seconds, known)
        else:
            insort(self._rows, rows)
            self._shapes[rows] = seconds / self._scale
        self._times[rows] = known + 1
        self._steps += 1
        self._last[rows] = self._steps
        self._curve = list(accumulate((self._shapes[each] for each in self._rows), max))

    def _adjust(self, rows: int, seconds: float, known: int) -> None:
        assert self._scale is not None
        measured = seconds / self._scale
        if known < _FIRST:
            # The first steps of a kind are slow for reasons of their own (memory, compiled graphs).
            self._shapes[rows] = min(self._shapes[rows], measured)
            return
        error = min(_OUTLIER, max(1 / _OUTLIER, measured / self._shapes[rows])) - 1
        self._scale *= 1 + _SCALE_RATE * error
        self._shapes[rows] *= 1 + _SHAPE_RATE * error

    def relative(self, rows: int) -> float:
        """The cost of `rows` tokens in a unit that all counts have in common; never falls with `rows`."""
        rows = self.class_of(rows)
        measured, curve = self._rows, self._curve
        if not measured:
            return 1 + _HOPED_SLOPE * (rows - 1)
        at = bisect_left(measured, rows)
        if at == len(measured):
            return curve[-1] + self._slope_beyond() * (rows - measured[-1])
        if at == 0:
            return curve[0] / (1 + _HOPED_SLOPE * (measured[0] - rows))
        low, high = measured[at - 1], measured[at]
        return curve[at - 1] + (curve[at] - curve[at - 1]) * (rows - low) / (high - low)

    def is_known(self, rows: int) -> bool:
        """Whether this count (or one of its class) was measured lately."""
        last = self._last.get(self.class_of(rows))
        return last is not None and self._steps - last <= _OLD

    @staticmethod
    def class_of(rows: int) -> int:
        """The largest count that is told of as one with `rows`."""
        if rows <= _EXACT:
            return rows
        if rows <= _GROUPED:
            return -(-rows // _GROUP) * _GROUP
        top = _GROUPED
        while top < rows:
            top += top // _WIDER
        return top

    def in_units(self, seconds: float) -> float:
        """Seconds in the unit of `relative`; 0 before anything was measured."""
        return seconds / self._scale if self._scale else 0.0

    def _slope_beyond(self) -> float:
        if len(self._rows) == 1:
            return _HOPED_SLOPE * self._curve[0] / self._rows[0]
        return _BEYOND * (self._curve[-1] - self._curve[0]) / (self._rows[-1] - self._rows[0])
