"""Simulated voters in processes of their own, and the real decision among them over gRPC."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import pytest_asyncio

from services.common.errors import Reason, SwarmError
from services.consensus.decide import Decider
from services.consensus.evaluation import grid
from services.consensus.evaluation.live import comparable, differences, voters
from services.consensus.evaluation.oracle import ask
from services.consensus.evaluation.population import Population, item
from services.consensus.evaluation.rules import LIVE, SUBJECTS
from services.consensus.events import Question
from services.consensus.outcomes import Outcomes, outcomes_file
from services.consensus.strategies.catalogue import build
from services.consensus.weights import Voter, weight
from tests.fakes.swarm import TIMEOUT, request, swarm_of
from tests.fakes.worker import FakeWorker, say

ITEMS = 4


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def decider() -> AsyncIterator[Decider]:
    async with voters(5) as made:
        yield made


@pytest.mark.asyncio(loop_scope="module")
class TestBothWays:
    @pytest.mark.parametrize("name", LIVE)
    async def test_functions_and_rpcs_come_to_the_same_end(self, decider: Decider, name: str) -> None:
        for place, people in enumerate(grid.quick()):
            method = SUBJECTS[name].method(people)
            assert await differences(decider, people, name, method, ITEMS, 40 + place) == []

    async def test_another_way_to_vote_would_be_noticed(self, decider: Decider) -> None:
        people = Population(0.4, collision=0.1)
        other = replace(SUBJECTS["tool_vote"].method(people), first=build("leader_veto"))
        found = await differences(decider, people, "tool_vote", other, 10, 1)
        assert found
        assert "by the functions" in found[0]

    async def test_losses_are_among_what_is_compared(self) -> None:
        people = Population(0.7, loss=0.15)
        drawn = [item(people, 43, number) for number in range(200)]
        lost = [sum(reply.lost for reply in each.rounds[0]) for each in drawn if comparable(each)]
        assert {0, 1, 2} <= set(lost) <= {0, 1, 2, 3}

    async def test_a_question_of_somebody_else_is_refused(self, decider: Decider) -> None:
        asked = ask(Population(0.5), 1, 1)
        strange = replace(asked, messages=(replace(asked.messages[0], content="What time is it?"),))
        with pytest.raises(SwarmError) as caught:
            async for _ in decider.decide(Question(strange, voters=5), TIMEOUT):
                pass
        assert caught.value.reason in (Reason.INVALID_FIELD, Reason.DEADLINE_EXCEEDED)


async def test_a_vote_weighs_what_its_worker_has_earned(tmp_path: Path) -> None:
    trusted, poor = Voter("Zeus", "tiny"), (Voter("Hera", "tiny"), Voter("Ares", "tiny"))
    outcomes = Outcomes.load(outcomes_file(tmp_path))
    for number in range(50):
        outcomes.note(trusted, number >= 5)
        for each in poor:
            outcomes.note(each, number < 5)
    outcomes.save()
    zeus = FakeWorker("Zeus").script(say("true"))
    async with (
        zeus.running(),
        FakeWorker("Hera").script(say("false")).running() as hera,
        FakeWorker("Ares").script(say("false")).running() as ares,
        swarm_of(tmp_path, zeus, hera, ares) as swarm,
    ):
        asked = request(tools=(), voters=3)
        asked.strategy = "weighted_majority"
        answer = await swarm.decide(asked)
        assert answer.content() == "true"
        told = {ballot.worker: ballot.weight for ballot in answer.ballots.ballots if ballot.kind == "words"}
        assert told["Zeus"] == pytest.approx(weight(outcomes.records[trusted]))
        asked.strategy = "majority"
        assert (await swarm.decide(asked)).content() == "false"


async def test_a_damaged_file_of_outcomes_leaves_all_weights_equal(tmp_path: Path) -> None:
    outcomes_file(tmp_path).write_text("{")
    async with (
        FakeWorker("Zeus").script(say("a"), say("b"), say("b")).running() as zeus,
        swarm_of(tmp_path, zeus) as swarm,
    ):
        asked = request(tools=(), voters=3)
        asked.strategy = "weighted_majority"
        answer = await swarm.decide(asked)
        assert answer.content() == "b"
        assert {ballot.weight for ballot in answer.ballots.ballots} == {1.0}
    assert not outcomes_file(tmp_path).exists()
    assert outcomes_file(tmp_path).with_name("outcomes.json.damaged-1").read_text() == "{"


def evaluate(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli.main", "eval", "--simulated", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_the_command_prints_a_table_and_leaves_it_with_json_and_a_plot(tmp_path: Path) -> None:
    done = evaluate("--quick", "--items", "50", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "72 of 72 cells are within 3 sigma" in done.stdout
    assert "0 decided otherwise" in done.stdout
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert found["about"]["differences"] == []
    assert len(found["rows"]) == len(grid.quick()) * len(SUBJECTS)
    assert "weighted_majority" in (tmp_path / "out" / "table.txt").read_text()
    ElementTree.fromstring((tmp_path / "out" / "plot.svg").read_text())


def test_a_wrong_option_is_named() -> None:
    done = evaluate("--items", "0")
    assert done.returncode == 2
    assert "--items: expected 1 or more, got 0" in done.stderr
