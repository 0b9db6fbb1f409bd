"""`swarm up --model hf:…` pulls from a hub (here: one on loopback) and serves what it pulled."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Swarm
from tests.fakes import tiny_gguf
from tests.fakes.hub import Hub


def test_a_model_is_pulled_and_served(
    own_swarm: Swarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = tiny_gguf.write(tmp_path / "source.gguf").read_bytes()
    with Hub({"owner/repo": {"pulled.gguf": content}}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
        text = own_swarm.up("--model", "hf:owner/repo:pulled.gguf")
        assert "model.pull" in text
        assert "model pulled" in text
        own_swarm.down()

        missing = own_swarm.command("up", "--model", "hf:owner/repo:other.gguf")
        assert missing.returncode == 1
        assert "other.gguf" in missing.stderr
        assert "Traceback" not in missing.stderr
    # The second time nothing is fetched: the hub is gone.
    assert "model pulled" in own_swarm.up("--model", "hf:owner/repo:pulled.gguf")
