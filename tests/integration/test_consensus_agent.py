"""The agent model over real gRPC: model, vote, tool server, model."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.common.chat import FinishReason, TokenLogprob, TokenLogprobs
from services.common.errors import Reason, SwarmError
from swarm.common.v1 import chat_pb2
from swarm.consensus.v1 import consensus_pb2
from tests.fakes.swarm import BASH, TIMEOUT, Answer, Swarm, first, request, swarm_of
from tests.fakes.tool_server import FakeToolServer
from tests.fakes.worker import FakeWorker, bash, call, done, say, think


def asked(**changes: Any) -> consensus_pb2.DecideRequest:
    return request(**{"model": "local-swarm-agent", "agent": True, "tools": (), **changes})


@contextlib.asynccontextmanager
async def agent_of(
    home: Path, worker: FakeWorker, tools: FakeToolServer, **settings: Any
) -> AsyncIterator[Swarm]:
    async with worker.running(), tools.running(), swarm_of(home, worker, tools, **settings) as swarm:
        yield swarm


async def ask(home: Path, worker: FakeWorker, server: FakeToolServer, **changes: Any) -> Answer:
    async with agent_of(home, worker, server) as swarm:
        return await swarm.decide(asked(**changes))


class TestLoop:
    async def test_it_calls_what_was_agreed_and_answers_with_the_result(self, tmp_path: Path) -> None:
        worker, tools = FakeWorker("Zeus"), FakeToolServer()
        worker.script([think("hm"), *bash("ls", prose="I look.", call_id="c1")], bash("ls"), bash("rm x"))
        worker.script(say("It is ", "empty.", tokens=7))
        answer = await ask(tmp_path, worker, tools)
        assert [each.call.arguments_json for each in tools.executed] == ['{"command": "ls"}']
        assert answer.content() == "It is empty."
        assert answer.reason() == "stop"
        reasoning = answer.reasoning()
        for part in ("hm", "I look.", 'bash {"command": "ls"}', "ran ls"):
            assert part in reasoning
        assert not answer.chat("tool_call_started")
        assert answer.kinds().count("accepted") == 1
        assert answer.kinds()[-3:] == ["candidate_finished", "ballots", "usage"]

    async def test_log_probabilities_are_those_of_the_final_words(self, tmp_path: Path) -> None:
        worker, tools = FakeWorker("Zeus"), FakeToolServer()
        worker.script([TokenLogprobs(0, (TokenLogprob(b"I look.", -1.0),)), *bash("ls", prose="I look.")])
        worker.script([TokenLogprobs(0, (TokenLogprob(b"Done.", -2.0),)), *say("Done.")])
        answer = await ask(tmp_path, worker, tools)
        (told,) = answer.chat("token_logprobs")
        assert [token.token for token in told.tokens] == [b"Done."]
        assert answer.kinds().index("token_logprobs") == answer.kinds().index("content") - 1

    async def test_the_model_sees_call_and_result_in_the_next_turn(self, tmp_path: Path) -> None:
        worker, tools = FakeWorker("Zeus"), FakeToolServer()
        worker.script(bash("ls", prose="I look.", call_id="c1")).script(say("Done."))
        await ask(tmp_path, worker, tools)
        first_turn, second_turn = worker.requests
        assert [tool.name for tool in first_turn.tools] == ["bash"]
        assert [message.role for message in second_turn.messages] == [
            chat_pb2.ROLE_USER, chat_pb2.ROLE_ASSISTANT, chat_pb2.ROLE_TOOL,
        ]  # fmt: skip
        assistant, result = second_turn.messages[1:]
        assert (assistant.content, assistant.tool_calls[0].id) == ("I look.", "c1")
        assert (result.tool_call_id, result.name, result.content) == ("c1", "bash", "ran ls")

    async def test_usage_and_tokens_sum_all_turns(self, tmp_path: Path) -> None:
        worker, tools = FakeWorker("Zeus"), FakeToolServer()
        worker.script(bash("a")).script(bash("b")).script(say("Done.", tokens=2))
        answer = await ask(tmp_path, worker, tools, voters=1)
        assert (answer.usage.prompt_tokens, answer.usage.cached_tokens) == (60, 15)
        assert answer.usage.completion_tokens == 22
        assert answer.ballots.generated_tokens == 22

    @pytest.mark.parametrize("session", ["chosen", ""])
    async def test_the_tools_session_is_the_requests(self, tmp_path: Path, session: str) -> None:
        worker, tools = FakeWorker("Zeus").script(bash("a")), FakeToolServer()
        worker.script(bash("b")).script(say("Done."))
        await ask(tmp_path, worker, tools, session_id=session)
        sessions = {each.session_id for each in tools.executed}
        assert len(sessions) == 1
        assert sessions == {"chosen"} if session else "" not in sessions

    async def test_each_call_has_a_key_of_its_own(self, tmp_path: Path) -> None:
        worker, tools = FakeWorker("Zeus"), FakeToolServer()
        for turn in (bash("a"), bash("a"), say("Done."), bash("a"), say("Done.")):
            worker.script(turn)
        async with agent_of(tmp_path, worker, tools) as swarm:
            await swarm.decide(asked())
            await swarm.decide(asked())
        keys = [each.idempotency_key for each in tools.executed]
        assert len(keys) == len(set(keys)) == 3
        assert all(16 < len(key) <= 200 for key in keys)

    async def test_a_lost_reply_is_asked_for_again_and_told(self, tmp_path: Path) -> None:
        worker, tools = FakeWorker("Zeus").script(bash("ls")).script(say("Done.")), FakeToolServer()
        tries = 0

        async def lose_the_first(command: str) -> tuple[str, bool]:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise SwarmError(Reason.UNAVAILABLE, "gone")
            return "listed", False

        tools.run = lose_the_first
        answer = await ask(tmp_path, worker, tools)
        assert len(tools.executed) == 2
        assert len({each.idempotency_key for each in tools.executed}) == 1
        assert worker.requests[1].messages[-1].content == "listed"
        assert "reply was lost" in answer.reasoning()

    async def test_a_tools_error_goes_back_to_the_model(self, tmp_path: Path) -> None:
        worker, tools = FakeWorker("Zeus"), FakeToolServer()

        async def fail(command: str) -> tuple[str, bool]:
            return f"{command}: not found", True

        tools.run = fail
        worker.script(bash("sl")).script(say("No such command."))
        answer = await ask(tmp_path, worker, tools)
        assert worker.requests[1].messages[-1].content == "sl: not found"
        assert "✗ sl: not found" in answer.reasoning()

    async def test_what_the_tool_server_refuses_goes_back_to_the_model(self, tmp_path: Path) -> None:
        worker, tools = FakeWorker("Zeus"), FakeToolServer()
        worker.script(call("fly", "{}")).script(say("I cannot fly."))
        answer = await ask(tmp_path, worker, tools, voters=1)
        assert worker.requests[1].messages[-1].content == "Error: there is no tool fly"
        assert answer.content() == "I cannot fly."

    async def test_disagreement_ends_the_loop_in_words(self, tmp_path: Path) -> None:
        worker, tools = FakeWorker("Zeus").script(bash("a"), bash("b"), bash("c")), FakeToolServer()
        answer = await ask(tmp_path, worker, tools)
        assert tools.executed == []
        assert answer.content().startswith("The workers did not agree")


class TestBounds:
    async def test_the_same_call_three_times_in_a_row_ends_it(self, tmp_path: Path) -> None:
        worker, tools = FakeWorker("Zeus").script(bash("ls")), FakeToolServer()
        answer = await ask(tmp_path, worker, tools)
        assert len(tools.executed) == 2
        assert "3 times in a row" in answer.content()
        assert answer.reason() == "stop"

    async def test_it_stops_after_the_configured_turns(self, tmp_path: Path) -> None:
        worker, tools = FakeWorker("Zeus"), FakeToolServer()
        for command in "abcdef":
            worker.script(bash(command))
        async with agent_of(tmp_path, worker, tools, agent_steps=4) as swarm:
            answer = await swarm.decide(asked())
        assert len(worker.requests) == 4
        assert len(tools.executed) == 3
        assert "4 turns" in answer.content()

    async def test_max_tokens_bounds_all_turns_together(self, tmp_path: Path) -> None:
        worker, tools = (
            FakeWorker("Zeus").script(bash("a")).script(bash("b")).script(bash("c")),
            FakeToolServer(),
        )
        answer = await ask(tmp_path, worker, tools, max_tokens=20)
        assert [each.sampling.max_tokens for each in worker.requests] == [20, 10]
        assert answer.reason() == "length"

    async def test_the_configured_tokens_bound_all_turns_together(self, tmp_path: Path) -> None:
        worker, tools = FakeWorker("Zeus"), FakeToolServer()
        for command in "abc":
            worker.script(bash(command))
        async with agent_of(tmp_path, worker, tools, agent_tokens=20) as swarm:
            answer = await swarm.decide(asked(max_tokens=50))
        assert [each.sampling.max_tokens for each in worker.requests] == [20, 10]
        assert answer.reason() == "length"
        assert answer.content() == "I stopped after 20 tokens without a final answer."

    async def test_an_answer_cut_off_is_told(self, tmp_path: Path) -> None:
        worker, tools = FakeWorker("Zeus"), FakeToolServer()
        worker.script([*say("On and")[:1], done(FinishReason.LENGTH)])
        answer = await ask(tmp_path, worker, tools)
        assert (answer.content(), answer.reason()) == ("On and", "length")


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "param"), [({"tools": (BASH,)}, "tools"), ({"choices": 2}, "n")], ids=["tools", "n"]
    )
    async def test_what_an_agent_cannot_honour(
        self, tmp_path: Path, changes: dict[str, Any], param: str
    ) -> None:
        with pytest.raises(SwarmError) as caught:
            await ask(tmp_path, FakeWorker("Zeus"), FakeToolServer(), **changes)
        assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, param)

    async def test_a_grammar_of_the_whole_answer(self, tmp_path: Path) -> None:
        held = asked()
        held.chat.response_format.kind = chat_pb2.ResponseFormat.KIND_GBNF
        held.chat.response_format.grammar = 'root ::= "a"'
        async with agent_of(tmp_path, FakeWorker("Zeus"), FakeToolServer()) as swarm:
            with pytest.raises(SwarmError) as caught:
                await swarm.decide(held)
        assert caught.value.param == "grammar"

    async def test_a_forced_tool(self, tmp_path: Path) -> None:
        forced = asked()
        forced.chat.tool_choice.mode = chat_pb2.ToolChoice.MODE_REQUIRED
        async with agent_of(tmp_path, FakeWorker("Zeus"), FakeToolServer()) as swarm:
            with pytest.raises(SwarmError) as caught:
                await swarm.decide(forced)
        assert caught.value.param == "tool_choice"

    async def test_without_a_tool_server(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus")
        async with worker.running(), swarm_of(tmp_path, worker) as swarm:
            with pytest.raises(SwarmError) as caught:
                await swarm.decide(asked())
        assert caught.value.reason is Reason.TOOL_SERVER_UNAVAILABLE

    async def test_a_tool_server_that_dies_while_it_runs_something(self, tmp_path: Path) -> None:
        worker, tools = FakeWorker("Zeus").script(bash("ls")), FakeToolServer()

        async def hang(_command: str) -> tuple[str, bool]:
            await asyncio.Event().wait()
            raise AssertionError

        tools.run = hang
        async with agent_of(tmp_path, worker, tools, tool_server_wait=0.2) as swarm:
            stream = swarm.stream(asked())
            await first(stream, "reasoning")
            await asyncio.wait_for(tools.running_now.wait(), TIMEOUT)
            await tools.kill()
            with pytest.raises(Exception, match=r"took effect is unknown.*bash.*tool server"):
                await first(stream, "usage")
        assert len(tools.executed) == 1

    async def test_errors_of_the_workers_come_before_the_stream(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus")
        worker.refusal = SwarmError(Reason.QUEUE_FULL, "The queue is full.", retry_after=1.0)
        async with agent_of(tmp_path, worker, FakeToolServer()) as swarm:
            answer = Answer()
            with pytest.raises(SwarmError) as caught:
                await swarm.gather(asked(), answer)
        assert caught.value == worker.refusal
        assert answer.events == []


class TestWaiting:
    async def test_heartbeats_while_a_tool_runs_and_cancel_reaches_it(self, tmp_path: Path) -> None:
        worker, tools = FakeWorker("Zeus").script(bash("ls")), FakeToolServer()

        async def hang(_command: str) -> tuple[str, bool]:
            await asyncio.Event().wait()
            raise AssertionError

        tools.run = hang
        async with agent_of(tmp_path, worker, tools, heartbeat=0.05) as swarm:
            stream = swarm.stream(asked())
            await asyncio.wait_for(tools.running_now.wait(), TIMEOUT)
            await first(stream, "reasoning")
            event, _ = await first(stream, "heartbeat")
            assert event.heartbeat.waiting_for == "the tool bash"
            stream.cancel()
            await asyncio.wait_for(tools.cancelled.wait(), 0.5)

    async def test_heartbeats_while_the_answer_is_held_back(self, tmp_path: Path) -> None:
        never = asyncio.Event()
        worker, tools = FakeWorker("Zeus").script(say("Maybe", wait=never)), FakeToolServer()
        async with agent_of(tmp_path, worker, tools, heartbeat=0.05) as swarm:
            stream = swarm.stream(asked())
            _, before = await first(stream, "heartbeat")
            assert before == ["accepted"]
            stream.cancel()
            await asyncio.wait_for(worker.cancelled.wait(), 0.5)
