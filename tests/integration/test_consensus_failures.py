"""What happens when workers, discovery or requests go wrong, over real gRPC among fakes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.common.chat import Tool, ToolCallStarted
from services.common.errors import Reason, SwarmError, context_length_exceeded, invalid
from tests.fakes.swarm import TIMEOUT, Answer, Swarm, first, request, session_led_by, swarm_of
from tests.fakes.worker import Crash, FakeWorker, bash, say, think


async def refused(swarm: Swarm, **asked: Any) -> SwarmError:
    """The error of a decision that must fail before its first event."""
    answer = Answer()
    with pytest.raises(SwarmError) as caught:
        await swarm.gather(request(**asked), answer)
    assert answer.events == []
    return caught.value


class TestBeforeTheStream:
    @pytest.mark.parametrize("voters", [1, 3])
    @pytest.mark.parametrize(
        "error",
        [
            context_length_exceeded(5000, 4096),
            invalid("messages[0].role", "expected user"),
            SwarmError(Reason.QUEUE_FULL, "The queue is full.", retry_after=3.0),
        ],
        ids=lambda error: error.reason,
    )
    async def test_what_the_worker_refuses_is_told_as_it_said_it(
        self, tmp_path: Path, error: SwarmError, voters: int
    ) -> None:
        worker = FakeWorker("Zeus")
        worker.refusal = error
        async with worker.running(), swarm_of(tmp_path, worker) as swarm:
            told = await refused(swarm, voters=voters)
        assert told == error

    async def test_an_unknown_model_names_the_known_ones(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus")
        async with worker.running(), swarm_of(tmp_path, worker) as swarm:
            told = await refused(swarm, model="gpt-5")
        assert (told.reason, told.param) == (Reason.MODEL_NOT_FOUND, "model")
        assert "local-swarm, local-swarm-agent, tiny" in told.message

    async def test_without_a_worker_it_says_so_at_once(self, tmp_path: Path) -> None:
        async with swarm_of(tmp_path) as swarm, asyncio.timeout(2.0):
            told = await refused(swarm)
        assert (told.reason, told.retry_after) == (Reason.NO_WORKER, 2.0)

    @pytest.mark.parametrize("schema", ["{", "[]", '{"type": "strin"}', '{"$ref": "http://127.0.0.1/x"}'])
    async def test_a_tool_whose_schema_is_none_is_refused_by_name(self, tmp_path: Path, schema: str) -> None:
        worker = FakeWorker("Zeus")
        async with worker.running(), swarm_of(tmp_path, worker) as swarm:
            told = await refused(swarm, tools=(Tool("ok"), Tool("bad", "", schema)))
        assert (told.reason, told.param) == (Reason.INVALID_FIELD, "tools[1].function.parameters")
        assert "'bad'" in told.message

    async def test_a_full_worker_leaves_the_request_to_another(self, tmp_path: Path) -> None:
        full, free = FakeWorker("Full"), FakeWorker("Free").script(say("Yes."))
        full.refusal = SwarmError(Reason.QUEUE_FULL, "The queue is full.")
        async with full.running(), free.running(), swarm_of(tmp_path, full, free) as swarm:
            answer = await swarm.decide(request(tools=(), session_id=session_led_by(full, free)))
        assert answer.content() == "Yes."
        assert len(full.requests) == 1

    async def test_a_leader_that_refuses_is_succeeded_by_another_voter(self, tmp_path: Path) -> None:
        full, free = FakeWorker("Full"), FakeWorker("Free").script(bash("ls", prose="Let me see."))
        full.refusal = SwarmError(Reason.QUEUE_FULL, "The queue is full.")
        async with full.running(), free.running(), swarm_of(tmp_path, full, free) as swarm:
            session = session_led_by(free, full)
            answer = await swarm.decide(request(session_id=session))
            assert answer.ballots.round == 1
            # The other way round two votes are lost; the second round leaves the full worker out.
            answer = await swarm.decide(request(seed=0, session_id=session_led_by(full, free)))
        assert answer.kinds()[0] == "accepted"
        assert (answer.ballots.round, answer.ballots.decided) == (2, True)
        assert [ballot.summary for ballot in answer.ballots.ballots[:2]] == ["lost", "lost"]
        assert [(each.candidates, each.sampling.seed) for each in free.requests[1:]] == [(1, 2), (3, 3)]


class TestWorkerLost:
    async def test_a_lost_worker_loses_its_vote_and_the_quorum_stays(self, tmp_path: Path) -> None:
        dying = FakeWorker("Dying").script([think("hm"), Crash()])
        living = FakeWorker("Living").script(bash("ls"))
        async with dying.running(), living.running(), swarm_of(tmp_path, dying, living) as swarm:
            answer = await swarm.decide(request(session_id=session_led_by(living, dying)))
        assert len(answer.calls()) == 1
        assert (answer.ballots.quorum, answer.ballots.round) == (2, 1)

    async def test_two_votes_that_differ_do_not_win_because_the_third_is_lost(self, tmp_path: Path) -> None:
        dying = FakeWorker("Dying").script([Crash()])
        living = FakeWorker("Living").script(bash("a"), bash("b"))
        living.script(bash("a"), bash("b"), bash("c"))
        async with dying.running(), living.running(), swarm_of(tmp_path, dying, living) as swarm:
            answer = await swarm.decide(request(session_id=session_led_by(living, dying)))
        assert not answer.chat("tool_call_started")
        assert not answer.ballots.decided

    async def test_a_leader_lost_before_it_spoke_is_succeeded_by_another_candidate(
        self, tmp_path: Path
    ) -> None:
        dying = FakeWorker("Dying").script([think("hm"), Crash()])
        living = FakeWorker("Living").script(say("Here I am."))
        async with dying.running(), living.running(), swarm_of(tmp_path, dying, living) as swarm:
            session = session_led_by(dying, living)
            answer = await swarm.decide(request(session_id=session, voters=2))
        assert answer.content().startswith("Here I am.")
        assert len(answer.chat("accepted")) == 1

    async def test_one_candidate_lost_before_it_spoke_moves_to_another_worker(self, tmp_path: Path) -> None:
        seen, answer = asyncio.Event(), Answer()
        dying = FakeWorker("Dying").script([think("hm"), seen, Crash()])
        living = FakeWorker("Living").script(say("Here I am."))
        async with dying.running(), living.running(), swarm_of(tmp_path, dying, living) as swarm:
            asked = request(tools=(), session_id=session_led_by(dying, living))
            await swarm.gather(asked, answer, after=("reasoning", seen))
        assert answer.content() == "Here I am."
        assert answer.kinds() == [
            "accepted",
            "reasoning",
            "content",
            "candidate_finished",
            "ballots",
            "usage",
        ]
        assert answer.ballots.ballots[0].worker == "Living"

    @pytest.mark.parametrize("voters", [1, 3])
    async def test_one_lost_in_the_middle_of_its_prose_ends_the_stream_with_an_error(
        self, tmp_path: Path, voters: int
    ) -> None:
        seen, answer = asyncio.Event(), Answer()
        dying = FakeWorker("Dying").script([*say("Once upon a")[:1], seen, Crash()])
        living = FakeWorker("Living").script(say("Other words.", wait=asyncio.Event()))
        async with dying.running(), living.running(), swarm_of(tmp_path, dying, living) as swarm:
            asked = request(voters=voters, session_id=session_led_by(dying, living))
            with pytest.raises(SwarmError) as caught:
                await swarm.gather(asked, answer, after=("content", seen))
        assert caught.value.reason is Reason.WORKER_LOST
        assert "Dying" in caught.value.message
        assert answer.content() == "Once upon a"
        assert answer.kinds()[-1] == "content"

    async def test_a_call_begun_in_the_open_is_not_begun_again_elsewhere(self, tmp_path: Path) -> None:
        seen = asyncio.Event()
        dying = FakeWorker("Dying").script([ToolCallStarted(0, 0, "c", "bash"), seen, Crash()])
        dying.constrained = True
        living = FakeWorker("Living").script(bash("ls"))
        async with dying.running(), living.running(), swarm_of(tmp_path, dying, living) as swarm:
            asked = request(voters=1, session_id=session_led_by(dying, living))
            with pytest.raises(SwarmError) as caught:
                await swarm.gather(asked, Answer(), after=("tool_call_started", seen))
        assert caught.value.reason is Reason.WORKER_LOST
        assert living.requests == []

    async def test_a_call_that_was_held_back_begins_anew_elsewhere(self, tmp_path: Path) -> None:
        dying = FakeWorker("Dying").script([ToolCallStarted(0, 0, "c", "bash"), Crash()])
        living = FakeWorker("Living").script(bash("ls", call_id="whole"))
        async with dying.running(), living.running(), swarm_of(tmp_path, dying, living) as swarm:
            answer = await swarm.decide(request(voters=1, session_id=session_led_by(dying, living)))
        assert answer.calls() == [("whole", "bash", '{"command": "ls"}')]
        assert [request.candidates for request in living.requests] == [1]

    async def test_an_answer_that_just_ends_is_a_lost_worker(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(say("Half")[:1])
        async with worker.running(), swarm_of(tmp_path, worker) as swarm:
            with pytest.raises(SwarmError) as caught:
                await swarm.decide(request(tools=()))
        assert caught.value.reason is Reason.WORKER_LOST

    async def test_the_deadline_of_the_request_is_the_workers_too(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(say("Hel", wait=asyncio.Event()))
        async with worker.running(), swarm_of(tmp_path, worker, request_timeout=0.3) as swarm:
            with pytest.raises(SwarmError) as caught:
                await swarm.decide(request(tools=()))
            assert caught.value.reason is Reason.DEADLINE_EXCEEDED
            await asyncio.wait_for(worker.cancelled.wait(), TIMEOUT)


class TestMembership:
    async def test_a_new_worker_is_used_and_a_gone_one_is_not_without_restart(self, tmp_path: Path) -> None:
        old, new = FakeWorker("Old", "old").script(say("o")), FakeWorker("New", "new").script(say("n"))
        async with old.running(), new.running(), swarm_of(tmp_path, old) as swarm:
            swarm.discovery.publish(old.member, new.member)
            await swarm.knows("old", "new")
            assert (await swarm.decide(request(model="new", tools=()))).content() == "n"
            swarm.discovery.publish(new.member)
            await swarm.knows("new")
            assert (await refused(swarm, model="old")).reason is Reason.MODEL_NOT_FOUND

    async def test_a_member_that_says_something_new_is_believed(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus", "old").script(say("n"))
        async with worker.running(), swarm_of(tmp_path, worker) as swarm:
            worker.model = "new"
            swarm.discovery.publish(worker.member)
            await swarm.knows("new")
            assert (await swarm.decide(request(model="new", tools=()))).content() == "n"

    async def test_a_member_that_moved_is_found_at_its_new_address(self, tmp_path: Path) -> None:
        worker = FakeWorker("Zeus").script(say("Moved."))
        async with worker.running(), swarm_of(tmp_path, worker) as swarm:
            before = worker.address
            await worker.kill()
            await worker.start()
            assert worker.address != before
            swarm.discovery.publish(worker.member)
            assert (await swarm.decide(request(tools=()))).content() == "Moved."

    async def test_an_answer_goes_on_when_its_worker_leaves_the_list(self, tmp_path: Path) -> None:
        gate = asyncio.Event()
        old, new = FakeWorker("Old", "old").script(say("o", wait=gate)), FakeWorker("New", "new")
        async with old.running(), new.running(), swarm_of(tmp_path, old) as swarm:
            stream = swarm.stream(request(model="old", tools=()))
            await first(stream, "content")
            swarm.discovery.publish(new.member)
            await swarm.knows("new")
            gate.set()
            await first(stream, "usage")

    async def test_a_worker_that_refuses_connections_is_left_out_until_it_is_back(
        self, tmp_path: Path
    ) -> None:
        dead, living = FakeWorker("Dead", "dead").script(say("Back.")), FakeWorker("Living", "living")
        async with (
            dead.running(),
            living.running(),
            swarm_of(tmp_path, dead, living, request_timeout=1.0) as swarm,
        ):
            await dead.kill()
            told = await refused(swarm, model="dead", tools=())
            assert told.reason is Reason.NO_WORKER
            assert "Dead" in told.message
            await swarm.knows("living")
            await dead.start(dead.address)
            await swarm.knows("dead", "living")
            assert (await swarm.decide(request(model="dead", tools=()))).content() == "Back."

    @pytest.mark.parametrize("voters", [1, 3])
    async def test_a_request_waits_for_the_only_worker_while_it_is_restarted(
        self, tmp_path: Path, voters: int
    ) -> None:
        worker, other = FakeWorker("Zeus").script(say("Back.")), FakeWorker("Hera", "other")
        async with worker.running(), other.running(), swarm_of(tmp_path, worker, other) as swarm:
            await worker.kill()
            waiting = asyncio.create_task(swarm.decide(request(voters=voters)))
            await swarm.knows("other")
            await worker.start(worker.address)
            assert (await waiting).content() == "Back."

    async def test_a_dead_worker_is_not_noticed_where_another_serves_the_model(self, tmp_path: Path) -> None:
        dead, living = FakeWorker("Dead"), FakeWorker("Living").script(say("Here."))
        async with dead.running(), living.running(), swarm_of(tmp_path, dead, living) as swarm:
            await dead.kill()
            answer = await swarm.decide(request(session_id=session_led_by(dead, living)))
        assert answer.content() == "Here."

    async def test_the_last_list_stands_while_discovery_is_away(self, tmp_path: Path) -> None:
        worker, other = FakeWorker("Zeus").script(say("Yes.")), FakeWorker("Hera", "other")
        async with worker.running(), other.running(), swarm_of(tmp_path, worker, other) as swarm:
            await swarm.discovery.kill()
            assert (await swarm.decide(request(tools=()))).content() == "Yes."
            # Restarted, it knows nobody at first; a moment later only one has registered again.
            swarm.discovery.publish()
            watched = swarm.discovery.watched
            await swarm.discovery.start(swarm.discovery.address)
            await asyncio.wait_for(watched.wait(), TIMEOUT)
            assert (await swarm.decide(request(tools=()))).content() == "Yes."
            swarm.discovery.publish(worker.member)
            await swarm.knows("tiny")
            assert (await swarm.decide(request(tools=()))).content() == "Yes."

    async def test_consensus_is_listed_itself(self, tmp_path: Path) -> None:
        async with swarm_of(tmp_path) as swarm:
            await asyncio.wait_for(swarm.discovery.registration.wait(), TIMEOUT)
            (entry,) = swarm.discovery.registered
        assert (entry.name, entry.address) == ("consensus", swarm.address)
