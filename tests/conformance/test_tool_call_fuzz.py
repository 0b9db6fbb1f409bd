"""Random and damaged outputs: no exception, no call left in the content, and always the same in pieces.

SWARM_TOOL_CALLS_FUZZ: the long form, so many outputs in all, new ones each time.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random, SystemRandom

import pytest

from services.common.chat import ChatEvent, ContentDelta, FinishReason, Tool
from services.inference_worker.chat.formats import FORMATS, Routing, Trust
from services.inference_worker.chat.machine import PushMachine
from tests.conformance.tool_calls import CORPUS
from tests.conformance.tool_calls.case import TOOLS
from tests.fakes.odd_outputs import damaged, pieces, soup
from tests.unit.inference_worker.chat.reading import Reading, collect

LONG_FORM = "SWARM_TOOL_CALLS_FUZZ" in os.environ
OUTPUTS = int(os.environ.get("SWARM_TOOL_CALLS_FUZZ", "0")) or 6000
SEED = SystemRandom().randrange(2**32) if LONG_FORM else 7
EXAMPLES = {name: [case.text for case in cases] for name, cases in CORPUS.items()}
EVERY_EXAMPLE = [text for texts in EXAMPLES.values() for text in texts]


@dataclass(frozen=True)
class Output:
    format: str
    text: str
    tools: Sequence[Tool]
    prompt_tail: str
    cut_off: bool
    parallel: bool

    def events(self, pieces: Sequence[str]) -> tuple[list[ChatEvent], FinishReason]:
        ids = (f"call_{i}" for i in itertools.count())
        form = FORMATS[self.format]
        machine = PushMachine(form, self.tools, 0, self.prompt_tail, self.parallel, lambda: next(ids))
        events = [event for piece in pieces for event in machine.feed(piece)]
        last, reason = machine.finish(self.cut_off)
        return [*events, *last], reason


def output(random: Random, name: str) -> Output:
    form = FORMATS[name]
    examples = EXAMPLES[name] if random.random() < 0.9 else EVERY_EXAMPLE
    text = soup(random, form) if random.random() < 0.4 else damaged(random, form, examples)
    opened = form.reasoning.open if form.reasoning and random.random() < 0.2 else ""
    return Output(name, text, TOOLS if random.random() < 0.9 else (), opened, random.random() < 0.3,
                  random.random() < 0.85)  # fmt: skip


@pytest.mark.timeout(4 * 3600 if LONG_FORM else 120)
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_any_output_is_understood_without_harm(name: str) -> None:
    random = Random(f"{SEED} {name}")
    for _ in range(OUTPUTS // len(FORMATS) + 1):
        odd = output(random, name)
        cut = pieces(random, odd.text)
        try:
            check(odd, cut)
        except Exception as error:
            error.add_note(f"{odd!r} in the pieces {cut!r}")
            raise


def check(odd: Output, cut: Sequence[str]) -> None:
    events, reason = odd.events([odd.text])
    whole = collect(events, reason)
    streamed, streamed_reason = odd.events(cut)
    assert collect(streamed, streamed_reason) == whole
    _reason_is_told(odd, whole)
    if not odd.parallel:
        assert len(whole.calls) <= 1
    if odd.tools:
        _no_call_is_left(odd, events)
    else:
        _untouched(odd, whole)


def _reason_is_told(odd: Output, whole: Reading) -> None:
    ended = any(call.ended for call in whole.calls)
    if whole.reason is FinishReason.TOOL_CALLS:
        assert ended
    elif whole.reason is FinishReason.STOP:
        assert not odd.cut_off
        assert not whole.calls
    if odd.cut_off and odd.parallel:
        assert whole.reason is FinishReason.LENGTH


def _no_call_is_left(odd: Output, events: Sequence[ChatEvent]) -> None:
    """What the client gets as content is no call in the format: every piece of it, read again, is text.

    Only where the markers alone make a call; and not where something was taken out of the middle of a piece,
    which can bring the halves of a marker together.
    """
    form = FORMATS[odd.format]
    if form.trust is not Trust.EXPLICIT or form.plain_calls or not odd.parallel:
        return
    for is_content, run in itertools.groupby(events, lambda event: isinstance(event, ContentDelta)):
        text = "".join(event.text for event in run if isinstance(event, ContentDelta))
        if not is_content or text not in odd.text:
            continue
        # A letter before it, so that it does not begin with reasoning.
        again = Output(odd.format, "x" + text, odd.tools, "", False, True)
        left = [call.name for call in collect(*again.events([again.text])).calls if call.ended]
        assert not left, f"content with a call to {left}: {text!r}"


def _untouched(odd: Output, whole: Reading) -> None:
    """Without tools the text is the content, but for reasoning and end tokens."""
    form = FORMATS[odd.format]
    assert not whole.calls
    markers = (*form.end_tokens, *((form.reasoning.open, form.reasoning.close) if form.reasoning else ()))
    if form.routing is Routing.NONE and not odd.prompt_tail and not any(each in odd.text for each in markers):
        assert whole.content == odd.text
