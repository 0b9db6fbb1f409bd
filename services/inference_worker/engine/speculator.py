"""A drafter and a pacer together: which guesses the streams of a step feed, and what came of them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

from services.inference_worker.engine.drafting import Drafter
from services.inference_worker.engine.scheduler import Key
from services.inference_worker.engine.speculation import Pacer


class Speculator:
    """Belongs to the engine's thread. In each step: `drafts`, the decode, `observe`, `settle` per stream."""

    def __init__(self, drafter: Drafter, pacer: Pacer, clock: Callable[[], float] = perf_counter) -> None:
        self._drafter = drafter
        self._pacer = pacer
        self._clock = clock
        self._guesses: Mapping[Key, Sequence[int]] = {}
        self._fed: Mapping[Key, int] = {}
        self._seconds = 0.0

    @property
    def name(self) -> str:
        return self._drafter.name

    def drafts(
        self, streams: Mapping[Key, tuple[array[int], int]], others: int, room: int
    ) -> dict[Key, Sequence[int]]:
        """Guesses to feed behind each stream's last token.

        `streams`: each stream's tokens (prompt and answer), and how many guesses it may be fed. `others`:
        rows of the step that are no streams'. `room`: rows that are left for guesses.
        """
        wanted = self._pacer.wanted(streams.keys(), others, room)
        asked = {
            key: (streams[key][0], most)
            for key, guesses in wanted.items()
            if (most := min(guesses, streams[key][1])) > 0
        }
        started = self._clock()
        self._guesses = self._drafter.propose(asked) if asked else {}
        self._seconds = self._clock() - started
        lengths = {key: len(guesses) for key, guesses in self._guesses.items()}
        self._fed = self._pacer.share(lengths, len(streams), others, room)
        return {key: self._guesses[key][:fed] for key, fed in self._fed.items() if fed}

    def observe(self, rows: int, seconds: float) -> None:
        """The step decoded `rows` tokens in `seconds`."""
        drafted = max((len(guesses) for guesses in self._guesses.values()), default=0)
        self._pacer.observe(rows, seconds, self._seconds, drafted)

    def calibrate(self, rows: int, seconds: float) -> None:
        """A decode of `rows` tokens, nobody's, took `seconds`."""
        self._pacer.calibrate(rows, seconds)

    def settle(self, key: Key, said: Sequence[int]) -> None:
        """The stream has drawn these tokens in the step."""
        self._pacer.settle(key, self._guesses.get(key, ()), self._fed.get(key, 0), said)

    def forget(self, key: Key) -> None:
        """The candidate is over, or waits again."""
        self._pacer.forget(key)
        self._drafter.forget(key)

    def close(self) -> None:
        self._drafter.close()
