"""The committed GGUF: small, self-describing, and made from the tokenizer and template beside it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gguf import GGUFReader

from deploy.built_in_model.evaluate import HERE

MODEL = HERE / "swarm-demo.gguf"


@pytest.fixture(scope="module")
def fields() -> dict[str, Any]:
    reader = GGUFReader(MODEL)
    return {name: field.contents() for name, field in reader.fields.items()}


def test_it_is_small() -> None:
    assert MODEL.stat().st_size <= 12_000_000


def test_it_says_what_it_is(fields: dict[str, Any]) -> None:
    assert fields["general.architecture"] == "qwen3"
    assert fields["general.name"] == "Local Swarm demonstration model"
    assert fields["general.license"] == "MIT"
    assert fields["general.file_type"] == 7  # mostly q8_0
    assert fields["qwen3.context_length"] >= 2048


def test_it_carries_the_template_beside_it(fields: dict[str, Any]) -> None:
    assert fields["tokenizer.chat_template"] == (HERE / "template.jinja").read_text(encoding="utf-8")


def test_its_vocabulary_is_the_tokenizer_beside_it(fields: dict[str, Any]) -> None:
    described = json.loads((HERE / "tokenizer.json").read_text(encoding="utf-8"))
    tokens = fields["tokenizer.ggml.tokens"]
    wanted = dict(described["model"]["vocab"]) | {t["content"]: t["id"] for t in described["added_tokens"]}
    assert dict(zip(tokens, range(len(tokens)), strict=True)) == wanted
    assert tokens[fields["tokenizer.ggml.eos_token_id"]] == "<|im_end|>"
    assert fields["tokenizer.ggml.add_bos_token"] is False
    assert fields["tokenizer.ggml.pre"] == "deepseek-coder"


def test_no_token_is_longer_than_the_detokenisers_buffer(fields: dict[str, Any]) -> None:
    assert all(len(token.encode()) <= 31 for token in fields["tokenizer.ggml.tokens"])
