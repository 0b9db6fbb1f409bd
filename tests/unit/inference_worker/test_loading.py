"""What is wrong with the settings is said before a model is looked for."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from services.common.errors import Reason, SwarmError
from services.common.settings import Settings
from services.inference_worker.loading import fingerprint, load


def test_an_unknown_tool_format_is_refused_before_the_model_is_looked_for(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, model=str(tmp_path / "none.gguf"), tool_format="hermes")
    with pytest.raises(SwarmError) as caught:
        load(settings, "Zeus", lambda error: None, threading.Event())
    assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, "tool_format")
    assert "hermes_json" in caught.value.message


def test_who_can_go_on_with_an_answer_has_the_same_file_and_reads_it_in_the_same_way() -> None:
    assert fingerprint("c0ffee", "hermes_json") == fingerprint("c0ffee", "hermes_json")
    others = [
        fingerprint("c0ffee", "hermes_json"),
        fingerprint("c0ffe", "hermes_json"),
        fingerprint("c0ffee", "llama3"),
    ]
    assert len(set(others)) == 3
