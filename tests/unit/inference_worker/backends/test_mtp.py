"""Multi-token prediction on a tiny model: guesses come, they are the layer's own, and change no answer."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common.errors import Reason, SwarmError
from services.inference_worker.backends.base import Outcome, Slice
from services.inference_worker.backends.llama_cpp import mtp, nextn
from services.inference_worker.backends.llama_cpp.backend import LlamaCppBackend
from services.inference_worker.backends.llama_cpp.mtp import MtpBackend, MtpDrafter
from services.inference_worker.backends.llama_cpp.options import LoadOptions
from tests.fakes import tiny_kinds, tiny_mtp

KEY = (1, 0)
PROMPT = "once upon a time there was a layer"


def options(path: Path, cells: int = 512) -> LoadOptions:
    return LoadOptions(path, cells=cells, sequences=4, batch=64, threads=1, gpu_layers=0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_mtp.write(tmp_path_factory.mktemp("models") / "mtp.gguf")


@pytest.fixture
def backend(model: Path) -> Iterator[MtpBackend]:
    backend = MtpBackend(options(model))
    yield backend
    backend.close()


def text(words: str) -> array[int]:
    return array("i", list(words.encode()))


def feed(backend: LlamaCppBackend, tokens: array[int], start: int = 0, sequence: int = 0) -> int:
    """The likeliest token behind them."""
    chunk = tokens[:0]
    for at in range(start, len(tokens), backend.capacity.batch):
        chunk = tokens[at : at + backend.capacity.batch]
        assert backend.decode([Slice(sequence, at, chunk, 1)]) is Outcome.DONE
    return int(backend.logits(len(chunk) - 1).argmax())


def greedy(backend: LlamaCppBackend, prompt: array[int], count: int) -> list[int]:
    known = prompt[:]
    known.append(feed(backend, known))
    while len(known) < len(prompt) + count:
        known.append(feed(backend, known, len(known) - 1))
    return list(known[len(prompt) :])


def speculate(
    backend: MtpBackend, prompt: array[int], count: int, most: int = 4
) -> tuple[list[int], int, int]:
    """What is said greedily, how many guesses were fed, how many were right."""
    drafter, known = MtpDrafter(backend, 0.0), prompt[:]
    known.append(feed(backend, known))
    fed = right = 0
    while len(known) < len(prompt) + count:
        guesses = list(drafter.propose({KEY: (known, most)})[KEY])
        assert len(guesses) == most
        held = len(known) - 1
        assert backend.decode([Slice(0, held, [known[-1], *guesses], 1 + most)]) is Outcome.DONE
        fed += most
        for row, guess in enumerate([*guesses, None]):
            known.append(int(backend.logits(row).argmax()))
            if known[-1] != guess:
                break
            right += 1
        assert backend.cut(0, len(known) - 1)
    return list(known[len(prompt) :][:count]), fed, right


def guessed(backend: MtpBackend, known: array[int], most: int = 5) -> list[int]:
    return list(MtpDrafter(backend, 0.0).propose({KEY: (known, most)}).get(KEY, ()))


def afresh(model: Path, known: array[int], most: int = 5) -> list[int]:
    """The guesses of a layer that read everything at once."""
    backend = MtpBackend(options(model))
    try:
        feed(backend, known[:-1])
        return guessed(backend, known, most)
    finally:
        backend.close()


def test_the_answer_is_the_same_with_and_without(model: Path, backend: MtpBackend) -> None:
    plain = LlamaCppBackend(options(model))
    try:
        expected = greedy(plain, text(PROMPT), 200)
    finally:
        plain.close()
    said, fed, right = speculate(backend, text(PROMPT), 200)

    assert said == expected
    assert fed > 400
    # Random weights are right by chance now and then: both ways of the loop are walked.
    assert 0 < right < fed


def test_keeping_hidden_states_changes_no_logits(model: Path, backend: MtpBackend) -> None:
    plain = LlamaCppBackend(options(model))
    try:
        assert greedy(backend, text(PROMPT), 50) == greedy(plain, text(PROMPT), 50)
    finally:
        plain.close()


def test_guesses_do_not_depend_on_how_the_tokens_came(model: Path, backend: MtpBackend) -> None:
    known = text(PROMPT)
    feed(backend, known[:9])
    assert len(guessed(backend, known[:10], 3)) == 3
    for length in range(10, len(known)):
        # Each with wrong guesses behind it, which are cut off again.
        wrong = known[: length - 1] + text(f"{known[length - 1]:c}zz")
        feed(backend, wrong, length - 1)
        assert backend.cut(0, length)

    assert guessed(backend, known) == afresh(model, known)


def test_a_copied_sequence_goes_its_own_way(model: Path, backend: MtpBackend) -> None:
    first = text(PROMPT)
    feed(backend, first)
    backend.copy(0, 1, len(first) - 3)
    second = first[:-3] + text(" and so on")
    feed(backend, second[:-1], len(first) - 3, sequence=1)

    assert guessed(backend, second) == afresh(model, second)
    first.append(ord("x"))
    assert guessed(backend, first) == afresh(model, first)


def test_two_candidates_of_equal_text_get_their_own_guesses(model: Path, backend: MtpBackend) -> None:
    known = text(PROMPT)
    feed(backend, known[:-1])
    backend.copy(0, 1, len(known) - 1)
    found = MtpDrafter(backend, 0.0).propose({(1, 0): (known, 3), (1, 1): (known, 2), (1, 2): (known, 2)})

    expected = afresh(model, known, 3)
    assert {key: list(tokens) for key, tokens in found.items()} == {
        (1, 0): expected,
        (1, 1): expected[:2],
    }


def test_several_sequences_are_drafted_for_at_once(model: Path, backend: MtpBackend) -> None:
    texts = [text("first of all"), text("second to none"), text("a third")]
    for sequence, known in enumerate(texts):
        feed(backend, known[:-1], sequence=sequence)
    drafter = MtpDrafter(backend, 0.0)
    found = drafter.propose({(order, 0): (known, 2 + order) for order, known in enumerate(texts)})

    for order, known in enumerate(texts):
        assert list(found[order, 0]) == afresh(model, known, 2 + order)


def test_long_prompts_are_read_in_pieces(model: Path, backend: MtpBackend) -> None:
    known = text("a long prompt, " * 25)
    feed(backend, known[:-1])

    assert sum(followed.queued for followed in backend.predictor._sequences) < mtp._QUEUE
    assert guessed(backend, known) == afresh(model, known)


def test_state_from_a_store_is_gone_on_from_without_hidden_states(model: Path, backend: MtpBackend) -> None:
    known = text(PROMPT)
    feed(backend, known[:20])
    state = backend.save(0, 0, 20)
    backend.drop(0)
    assert backend.load(0, 0, 20, state)
    assert guessed(backend, known[:21]) == []

    feed(backend, known[:-1], 20)
    assert len(guessed(backend, known)) == 5
    # And the answer is still the model's.
    said = [int(feed(backend, known, len(known) - 1))]
    plain = LlamaCppBackend(options(model))
    try:
        assert said == greedy(plain, known, 1)
    finally:
        plain.close()


def test_a_dropped_sequence_is_forgotten(backend: MtpBackend) -> None:
    known = text(PROMPT)
    feed(backend, known[:-1])
    assert guessed(backend, known)
    backend.drop(0)

    assert guessed(backend, known) == []
    feed(backend, known[:-1])
    assert len(guessed(backend, known)) == 5


def test_unlikely_guesses_end_the_draft(backend: MtpBackend) -> None:
    known = text(PROMPT)
    feed(backend, known[:-1])

    assert dict(MtpDrafter(backend, 1.0).propose({KEY: (known, 5)})) == {}
    assert dict(MtpDrafter(backend, 0.0).propose({KEY: (known, 0)})) == {}


def test_when_the_layer_has_no_room_the_answer_goes_on(backend: MtpBackend) -> None:
    known = text("x" * 500)
    feed(backend, known[:-1])
    # 499 of 512 cells are used.
    found = guessed(backend, known, 40)
    assert len(found) < 40
    assert feed(backend, known, len(known) - 1) >= 0


@pytest.mark.parametrize(
    ("architecture", "layers", "words"),
    [
        ("glm4moe", 0, "no layer"),
        ("glm4moe", 2, "2 prediction layers"),
        ("unheard-of", 1, "'unheard-of'"),
    ],
)
def test_what_cannot_predict_is_told(architecture: str, layers: int, words: str) -> None:
    assert words in nextn.refusal(architecture, layers)
    assert nextn.refusal("glm4moe", 1) == ""


def test_a_build_without_the_functions_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nextn, "_functions", lambda: None)

    assert "this build" in nextn.refusal("glm4moe", 1)


@pytest.mark.parametrize("kind", [tiny_kinds.Kind.MOE, tiny_kinds.Kind.RECURRENT])
def test_a_model_without_the_layer_is_refused(tmp_path: Path, kind: tiny_kinds.Kind) -> None:
    path = tiny_kinds.write(tmp_path / "other.gguf", kind)
    with pytest.raises(SwarmError) as caught:
        MtpBackend(options(path))
    assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, "speculation")


def test_the_model_is_served_without_its_layer(model: Path) -> None:
    plain = LlamaCppBackend(options(model))
    try:
        assert len(greedy(plain, text("abc"), 5)) == 5
    finally:
        plain.close()
