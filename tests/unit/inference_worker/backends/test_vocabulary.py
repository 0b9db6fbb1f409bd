"""Reading a model's vocabulary, also while it is being closed."""

from __future__ import annotations

from pathlib import Path

import llama_cpp.llama_cpp as llama
import pytest

from services.common.errors import Reason, SwarmError
from services.inference_worker.backends.llama_cpp.vocabulary import LlamaVocabulary
from tests.fakes import tiny_gguf


def test_markup_is_text_in_plain_text_and_nothing_new_is_read_after_the_end(tmp_path: Path) -> None:
    llama.llama_backend_init()
    parameters = llama.llama_model_default_params()
    parameters.vocab_only = True
    path = tiny_gguf.write(tmp_path / "tiny.gguf")
    model = llama.llama_model_load_from_file(str(path).encode(), parameters)
    vocabulary = LlamaVocabulary(model)
    (markup,) = vocabulary.tokenize("<|im_end|>")
    plain = vocabulary.plain(b"<|im_end|>")
    assert markup not in plain
    assert b"".join(vocabulary.piece(token) for token in plain) == b"<|im_end|>"
    assert vocabulary.plain(b"\xc3"), "half a character is cut into tokens too"
    vocabulary.close()
    llama.llama_model_free(model)
    assert vocabulary.piece(plain[0]) == b"<"
    for late in (lambda: vocabulary.piece(markup), lambda: vocabulary.plain(b"x")):
        with pytest.raises(SwarmError) as caught:
            late()
        assert caught.value.reason is Reason.UNAVAILABLE
