"""Votes on calls by what they can do, over real gRPC among fake workers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.common.chat import CandidateFinished, ChatRequest, Message, Role, Tool, ToolCall
from services.common.chat_proto import request_to_proto
from services.common.errors import Reason, SwarmError
from swarm.consensus.v1 import consensus_pb2
from tests.fakes.swarm import BASH, Answer, request, swarm_of
from tests.fakes.worker import FakeWorker, bash, call, say

EDIT = Tool(
    "edit",
    "",
    json.dumps({"properties": {name: {"type": "string"} for name in ("filePath", "oldString", "newString")}}),
)
WRITE = Tool(
    "write", "", json.dumps({"properties": {name: {"type": "string"} for name in ("filePath", "content")}})
)
LISTING = (
    "<path>/w/a.py</path>\n<type>file</type>\n<content>\n1: a\n2: b\n3: c\n\n(End of file - total 3 lines)\n"
    "</content>"
)
SHOWN = (
    Message(Role.USER, "change b to X"),
    Message(Role.ASSISTANT, tool_calls=(ToolCall("r", "read", '{"filePath": "a.py"}'),)),
    Message(Role.TOOL, LISTING, tool_call_id="r"),
)


def edit(old: str, new: str, **options: Any) -> list[Any]:
    return call("edit", json.dumps({"filePath": "a.py", "oldString": old, "newString": new}), **options)


def write(content: str, path: str = "a") -> list[Any]:
    return call("write", json.dumps({"filePath": path, "content": content}))


def sure(answer: list[Any], logprob: float) -> list[Any]:
    """The same answer of a worker that says how sure the arguments are."""
    return [
        replace(step, argument_logprob=logprob) if isinstance(step, CandidateFinished) else step
        for step in answer
    ]


async def ask(home: Path, worker: FakeWorker, asked: consensus_pb2.DecideRequest, **settings: Any) -> Answer:
    async with worker.running(), swarm_of(home, worker, **settings) as swarm:
        return await swarm.decide(asked)


def asking(*messages: Message, floor: float | None = None, **options: Any) -> consensus_pb2.DecideRequest:
    asked = request(tools=(BASH, EDIT, WRITE), **options)
    if messages:
        del asked.chat.messages[:]
        asked.chat.messages.extend(request_to_proto(ChatRequest("tiny", messages)).messages)
    if floor is not None:
        asked.min_argument_logprob = floor
    return asked


class TestQuorums:
    async def test_two_of_three_may_read(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(bash("ls -l | head"), bash("rm x"), bash("ls -l | head"))
        answer = await ask(tmp_path, worker, asking())
        assert answer.calls() == [("call_1", "bash", '{"command": "ls -l | head"}')]
        assert (answer.ballots.quorum, answer.ballots.round) == (2, 1)

    @pytest.mark.parametrize("call_", [write("x"), edit("a", "b"), bash("rm x"), bash("ls > x")])
    async def test_two_of_three_may_not_act_but_all_may(self, tmp_path: Path, call_: list[Any]) -> None:
        worker = FakeWorker("Zeus").script(call_, call_, bash("pwd")).script(call_)
        answer = await ask(tmp_path, worker, asking())
        assert len(answer.calls()) == 1
        assert (answer.ballots.quorum, answer.ballots.round, answer.ballots.decided) == (3, 2, True)

    async def test_four_of_five_may_act(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(*[write("x")] * 4, write("y"))
        answer = await ask(tmp_path, worker, asking(voters=5))
        assert len(answer.calls()) == 1
        assert (answer.ballots.quorum, answer.ballots.round) == (4, 1)

    async def test_three_of_five_get_words_after_a_further_round(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(*[write("x")] * 3, *[write("y")] * 2)
        answer = await ask(tmp_path, worker, asking(voters=5))
        assert not answer.chat("tool_call_started")
        assert len(worker.requests) == 2
        content = answer.content()
        assert "2 rounds of 5 votes, 4 equal ones are needed" in content
        assert '6 × write {"content": "x", "filePath": "a"}' in content
        assert not answer.ballots.decided

    async def test_quorums_and_classes_are_settings(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(write("x"), write("x"), bash("pwd"))
        answer = await ask(tmp_path, worker, asking(), quorum_writing="0.6")
        assert (len(answer.calls()), answer.ballots.quorum) == (1, 2)
        worker = FakeWorker("Zeus").script(write("x"), write("x"), bash("pwd"))
        answer = await ask(tmp_path, worker, asking(), tool_risks="wri*=reading")
        assert (len(answer.calls()), answer.ballots.quorum) == (1, 2)

    async def test_what_the_policy_refuses_is_never_called_and_the_user_reads_why(
        self, tmp_path: Path
    ) -> None:
        worker = FakeWorker("Zeus").script(bash("rm x"))
        answer = await ask(tmp_path, worker, asking(), vote_policy="bash=no")
        assert not answer.chat("tool_call_started")
        assert "refused by the swarm's policy: bash" in answer.content()

    async def test_the_policy_is_not_asked_of_what_only_reads(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(bash("ls"))
        assert (await ask(tmp_path, worker, asking(), vote_policy="bash=no")).calls()


class TestEdits:
    async def test_edits_of_a_shown_file_agree_by_the_text_that_comes_of_them(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(
            edit("b", "X", call_id="leader"), edit("a\nb\nc", "a\nX\nc"), edit("b\nc", "X\nc")
        )
        answer = await ask(tmp_path, worker, asking(*SHOWN))
        assert [made[0] for made in answer.calls()] == ["leader"]
        assert answer.ballots.round == 1

    async def test_edits_of_a_file_that_was_not_shown_do_not(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(edit("b", "X"), edit("a\nb", "a\nX"), edit("b\nc", "X\nc"))
        answer = await ask(tmp_path, worker, asking())
        assert not answer.calls()

    async def test_two_spellings_of_a_path_agree(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(write("x", "./a"), write("x", "a"), write("x", ".//a"))
        answer = await ask(tmp_path, worker, asking())
        assert answer.calls()[0][2] == '{"filePath": "./a", "content": "x"}'


class TestSureness:
    async def test_a_vote_that_is_too_unsure_does_not_count(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(
            sure(bash("ls"), -3.0), sure(bash("ls"), -0.5), sure(bash("pwd"), -0.5)
        )
        worker.script(sure(bash("pwd"), -0.5))
        answer = await ask(tmp_path, worker, asking(floor=-1.0))
        assert answer.calls()[0][2] == '{"command": "pwd"}'
        assert answer.ballots.round == 2
        assert answer.ballots.ballots[0].summary == (
            "too unsure: -3.00 per token of the arguments, at least -1.00 was asked for: "
            'bash {"command": "ls"}'
        )

    async def test_nobody_sure_enough_is_an_answer_in_words(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(sure(bash("ls"), -3.0))
        answer = await ask(tmp_path, worker, asking(floor=-1.0))
        assert not answer.chat("tool_call_started")
        assert "too unsure" in answer.content()

    async def test_a_worker_that_does_not_tell_is_taken_by_its_whole_mean(self, tmp_path: Path) -> None:
        # -20 over 10 tokens.
        worker = FakeWorker("Zeus").script(bash("ls", logprob=-20.0))
        assert not (await ask(tmp_path, worker, asking(floor=-1.0))).calls()
        worker = FakeWorker("Zeus").script(bash("ls", logprob=-5.0))
        assert (await ask(tmp_path, worker, asking(floor=-1.0))).calls()

    @pytest.mark.parametrize("options", [{"voters": 1}, {"choices": 2}, {"temperature": 0.0}])
    async def test_where_nobody_votes_on_calls_it_is_refused_by_name(
        self, tmp_path: Path, options: dict[str, Any]
    ) -> None:
        worker = FakeWorker("Zeus").script(bash("ls"))
        with pytest.raises(SwarmError) as caught:
            await ask(tmp_path, worker, asking(floor=-1.0, **options))
        assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, "min_argument_logprob")
        assert not worker.requests

    async def test_without_tools_there_is_nothing_to_be_sure_of(self, tmp_path: Path) -> None:
        asked = asking(floor=-1.0)
        del asked.chat.tools[:]
        assert (await ask(tmp_path, FakeWorker("Zeus").script(say("Hi.")), asked)).content() == "Hi."
