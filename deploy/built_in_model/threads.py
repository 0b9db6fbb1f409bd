"""How many threads a step should use on a machine that others use too, found out while training.

With a core taken away now and then, two threads spend their time waiting for each other and one is faster;
on a free machine two are nearly twice as fast. So the choice is measured again and again, on real steps.
"""

from __future__ import annotations

import torch

TRIAL_STEPS = 6  # measured with each number of threads
SETTLED_STEPS = 90  # with the better one, before the next trial


class ThreadChoice:
    """Call ``before_step`` and ``after_step`` around every step; ``count`` is the number in use."""

    def __init__(self, most: int) -> None:
        self.candidates = sorted({1, most})
        self.count = most
        self.trials: list[int] = []
        self.speeds: dict[int, float] = {}
        self._use(most, SETTLED_STEPS, trial=False)

    def before_step(self) -> None:
        """Moves on when the present stretch is over: trials of all candidates, then the fastest of them."""
        if self.left > 0:
            return
        if not self.trials and not self.speeds:
            self.trials = list(self.candidates)
        if self.trials:
            self._use(self.trials.pop(), TRIAL_STEPS, trial=True)
        else:
            best = max(self.speeds, key=lambda count: self.speeds[count])
            self.speeds = {}
            self._use(best, SETTLED_STEPS, trial=False)

    def _use(self, count: int, steps: int, trial: bool) -> None:
        self.count, self.left, self.trial = count, steps, trial
        self.tokens, self.seconds = 0, 0.0
        torch.set_num_threads(count)

    def after_step(self, tokens: int, seconds: float) -> None:
        """Notes a step; the first one of a trial, which may compile, does not count."""
        if self.trial and self.left < TRIAL_STEPS:
            self.tokens += tokens
            self.seconds += seconds
        self.left -= 1
        if self.trial and self.left == 0:
            self.speeds[self.count] = self.tokens / self.seconds
