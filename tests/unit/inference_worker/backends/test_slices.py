"""A text in slices has the tokens of the whole text, and what would end the process is cut."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gguf
import llama_cpp.llama_cpp as llama
import pytest

from services.inference_worker.backends.llama_cpp import slices as module
from services.inference_worker.backends.llama_cpp.slices import markup_pattern, slices
from services.inference_worker.backends.llama_cpp.vocabulary import LlamaVocabulary
from tests.fakes import tiny_gguf

BUILT_IN = Path(__file__).parents[4] / "deploy" / "built_in_model" / "swarm-demo.gguf"
MARKUP = markup_pattern(["<|im_end|>", "<|im_start|>", "<tool_call>", ""])
# Pre-tokenizers that llama.cpp leaves to std::regex, of models that people use.
HUNGRY = ("deepseek-coder", "deepseek-v3", "gpt-4o", "tekken")


@contextmanager
def opened(path: Path) -> Iterator[LlamaVocabulary]:
    parameters = llama.llama_model_default_params()
    parameters.vocab_only = True
    model = llama.llama_model_load_from_file(str(path).encode(), parameters)
    vocabulary = LlamaVocabulary(model)
    yield vocabulary
    vocabulary.close()
    llama.llama_model_free(model)


@pytest.fixture(scope="module")
def built_in() -> Iterator[LlamaVocabulary]:
    """Its vocabulary has real merges and a std::regex."""
    with opened(BUILT_IN) as vocabulary:
        yield vocabulary


def test_a_text_of_ordinary_words_stays_whole() -> None:
    text = "An ordinary line of words, and <|im_end|>\n" * 900
    assert slices(text, MARKUP, words=True) == [text]
    assert slices("", MARKUP, words=True) == [""]
    assert slices("x" * 50_000, MARKUP, words=False) == ["x" * 50_000]
    assert len(slices("x" * 50_000, None, words=True)) == 25


@pytest.mark.parametrize("sign", ["x", "!", "7", " ", "\n", "\u4e00", "_", "<"])
def test_nothing_longer_than_a_word_may_be_is_left(sign: str) -> None:
    text = f"before {sign * 10_000} between <|im_end|>{sign * 3_000} after"
    cut = slices(text, MARKUP, words=True)
    assert "".join(cut) == text
    assert all(sign * (module.LONGEST_WORD + 2) not in piece for piece in cut)


def test_a_long_word_is_cut_where_a_word_ends_anyway() -> None:
    text = "some(letters,and.signs" * 500
    cut = slices(text, MARKUP, words=True)
    assert len(cut) > 5
    assert all(piece[0] in "(,." for piece in cut[1:])


def test_a_marker_is_never_cut_apart_and_many_are_shared_out() -> None:
    text = "<|im_start|>" * 5_000
    cut = slices(text, MARKUP, words=True)
    assert "".join(cut) == text
    assert [len(piece) for piece in cut] == [module.MOST_MARKERS * len("<|im_start|>")] * 5


def test_what_a_text_grows_by_moves_no_cut() -> None:
    text = "".join(random.Random(1).choices("abc,.(x", k=20_000))
    short, longer = slices(text[:15_000], MARKUP, words=True), slices(text, MARKUP, words=True)
    assert short[:-1] == longer[: len(short) - 1]


def test_the_tokens_are_those_of_the_whole(
    built_in: LlamaVocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With tiny limits, so that everything is cut; words are short, so that no cut is forced."""
    rng = random.Random(7)
    parts = [
        "foo",
        "bar(",
        "x1,",
        "README.md",
        "!?",
        " ",
        "\n",
        "\n\n",
        "it's",
        "\u4f60\u597d\u3002",
        "<|im_end|>",
    ]
    parts += ["<tool_call>", '{"name": "', "\u00e9t\u00e9."]
    texts = ["".join(rng.choices(parts, k=400)) for _ in range(30)]
    whole = [built_in.tokenize(text) for text in texts]
    monkeypatch.setattr(module, "LONGEST_WORD", 64)
    monkeypatch.setattr(module, "MOST_MARKERS", 5)
    markup = markup_pattern(built_in._markers(built_in.facts.size))
    assert sum(len(slices(text, markup, words=True)) for text in texts) > 500
    assert [built_in.tokenize(text) for text in texts] == whole


@pytest.mark.parametrize("pre", HUNGRY)
def test_words_without_end_are_tokens_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pre: str) -> None:
    """In one piece, each of these ends the process."""
    add = gguf.GGUFWriter.add_tokenizer_pre
    monkeypatch.setattr(gguf.GGUFWriter, "add_tokenizer_pre", lambda self, _: add(self, pre))
    with opened(tiny_gguf.write(tmp_path / "tiny.gguf")) as vocabulary:
        for sign in ("x", "!", " ", "\n", "7", "\u4e00"):
            tokens = vocabulary.tokenize(sign * 100_000)
            assert b"".join(vocabulary.piece(token) for token in tokens) == (sign * 100_000).encode()


def test_a_hundred_thousand_markers_take_no_minutes(built_in: LlamaVocabulary) -> None:
    (marker,) = built_in.tokenize("<|im_end|>")
    assert built_in.tokenize("<|im_end|>" * 100_000) == [marker] * 100_000
