"""How many candidates a question gets, and by which strategy they vote."""

from __future__ import annotations

from typing import Any

import pytest

from services.common.chat import ChatRequest, Sampling, Tool
from services.common.errors import Reason, SwarmError
from services.consensus.events import Question
from services.consensus.plan import advised, plan
from services.consensus.strategies.catalogue import CATALOGUE, STOPS


def planned(
    strategy: str = "",
    tools: bool = False,
    configured: int = 3,
    temperature: float | None = None,
    **more: Any,
) -> tuple[int, str | None]:
    chat = ChatRequest(
        "tiny", (), tools=(Tool("bash"),) if tools else (), sampling=Sampling(temperature=temperature)
    )
    found = plan(Question(chat, strategy=strategy, **more), configured)
    return found.candidates, found.entry.name if found.entry else None


@pytest.mark.parametrize("auto", ["", "auto"])
def test_of_itself_only_tools_are_voted_on(auto: str) -> None:
    assert planned(auto, tools=True) == (3, "tool_vote")
    assert planned(auto) == (1, None)
    assert planned(auto, voters=5) == (5, "tool_vote")
    assert planned(auto, tools=True, temperature=0) == (1, None)
    assert planned(auto, tools=True, configured=1) == (1, None)


def test_a_strategy_that_is_named_votes_on_words_too() -> None:
    assert planned("majority") == (3, "majority")
    assert planned("mbr", tools=True, voters=5) == (5, "mbr")


def test_where_votes_can_say_nothing_there_is_one_candidate() -> None:
    assert planned("majority", temperature=0) == (1, None)
    assert planned("majority", voters=1) == (1, None)
    assert planned("best_worker", tools=True, voters=5) == (1, None)


def test_several_choices_are_not_voted_on() -> None:
    assert planned(choices=4, tools=True) == (4, None)
    assert planned("best_worker", choices=4) == (4, None)
    with pytest.raises(SwarmError, match="n > 1") as caught:
        planned("majority", choices=4)
    assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, "swarm.strategy")


def test_an_unknown_name_is_answered_with_those_that_are_known() -> None:
    with pytest.raises(SwarmError) as caught:
        planned("oracle")
    assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, "swarm.strategy")
    assert all(name in caught.value.message for name in ("'oracle'", "auto", *CATALOGUE))
    with pytest.raises(SwarmError) as caught:
        planned(early_stop="soon")
    assert caught.value.param == "swarm.early_stop"
    assert all(name in caught.value.message for name in ("'soon'", *STOPS))


@pytest.mark.parametrize(
    ("advice", "more", "found"),
    [
        (None, {}, (3, "tool_vote")),
        ("", {}, (1, None)),
        ("majority", {}, (3, "majority")),
        # What a later version could not name, and what is no vote.
        ("divination", {}, (1, None)),
        ("best_worker", {}, (1, None)),
        # The request has asked for votes.
        ("", {"voters": 5}, (5, "tool_vote")),
        ("", {"strategy": "mbr"}, (3, "mbr")),
        ("", {"min_argument_logprob": -1.0}, (3, "tool_vote")),
    ],
)
def test_an_evaluation_decides_what_a_request_leaves_open(
    advice: str | None, more: dict[str, Any], found: tuple[int, str | None]
) -> None:
    question = Question(ChatRequest("tiny", (), tools=(Tool("bash"),)), **more)
    settled = advised(plan(question, 3), advice)
    assert (settled.candidates, settled.entry.name if settled.entry else None) == found
