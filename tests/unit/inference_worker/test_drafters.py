"""Which source of guesses the settings and the model lead to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from services.common.errors import Reason, SwarmError
from services.common.settings import Settings
from services.inference_worker.backends.llama_cpp.options import LoadOptions
from services.inference_worker.drafters import make_speculator, open_backend
from services.inference_worker.models import gguf_file
from tests.fakes import tiny_gguf, tiny_kinds, tiny_mtp


@contextmanager
def speculating(model: Path, draft: Path | None = None, **chosen: Any) -> Iterator[str]:
    """The name of the drafter that a worker for `model` would use; none: nothing is guessed."""
    settings = Settings(draft_model=str(draft or ""), **chosen)

    def options(path: Path) -> LoadOptions:
        return LoadOptions(path=path, cells=512, sequences=2, batch=64, threads=1, gpu_layers=0)

    backend = open_backend(gguf_file.read(model), settings, options(model))
    try:
        speculator = make_speculator(settings, backend, lambda: options(draft or model))
        try:
            yield "none" if speculator is None else speculator.name
        finally:
            if speculator is not None:
                speculator.close()
    finally:
        backend.close()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write(tmp_path_factory.mktemp("models") / "plain.gguf")


@pytest.fixture(scope="module")
def predicting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_mtp.write(tmp_path_factory.mktemp("models") / "predicting.gguf")


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_kinds.write(tmp_path_factory.mktemp("models") / "recurrent.gguf", tiny_kinds.Kind.RECURRENT)


def test_the_text_itself_is_looked_up_where_there_is_nothing_better(plain: Path) -> None:
    with speculating(plain) as name:
        assert name == "lookup"


def test_a_draft_model_is_used_where_one_is_named(plain: Path) -> None:
    with speculating(plain, draft=plain) as name:
        assert name == "model"
    with speculating(plain, draft=plain, speculation="lookup") as name:
        assert name == "lookup"


def test_a_model_that_predicts_further_tokens_does(predicting: Path) -> None:
    with speculating(predicting) as name:
        assert name == "mtp"
    with speculating(predicting, speculation="lookup") as name:
        assert name == "lookup"


def test_nothing_is_guessed_where_it_is_off_or_could_not_be_taken_back(plain: Path, recurrent: Path) -> None:
    with speculating(plain, speculation="off") as name:
        assert name == "none"
    with speculating(recurrent) as name:
        assert name == "none"


@pytest.mark.parametrize(("wanted", "param"), [("mtp", "speculation"), ("model", "draft_model")])
def test_what_is_asked_for_and_cannot_be_had_is_refused(plain: Path, wanted: str, param: str) -> None:
    with pytest.raises(SwarmError) as caught, speculating(plain, speculation=wanted):
        pass
    assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, param)


def test_guesses_cannot_be_forced_on_a_model_that_takes_nothing_back(recurrent: Path) -> None:
    with pytest.raises(SwarmError) as caught, speculating(recurrent, speculation="lookup"):
        pass
    assert caught.value.param == "speculation"
