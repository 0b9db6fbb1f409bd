"""What is wrong with a draft's calls, and how the model is told."""

from __future__ import annotations

import json

import pytest

from services.common.chat import (
    CandidateFinished,
    ChatRequest,
    ContentDelta,
    FinishReason,
    Message,
    ReasoningDelta,
    Role,
    Tool,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
)
from services.consensus.canonical import Toolbox
from services.consensus.drafts import Draft
from services.consensus.events import InvalidCall
from services.consensus.second_chance import checks, correction, faults, worth_asking

TOOLS = Toolbox([Tool("bash", "", json.dumps({"required": ["command"]})), Tool("free")])
CHAT = ChatRequest("tiny", (Message(Role.USER, "go"),))


def draft(
    *calls: tuple[str, str], finish: FinishReason = FinishReason.TOOL_CALLS, ended: bool = True
) -> Draft:
    found = Draft(4, "Zeus")
    found.add(ReasoningDelta(4, "hm"))
    found.add(ContentDelta(4, "I look."))
    for index, (name, arguments) in enumerate(calls):
        # Indexes with holes: what counts is the place.
        found.add(ToolCallStarted(4, 2 * index, f"id{index}", name))
        found.add(ToolCallArguments(4, 2 * index, arguments))
        if ended:
            found.add(ToolCallEnded(4, 2 * index))
    found.add(CandidateFinished(4, finish, 9))
    return found


GOOD, WRONG, UNKNOWN = ("bash", '{"command": "ls"}'), ("bash", "{}"), ("nobody", "{}")


@pytest.mark.parametrize(
    ("calls", "places", "asked"),
    [
        ([], [], False),
        ([GOOD], [], False),
        ([WRONG], [0], True),
        ([GOOD, WRONG], [1], True),
        ([WRONG, GOOD, WRONG], [0, 2], True),
        ([UNKNOWN], [0], False),
        ([UNKNOWN, WRONG], [0, 1], True),
        ([("free", "[1]")], [0], True),
        ([("free", "")], [0], True),
        ([("free", '{"a": 1, "a": 2}')], [0], True),
    ],
)
def test_only_what_a_schema_refuses_is_asked_for_again(
    calls: list[tuple[str, str]], places: list[int], asked: bool
) -> None:
    found = faults(draft(*calls), TOOLS)
    assert [fault.index for fault in found] == places
    assert worth_asking(draft(*calls), found) is asked


def test_a_cut_off_answer_is_not_asked_for_again() -> None:
    cut = draft(WRONG, finish=FinishReason.LENGTH)
    assert not worth_asking(cut, faults(cut, TOOLS))
    begun = draft(WRONG, ended=False)
    assert faults(begun, TOOLS) == ()
    unfinished = draft(WRONG)
    unfinished.finished = None
    assert not worth_asking(unfinished, faults(unfinished, TOOLS))


def test_the_correction_answers_each_call_of_the_turn() -> None:
    made = draft(GOOD, WRONG)
    asked = correction(CHAT, made, faults(made, TOOLS))
    question, turn, first, second = asked.messages
    assert question == CHAT.messages[0]
    assert (turn.role, turn.content, turn.reasoning_content) == (Role.ASSISTANT, "I look.", "hm")
    assert [(call.id, call.name, call.arguments_json) for call in turn.tool_calls] == [
        ("id0", *GOOD),
        ("id1", *WRONG),
    ]
    assert (first.role, first.tool_call_id, first.name) == (Role.TOOL, "id0", "bash")
    assert first.content.startswith("Not run")
    assert (second.tool_call_id, second.name) == ("id1", "bash")
    assert "bash: arguments: 'command' is a required property" in second.content
    assert asked.tools == CHAT.tools


def test_the_metadata_names_choice_place_and_problem() -> None:
    told = checks(True, faults(draft(GOOD, UNKNOWN), TOOLS), choice=2)
    assert told.retried
    assert told.invalid == (InvalidCall(2, 1, "id1", "nobody", "nobody: no such tool was offered"),)
    assert not checks(False, ())
