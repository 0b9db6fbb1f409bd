"""The learning rate over a run: warm-up, a stable stretch, then a cosine decay (WSD).

The stable stretch has no end of its own: a run may be continued from it with more data, and the decay
starts when the budget says so or when somebody asks for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FLOOR = 0.02


@dataclass
class Schedule:
    """Progress is counted in one unit, tokens or minutes, the same for all fields.

    ``budget`` is the whole run, ``decay`` its last stretch, ``decay_start`` is set once the decay has begun.
    """

    budget: float
    decay: float
    warmup_steps: int = 60
    decay_start: float | None = None

    def begin_decay(self, progress: float, length: float | None = None) -> None:
        """Starts the decay now; does nothing when it runs already."""
        if self.decay_start is None:
            self.decay_start = progress
            self.decay = length or self.decay

    def factor(self, step: int, progress: float) -> float:
        """What the base learning rates are multiplied with at ``step`` (from 0)."""
        if progress >= self.budget - self.decay:
            self.begin_decay(progress)
        warm = min(1.0, (step + 1) / self.warmup_steps)
        if self.decay_start is None:
            return warm
        share = min(1.0, (progress - self.decay_start) / self.decay)
        return warm * (FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * share)) / 2)

    def finished(self, progress: float) -> bool:
        """Whether the decay has come to its end."""
        return self.decay_start is not None and progress >= self.decay_start + self.decay
