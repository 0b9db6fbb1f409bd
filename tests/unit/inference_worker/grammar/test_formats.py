"""Random tokens under a guide, in every format: each call that comes out fits its tool."""

from __future__ import annotations

import pytest

from services.inference_worker.chat.formats import FORMATS, Format, Routing, ValueStyle
from services.inference_worker.grammar.blocks import holds
from services.inference_worker.grammar.plan import Grammars
from tests.unit.inference_worker.grammar.driver import (
    REQUIRED,
    TOOLS,
    Said,
    fits,
    generate,
    read,
    request,
    table_for,
)

CALLING = [name for name, format in FORMATS.items() if format.style is not None]
TRIGGERED = [name for name in CALLING if holds(FORMATS[name]).triggered]
_GRAMMARS: dict[str, Grammars] = {}


def grammars(format: Format) -> Grammars:
    if format.name not in _GRAMMARS:
        _GRAMMARS[format.name] = Grammars(format, table_for(format))
    return _GRAMMARS[format.name]


def speak(format: Format, seed: int, forced: bool, parallel: bool = True) -> Said:
    """What a model says that must call, or that opens a call by itself behind a word."""
    known = grammars(format)
    plan = known.plan(request(TOOLS, REQUIRED if forced else None, parallel), TOOLS, "")
    table = table_for(format)
    text, ended = generate(table, plan, seed, "" if forced else _opening(format), limit=900)
    return read(format, TOOLS, plan.forced + text, ended, parallel=parallel)


def _opening(format: Format) -> str:
    if format.routing is Routing.HARMONY:
        return format.call.open + format.function.open
    if format.routing is Routing.RECIPIENT:
        return format.call.open + "bash" + format.function.close
    return ("ok\n" if format.style is ValueStyle.LINES else "ok ") + format.call.open


def check(said: Said) -> None:
    for call in said.calls:
        if call.ended:
            assert fits(TOOLS, call) == "", said.text
    first = said.calls[0] if said.calls else None
    if said.ended:
        assert first is not None, said.text
        assert first.ended, said.text


@pytest.mark.parametrize("name", CALLING)
@pytest.mark.parametrize("seed", range(6))
def test_a_call_that_must_come_fits(name: str, seed: int) -> None:
    said = speak(FORMATS[name], seed, forced=True)
    check(said)
    assert not said.content.strip() or said.calls  # nothing but a call comes first


@pytest.mark.parametrize("name", TRIGGERED)
@pytest.mark.parametrize("seed", range(6))
def test_a_call_that_the_model_opens_fits(name: str, seed: int) -> None:
    check(speak(FORMATS[name], seed + 100, forced=False))


@pytest.mark.parametrize("name", CALLING)
@pytest.mark.parametrize("forced", [True, False])
def test_one_call_at_most(name: str, forced: bool) -> None:
    if not forced and name not in TRIGGERED:
        pytest.skip("calls of this format cannot be told from prose")
    ended = 0
    for seed in range(6):
        said = speak(FORMATS[name], seed + 200, forced, parallel=False)
        check(said)
        assert len(said.calls) <= 1
        ended += said.ended
    assert ended >= 5  # behind the call only the end is allowed, so the limit is hardly ever reached


def test_every_format_with_calls_can_be_forced() -> None:
    assert all(holds(FORMATS[name]).forced for name in CALLING)
    assert not holds(FORMATS["none"]).forced


def test_what_is_not_triggered_counts_only_if_it_fits() -> None:
    assert set(CALLING) - set(TRIGGERED) == {"fenced_json", "bare_json", "pythonic"}
