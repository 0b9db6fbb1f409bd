"""The draft model on tiny GGUFs: as its own target it is always right, as another's it may be wrong."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from services.common.errors import Reason, SwarmError
from services.inference_worker.backends.base import Outcome, Slice
from services.inference_worker.backends.llama_cpp import draft_model
from services.inference_worker.backends.llama_cpp.backend import LlamaCppBackend
from services.inference_worker.backends.llama_cpp.draft_model import DraftModel
from services.inference_worker.backends.llama_cpp.options import LoadOptions
from tests.fakes import tiny_gguf, tiny_kinds

KEY = (1, 0)


def options(path: Path, cells: int = 512, sequences: int = 4, batch: int = 64) -> LoadOptions:
    return LoadOptions(path, cells=cells, sequences=sequences, batch=batch, threads=1, gpu_layers=0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture
def target(model: Path) -> Iterator[LlamaCppBackend]:
    backend = LlamaCppBackend(options(model))
    yield backend
    backend.close()


@pytest.fixture
def make(target: LlamaCppBackend, model: Path) -> Iterator[Callable[..., DraftModel]]:
    made: list[DraftModel] = []

    def maker(probable: float = 0.0, **limits: int) -> DraftModel:
        made.append(DraftModel(target, options(model, **limits), probable))
        return made[-1]

    yield maker
    for each in made:
        each.close()


def text(words: str) -> array[int]:
    return array("i", list(words.encode()))


def greedy(target: LlamaCppBackend, known: array[int], count: int) -> list[int]:
    said = [*known]
    target.drop(0)
    fed = 0
    for _ in range(count):
        while fed < len(said):
            chunk = said[fed : fed + target.capacity.batch]
            assert target.decode([Slice(0, fed, chunk, 1)]) is Outcome.DONE
            row, fed = len(chunk) - 1, fed + len(chunk)
        said.append(int(target.logits(row).argmax()))
    return said[len(known) :]


def guesses(drafter: DraftModel, **wanted: tuple[array[int], int]) -> dict[str, list[int]]:
    """The names are those of requests."""
    keys = {(order, 0): name for order, name in enumerate(wanted)}
    found = drafter.propose({key: wanted[name] for key, name in keys.items()})
    return {keys[key]: list(tokens) for key, tokens in found.items()}


def decoded(drafter: DraftModel) -> list[list[Slice]]:
    """The batches of the draft model from now on."""
    batches: list[list[Slice]] = []
    decode = drafter._backend.decode

    def spy(slices: list[Slice]) -> Outcome:
        batches.append(list(slices))
        return decode(slices)

    drafter._backend.decode = spy  # type: ignore[method-assign, assignment]
    return batches


def test_the_same_model_guesses_what_will_be_said(
    target: LlamaCppBackend, make: Callable[..., DraftModel]
) -> None:
    drafter, known = make(), text("once upon a time")

    for most in (1, 5, 8):
        found = guesses(drafter, a=(known, most))
        assert found == {"a": greedy(target, known, most)}
        known.extend(found["a"])


def test_wrong_guesses_are_taken_back(target: LlamaCppBackend, make: Callable[..., DraftModel]) -> None:
    drafter, known = make(), text("once upon")
    guesses(drafter, a=(known, 8))
    known.extend(b"zq")
    batches = decoded(drafter)

    assert guesses(drafter, a=(known, 6)) == {"a": greedy(target, known, 6)}
    assert sum(len(each.tokens) for each in batches[0]) == 2


def test_only_what_is_new_is_fed(make: Callable[..., DraftModel]) -> None:
    drafter, known = make(), text("once upon a time")
    known.extend(guesses(drafter, a=(known, 4))["a"])
    known.append(ord("!"))
    batches = decoded(drafter)
    guesses(drafter, a=(known, 3))

    # The last guess was never fed, the token behind it is new; then one step for each further guess.
    assert [[len(each.tokens) for each in batch] for batch in batches] == [[2], [1], [1]]


def test_all_candidates_are_drafted_for_in_one_batch(
    target: LlamaCppBackend, make: Callable[..., DraftModel]
) -> None:
    drafter = make()
    prompts = {"a": text("one"), "b": text("two two"), "c": text("three three three")}
    batches = decoded(drafter)

    found = guesses(drafter, a=(prompts["a"], 2), b=(prompts["b"], 6), c=(prompts["c"], 4))

    assert [len(batch) for batch in batches] == [3, 3, 2, 2, 1, 1]
    for name, most in (("a", 2), ("b", 6), ("c", 4)):
        assert found[name] == greedy(target, prompts[name], most)


def test_a_doubtful_guess_ends_the_draft(target: LlamaCppBackend, make: Callable[..., DraftModel]) -> None:
    known = text("once upon a time")
    target.decode([Slice(0, 0, known, 1)])
    logits = target.logits(len(known) - 1)
    likeliest = float(1 / np.exp(logits - logits.max()).sum())

    assert guesses(make(probable=min(1.0, likeliest * 1.05)), a=(known, 4)) == {}
    assert guesses(make(probable=likeliest * 0.95), a=(known, 1)) == {"a": greedy(target, known, 1)}


def test_a_long_prompt_is_fed_in_chunks_beside_the_others(
    target: LlamaCppBackend, make: Callable[..., DraftModel]
) -> None:
    drafter = make(batch=36)
    long, short = text("la" * 60), text("short")
    batches = decoded(drafter)

    assert guesses(drafter, a=(short, 2), b=(long, 2)) == {"a": greedy(target, short, 2)}
    assert sum(len(each.tokens) for each in batches[0]) <= 36
    rounds = 1
    while "b" not in (found := guesses(drafter, a=(short, 1), b=(long, 2))):
        rounds += 1
        assert rounds < 8
    assert rounds >= 2
    assert found["b"] == greedy(target, long, 2)


def test_siblings_share_the_prompts_cells(make: Callable[..., DraftModel]) -> None:
    drafter, prompt = make(), text("a prompt for all of them")
    drafter.propose({(1, 0): (prompt, 1)})
    batches = decoded(drafter)
    found = drafter.propose({(1, index): (prompt + text("xyz"[index]), 1) for index in range(3)})

    assert len(found) == 3
    assert [len(each.tokens) for each in batches[0]] == [1, 1, 1]


def test_the_next_turn_finds_what_the_last_one_left(make: Callable[..., DraftModel]) -> None:
    drafter, known = make(), text("a long conversation that goes on")
    drafter.propose({(1, 0): (known, 1)})
    drafter.forget((1, 0))
    batches = decoded(drafter)
    drafter.propose({(2, 0): (known + text(" and on"), 1)})

    assert [len(each.tokens) for each in batches[0]] == [len(" and on")]


def test_more_candidates_than_sequences_take_turns(
    target: LlamaCppBackend, make: Callable[..., DraftModel]
) -> None:
    drafter = make(sequences=2)
    known = {(order, 0): text(f"prompt {order}") for order in range(4)}

    assert len(drafter.propose({key: (tokens, 2) for key, tokens in known.items()})) == 2
    for key, tokens in known.items():
        assert list(drafter.propose({key: (tokens, 2)})[key]) == greedy(target, tokens, 2)
    assert len({held.sequence for held in drafter._all}) == 2


def test_without_cells_nothing_is_guessed_and_nothing_breaks(
    target: LlamaCppBackend, make: Callable[..., DraftModel]
) -> None:
    drafter = make(cells=256, batch=256)
    first, second = text("x" * 100), text("y" * 130)
    drafter.propose({(1, 0): (first, 2)})
    for _ in range(4):
        drafter.propose({(1, 0): (first, 2)})

    # Both do not fit: the one that is not wanted now gives way.
    found: list[int] = []
    for _ in range(8):
        found = list(drafter.propose({(2, 0): (second, 2)}).get((2, 0), ()))
    assert found == greedy(target, second, 2)
    too_long = text("z" * 300)
    for _ in range(12):
        assert drafter.propose({(3, 0): (too_long, 2)}) == {}


def test_beyond_what_it_was_trained_for_it_guesses_nothing(make: Callable[..., DraftModel]) -> None:
    drafter = make(cells=1024, batch=512)

    assert guesses(drafter, a=(text("x" * tiny_gguf.CONTEXT), 4)) == {}


def test_what_is_forgotten_gives_its_cells_back_in_the_end(make: Callable[..., DraftModel]) -> None:
    drafter = make(cells=2048, sequences=12)
    for order in range(10):
        drafter.propose({(order, 0): (text(f"{order} is a prompt"), 1)})
    for order in range(10):
        drafter.forget((order, 0))

    assert sum(bool(held.tokens) for held in drafter._all) == draft_model._IDLE
    assert all(held.key is None for held in drafter._all)


def test_another_vocabulary_is_refused_with_what_differs(
    target: LlamaCppBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spelled = tiny_gguf._byte_tokens()
    spelled[ord("a")], spelled[ord("b")] = spelled[ord("b")], spelled[ord("a")]
    monkeypatch.setattr(tiny_gguf, "_byte_tokens", lambda: spelled)
    path = tiny_gguf.write(tmp_path / "other.gguf")

    with pytest.raises(SwarmError) as caught:
        DraftModel(target, options(path))

    assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, "draft_model")
    assert "token 97 is b'b', the model's is b'a'" in caught.value.message


def test_a_recurrent_model_cannot_draft(target: LlamaCppBackend, tmp_path: Path) -> None:
    path = tiny_kinds.write(tmp_path / "mamba.gguf", tiny_kinds.Kind.RECURRENT)

    with pytest.raises(SwarmError, match="recurrent") as caught:
        DraftModel(target, options(path))
    assert caught.value.param == "draft_model"


def test_a_model_with_sliding_windows_drafts_as_well(
    target: LlamaCppBackend, make: Callable[..., DraftModel], tmp_path: Path
) -> None:
    path = tiny_kinds.write(tmp_path / "swa.gguf", tiny_kinds.Kind.SWA)
    own = LlamaCppBackend(options(path))
    drafter = DraftModel(own, options(path), 0.0)
    try:
        known = text("once upon a time there was a model with a window of few tokens")
        for _ in range(6):
            found = guesses(drafter, a=(known, 4)).get("a", [])
            known.extend(found[:2] or b"x")
            known.append(ord("!"))
        expected = greedy(own, known, 3)
        for _ in range(4):
            found = guesses(drafter, a=(known, 3)).get("a", [])
            if found:
                break
        assert found == expected
    finally:
        drafter.close()
        own.close()


def test_a_broken_file_is_told_of(target: LlamaCppBackend, tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(SwarmError) as caught:
        DraftModel(target, options(path))
    assert caught.value.reason is Reason.MODEL_FILE_INVALID
