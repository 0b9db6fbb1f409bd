"""A real worker goes on from every position of a greedy answer, and the answer is the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from services.common.chat import (
    ResponseFormat,
    ResponseKind,
    Sampling,
    Tool,
    ToolChoice,
    ToolChoiceMode,
)
from tests.fakes import tiny_reciter
from tests.integration.test_worker import request, worker
from tests.unit.inference_worker.test_resume import said

LENGTH = 40
GREEDY = Sampling(temperature=0.0, max_tokens=LENGTH, top_logprobs=1)
# Behind characters of two bytes, and such that its beginning stands there before.
STOP = tiny_reciter.TEXT[20:23]
GO = Tool("go", "", '{"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}')
CALL = replace(request(), tools=(GO,), tool_choice=ToolChoice(ToolChoiceMode.REQUIRED))
LETTERS = ResponseFormat(ResponseKind.LARK, grammar="start: /[a-zé]{30}/")
CASES = {
    "words of one and two bytes": (request(), GREEDY),
    "a stop string": (request(), replace(GREEDY, stop=(STOP[:2] + "?", STOP))),
    "penalties and DRY": (
        request(),
        replace(GREEDY, frequency_penalty=2.0, repeat_penalty=1.5, dry_multiplier=100.0, dry_base=4.0),
    ),
    "a grammar": (replace(request(), response_format=LETTERS), GREEDY),
    "a call that a grammar holds": (CALL, GREEDY),
    "chance": (request(), replace(GREEDY, temperature=2.0, seed=3, top_k=0, xtc_probability=0.5)),
}


@pytest.mark.parametrize("name", CASES)
async def test_at_every_position_the_answer_is_the_same(name: str, tmp_path: Path) -> None:
    asked, sampling = CASES[name]
    asked = replace(asked, sampling=sampling, tell_drawn_tokens=True)
    async with worker(tmp_path, tiny_reciter.write(tmp_path / "tiny.gguf", 512)) as client:
        answer = await client.ask(asked)
        whole = said(answer.events)
        assert len(whole.drawn) > LENGTH // 2
        assert whole.content or whole.calls
        for position in range(len(whole.drawn) + 1):
            resumed = await client.ask(replace(asked, resume=(tuple(whole.drawn[:position]),)))
            again = said(resumed.events)
            assert (again.content, again.calls) == (whole.content, whole.calls), position
            assert [each.id for each in again.drawn] == [each.id for each in whole.drawn]
            assert again.finished is not None
            assert whole.finished is not None
            # Rounding is another one where tokens are computed at once.
            assert again.finished.logprob_sum == pytest.approx(whole.finished.logprob_sum, abs=0.5)
            assert again.finished.argument_logprob == pytest.approx(whole.finished.argument_logprob, abs=0.5)
            same = {"logprob_sum": 0.0, "argument_logprob": None}
            assert replace(again.finished, **same) == replace(whole.finished, **same)
            assert resumed.usage.prompt_tokens == answer.usage.prompt_tokens
            assert len(again.logprobs) == len(whole.logprobs)
