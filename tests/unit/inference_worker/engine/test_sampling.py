"""Wishes, recommendations and the samplers that come of them."""

from __future__ import annotations

from dataclasses import fields

import pytest

from services.common.chat import Sampling
from services.common.errors import Reason, SwarmError
from services.inference_worker.backends.base import SamplerSpec
from services.inference_worker.engine.sampling import Recommendation, check, specs

VOCABULARY = 50_000
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
        "general.sampling.penalty_repeat": 1.05,
        "general.sampling.penalty_last_n": 128,
        "general.sampling.xtc_probability": 0.5,
        "general.sampling.xtc_threshold": 0.2,
    }
    expected = Recommendation(0.6, 0.9, 10, 0.0, 1.05, 128, 0.5, 0.2)
    assert Recommendation.from_metadata(metadata) == expected
    (spec,) = specs(Sampling(), expected, 1)
    assert (spec.repeat_penalty, spec.repeat_last_n) == (1.05, 128)
    assert (spec.xtc_probability, spec.xtc_threshold) == (0.5, 0.2)
    (other,) = specs(Sampling(repeat_penalty=1.0, xtc_probability=0.0), expected, 1)
    assert (other.repeat_penalty, other.xtc_probability) == (1.0, 0.0)


def test_what_is_neither_wished_nor_recommended_is_off() -> None:
    (spec,) = specs(Sampling(seed=1), Recommendation(), 1)
    assert spec == SamplerSpec(
        temperature=0.7,
        top_k=40,
        top_p=0.95,
        min_p=0.05,
        seed=1,
        dry_sequence_breakers=("\n", ":", '"', "*"),
    )


def test_every_wish_arrives_for_every_candidate() -> None:
    wish = Sampling(
        temperature=0.9,
        top_p=0.8,
        top_k=7,
        min_p=0.01,
        frequency_penalty=0.1,
        presence_penalty=0.2,
        seed=3,
        typical_p=0.9,
        repeat_penalty=1.2,
        repeat_last_n=-1,
        dry_multiplier=0.8,
        dry_base=2.0,
        dry_allowed_length=3,
        dry_penalty_last_n=99,
        dry_sequence_breakers=("x",),
        xtc_probability=0.5,
        xtc_threshold=0.2,
        mirostat=2,
        mirostat_tau=4.0,
        mirostat_eta=0.2,
        logit_bias=((1, 2.0),),
        top_logprobs=0,
    )
    for index, spec in enumerate(specs(wish, Recommendation(), 3)):
        for field in fields(SamplerSpec):
            wanted = 3 + index if field.name == "seed" else getattr(wish, field.name)
            assert getattr(spec, field.name) == wanted, field.name


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
        ("top_k", Sampling(top_k=2**31)),
        ("top_k", Sampling(top_k=10**400)),
        ("max_tokens", Sampling(max_tokens=2**63)),
        ("typical_p", Sampling(typical_p=float("nan"))),
        ("typical_p", Sampling(typical_p=1.5)),
        ("repeat_penalty", Sampling(repeat_penalty=0.0)),
        ("repeat_penalty", Sampling(repeat_penalty=float("inf"))),
        ("repeat_last_n", Sampling(repeat_last_n=-2)),
        ("repeat_last_n", Sampling(repeat_last_n=2**40)),
        ("dry_multiplier", Sampling(dry_multiplier=-0.5)),
        ("dry_base", Sampling(dry_base=0.5)),
        ("dry_base", Sampling(dry_base=float("-inf"))),
        ("dry_allowed_length", Sampling(dry_allowed_length=-1)),
        ("dry_penalty_last_n", Sampling(dry_penalty_last_n=-2)),
        ("dry_sequence_breakers", Sampling(dry_sequence_breakers=("",))),
        ("dry_sequence_breakers", Sampling(dry_sequence_breakers=("é" * 21,))),
        ("dry_sequence_breakers", Sampling(dry_sequence_breakers=("x",) * 33)),
        ("xtc_probability", Sampling(xtc_probability=1.5)),
        ("xtc_threshold", Sampling(xtc_threshold=-1.0)),
        ("xtc_probability", Sampling(xtc_probability=0.5, mirostat=1)),
        ("mirostat", Sampling(mirostat=3)),
        ("mirostat_tau", Sampling(mirostat_tau=-1.0)),
        ("mirostat_eta", Sampling(mirostat_eta=float("nan"))),
        ("logit_bias", Sampling(logit_bias=((-1, 1.0),))),
        ("logit_bias", Sampling(logit_bias=((VOCABULARY, 1.0),))),
        ("logit_bias", Sampling(logit_bias=((2**31 - 1, 1.0),))),
        ("logit_bias", Sampling(logit_bias=((1, 100.5),))),
        ("logit_bias", Sampling(logit_bias=((1, float("nan")),))),
        ("logit_bias", Sampling(logit_bias=((1, 1.0), (1, 2.0)))),
        ("logit_bias", Sampling(logit_bias=tuple((token, 1.0) for token in range(10_001)))),
        ("top_logprobs", Sampling(top_logprobs=-1)),
        ("top_logprobs", Sampling(top_logprobs=21)),
    ],
)
def test_a_wrong_field_is_named(field: str, sampling: Sampling) -> None:
    with pytest.raises(SwarmError) as caught:
        check(sampling, VOCABULARY)
    assert caught.value.reason is Reason.INVALID_FIELD
    assert caught.value.param == field
    assert field in caught.value.message


def test_the_edges_are_allowed() -> None:
    check(Sampling(0.0, 1.0, 0, 0.0, -2.0, 2.0, -1, 1, ("a",) * 16), VOCABULARY)
    check(Sampling(temperature=2.0, top_p=0.0, min_p=1.0), VOCABULARY)
    check(
        Sampling(
            typical_p=0.0,
            repeat_penalty=100.0,
            repeat_last_n=-1,
            dry_multiplier=100.0,
            dry_base=1.0,
            dry_allowed_length=0,
            dry_penalty_last_n=2**31 - 1,
            dry_sequence_breakers=("é" * 20,) * 32,
            xtc_probability=0.0,
            xtc_threshold=1.0,
            mirostat=2,
            mirostat_tau=0.0,
            mirostat_eta=1.0,
            logit_bias=((0, -100.0), (VOCABULARY - 1, 100.0)),
            top_logprobs=20,
        ),
        VOCABULARY,
    )
