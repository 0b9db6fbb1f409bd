from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from services.inference_worker.chat.__main__ import main

TEXT = 'Hi <tool_call>{"name": "Bash", "arguments": {"command": "ls"}}'


@pytest.mark.parametrize("piece", ["0", "1", "5"])
def test_the_command_shows_events(
    piece: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tools = tmp_path / "tools.json"
    tools.write_text('[{"type": "function", "function": {"name": "bash"}}]')
    arguments = ["chat", "--format", "hermes_json", "--tools", str(tools), "--piece", piece]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == {"event": "ContentDelta", "candidate": 0, "text": "H" if piece == "1" else "Hi"}
    assert [line["name"] for line in lines if "name" in line] == ["bash"]
    assert "".join(line.get("fragment", "") for line in lines) == '{"command": "ls"}'
    assert lines[-2]["event"] == "ToolCallEnded"
    assert lines[-1] == {"finish": "tool_calls"}
