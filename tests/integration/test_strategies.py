"""Strategies by request: over real gRPC among fake workers, and from the gateway's body and headers down."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from services.common.chat import ContentDelta, FinishReason, TokenLogprob, TokenLogprobs
from services.common.errors import Reason, SwarmError
from services.consensus.strategies.catalogue import CATALOGUE
from swarm.consensus.v1 import consensus_pb2
from tests.fakes.consensus import FakeConsensus
from tests.fakes.gateway import gateway
from tests.fakes.swarm import BASH, READ, TIMEOUT, Answer, first, request, session_led_by, swarm_of
from tests.fakes.worker import FakeWorker, Step, bash, done, say, think


async def ask(home: Path, worker: FakeWorker, **asked: Any) -> Answer:
    async with worker.running(), swarm_of(home, worker) as swarm:
        return await swarm.decide(request(**{"tools": (), **asked}))


def saying(*texts: str) -> FakeWorker:
    return FakeWorker("Zeus").script(*(say(text) for text in texts))


class TestWords:
    async def test_the_most_frequent_final_answer_wins_over_the_leaders(self, tmp_path: Path) -> None:
        worker = saying("I guess the answer is 41.", "Six by seven: the answer is 42.", "Answer: 42")
        answer = await ask(tmp_path, worker, strategy="majority")
        assert answer.content() in ("Six by seven: the answer is 42.", "Answer: 42")
        assert answer.kinds() == ["accepted", "content", "candidate_finished", "ballots", "usage"]
        told = answer.ballots
        assert (told.strategy, told.early_stop, told.decided) == ("majority", "lossless", True)
        assert (told.candidates, told.clusters, told.generated_tokens) == (3, 2, 3)
        assert told.agreement == pytest.approx(2 / 3)
        assert 0 < told.confidence < 1
        assert [ballot.won for ballot in told.ballots] == [False, True, True]
        assert [(ballot.kind, ballot.summary, ballot.tokens) for ballot in told.ballots] == [
            ("words", "41", 1), ("words", "42", 1), ("words", "42", 1),
        ]  # fmt: skip
        assert told.ballots[1].key == told.ballots[2].key != told.ballots[0].key
        assert answer.usage.completion_tokens == 1

    async def test_nothing_is_shown_before_it_is_decided_but_that_it_goes_on(self, tmp_path: Path) -> None:
        gate = asyncio.Event()
        worker = FakeWorker("Zeus").script(
            [think("Hm."), *say("The answer is 1.")],
            [think("Well."), *say("The answer is 2.", wait=gate)],
            [think("Well."), *say("The answer is 2.", wait=gate)],
        )
        async with worker.running(), swarm_of(tmp_path, worker, heartbeat=0.05) as swarm:
            stream = swarm.stream(request((), strategy="majority"))
            _, before = await first(stream, "heartbeat")
            assert before == ["accepted"]
            gate.set()
            event, before = await first(stream, "reasoning")
            assert event.chat.reasoning.text == "Well."
            assert set(before) <= {"heartbeat"}
            event, _ = await first(stream, "content")
            assert event.chat.content.text == "The answer is 2."

    async def test_the_vote_ends_early_and_stops_the_others(self, tmp_path: Path) -> None:
        never = asyncio.Event()
        quick = FakeWorker("Zeus").script(say("Answer: 1"))
        slow = FakeWorker("Hera").script(say("Answer: 2", wait=never))
        async with quick.running(), slow.running(), swarm_of(tmp_path, quick, slow) as swarm:
            session = session_led_by(quick, slow)
            answer = await swarm.decide(request((), strategy="fastest", voters=2, session_id=session))
            async with asyncio.timeout(5):
                await slow.cancelled.wait()
        assert answer.content() == "Answer: 1"
        # Stopped is not lost.
        assert list(answer.ballots.lost_workers) == []
        assert answer.ballots.ballots[1].summary.startswith("stopped")

    @pytest.mark.parametrize(("stop", "heard"), [("beta_95", 4), ("unanimous_w", 3)])
    async def test_a_rule_by_request_stops_before_it_is_certain(
        self, tmp_path: Path, stop: str, heard: int
    ) -> None:
        never = asyncio.Event()
        answers = [say("Answer: 1")] * heard + [say("Answer: 2", wait=never)] * (9 - heard)
        worker = FakeWorker("Zeus").script(*answers)
        answer = await ask(tmp_path, worker, strategy="majority", voters=9, early_stop=stop)
        assert answer.ballots.early_stop == stop
        assert [ballot.won for ballot in answer.ballots.ballots] == [True] * heard + [False] * (9 - heard)

    async def test_a_lost_voter_is_named_and_still_counts(self, tmp_path: Path) -> None:
        workers = [FakeWorker(name) for name in ("Zeus", "Hera", "Ares")]
        gate = asyncio.Event()
        workers[0].script(say("Answer: 1", wait=gate))
        workers[1].script([SwarmError(Reason.QUEUE_FULL, "full")])
        workers[2].script(say("Answer: 1", wait=gate))
        async with contextlib.AsyncExitStack() as stack:
            for worker in workers:
                await stack.enter_async_context(worker.running())
            async with swarm_of(tmp_path, *workers, heartbeat=0.05) as swarm:
                asked = request((), strategy="majority", session_id=session_led_by(*workers))
                answer = Answer()
                async with asyncio.TaskGroup() as tasks:
                    beat = asyncio.Event()
                    tasks.create_task(swarm.gather(asked, answer, after=("heartbeat", beat)))
                    await workers[1].asked.wait()
                    await beat.wait()
                    gate.set()
        assert answer.content() == "Answer: 1"
        assert list(answer.ballots.lost_workers) == ["Hera"]
        assert answer.ballots.agreement == pytest.approx(2 / 3)
        assert {ballot.kind for ballot in answer.ballots.ballots} == {"words", "lost"}


class TestCalls:
    @pytest.mark.parametrize("strategy", ["majority", "weighted_majority", "mbr", "tool_vote"])
    async def test_a_call_needs_its_quorum(self, tmp_path: Path, strategy: str) -> None:
        worker = FakeWorker("Zeus").script(bash("a"), bash("a"), bash("a"), bash("b"), bash("c"))
        answer = await ask(tmp_path, worker, tools=(READ, BASH), strategy=strategy, voters=5)
        assert (answer.ballots.quorum, answer.ballots.round) == (4, 2)
        assert not answer.chat("tool_call_started")
        assert "did not agree" in answer.content()

    async def test_the_majoritys_call_wins_and_the_leaders_prose_is_not_shown(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(
            bash("rm x", prose="I tidy up."), bash("ls", prose="I look."), bash("ls", logprob=-9.0)
        )
        answer = await ask(tmp_path, worker, tools=(BASH,), strategy="majority")
        assert [(name, arguments) for _, name, arguments in answer.calls()] == [("bash", '{"command": "ls"}')]
        assert answer.content() == "I look."

    async def test_the_leaders_call_stands_alone_where_that_was_asked_for(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(bash("a"), bash("b"), bash("c"))
        answer = await ask(tmp_path, worker, tools=(BASH,), strategy="leader_veto")
        assert answer.calls()[0][2] == '{"command": "a"}'
        assert answer.ballots.agreement == pytest.approx(1 / 3)


class TestConfidence:
    async def test_the_least_sure_stretch_counts_and_is_not_shown(self, tmp_path: Path) -> None:
        def told(text: str, logprob: float) -> list[Step]:
            return [
                TokenLogprobs(0, (TokenLogprob(b"x", logprob),)),
                ContentDelta(0, text),
                done(FinishReason.STOP, 1),
            ]

        worker = FakeWorker("Zeus").script(
            told("Answer: 1", -5.0), told("Answer: 1", -6.0), told("Answer: 2", -0.1), told("Answer: 2", -0.2)
        )
        answer = await ask(tmp_path, worker, strategy="confidence", voters=4)
        assert answer.content() == "Answer: 2"
        assert worker.requests[0].sampling.top_logprobs == 0
        assert worker.requests[0].sampling.HasField("top_logprobs")
        assert "token_logprobs" not in answer.kinds()


class TestChoice:
    async def test_the_best_workers_answer_streams_without_a_vote(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(bash("ls"))
        answer = await ask(
            tmp_path, worker, tools=(BASH,), strategy="best_worker", voters=5, early_stop="beta_95"
        )
        assert worker.requests[0].candidates in (0, 1)
        assert (answer.ballots.strategy, answer.ballots.candidates) == ("best_worker", 1)
        assert answer.ballots.agreement == 1

    @pytest.mark.parametrize(
        ("asked", "param"),
        [({"strategy": "oracle"}, "swarm.strategy"), ({"early_stop": "x"}, "swarm.early_stop")],
    )
    async def test_what_is_not_known_is_refused_before_anybody_is_asked(
        self, tmp_path: Path, asked: dict[str, str], param: str
    ) -> None:
        worker = saying("x")
        with pytest.raises(SwarmError) as caught:
            await ask(tmp_path, worker, **asked)
        assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, param)
        assert not worker.requests

    @pytest.mark.parametrize("strategy", sorted(CATALOGUE))
    async def test_every_strategy_answers(self, tmp_path: Path, strategy: str) -> None:
        answer = await ask(tmp_path, saying("Answer: 1"), strategy=strategy)
        assert answer.content() == "Answer: 1"
        assert (answer.ballots.strategy, answer.ballots.decided) == (strategy, True)


class TestGateway:
    async def post(
        self, home: Path, worker: FakeWorker, swarm_options: Any = None, stream: bool = False, **headers: str
    ) -> Any:
        body: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "6 * 7?"}]}
        body |= {"swarm": swarm_options} if swarm_options is not None else {}
        body |= {"stream": True} if stream else {}
        async with (
            worker.running(),
            swarm_of(home, worker) as swarm,
            gateway(swarm.address, FakeConsensus()) as up,
        ):
            return await up.post(body, headers=headers)

    async def test_the_body_chooses_and_the_answer_tells_how_it_was_decided(self, tmp_path: Path) -> None:
        worker = saying("Answer: 1", "Answer: 2", "Answer: 2", "Answer: 2", "Answer: 2")
        options = {"strategy": "majority", "voters": 5, "early_stop": "beta_95"}
        response = await self.post(tmp_path, worker, options)
        about = response.json()["swarm"]
        assert response.json()["choices"][0]["message"]["content"] == "Answer: 2"
        assert (about["strategy"], about["early_stop"], about["candidates"]) == ("majority", "beta_95", 5)
        assert (about["clusters"], about["lost_workers"]) == (2, [])
        assert about["agreement"] >= 0.6
        headers = response.headers
        assert headers["x-swarm-strategy"] == "majority"
        assert (headers["x-swarm-candidates"], headers["x-swarm-clusters"]) == ("5", "2")
        assert float(headers["x-swarm-agreement"]) == pytest.approx(about["agreement"], abs=1e-3)
        assert float(headers["x-swarm-confidence"]) == pytest.approx(about["confidence"], abs=1e-3)
        assert headers["x-swarm-generated-tokens"] == str(about["generated_tokens"])
        assert headers["x-swarm-lost-workers"] == "0"

    async def test_the_header_chooses_where_the_body_does_not(self, tmp_path: Path) -> None:
        chosen = {"x-swarm-strategy": "mbr"}
        response = await self.post(tmp_path, saying("a"), **chosen)
        assert response.json()["swarm"]["strategy"] == "mbr"
        response = await self.post(tmp_path, saying("a"), {"strategy": "fastest"}, **chosen)
        assert response.json()["swarm"]["strategy"] == "fastest"

    async def test_a_stream_tells_it_with_its_end(self, tmp_path: Path) -> None:
        response = await self.post(tmp_path, saying("a"), {"strategy": "majority"}, stream=True)
        chunks = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: {")]
        assert chunks[-1]["swarm"]["strategy"] == "majority"

    @pytest.mark.parametrize("stream", [False, True])
    async def test_an_unknown_one_is_a_400_that_lists_the_known(self, tmp_path: Path, stream: bool) -> None:
        response = await self.post(tmp_path, saying("a"), stream=stream, **{"x-swarm-strategy": "oracle"})
        error = response.json()["error"]
        assert (response.status_code, error["param"]) == (400, "swarm.strategy")
        assert all(name in error["message"] for name in CATALOGUE)


class TestDecisions:
    async def test_whoever_looks_on_sees_the_last_decisions(self, tmp_path: Path) -> None:
        worker = saying("Answer: 1", "Answer: 2", "Answer: 2")
        async with worker.running(), swarm_of(tmp_path, worker) as swarm:
            await swarm.decide(request((), strategy="majority"))
            await swarm.decide(request((), strategy="mbr"))
            asked = consensus_pb2.ListDecisionsRequest()
            listed = await swarm.consensus.ListDecisions(asked, timeout=TIMEOUT)
            asked.limit = 1
            one = await swarm.consensus.ListDecisions(asked, timeout=TIMEOUT)
        assert [each.ballots.strategy for each in listed.decisions] == ["mbr", "majority"]
        assert [each.ballots.strategy for each in one.decisions] == ["mbr"]
        first_asked = listed.decisions[1]
        assert (first_asked.model, first_asked.ballots.clusters) == ("tiny", 2)
        assert len(first_asked.request_id) > 0
        assert first_asked.seconds >= 0
