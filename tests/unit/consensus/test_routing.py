"""Which workers answer, and who gets how many candidates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.chat import ModelInfo
from services.common.errors import Reason, SwarmError
from services.consensus.routing import listed, models, route, spread


@dataclass(frozen=True)
class Seat:
    id: str
    models: tuple[ModelInfo, ...]
    slots: int = 4
    in_flight: int = 0
    usable: bool = True

    @property
    def name(self) -> str:
        return f"name of {self.id}"


def info(model: str, context: int = 4096) -> ModelInfo:
    return ModelInfo(model, context, "hermes_json", 1)


def seat(name: str, *ids: str, slots: int = 4, in_flight: int = 0, context: int = 4096) -> Seat:
    return Seat(name, tuple(info(each, context) for each in ids), slots, in_flight)


class TestRoute:
    def test_an_exact_id_goes_to_those_that_serve_it(self) -> None:
        found = route("a", [seat("1", "a"), seat("2", "b"), seat("3", "b", "a")])
        assert {worker.id for worker in found.workers} == {"1", "3"}
        assert found.model == "a"

    @pytest.mark.parametrize("name", ["local-swarm", "local-swarm-agent"])
    def test_the_swarms_names_stand_for_one_model_never_a_mix(self, name: str) -> None:
        found = route(name, [seat("1", "small", context=2048), seat("2", "big"), seat("3", "big")])
        assert found.model == "big"
        assert {worker.id for worker in found.workers} == {"2", "3"}

    def test_of_equal_contexts_the_one_with_more_workers(self) -> None:
        assert route("local-swarm", [seat("1", "z"), seat("2", "a"), seat("3", "a")]).model == "a"

    def test_nobody_there(self) -> None:
        for nobody in ([], [seat("1")]):
            with pytest.raises(SwarmError) as caught:
                route("local-swarm", nobody)
            assert caught.value.reason is Reason.NO_WORKER

    def test_all_that_serve_the_model_are_away(self) -> None:
        seats = [replace(seat("1", "a"), usable=False), seat("2", "b")]
        with pytest.raises(SwarmError, match="away: name of 1") as caught:
            route("a", seats)
        assert caught.value.reason is Reason.NO_WORKER
        assert route("local-swarm", seats).model == "b"
        with pytest.raises(SwarmError, match="away: name of 1") as caught:
            route("local-swarm", seats[:1])
        assert caught.value.reason is Reason.NO_WORKER

    def test_who_is_away_is_not_asked(self) -> None:
        seats = [replace(seat("1", "a"), usable=False), seat("2", "a")]
        assert [worker.id for worker in route("a", seats).workers] == ["2"]

    def test_unknown_names_the_known(self) -> None:
        with pytest.raises(SwarmError, match="local-swarm, local-swarm-agent, a, b") as caught:
            route("c", [seat("1", "b"), seat("2", "a")])
        assert (caught.value.reason, caught.value.param) == (Reason.MODEL_NOT_FOUND, "model")

    def test_the_least_loaded_leads_by_share_of_its_slots(self) -> None:
        seats = [
            seat("busy", "a", in_flight=3),
            seat("large", "a", slots=16, in_flight=4),
            seat("half", "a", in_flight=2),
        ]
        assert [worker.id for worker in route("a", seats).workers] == ["large", "half", "busy"]

    def test_a_session_finds_the_same_idle_worker_in_any_order_of_the_list(self) -> None:
        seats = [seat(str(number), "a") for number in range(5)]
        leaders = {}
        for session in ("one", "two", "three", "four", "five", "six", "seven", "eight"):
            leaders[session] = route("a", seats, session).workers[0].id
            assert route("a", seats[::-1], session).workers[0].id == leaders[session]
        assert len(set(leaders.values())) > 1


class TestSpread:
    @pytest.mark.parametrize(
        ("count", "workers", "counts"),
        [(3, 1, [3]), (3, 2, [2, 1]), (5, 3, [2, 2, 1]), (2, 3, [1, 1]), (1, 2, [1]), (6, 3, [2, 2, 2])],
    )
    def test_evenly_and_the_first_take_the_odd_ones(
        self, count: int, workers: int, counts: list[int]
    ) -> None:
        shares = spread(count, [seat(str(number), "a") for number in range(workers)])
        assert [share.count for share in shares] == counts

    @given(st.integers(1, 32), st.integers(1, 40))
    def test_every_candidate_once_and_every_worker_at_most_once(self, count: int, workers: int) -> None:
        seats = [seat(str(number), "a") for number in range(workers)]
        shares = spread(count, seats)
        covered = [share.first + number for share in shares for number in range(share.count)]
        assert covered == list(range(count))
        assert len({share.worker.id for share in shares}) == len(shares)
        assert shares[0].worker is seats[0]
        assert max(share.count for share in shares) - min(share.count for share in shares) <= 1


class TestListed:
    def test_each_model_once_with_the_context_that_all_can_keep(self) -> None:
        seats = [seat("1", "a", context=8192), seat("2", "a", "b", context=4096)]
        assert [(model.id, model.context_length) for model in models(seats)] == [("a", 4096), ("b", 4096)]

    def test_the_swarms_names_come_first_with_what_they_stand_for(self) -> None:
        found = listed([seat("1", "a", context=2048), seat("2", "b", context=8192)])
        assert [model.id for model in found] == ["local-swarm", "local-swarm-agent", "a", "b"]
        assert [model.context_length for model in found] == [8192, 8192, 2048, 8192]

    def test_a_swarm_does_not_say_that_it_goes_on_with_others_answers(self) -> None:
        """Which of its workers are alike is for itself to know."""
        marked = tuple(replace(each, fingerprint="f") for each in seat("1", "a").models)
        assert {model.fingerprint for model in listed([replace(seat("1", "a"), models=marked)])} == {""}

    def test_nothing_without_a_worker_that_is_there(self) -> None:
        assert listed([]) == []
        assert listed([replace(seat("1", "a"), usable=False)]) == []
