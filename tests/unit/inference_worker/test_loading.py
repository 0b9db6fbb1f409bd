"""What is wrong with the settings is said before a model is looked for."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from services.common.errors import Reason, SwarmError
from services.common.settings import Settings
from services.inference_worker.loading import load


def test_an_unknown_tool_format_is_refused_before_the_model_is_looked_for(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, model=str(tmp_path / "none.gguf"), tool_format="hermes")
    with pytest.raises(SwarmError) as caught:
        load(settings, "Zeus", lambda error: None, threading.Event())
    assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, "tool_format")
    assert "hermes_json" in caught.value.message
