"""The push machine's time grows as the text does, whatever the text; and arguments go out while they come."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.common.chat import ToolCallArguments, ToolCallStarted
from services.inference_worker.chat.formats import FORMATS, Format, Trust
from services.inference_worker.chat.machine import PushMachine
from tests.bench.micro_tool_calls import TOOLS, best, call, read

SMALL, LARGE = 1_000, 8_000
# Linear is 8, quadratic 64. A time below the floor is no trouble, whatever the ratio.
MOST = 28
FLOOR = 0.04
CALLING = sorted(name for name, form in FORMATS.items() if form.style is not None)
# Characters of arguments that may wait for what follows them: closers, blanks, an escape.
MOST_HELD = 160


def grows(measure: Callable[[int], float]) -> float:
    """Time for LARGE over time for SMALL; 0 where LARGE takes next to nothing."""
    large = measure(LARGE)
    if large < FLOOR:
        return 0.0
    ratio = large / measure(SMALL)
    if ratio < MOST:
        return ratio
    # Something else may have run beside it.
    return best(lambda: measure(LARGE), 3) / best(lambda: measure(SMALL), 3)


@pytest.mark.parametrize("piece", [0, 1])
@pytest.mark.parametrize("name", CALLING)
def test_long_arguments_take_linear_time(name: str, piece: int) -> None:
    assert grows(lambda size: read(name, call(name, size), piece)) < MOST


def hard_texts(form: Format) -> dict[str, str]:
    """What is repeated, by what it is: each is a nuisance of its own to some way of looking for markers."""
    texts = {
        "blanks": " ",
        "newlines": "\n",
        "braces": "{",
        "brackets": "[",
        "backslashes": "\\",
        "ticks": "`",
    }
    for marker in form.markers:
        texts[f"the marker {marker}"] = marker
        texts[f"the beginning of {marker}"] = marker[:-1] or marker
        texts[f"lines of {marker}"] = marker + "\n"
    return texts


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("name", CALLING)
def test_hard_texts_take_linear_time(name: str, inside: bool) -> None:
    """Alone, and behind the first half of a call."""
    start = call(name, 40)[:-30] if inside else ""
    slow = {}
    for what, unit in hard_texts(FORMATS[name]).items():
        ratio = grows(lambda size, unit=unit: read(name, start + unit * (size // len(unit)), 1))  # type: ignore[misc]
        if ratio >= MOST:
            slow[what] = round(ratio)
    assert not slow


def streams(form: Format) -> bool:
    """Whether arguments may go out before the call is whole: where its markers alone make it one."""
    return form.trust is Trust.EXPLICIT


@pytest.mark.parametrize("name", sorted(name for name in CALLING if streams(FORMATS[name])))
def test_long_arguments_go_out_while_they_come(name: str) -> None:
    text = call(name, 4000)
    machine = PushMachine(FORMATS[name], TOOLS, 0)
    told, started = 0, 0
    for at, character in enumerate(text):
        for event in machine.feed(character):
            match event:
                case ToolCallStarted():
                    started = at
                case ToolCallArguments(fragment=fragment):
                    told += len(fragment)
        if started:
            assert at - started - told < MOST_HELD, text[max(0, at - 200) : at + 1]
    assert started
    assert told > 4000
