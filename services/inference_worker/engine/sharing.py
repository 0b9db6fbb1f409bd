"""How many threads a decode uses beside what else runs on the machine. Pure policy.

Threads wait for one another many times in every decode, so one that shares its core with a busy neighbour
holds up all: two threads on two cores fall to less than half beside one busy process, while one thread alone
keeps seven tenths. So a decode uses only cores that are free, and spins while it waits, which is fastest.
"""

from __future__ import annotations

from dataclasses import dataclass

# Seconds between two looks; processor time is counted in hundredths.
INTERVAL = 0.25
# Cores must be missing for so many seconds: requests that arrive make a burst of work for others.
_PATIENCE = 0.4
# Of a core that a thread would need: so much may be missing before it is given up, or taken up again.
_BORNE, _WANTED = 0.4, 0.25


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds of processor time so far: all that the cores at hand have worked, and what this process has."""

    all: float
    own: float


class Sharing:
    """`threads` at most, on `processors` cores that this process may use."""

    def __init__(self, threads: int, processors: int) -> None:
        self._most = threads
        self._processors = processors
        self._threads = threads
        self._last: tuple[float, Usage] | None = None
        self._crowded = 0.0

    def due(self, now: float) -> bool:
        """Whether it is time to look again."""
        return self._last is None or now - self._last[0] >= INTERVAL

    def resume(self, now: float, usage: Usage) -> None:
        """There was nothing to do until now: what others did meanwhile does not count."""
        self._last = (now, usage)
        self._crowded = 0.0

    def observe(self, now: float, usage: Usage) -> int:
        """The number of threads to use from now on."""
        last, self._last = self._last, (now, usage)
        if last is None or now <= last[0]:
            return self._threads
        seconds = now - last[0]
        others = max(0.0, (usage.all - last[1].all) - (usage.own - last[1].own)) / seconds
        free = self._processors - others
        self._crowded = self._crowded + seconds if free < self._threads - _BORNE else 0.0
        if self._crowded >= _PATIENCE:
            self._threads = max(1, int(free + _BORNE))
        elif free >= self._threads + 1 - _WANTED:
            self._threads = min(self._most, int(free + _WANTED))
        return self._threads
