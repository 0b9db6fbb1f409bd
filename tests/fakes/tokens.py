"""Tokens counted with a real model's vocabulary, out of an installed package: nothing is downloaded."""

from __future__ import annotations

import base64
import importlib.util
import json
from functools import cache
from pathlib import Path

import tiktoken


def count(text: str) -> int:
    return len(_encoding().encode(text, disallowed_special=()))


@cache
def _encoding() -> tiktoken.Encoding:
    found = importlib.util.find_spec("mistral_common")
    assert found is not None
    assert found.origin is not None
    file = json.loads((Path(found.origin).parent / "data" / "tekken_240911.json").read_text(encoding="utf-8"))
    config = file["config"]
    size = config["default_vocab_size"] - config["default_num_special_tokens"]
    ranks = {base64.b64decode(each["token_bytes"]): each["rank"] for each in file["vocab"][:size]}
    return tiktoken.Encoding(
        "tekken", pat_str=config["pattern"], mergeable_ranks=ranks, special_tokens={}, explicit_n_vocab=size
    )
