"""The consensus service over real gRPC among fake workers: votes, streaming, choices, models."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from services.common.chat import FinishReason, ToolCallArguments, ToolCallStarted
from services.common.errors import Reason, SwarmError
from services.common.grpc_errors import from_rpc_error
from swarm.inference.v1 import inference_pb2
from tests.fakes.swarm import TIMEOUT, Answer, Swarm, first, request, session_led_by, swarm_of
from tests.fakes.worker import FakeWorker, bash, call, done, say, think

CALL_EVENTS = ["tool_call_started", "tool_call_arguments", "tool_call_ended"]


async def ask(home: Path, worker: FakeWorker, **asked: Any) -> Answer:
    async with worker.running(), swarm_of(home, worker) as swarm:
        return await swarm.decide(request(**asked))


class TestVote:
    async def test_the_leaders_call_stands_when_the_majority_agrees(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(
            bash("ls", prose="Let me see.", call_id="leader"), bash("rm x"), bash("ls", call_id="other")
        )
        answer = await ask(tmp_path, worker)
        assert answer.kinds() == [
            "accepted", "content", *CALL_EVENTS, "candidate_finished", "ballots", "usage",
        ]  # fmt: skip
        assert answer.calls() == [("leader", "bash", '{"command": "ls"}')]
        assert answer.content() == "Let me see."
        assert answer.reason() == "tool_calls"
        assert [request.candidates for request in worker.requests] == [3]

    async def test_ballots_and_usage_say_who_voted_for_what_and_count_once(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(bash("ls"), bash("rm x"), bash("ls", logprob=-20.0))
        answer = await ask(tmp_path, worker)
        ballots = answer.ballots
        assert (ballots.strategy, ballots.quorum, ballots.decided, ballots.round) == ("tool_vote", 2, True, 1)
        assert [ballot.candidate for ballot in ballots.ballots] == [0, 1, 2]
        assert [ballot.won for ballot in ballots.ballots] == [True, False, True]
        assert {ballot.worker for ballot in ballots.ballots} == {"Zeus"}
        keys = [ballot.key for ballot in ballots.ballots]
        assert keys[0] == keys[2] != keys[1]
        assert len(keys[0]) == 64
        assert ballots.ballots[0].summary == 'bash {"command": "ls"}'
        assert ballots.ballots[2].mean_logprob == pytest.approx(-2.0)
        assert ballots.generated_tokens == 30
        assert (answer.usage.prompt_tokens, answer.usage.cached_tokens) == (20, 5)
        assert answer.usage.completion_tokens == 10

    async def test_the_majoritys_call_wins_over_the_leaders(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(
            bash("rm x", prose="I will tidy up."),
            bash("ls", call_id="unsure", logprob=-9.0),
            bash("ls", call_id="sure", prose="I look.", logprob=-1.0),
        )
        answer = await ask(tmp_path, worker)
        assert answer.calls() == [("sure", "bash", '{"command": "ls"}')]
        assert answer.content() == "I will tidy up."
        assert answer.usage.completion_tokens == 20

    async def test_a_call_follows_the_leaders_prose_when_the_majority_wants_one(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(say("All", " done."), bash("ls"), bash("ls"))
        answer = await ask(tmp_path, worker)
        assert answer.content() == "All done."
        assert len(answer.calls()) == 1
        assert answer.reason() == "tool_calls"
        assert answer.kinds().index("tool_call_started") > max(
            place for place, kind in enumerate(answer.kinds()) if kind == "content"
        )

    async def test_words_win_and_the_leaders_call_is_never_shown(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(bash("rm x", prose="Hm."), say("Nothing to do."), say("Fine."))
        answer = await ask(tmp_path, worker)
        assert not answer.chat("tool_call_started")
        assert answer.content() in ("Hm.\n\nNothing to do.", "Hm.\n\nFine.")
        assert answer.reason() == "stop"

    async def test_the_leaders_prose_stands_when_the_majority_answers_in_words(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(say("Mine."), say("Other."), bash("ls"))
        answer = await ask(tmp_path, worker)
        assert answer.content() == "Mine."
        assert answer.usage.completion_tokens == 1

    async def test_without_quorum_a_second_round_with_fresh_seeds_decides(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(bash("ls a"), bash("ls b"), bash("ls c"))
        worker.script(bash("ls d"), bash("pwd", call_id="agreed"), bash("pwd", logprob=-9.0))
        answer = await ask(tmp_path, worker, seed=100)
        assert answer.calls() == [("agreed", "bash", '{"command": "pwd"}')]
        assert [request.sampling.seed for request in worker.requests] == [100, 103]
        assert (answer.ballots.round, answer.ballots.decided) == (2, True)
        assert [ballot.candidate for ballot in answer.ballots.ballots] == list(range(6))
        assert [ballot.won for ballot in answer.ballots.ballots] == [False] * 4 + [True] * 2
        assert answer.ballots.generated_tokens == 60
        assert answer.usage.prompt_tokens == 20

    async def test_without_agreement_in_two_rounds_the_answer_is_words_and_no_call(
        self, tmp_path: Path
    ) -> None:
        worker = FakeWorker("Zeus").script(say("Streamed."), bash("b"), bash("c"))
        worker.script(bash("b"), bash("d"), call("nonsense", "{}"))
        answer = await ask(tmp_path, worker)
        assert not answer.chat("tool_call_started")
        assert answer.reason() == "stop"
        assert answer.content().startswith("Streamed.\n\nThe workers did not agree")
        for proposal in ('2 × bash {"command": "b"}', '1 × bash {"command": "c"}', "an answer in words"):
            assert proposal in answer.content()
        assert not answer.ballots.decided
        assert not any(ballot.won for ballot in answer.ballots.ballots)

    async def test_invalid_calls_do_not_vote_for_a_call(self, tmp_path: Path) -> None:
        broken = call("bash", '{"cmd": "ls"}')
        worker = FakeWorker("Zeus").script(broken, broken, bash("ls"))
        worker.script(bash("ls", call_id="valid"), bash("ls"), broken)
        answer = await ask(tmp_path, worker)
        assert answer.calls() == [("valid", "bash", '{"command": "ls"}')]
        assert answer.ballots.round == 2
        assert answer.ballots.ballots[0].summary.startswith("invalid: bash")

    async def test_being_cut_off_is_told_when_it_wins(self, tmp_path: Path) -> None:
        cut = [
            ToolCallStarted(0, 0, "x", "bash"),
            ToolCallArguments(0, 0, '{"comm'),
            done(FinishReason.LENGTH),
        ]
        answer = await ask(tmp_path, FakeWorker("Zeus").script(cut, cut, bash("ls")))
        assert answer.reason() == "length"
        assert not answer.chat("tool_call_started")

    async def test_prose_cut_off_by_length_is_told(self, tmp_path: Path) -> None:
        cut = [*say("On and on")[:-1], done(FinishReason.LENGTH)]
        answer = await ask(tmp_path, FakeWorker("Zeus").script(cut, say("Done."), bash("ls")))
        assert (answer.content(), answer.reason()) == ("On and on", "length")

    async def test_the_quorum_of_five_is_four(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(bash("a"), bash("a"), bash("a"), bash("b"), bash("b"))
        worker.script(bash("a"), bash("a"), bash("a"), bash("a"), bash("b"))
        answer = await ask(tmp_path, worker, voters=5)
        assert (answer.ballots.quorum, answer.ballots.round) == (4, 2)


class TestStreaming:
    async def test_prose_and_reasoning_stream_before_the_votes_are_in(self, tmp_path: Path) -> None:
        gate = asyncio.Event()
        leader = [think("hm"), *say("Hel", "lo", wait=gate)]
        worker = FakeWorker("Zeus").script(leader, say("x", wait=gate), bash("ls", wait=gate))
        async with worker.running(), swarm_of(tmp_path, worker) as swarm:
            stream = swarm.stream(request())
            event, before = await first(stream, "content")
            assert event.chat.content.text == "Hel"
            assert before == ["accepted", "reasoning"]
            gate.set()
            _, before = await first(stream, "usage")
            assert before == ["content", "candidate_finished", "ballots"]

    async def test_calls_are_withheld_until_the_vote_has_ended(self, tmp_path: Path) -> None:
        gate = asyncio.Event()
        worker = FakeWorker("Zeus").script(bash("ls"), bash("ls", wait=gate), bash("ls", wait=gate))
        async with worker.running(), swarm_of(tmp_path, worker, heartbeat=0.05) as swarm:
            stream = swarm.stream(request())
            event, before = await first(stream, "heartbeat")
            assert before == ["accepted"]
            assert event.heartbeat.waiting_for == "votes, 1 of 3 are in"
            gate.set()
            _, before = await first(stream, "tool_call_started")
            assert set(before) <= {"heartbeat"}

    async def test_the_last_vote_is_not_waited_for_and_its_work_is_cancelled(self, tmp_path: Path) -> None:
        slow = FakeWorker("Slow").script(bash("rm x", wait=asyncio.Event()))
        fast = FakeWorker("Fast").script(bash("ls"))
        async with slow.running(), fast.running(), swarm_of(tmp_path, slow, fast) as swarm:
            # Two of three candidates are on the worker that leads.
            answer = await swarm.decide(request(session_id=session_led_by(fast, slow)))
            assert len(answer.calls()) == 1
            await asyncio.wait_for(slow.cancelled.wait(), 0.5)
        stopped = answer.ballots.ballots[2]
        assert (stopped.worker, stopped.won) == ("Slow", False)
        assert stopped.summary == "stopped, the vote was decided"

    async def test_a_vote_that_ends_the_call_early_still_tells_what_was_cached(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(bash("ls"), bash("ls"), bash("rm x", wait=asyncio.Event()))
        worker.tells_prefill = True
        answer = await ask(tmp_path, worker)
        assert (answer.usage.prompt_tokens, answer.usage.cached_tokens) == (20, 5)

    async def test_votes_that_are_too_late_are_lost(self, tmp_path: Path) -> None:
        never = asyncio.Event()
        worker = FakeWorker("Zeus").script(bash("ls"), bash("ls", wait=never), bash("ls", wait=never))
        worker.script(bash("ls"), bash("ls"), bash("x"))
        async with worker.running(), swarm_of(tmp_path, worker, round_timeout=0.1) as swarm:
            answer = await swarm.decide(request())
        assert (answer.ballots.round, answer.ballots.quorum, answer.ballots.decided) == (2, 2, True)
        assert [ballot.summary for ballot in answer.ballots.ballots[1:3]] == ["lost", "lost"]

    async def test_one_candidate_streams_a_call_that_a_grammar_holds_as_it_comes(
        self, tmp_path: Path
    ) -> None:
        gate = asyncio.Event()
        answer = [
            ToolCallStarted(0, 0, "c", "bash"),
            ToolCallArguments(0, 0, '{"command'),
            gate,
            *bash("ls")[2:],
        ]
        worker = FakeWorker("Zeus").script(answer)
        worker.constrained = True
        async with worker.running(), swarm_of(tmp_path, worker, heartbeat=0.05) as swarm:
            stream = swarm.stream(request(temperature=0.0))
            event, before = await first(stream, "tool_call_arguments")
            assert event.chat.tool_call_arguments.fragment == '{"command'
            assert before == ["accepted", "tool_call_started"]
            await first(stream, "heartbeat")
            gate.set()
            await first(stream, "usage")
        assert worker.requests[0].candidates == 1

    async def test_a_client_that_leaves_frees_the_workers_within_half_a_second(self, tmp_path: Path) -> None:
        never = asyncio.Event()
        workers = [FakeWorker(name).script(say("Hel", wait=never)) for name in ("Zeus", "Hera")]
        async with workers[0].running(), workers[1].running(), swarm_of(tmp_path, *workers) as swarm:
            stream = swarm.stream(request())
            await first(stream, "content")
            for worker in workers:
                await asyncio.wait_for(worker.asked.wait(), TIMEOUT)
            started = time.monotonic()
            stream.cancel()
            for worker in workers:
                await asyncio.wait_for(worker.cancelled.wait(), 0.5)
            assert time.monotonic() - started < 0.5
        assert [worker.cancels for worker in workers] == [1, 1]


class TestHowMany:
    @pytest.mark.parametrize(
        ("asked", "candidates"),
        [
            ({}, 3),
            ({"voters": 5}, 5),
            ({"voters": 1}, 1),
            ({"tools": ()}, 1),
            ({"tools": (), "voters": 2}, 2),
            ({"temperature": 0.0}, 1),
            ({"top_k": 1}, 1),
            ({"temperature": 0.0, "choices": 2}, 2),
            ({"choices": 4}, 4),
        ],
    )
    async def test_candidates(self, tmp_path: Path, asked: dict[str, Any], candidates: int) -> None:
        worker = FakeWorker("Zeus").script(say("Yes."))
        await ask(tmp_path, worker, **asked)
        assert [request.candidates for request in worker.requests] == [candidates]

    async def test_every_choice_is_an_answer_and_is_counted(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(say("One.", tokens=4), bash("ls"), bash("rm x"))
        answer = await ask(tmp_path, worker, choices=3)
        assert answer.content(0) == "One."
        assert [answer.reason(choice) for choice in range(3)] == ["stop", "tool_calls", "tool_calls"]
        assert answer.calls(2)[0][2] == '{"command": "rm x"}'
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (20, 24)
        assert answer.ballots.strategy == "best_worker"
        assert [ballot.won for ballot in answer.ballots.ballots] == [True] * 3
        assert answer.kinds()[-2:] == ["ballots", "usage"]

    async def test_voters_are_spread_with_one_call_and_one_seed_range_a_worker(self, tmp_path: Path) -> None:
        workers = [FakeWorker(name).script(bash("ls")) for name in ("Zeus", "Hera")]
        async with workers[0].running(), workers[1].running(), swarm_of(tmp_path, *workers) as swarm:
            answer = await swarm.decide(request(seed=10))
        asked = [(each.candidates, each.sampling.seed) for worker in workers for each in worker.requests]
        assert sorted(asked) == [(1, 12), (2, 10)]
        assert {ballot.worker for ballot in answer.ballots.ballots} == {"Zeus", "Hera"}
        assert answer.usage.prompt_tokens == 20

    async def test_the_least_loaded_worker_is_asked(self, tmp_path: Path) -> None:
        gate = asyncio.Event()
        zeus = FakeWorker("Zeus").script(say("z")).script(say("z")).script(say("z", wait=gate))
        hera = FakeWorker("Hera").script(say("h"))
        async with zeus.running(), hera.running(), swarm_of(tmp_path, zeus, hera) as swarm:
            asked = request(tools=(), session_id=session_led_by(zeus, hera))
            for _ in range(2):
                assert (await swarm.decide(asked)).content() == "z"
            stream = swarm.stream(asked)
            await first(stream, "content")
            assert (await swarm.decide(asked)).content() == "h"
            gate.set()
            await first(stream, "usage")

    @pytest.mark.parametrize(
        ("asked", "param"),
        [
            ({"choices": 99}, "n"),
            ({"choices": -1}, "n"),
            ({"voters": -1}, "voters"),
            ({"voters": 99}, "voters"),
        ],
    )
    async def test_numbers_out_of_range_are_refused(
        self, tmp_path: Path, asked: dict[str, Any], param: str
    ) -> None:
        with pytest.raises(SwarmError) as caught:
            await ask(tmp_path, FakeWorker("Zeus").script(say("Yes.")), **asked)
        assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, param)


class TestModels:
    async def test_the_swarms_names_stand_for_the_routed_model(self, tmp_path: Path) -> None:
        small, large = FakeWorker("Zeus", "tiny", 2048), FakeWorker("Hera", "big", 8192)
        large.script(say("Yes."))
        async with small.running(), large.running(), swarm_of(tmp_path, small, large) as swarm:
            models = [(model.id, model.context_length) for model in await swarm.models()]
            answer = await swarm.decide(request(model="local-swarm", tools=()))
        assert models == [("local-swarm", 8192), ("local-swarm-agent", 8192), ("big", 8192), ("tiny", 2048)]
        assert answer.chat("accepted")[0].model == "big"
        assert large.requests[0].model == "big"

    async def test_without_a_worker_nothing_is_offered(self, tmp_path: Path) -> None:
        async with swarm_of(tmp_path) as swarm:
            assert await swarm.models() == []


class TestAsWorker:
    async def chat(self, swarm: Swarm, candidates: int, model: str = "tiny") -> list[inference_pb2.ChatEvent]:
        asked = request(model=model).chat
        asked.candidates = candidates
        return [event async for event in swarm.inference.Chat(asked, timeout=TIMEOUT)]

    async def test_one_candidate_is_the_swarms_decision(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(bash("rm x"), bash("ls"), bash("ls"))
        async with worker.running(), swarm_of(tmp_path, worker) as swarm:
            events = await self.chat(swarm, 1)
        kinds = [event.WhichOneof("event") for event in events]
        assert kinds == ["accepted", *CALL_EVENTS, "candidate_finished", "usage"]
        assert events[2].tool_call_arguments.fragment == '{"command": "ls"}'

    async def test_several_candidates_are_as_many_answers(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(say("a"), say("b"))
        async with worker.running(), swarm_of(tmp_path, worker) as swarm:
            events = await self.chat(swarm, 2)
        texts = {event.candidate: event.content.text for event in events if event.HasField("content")}
        assert texts == {0: "a", 1: "b"}

    async def test_the_agent_is_no_workers_model(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(say("a"))
        async with worker.running(), swarm_of(tmp_path, worker) as swarm:
            with pytest.raises(Exception) as caught:
                await self.chat(swarm, 1, "local-swarm-agent")
            offered = await swarm.inference.ListModels(inference_pb2.ListModelsRequest(), timeout=TIMEOUT)
        assert from_rpc_error(caught.value).reason is Reason.MODEL_NOT_FOUND
        assert [model.id for model in offered.models] == ["local-swarm", "tiny"]

    async def test_its_status_is_the_sum_of_the_workers(self, tmp_path: Path) -> None:
        workers = [FakeWorker("Zeus", slots=4), FakeWorker("Hera", slots=3)]
        for index, worker in enumerate(workers):
            worker.status.step_seconds.decode = 1.5 + index
            worker.status.choices.threads = 2
        workers[1].status.disk.bytes_used = 100
        async with workers[0].running(), workers[1].running(), swarm_of(tmp_path, *workers) as swarm:
            status = await swarm.inference.GetStatus(inference_pb2.GetStatusRequest(), timeout=TIMEOUT)
        assert (status.worker, status.slots_total, status.slots_busy) == ("local-swarm", 7, 2)
        assert (status.step_seconds.decode, status.disk.bytes_used) == (4.0, 100)
        # What each machine chose adds up to nothing; a tier that nobody has is not told.
        assert not status.HasField("choices")
        assert not status.HasField("ram")
