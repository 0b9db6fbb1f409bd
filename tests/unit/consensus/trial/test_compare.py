"""Ways to answer are compared on the same candidates; what pays is kept for `auto`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from services.common.chat import (
    CandidateFinished,
    FinishReason,
    Message,
    Role,
    Tool,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
)
from services.consensus.drafts import Draft
from services.consensus.strategies.tool_vote import ToolVote
from services.consensus.trial import merit as merits
from services.consensus.trial.bootstrap import interval
from services.consensus.trial.compare import (
    GREEDY,
    LIKELIEST,
    ORACLE,
    RANDOM,
    SAMPLE,
    Marked,
    Row,
    Rule,
    compare,
)
from services.consensus.trial.gather import Answers
from services.consensus.trial.items import Item, OneCall
from services.consensus.trial.merit import Merit, merit_of

TOOLS = (Tool("read", parameters_json='{"type": "object", "properties": {"n": {"type": "integer"}}}'),)
RIGHT = 0
VOTE = {"tool_vote": Rule(ToolVote())}


def call(candidate: int, n: int, logprob: float = -1.0) -> Draft:
    draft = Draft(candidate, "w")
    draft.add(ToolCallStarted(candidate, 0, f"call_{candidate}", "read"))
    draft.add(ToolCallArguments(candidate, 0, json.dumps({"n": n})))
    draft.add(ToolCallEnded(candidate, 0))
    draft.add(CandidateFinished(candidate, FinishReason.TOOL_CALLS, 10, logprob_sum=10 * logprob))
    return draft


def marked(greedy: int, *seeds: Sequence[int], logprobs: Sequence[float] = ()) -> Marked:
    """Answers with these numbers; RIGHT is the right one."""
    item = Item("i", "k", (Message(Role.USER, "?"),), OneCall("read", {"n": RIGHT}), TOOLS)
    samples = tuple(
        tuple(call(i, n, logprobs[i] if logprobs else -1.0) for i, n in enumerate(each)) for each in seeds
    )
    flags = tuple(tuple(n == RIGHT for n in each) for each in seeds)
    return Marked(Answers(item, call(0, greedy), samples), greedy == RIGHT, flags)


def rows(*items: Marked) -> dict[str, Row]:
    return {row.way: row for row in compare(items, VOTE, seed=1)}


def test_each_way_answers_as_it_says() -> None:
    found = rows(marked(1, [1, 0, 0, 0, 1], logprobs=[-1, -3, -0.5, -2, -1]))
    assert {way: row.share.mean for way, row in found.items()} == {
        GREEDY: 0.0,
        SAMPLE: 0.0,
        RANDOM: pytest.approx(0.6),
        LIKELIEST: 1.0,
        # Three of five are less than two thirds.
        "tool_vote": 0.0,
        ORACLE: 1.0,
    }
    assert found["tool_vote"].undecided == 1.0
    assert found["tool_vote"].tokens == 50
    assert found[SAMPLE].tokens == 10
    assert rows(marked(1, [1, 0, 0, 0, 0]))["tool_vote"].share.mean == 1.0


def test_no_vote_beats_the_oracle_and_seeds_are_averaged() -> None:
    found = rows(marked(0, [0, 0, 0], [1, 1, 1]), marked(1, [2, 0, 1], [0, 0, 0]))
    assert found[SAMPLE].share.mean == 0.5
    assert found["tool_vote"].share.mean == 0.5
    assert found[ORACLE].share.mean == 0.75
    assert all(row.share.mean <= found[ORACLE].share.mean for way, row in found.items() if way != GREEDY)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = Random(5)
    covered = 0
    for trial in range(200):
        values = [float(random.random() < 0.7) for _ in range(80)]
        found = interval(values, seed=trial, resamples=400)
        covered += found.low <= 0.7 <= found.high
    # 95 % of 200, four standard deviations either way.
    assert 178 <= covered <= 200


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one item"):
        interval([], 1)
    with pytest.raises(ValueError, match="at least one item"):
        compare([], VOTE, 1)


def measured(better: int, of: int) -> Merit:
    """The vote is right in `better` of so many items in which one sample and the greedy answer are wrong."""
    items = [marked(1, [1, 0, 0, 0, 0]) for _ in range(better)]
    items += [marked(1, [1, 1, 1, 1, 1]) for _ in range(of - better)]
    found = compare(items, VOTE, 1)
    return merit_of("m", found, ["tool_vote"], of, 5, 0.8)


def test_a_strategy_is_on_only_if_its_gain_is_above_zero_for_sure() -> None:
    best = measured(20, 40).best
    assert best is not None
    assert best.strategy == "tool_vote"
    # One of forty may be luck.
    assert measured(1, 40).best is None
    assert measured(0, 40).best is None


def test_the_gain_is_over_the_better_of_one_sample_and_greedy() -> None:
    # The vote is better than a sample, and greedy was right anyway.
    items = [marked(0, [1, 0, 0, 0, 0]) for _ in range(30)]
    found = merit_of("m", compare(items, VOTE, 1), ["tool_vote"], 30, 5, 0.8)
    assert found.gains[0].gain.mean == 0.0
    assert found.best is None


def test_advice_is_a_strategy_or_no_vote_or_nothing(tmp_path: Path) -> None:
    assert merits.advice(tmp_path, "m") is None
    merits.save(tmp_path, measured(20, 40))
    assert merits.advice(tmp_path, "m") == "tool_vote"
    merits.save(tmp_path, measured(1, 40))
    assert merits.advice(tmp_path, "m") == ""


def test_what_was_found_is_kept_by_model(tmp_path: Path) -> None:
    found = measured(20, 40)
    path = merits.save(tmp_path / "evaluations", found)
    assert merits.load(tmp_path / "evaluations", "m") == found
    assert merits.load(tmp_path / "evaluations", "other") is None
    again = measured(1, 40)
    assert merits.save(tmp_path / "evaluations", again) == path
    assert merits.load(tmp_path / "evaluations", "m") == again
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("text", ["", "{", '{"version": 99, "model": "m"}', '{"version": 1, "model": "m"}'])
def test_what_cannot_be_read_counts_for_nothing(tmp_path: Path, text: str) -> None:
    path = merits.save(tmp_path, measured(20, 40))
    path.write_text(text)
    assert merits.load(tmp_path, "m") is None
