"""How many guesses each stream feeds in a step, so that most tokens a second come out. Pure policy.

A step is asked for in this order: `wanted` (how many guesses to draft), `share` (how many of them to feed),
`observe` (what the step took), `settle` (what each stream said). Two things decide: how often a stream's
guesses were right, and what rows cost, both measured. And a purse: what guesses gain goes in, what they
cost comes out, and a small part of all that is said may be lost to guesses that came to nothing, no more.
While the purse is empty nothing is fed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heapreplace

from services.inference_worker.engine.scheduler import Key
from services.inference_worker.engine.step_cost import StepCost

# What is believed of a stream's guesses before the first was tried.
_FIRST_RATE = 0.5
# Weights of the newest guess: about the last twelve count, and about the last sixty.
_QUICK, _SLOW = 0.15, 0.03
# So far apart, the two rates tell that the text has become harder to guess, or has changed altogether.
_DOUBT, _CHANGED = 0.2, 0.35
# A guess that is right less often than this is not worth a row anywhere.
_LEAST_GAIN = 0.02
# Guesses that make a step longer must bring so many times the tokens a second: the streams without any wait
# for them too, and ends that come earlier for some are worth nothing to the others.
_WORTH = 1.1
# A step that is longer by no more than this is not called longer.
_NOT_LONGER = 1.03
# Streams whose guesses are hardly ever right are drafted for in every so many-th step only: even what is free
# takes a hundredth of the time of a small model's step.
_HOPELESS, _SELDOM = 0.05, 4

# The purse, in tokens: for each new stream, per token said, and its bounds for each stream that runs.
_START = 0.5
_INCOME = 0.01
_LEAST, _MOST = -2.0, 16.0
# Tokens that a trial, where guesses do not seem to pay, may lose at most.
_MOST_TRIED = 1.0
# Per token said by a stream whose guesses should pay, by all that was measured.
_TRUST = 0.05
# Guesses of a stream in a trial, where speculation does not seem to pay.
_TRIAL = 4

_DRAFT_RATE = 0.2
# Until it is measured, a drafted guess is thought to cost this part of a one-row step.
_HOPED_DRAFT = 0.1


@dataclass(slots=True)
class _Stream:
    quick: float = _FIRST_RATE
    slow: float = _FIRST_RATE
    learned: int = 2
    """Guesses that `slow` rests on; the first belief counts as two."""
    idle: int = 0
    """Steps since the last draft."""
    pays: bool = False
    """Guesses would be fed now if the purse allowed it."""

    @property
    def acceptance(self) -> float:
        """The probability that the next guess is right, if the one before it was.

        A lucky run or a single miss changes little, several misses are believed at once.
        """
        return self.quick if self.quick < self.slow - _DOUBT else self.slow

    def learn(self, right: bool) -> None:
        self.quick += _QUICK * (right - self.quick)
        self.learned += 1
        self.slow += max(_SLOW, 1 / self.learned) * (right - self.slow)
        if abs(self.quick - self.slow) > _CHANGED:
            self.slow, self.learned = self.quick, round(1 / _QUICK)

    def takes_part(self) -> bool:
        """Whether it is drafted for in this step, where that is free."""
        self.idle += 1
        if self.slow < _HOPELESS and self.quick < _HOPELESS and self.idle < _SELDOM:
            return False
        self.idle = 0
        return True

    def begin_anew(self) -> None:
        """A trial went well: what was learned before says nothing any more."""
        self.quick = self.slow = _FIRST_RATE
        self.learned = 2


@dataclass(frozen=True, slots=True)
class _Step:
    """The step that runs: `base` rows without guesses, of which `streams` are streams."""

    streams: int = 0
    base: int = 1
    asked: Mapping[Key, int] = field(default_factory=dict)
    fed: int = 0
    trial: bool = False


class Pacer:
    """Of one engine. Streams are known by their candidates' keys; new ones need not be announced."""

    def __init__(self, most: int = 64, free: bool = True) -> None:
        """`most` guesses of one stream in one step; 0: none at all.

        `free`: drafting costs next to nothing, so it is done for streams that go without, too: their
        guesses are only compared with what they say.
        """
        self._most = most
        self._free = free
        self._cost = StepCost()
        self._streams: dict[Key, _Stream] = {}
        self._step = _Step()
        self._draft_cost: float | None = None
        self._purse = 0.0
        # The part of the income that trials have left. Gains are not for them: they would go on and on.
        self._allowance = 0.0
        self.fed = 0
        """Guesses that were fed so far, of all streams; only grows."""
        self.accepted = 0
        """Those of them that were right."""

    def wanted(self, keys: Collection[Key], others: int, room: int) -> dict[Key, int]:
        """How many guesses to draft for which of the running streams `keys`.

        `others`: rows of the step that are no streams' (prompts). `room`: rows that the step has left.
        """
        most = min(self._most, room)
        if most <= 0:
            chosen: dict[Key, int] = {}
        elif self._free:
            chosen = {key: most for key in keys if self._stream(key).takes_part()}
        else:
            chosen = self._choose(dict.fromkeys(keys, most), len(keys), others, room, self._draft_units())
        trial = not any(self._stream(key).pays for key in chosen)
        self._step = _Step(len(keys), len(keys) + others, chosen, trial=trial and not self._free)
        return chosen

    def share(self, lengths: Mapping[Key, int], streams: int, others: int, room: int) -> dict[Key, int]:
        """How many guesses to feed, of `lengths` that there are; streams that are not named feed none.

        `streams` run in the step, with guesses or without. `others` and `room` as in `wanted`; the sum of
        what is fed is at most `room`.
        """
        able = {key: min(length, self._most) for key, length in lengths.items() if length > 0}
        # What was drafted as a trial is paid for.
        paid = self._step.trial and sum(able.values()) <= room
        chosen = able if paid else self._choose(able, streams, others, room, 0.0)
        self._step = _Step(streams, streams + others, self._step.asked, sum(chosen.values()))
        return chosen

    def calibrate(self, rows: int, seconds: float) -> None:
        """A decode of `rows` took `seconds`, outside of any step."""
        self._cost.observe(rows, seconds)

    def observe(self, rows: int, seconds: float, drafting: float = 0.0, drafted: int = 0) -> None:
        """The step's decode of `rows` took `seconds`; before it, drafting took `drafting` seconds.

        `drafted`: length of the longest draft.
        """
        self._cost.observe(rows, seconds)
        step = self._step
        if self._free or not step.asked:
            return
        units = self._cost.in_units(drafting)
        if drafted:
            each = units / drafted
            known = self._draft_cost
            self._draft_cost = each if known is None else known + _DRAFT_RATE * (each - known)
        # A draft model that reads a prompt it has not seen yet does so for all that is to come.
        units = min(units, 2 * self._draft_units() * (drafted + 1))
        self._purse -= step.streams * units / self._cost.relative(step.base)

    def settle(self, key: Key, guesses: Sequence[int], fed: int, said: Sequence[int]) -> None:
        """The stream has `said` these tokens in the step; `guesses` were its draft, of which `fed` were fed.

        Called for streams without a draft, too.
        """
        stream = self._stream(key)
        right = 0
        for guess, token in zip(guesses, said, strict=False):
            stream.learn(guess == token)
            if guess != token:
                break
            right += 1
        self._purse += (_TRUST if stream.pays else _INCOME) * len(said)
        if fed:
            if right >= fed and not stream.pays and stream.quick < _FIRST_RATE:
                stream.begin_anew()
            self.fed += fed
            self.accepted += min(fed, right)
            step = self._step
            all_fed = max(fed, step.fed)
            self._purse += len(said) - 1 - self._price(step.streams, step.base, all_fed) * fed / all_fed
        running = len(self._streams)
        self._purse = max(_LEAST * running, min(self._purse, _MOST * running))
        self._allowance = min(self._allowance + _INCOME * len(said), _MOST_TRIED * running)

    def forget(self, key: Key) -> None:
        self._streams.pop(key, None)

    # -- what pays ---------------------------------------------------------------------------------

    def _choose(
        self, lengths: Mapping[Key, int], streams: int, others: int, room: int, draft: float
    ) -> dict[Key, int]:
        """What to feed (or to draft, where `draft` is what one more guess of each stream costs to draft)."""
        base = streams + others
        if not others and not self._cost.is_known(base):
            # What guesses cost is told by comparison with a step without them.
            return {}
        if draft:
            best = self._best_depth(lengths, streams, base, room, draft)
        else:
            best, _ = self._best(lengths, streams, base, room, 0.0)
        for key in lengths:
            self._stream(key).pays = key in best
        if self._purse <= 0:
            return {}
        return best or self._trial(lengths, streams, base, room, draft)

    def _best_depth(
        self, lengths: Mapping[Key, int], streams: int, base: int, room: int, draft: float
    ) -> dict[Key, int]:
        """Streams are drafted for together: one that goes deeper than the others pays for that alone."""
        best: dict[Key, int] = {}
        speed, depth = 0.0, 1
        while depth <= self._most:
            capped = {key: min(length, depth) for key, length in lengths.items()}
            found, reached = self._best(capped, streams, base, room, draft * depth)
            if reached < speed:
                break
            best, speed = found, reached
            depth += (depth + 1) // 2
        return best

    def _best(
        self, lengths: Mapping[Key, int], streams: int, base: int, room: int, drafting: float
    ) -> tuple[dict[Key, int], float]:
        """The likeliest guesses first, up to the number of rows that gives most tokens in the time.

        `drafting` costs that, if there is any guess. Gives the tokens per unit of cost, too.
        """
        chosen = dict.fromkeys(lengths, 0)
        tokens = float(streams)
        alone = self._cost.relative(base)
        slowest = tokens / alone if base else 0.0
        speed, rows = slowest, 0
        heap = [(-self._stream(key).acceptance, key) for key, length in lengths.items() if length > 0]
        heapify(heap)
        order: list[Key] = []
        while heap and len(order) < room and -heap[0][0] >= _LEAST_GAIN:
            gain, key = heap[0]
            order.append(key)
            chosen[key] += 1
            tokens -= gain
            more = gain * self._stream(key).acceptance if chosen[key] < lengths[key] else 0.0
            heapreplace(heap, (more, key))
            cost = self._cost.relative(base + len(order)) + drafting
            worth = 1.0 if cost <= _NOT_LONGER * alone else _WORTH
            if tokens / cost > max(speed, worth * slowest):
                speed, rows = tokens / cost, len(order)
        return dict(Counter(order[:rows])), speed

    def _trial(
        self, lengths: Mapping[Key, int], streams: int, base: int, room: int, draft: float
    ) -> dict[Key, int]:
        """Nothing seems to pay, but that may have changed: a few guesses, if the purse can bear their loss.

        All try together: they share what drafting costs. Guesses that are free are compared anyway; of them
        only those are tried which are often right, for rows may have become cheaper.
        """
        able = [key for key in lengths if not self._free or self._stream(key).acceptance >= _FIRST_RATE]
        for guesses in range(_TRIAL, 0, -1):
            tried = {key: min(guesses, lengths[key]) for key in able}
            rows = sum(tried.values())
            price = self._price(streams, base, rows, draft * guesses)
            if 0 < rows <= room and price <= self._allowance:
                self._allowance -= price
                return tried
        return {}

    def _price(self, streams: int, base: int, guesses: int, drafting: float = 0.0) -> float:
        """Tokens that the streams lose to a step if all its guesses are wrong."""
        before = self._cost.relative(base)
        return streams * ((self._cost.relative(base + guesses) + drafting) / before - 1)

    def _draft_units(self) -> float:
        return _HOPED_DRAFT * self._cost.relative(1) if self._draft_cost is None else self._draft_cost

    def _stream(self, key: Key) -> _Stream:
        found = self._streams.get(key)
        if found is None:
            found = self._streams[key] = _Stream()
            self._purse += _START
            self._allowance += _START
        return found
