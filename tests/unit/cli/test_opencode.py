"""The OpenCode configuration: valid limits, our provider alone, and only our own file written."""

from __future__ import annotations

import json
from pathlib import Path

from services.cli import opencode

MODELS = [
    {"id": "local-swarm", "context_length": 2048},
    {"id": "big", "context_length": 131072},
    {"id": "odd"},
    {"id": "local-swarm-agent", "context_length": 2048},
]


def test_limits_follow_the_models() -> None:
    config = opencode.config("http://127.0.0.1:1/v1", MODELS)
    provider = config["provider"]["local-swarm"]
    assert provider["options"]["baseURL"] == "http://127.0.0.1:1/v1"
    limits = {name: entry["limit"] for name, entry in provider["models"].items()}
    assert limits["local-swarm"] == {"context": 2048, "output": 512}
    assert limits["big"] == {"context": 131072, "output": 32000}
    for limit in limits.values():
        assert 0 < limit["output"] < limit["context"]
    assert "local-swarm-agent" not in limits, "it refuses requests with tools, and OpenCode sends no others"
    assert config["enabled_providers"] == ["local-swarm"]
    assert config["autoupdate"] is False


def test_only_our_own_file_is_written(tmp_path: Path) -> None:
    path = opencode.write(tmp_path, "http://127.0.0.1:1/v1", MODELS)
    assert [path] == list(tmp_path.iterdir())
    assert json.loads(path.read_text())["model"] == "local-swarm/local-swarm"
