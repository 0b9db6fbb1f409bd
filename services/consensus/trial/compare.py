"""Every way to answer, on the same candidates: shares right, gains with intervals, tokens. Pure.

Ways: `greedy` (one answer at temperature 0), `sample` (candidate 0: what one request gives), `random_pick`
(the mean over all candidates: the same thing with less noise), `likeliest` (the candidate of the highest mean
log-probability: what as many tokens buy without a vote), each strategy, and `oracle` (any candidate is right:
what no vote can exceed).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.consensus.canonical import Toolbox
from services.consensus.drafts import Draft
from services.consensus.strategies.base import State, Strategy, spokesman
from services.consensus.trial.bootstrap import Interval, interval
from services.consensus.trial.gather import Answers

GREEDY, SAMPLE, RANDOM, LIKELIEST, ORACLE = "greedy", "sample", "random_pick", "likeliest", "oracle"


@dataclass(frozen=True, slots=True)
class Rule:
    """A strategy, and whether its votes compare answers in words."""

    strategy: Strategy
    words: bool = False


@dataclass(frozen=True, slots=True)
class Marked:
    """Answers with what is right of them, in the same shape."""

    answers: Answers
    greedy: bool
    samples: tuple[tuple[bool, ...], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """`over_sample` and `over_greedy` are gains in share; `tokens` and `seconds` are the mean an item.

    `seconds` is None for ways that were not asked for on their own.
    """

    way: str
    share: Interval
    over_sample: Interval
    over_greedy: Interval
    tokens: float
    undecided: float = 0.0
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class _Score:
    right: float
    tokens: float
    undecided: float = 0.0
    seconds: float | None = None


def compare(marked: Sequence[Marked], rules: Mapping[str, Rule], seed: int) -> list[Row]:
    """One row for each way. Where a vote decides nothing the swarm answers in words: that is not right.

    Raises ValueError if there is nothing to compare.
    """
    ways: dict[str, list[_Score]] = {}
    for each in marked:
        for way, score in _scores(each, rules).items():
            ways.setdefault(way, []).append(score)
    if not ways:
        raise ValueError("marked: at least one item is wanted")
    sample = [score.right for score in ways[SAMPLE]]
    greedy = [score.right for score in ways[GREEDY]]
    rows = []
    for way, scores in ways.items():
        shares = [score.right for score in scores]
        rows.append(
            Row(
                way,
                interval(shares, seed),
                interval([one - other for one, other in zip(shares, sample, strict=True)], seed),
                interval([one - other for one, other in zip(shares, greedy, strict=True)], seed),
                sum(score.tokens for score in scores) / len(scores),
                sum(score.undecided for score in scores) / len(scores),
                _mean([score.seconds for score in scores]),
            )
        )
    return rows


def _scores(marked: Marked, rules: Mapping[str, Rule]) -> dict[str, _Score]:
    answers, samples = marked.answers, marked.samples
    seeds = len(samples)
    drawn = list(zip(answers.samples, samples, strict=True))
    spent = sum(draft.tokens for drafts in answers.samples for draft in drafts) / seeds
    first = sum(drafts[0].tokens for drafts in answers.samples) / seeds
    scores = {
        GREEDY: _Score(marked.greedy, answers.greedy.tokens, 0.0, answers.greedy_seconds),
        SAMPLE: _Score(sum(flags[0] for flags in samples) / seeds, first),
        RANDOM: _Score(sum(sum(flags) / len(flags) for flags in samples) / seeds, first),
        LIKELIEST: _Score(sum(flags[_likeliest(drafts)] for drafts, flags in drawn) / seeds, spent),
    }
    toolbox = Toolbox(answers.item.tools)
    for name, rule in rules.items():
        right = undecided = 0
        for drafts, flags in drawn:
            votes = [draft.vote(toolbox, rule.words) for draft in drafts]
            verdict = rule.strategy.decide(votes, len(votes))
            if verdict.state is State.WON and verdict.winners:
                right += flags[spokesman(verdict, votes, 0)]
            else:
                undecided += 1
        scores[name] = _Score(right / seeds, spent, undecided / seeds, answers.seconds)
    scores[ORACLE] = _Score(sum(any(flags) for flags in samples) / seeds, spent)
    return scores


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _likeliest(drafts: Sequence[Draft]) -> int:
    return max(range(len(drafts)), key=lambda number: (drafts[number].mean_logprob, -number))
