"""The corpus of tool calls, whole and in all pieces: the same is understood, and nothing is taken back."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest

from services.common.chat import ChatEvent, FinishReason
from services.inference_worker.chat.formats import FORMATS
from services.inference_worker.chat.machine import PushMachine
from tests.conformance.tool_calls import CORPUS
from tests.conformance.tool_calls.case import Case
from tests.unit.inference_worker.chat.reading import Reading, collect

RANDOM_SPLITS = 5
EVERY_CASE = pytest.mark.parametrize(
    ("format", "case"),
    [
        pytest.param(format, case, id=f"{format}: {case.id}")
        for format, cases in CORPUS.items()
        for case in cases
    ],
)


def new_machine(format: str, case: Case) -> PushMachine:
    ids = (f"call_{i}" for i in itertools.count())
    return PushMachine(FORMATS[format], case.tools, 0, case.prompt_tail, case.parallel, lambda: next(ids))


def read(format: str, case: Case, pieces: Sequence[str]) -> Reading:
    machine = new_machine(format, case)
    events = [event for piece in pieces for event in machine.feed(piece)]
    last, reason = machine.finish(case.cut_off)
    return collect([*events, *last], reason)


def test_the_corpus_covers_what_it_must() -> None:
    assert set(CORPUS) == set(FORMATS)
    assert sum(map(len, CORPUS.values())) >= 300
    assert sum(case.negative for cases in CORPUS.values() for case in cases) >= 80
    for format, cases in CORPUS.items():
        assert max(Counter(case.id for case in cases).values()) == 1, format


@EVERY_CASE
def test_whole(format: str, case: Case) -> None:
    reading = read(format, case, [case.text])
    assert reading.whole_calls() == list(case.calls)
    # 1 and True are equal in Python; they are not in JSON.
    assert json.dumps(reading.whole_calls()) == json.dumps(list(case.calls))
    assert reading.reasoning == case.reasoning
    if case.content is not None:
        assert reading.content == case.content
    assert reading.reason is case.reason
    unended = [call for call in reading.calls if not call.ended]
    assert len(unended) <= (1 if case.reason is FinishReason.LENGTH else 0)


@EVERY_CASE
def test_streamed_at_every_cut(format: str, case: Case) -> None:
    whole = read(format, case, [case.text])
    for at in range(1, len(case.text)):
        assert read(format, case, [case.text[:at], case.text[at:]]) == whole, f"cut at {at}"
    random = Random(f"{format} {case.id}")
    for _ in range(RANDOM_SPLITS):
        cuts = sorted(random.choices(range(len(case.text) + 1), k=random.randint(2, 12)))
        pieces = [case.text[a:b] for a, b in itertools.pairwise([0, *cuts, len(case.text)])]
        assert read(format, case, pieces) == whole, pieces


@EVERY_CASE
def test_one_character_at_a_time_and_nothing_is_taken_back(format: str, case: Case) -> None:
    whole = read(format, case, [case.text])
    machine = new_machine(format, case)
    told: list[ChatEvent] = []
    for character in case.text:
        new = machine.feed(character)
        told += new
        if new:
            _begins(told, whole)
    last, reason = machine.finish(case.cut_off)
    assert collect([*told, *last], reason) == whole


def _begins(told: list[ChatEvent], whole: Reading) -> None:
    """What was told so far is a beginning of the whole."""
    so_far = collect(told)
    assert whole.content.startswith(so_far.content)
    assert whole.reasoning.startswith(so_far.reasoning)
    assert len(so_far.calls) <= len(whole.calls)
    for mine, final in zip(so_far.calls, whole.calls, strict=False):
        assert mine.name == final.name
        assert final.arguments.startswith(mine.arguments)
        assert not mine.ended or mine == final
