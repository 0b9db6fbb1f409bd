"""Wishes, recommendations and the samplers that come of them."""

from __future__ import annotations

import pytest

from services.common.chat import Sampling
from services.common.errors import Reason, SwarmError
from services.inference_worker.engine.sampling import Recommendation, check, specs

RECOMMENDED = Recommendation(temperature=0.2, top_p=0.8, top_k=20, min_p=0.1)


def test_without_wishes_the_leader_follows_the_recommendation_and_the_others_are_warmer() -> None:
    leader, second, third = specs(Sampling(), RECOMMENDED, 3)
    assert (leader.temperature, leader.top_p, leader.top_k, leader.min_p) == (0.2, 0.8, 20, 0.1)
    assert second.temperature == third.temperature == 0.6


def test_a_warm_recommendation_holds_for_all() -> None:
    assert [each.temperature for each in specs(Sampling(), Recommendation(1.1), 2)] == [1.1, 1.1]


def test_a_wish_holds_for_all_candidates() -> None:
    wish = Sampling(temperature=0.0, top_p=0.5, top_k=0, min_p=0.0, frequency_penalty=1.0)
    for each in specs(wish, RECOMMENDED, 2):
        assert (each.temperature, each.top_p, each.top_k, each.min_p) == (0.0, 0.5, 0, 0.0)
        assert (each.frequency_penalty, each.presence_penalty) == (1.0, 0.0)


def test_seeds_count_up() -> None:
    assert [each.seed for each in specs(Sampling(seed=7), RECOMMENDED, 3)] == [7, 8, 9]


@pytest.mark.parametrize("seed", [-1, -5, 2**32 - 2, 2**32 - 1, 2**63 - 1])
def test_no_seed_becomes_the_number_that_means_a_random_one(seed: int) -> None:
    seeds = [each.seed for each in specs(Sampling(seed=seed), RECOMMENDED, 3)]
    assert all(0 <= each < 2**32 - 1 for each in seeds)
    assert len(set(seeds)) == 3


def test_a_missing_seed_is_drawn() -> None:
    assert len({specs(Sampling(), RECOMMENDED, 1)[0].seed for _ in range(8)}) > 1


def test_the_recommendation_comes_from_the_file() -> None:
    metadata = {
        "general.sampling.temp": 0.6,
        "general.sampling.top_p": 0.9,
        "general.sampling.top_k": 10,
        "general.sampling.min_p": 0.0,
    }
    assert Recommendation.from_metadata(metadata) == Recommendation(0.6, 0.9, 10, 0.0)


@pytest.mark.parametrize("value", [-1, 99, "0.5", True, float("nan"), None])
def test_nonsense_in_the_file_does_not_count(value: object) -> None:
    assert Recommendation.from_metadata({"general.sampling.temp": value}) == Recommendation()


@pytest.mark.parametrize(
    ("field", "sampling"),
    [
        ("temperature", Sampling(temperature=-0.1)),
        ("temperature", Sampling(temperature=2.5)),
        ("temperature", Sampling(temperature=float("nan"))),
        ("top_p", Sampling(top_p=1.5)),
        ("min_p", Sampling(min_p=-1.0)),
        ("top_k", Sampling(top_k=-1)),
        ("frequency_penalty", Sampling(frequency_penalty=3.0)),
        ("presence_penalty", Sampling(presence_penalty=-3.0)),
        ("max_tokens", Sampling(max_tokens=0)),
        ("stop", Sampling(stop=("",))),
        ("stop", Sampling(stop=("x",) * 17)),
    ],
)
def test_a_wrong_field_is_named(field: str, sampling: Sampling) -> None:
    with pytest.raises(SwarmError) as caught:
        check(sampling)
    assert caught.value.reason is Reason.INVALID_FIELD
    assert caught.value.param == field
    assert field in caught.value.message


def test_the_edges_are_allowed() -> None:
    check(Sampling(0.0, 1.0, 0, 0.0, -2.0, 2.0, -1, 1, ("a",) * 16))
    check(Sampling(temperature=2.0, top_p=0.0, min_p=1.0))
