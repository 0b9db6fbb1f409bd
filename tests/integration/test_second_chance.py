"""Calls that do not fit their schema, where no grammar held them: asked for once more, then passed on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.common.chat import FinishReason, Role, ToolCallArguments, ToolCallEnded, ToolCallStarted
from services.common.chat_proto import request_from_proto
from services.common.errors import Reason, SwarmError
from tests.fakes.swarm import Answer, first, request, swarm_of
from tests.fakes.worker import Answer as Script
from tests.fakes.worker import FakeWorker, bash, call, done, say, think

BROKEN = '{"cmd": "ls"}'


def broken(call_id: str = "wrong", prose: str = "") -> Script:
    return call("bash", BROKEN, prose=prose, call_id=call_id)


async def ask(home: Path, worker: FakeWorker, **asked: Any) -> Answer:
    async with worker.running(), swarm_of(home, worker) as swarm:
        return await swarm.decide(request(**asked))


def told(answer: Answer) -> tuple[bool, list[str]]:
    """Whether it was asked again, and the ids of the calls that are passed on although they do not fit."""
    found = answer.ballots.call_checks
    return found.retried, [call.id for call in found.invalid]


class TestAlone:
    async def test_the_model_is_told_what_was_wrong_and_its_second_call_is_given(
        self, tmp_path: Path
    ) -> None:
        worker = FakeWorker("Zeus").script(broken(prose="I look.")).script(bash("ls", call_id="right"))
        answer = await ask(tmp_path, worker, voters=1)
        assert answer.calls() == [("right", "bash", '{"command": "ls"}')]
        assert (answer.content(), answer.reason()) == ("I look.", "tool_calls")
        assert told(answer) == (True, [])
        question, turn, error = request_from_proto(worker.requests[1]).messages
        assert question.content == "go"
        assert (turn.role, turn.content, turn.tool_calls[0].arguments_json) == (
            Role.ASSISTANT,
            "I look.",
            BROKEN,
        )
        assert (error.role, error.tool_call_id, error.name) == (Role.TOOL, "wrong", "bash")
        assert "'command' is a required property" in error.content

    async def test_a_call_that_fits_is_not_asked_for_again(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(bash("ls"))
        answer = await ask(tmp_path, worker, voters=1)
        assert len(worker.requests) == 1
        assert not answer.ballots.HasField("call_checks")

    async def test_a_second_call_that_does_not_fit_is_passed_on_and_marked(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(broken("first")).script(broken("second"))
        answer = await ask(tmp_path, worker, voters=1)
        assert answer.calls() == [("second", "bash", BROKEN)]
        assert told(answer) == (True, ["second"])
        (invalid,) = answer.ballots.call_checks.invalid
        assert (invalid.choice, invalid.index, invalid.name) == (0, 0, "bash")
        assert "required property" in invalid.problem
        assert len(worker.requests) == 2
        assert [ballot.won for ballot in answer.ballots.ballots] == [False, True]

    async def test_tokens_are_counted_once_for_the_client_and_all_in_the_ballots(
        self, tmp_path: Path
    ) -> None:
        worker = FakeWorker("Zeus").script(broken()).script(bash("ls"))
        answer = await ask(tmp_path, worker, voters=1)
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (20, 10)
        assert (answer.ballots.generated_tokens, answer.ballots.round) == (20, 2)

    async def test_nothing_of_a_call_is_told_before_it_was_checked(self, tmp_path: Path) -> None:
        gate = asyncio.Event()
        held: Script = [
            ToolCallStarted(0, 0, "c", "bash"),
            ToolCallArguments(0, 0, '{"command": '),
            gate,
            *bash("ls")[2:],
        ]
        worker = FakeWorker("Zeus").script(held)
        async with worker.running(), swarm_of(tmp_path, worker, heartbeat=0.05) as swarm:
            stream = swarm.stream(request(voters=1))
            _, before = await first(stream, "heartbeat")
            assert before == ["accepted"]
            gate.set()
            await first(stream, "tool_call_started")

    async def test_an_answer_in_words_follows_what_was_said(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(broken(prose="I look.")).script([think("hm"), *say("I cannot.")])
        answer = await ask(tmp_path, worker, voters=1)
        assert (answer.content(), answer.reasoning()) == ("I look.\n\nI cannot.", "hm")
        assert (answer.calls(), answer.reason()) == ([], "stop")

    async def test_valid_calls_beside_an_invalid_one_are_made_again_too(self, tmp_path: Path) -> None:
        two: Script = [
            ToolCallStarted(0, 0, "good", "bash"),
            ToolCallArguments(0, 0, '{"command": "ls"}'),
            ToolCallEnded(0, 0),
            ToolCallStarted(0, 1, "bad", "read"),
            ToolCallArguments(0, 1, '{"path": 5}'),
            ToolCallEnded(0, 1),
            done(FinishReason.TOOL_CALLS),
        ]
        worker = FakeWorker("Zeus").script(two).script(bash("ls", call_id="again"))
        answer = await ask(tmp_path, worker, voters=1)
        assert [each[0] for each in answer.calls()] == ["again"]
        messages = request_from_proto(worker.requests[1]).messages
        assert [message.tool_call_id for message in messages[2:]] == ["good", "bad"]
        assert "Not run" in messages[2].content
        assert "5 is not of type 'string'" in messages[3].content

    @pytest.mark.parametrize(
        "failure",
        [
            SwarmError(Reason.CONTEXT_LENGTH_EXCEEDED, "too long"),
            SwarmError(Reason.INTERNAL, "a bug"),
        ],
    )
    async def test_without_a_second_answer_the_first_is_passed_on(
        self, tmp_path: Path, failure: SwarmError
    ) -> None:
        worker = FakeWorker("Zeus").script(broken("first")).script([failure])
        answer = await ask(tmp_path, worker, voters=1)
        assert answer.calls() == [("first", "bash", BROKEN)]
        assert told(answer) == (True, ["first"])
        assert answer.reason() == "tool_calls"

    async def test_a_second_call_that_was_cut_off_gives_way_to_the_first(self, tmp_path: Path) -> None:
        cut: Script = [*bash("ls")[:-2], done(FinishReason.LENGTH)]
        worker = FakeWorker("Zeus").script(broken("first")).script(cut)
        answer = await ask(tmp_path, worker, voters=1)
        assert answer.calls() == [("first", "bash", BROKEN)]
        assert told(answer) == (True, ["first"])

    async def test_a_call_that_was_cut_off_is_neither_completed_nor_asked_for_again(
        self, tmp_path: Path
    ) -> None:
        cut: Script = [
            ToolCallStarted(0, 0, "c", "bash"),
            ToolCallArguments(0, 0, '{"cmd'),
            done(FinishReason.LENGTH),
        ]
        worker = FakeWorker("Zeus").script(cut)
        answer = await ask(tmp_path, worker, voters=1)
        assert (answer.calls(), answer.reason(), len(worker.requests)) == ([], "length", 1)
        assert answer.chat("tool_call_arguments")[0].fragment == '{"cmd'

    async def test_a_tool_that_was_not_offered_is_passed_on_at_once(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(call("nobody", "{}", call_id="unknown"))
        answer = await ask(tmp_path, worker, voters=1)
        assert answer.calls() == [("unknown", "nobody", "{}")]
        assert told(answer) == (False, ["unknown"])
        assert len(worker.requests) == 1

    async def test_each_choice_has_its_own_second_chance(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(say("Words."), broken("one"), broken("two"))
        worker.script(bash("ls", call_id="mended")).script(broken("still"))
        answer = await ask(tmp_path, worker, choices=3, seed=7)
        assert answer.content(0) == "Words."
        assert answer.calls(1)[0][0] == "mended"
        assert answer.calls(2)[0][0] == "still"
        assert [answer.reason(choice) for choice in range(3)] == ["stop", "tool_calls", "tool_calls"]
        assert [(each.choice, each.id) for each in answer.ballots.call_checks.invalid] == [(2, "still")]
        assert [each.sampling.seed for each in worker.requests] == [7, 10, 11]

    async def test_what_a_grammar_holds_streams_and_is_only_marked(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(broken("sent"))
        worker.constrained = True
        answer = await ask(tmp_path, worker, voters=1)
        assert answer.calls() == [("sent", "bash", BROKEN)]
        assert told(answer) == (False, ["sent"])
        assert len(worker.requests) == 1


class TestVote:
    async def test_most_voters_wrong_are_told_so_in_the_second_round(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(broken("l"), broken("m"), bash("ls"))
        worker.script(bash("ls", call_id="right"), bash("ls"), bash("ls"))
        answer = await ask(tmp_path, worker)
        assert answer.calls() == [("right", "bash", '{"command": "ls"}')]
        assert told(answer) == (True, [])
        messages = request_from_proto(worker.requests[1]).messages
        assert [message.role for message in messages] == [Role.USER, Role.ASSISTANT, Role.TOOL]
        assert messages[1].tool_calls[0].id == "l"

    async def test_one_voter_wrong_among_many_is_no_reason_to_tell_all(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(broken(), bash("a"), bash("b")).script(bash("ls"))
        answer = await ask(tmp_path, worker)
        assert len(request_from_proto(worker.requests[1]).messages) == 1
        assert told(answer) == (False, [])

    async def test_the_same_wrong_call_from_a_quorum_is_passed_on_and_marked(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(broken("leader"), broken("other"), broken("third"))
        answer = await ask(tmp_path, worker)
        assert answer.calls() == [("leader", "bash", BROKEN)]
        assert (answer.reason(), answer.ballots.round, answer.ballots.decided) == ("tool_calls", 2, True)
        assert told(answer) == (True, ["leader"])

    async def test_wrong_calls_that_differ_are_told_in_words(self, tmp_path: Path) -> None:
        wrong = [call("bash", f'{{"cmd": "{command}"}}') for command in "abc"]
        answer = await ask(tmp_path, FakeWorker("Zeus").script(*wrong))
        assert not answer.chat("tool_call_started")
        assert "did not agree" in answer.content()
        assert told(answer) == (True, [])

    async def test_a_tool_that_nobody_offered_is_passed_on_when_a_quorum_wants_it(
        self, tmp_path: Path
    ) -> None:
        worker = FakeWorker("Zeus").script(call("nobody", "{}"))
        answer = await ask(tmp_path, worker)
        assert [each[1] for each in answer.calls()] == ["nobody"]
        assert told(answer) == (False, ["call_1"])
        assert len(request_from_proto(worker.requests[1]).messages) == 1
