"""The opencode.json for this swarm; it lies beside the swarm's state, what the user has is not touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from services.cli import health

# OpenCode compacts at window minus output limit: a quarter for the output leaves room for the prompt.
OUTPUT_SHARE = 4
LARGEST_OUTPUT = 32_000
# It runs tools itself and refuses a client's; OpenCode sends its own with every request.
AGENT_MODEL = "local-swarm-agent"


def served_models(base_url: str) -> list[dict[str, Any]]:
    """The entries of /v1/models; empty when the swarm does not answer."""
    status, body = health.http_json(f"{base_url}/models", timeout=5.0)
    return list(body["data"]) if status == 200 else []


def config(base_url: str, models: list[dict[str, Any]]) -> dict[str, Any]:
    """A complete OpenCode configuration: our provider, its models with their limits, nothing remote."""
    entries = {}
    for model in models:
        if model["id"] == AGENT_MODEL:
            continue
        window = int(model.get("context_length") or 0) or 4096
        output = min(LARGEST_OUTPUT, max(256, window // OUTPUT_SHARE))
        entries[model["id"]] = {"name": model["id"], "limit": {"context": window, "output": output}}
    return {
        "$schema": "https://opencode.ai/config.json",
        "autoupdate": False,
        "share": "disabled",
        "enabled_providers": ["local-swarm"],
        "model": "local-swarm/local-swarm",
        "small_model": "local-swarm/local-swarm",
        "provider": {
            "local-swarm": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "Local Swarm",
                "options": {"baseURL": base_url},
                "models": entries,
            }
        },
    }


def write(home: Path, base_url: str, models: list[dict[str, Any]]) -> Path:
    """Writes <home>/opencode.json and returns its path."""
    path = home / "opencode.json"
    text = json.dumps(config(base_url, models), indent=2) + "\n"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return path
