from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from services.common.errors import Reason, SwarmError
from services.common.settings import Settings
from services.tool_server.outcome import Outcome
from services.tool_server.sandbox.bare import Bare
from services.tool_server.sandbox.refused import Refused
from services.tool_server.sessions import Session, Sessions
from services.tool_server.tools.base import Run, Tool
from services.tool_server.tools.bash import Bash
from services.tool_server.tools.read import Read
from services.tool_server.tools.registry import Registry, standard_tools
from services.tool_server.tools.write import Write


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Sessions(tmp_path / "sessions", "/workspace", None).open("s1")


async def _run(tool: Tool, session: Session, arguments: Mapping[str, Any], seconds: float = 20) -> Outcome:
    return await tool.run(arguments, Run(session, seconds, lambda _: None))


def test_the_registry_offers_three_tools_with_proper_schemas(tmp_path: Path) -> None:
    offered = Registry(standard_tools(Settings(home=tmp_path), Bare())).offered()
    assert [tool.name for tool in offered] == ["read", "write", "bash"]
    for tool in offered:
        schema = json.loads(tool.parameters_json)
        Draft202012Validator.check_schema(schema)
        assert schema["additionalProperties"] is False
        assert tool.description


def test_an_unknown_tool_is_told_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(SwarmError) as caught:
        Registry(standard_tools(Settings(home=tmp_path), Bare())).get("grep")
    assert caught.value.reason is Reason.TOOL_NOT_FOUND
    assert "'grep'; there are: read, write, bash" in caught.value.message


async def test_write_then_read(session: Session) -> None:
    arguments = {"path": "/workspace/notes/a.txt", "content": "öne\ntwo\n"}
    assert (await _run(Write(), session, arguments)).content == "Created notes/a.txt (9 bytes)."
    assert (await _run(Write(), session, arguments)).content == "Replaced notes/a.txt (9 bytes)."
    for path in ("notes/a.txt", "/workspace/notes/a.txt", str(session.folder / "notes/a.txt")):
        assert await _run(Read(1000), session, {"path": path}) == Outcome("öne\ntwo\n")


async def test_a_long_file_comes_in_parts_that_join(session: Session) -> None:
    text = "".join(f"line {number}\n" for number in range(1, 101))
    (session.folder / "long").write_text(text)
    read: list[str] = []
    offset = 1
    while True:
        outcome = await _run(Read(200), session, {"path": "long", "offset": offset, "limit": 15})
        if not outcome.truncated:
            break
        body, _, note = outcome.content.rpartition("[")
        read.append(body)
        offset = int(note.split()[-1].rstrip("]"))
    assert "".join(read) + outcome.content == text
    assert len(read) == 6


async def test_reading_notes_what_a_model_would_not_see(session: Session) -> None:
    (session.folder / "empty").write_text("")
    (session.folder / "wide").write_text("x" * 5000)
    assert await _run(Read(1000), session, {"path": "empty"}) == Outcome("[the file is empty]")
    outcome = await _run(Read(1000), session, {"path": "wide"})
    assert outcome.truncated
    assert outcome.content.startswith("x" * 1000 + "\n[line 1 is longer than 1000 bytes")


@pytest.mark.parametrize("tool", [Read(1000), Write()])
async def test_paths_outside_are_refused(tool: Tool, session: Session, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (session.folder / "link").symlink_to(tmp_path)
    for path in ("../../secret", str(tmp_path / "secret"), "link/secret", "/etc/passwd"):
        with pytest.raises(SwarmError) as caught:
            await _run(tool, session, {"path": path, "content": "x"})
        assert caught.value.reason is Reason.PATH_OUTSIDE_ROOT
    assert (tmp_path / "secret").read_text() == "secret"


async def test_bash_says_how_the_command_ended(session: Session) -> None:
    bash = Bash(Bare(), 20, 1000)
    assert await _run(bash, session, {"command": "echo hi"}) == Outcome("hi\n", exit_code=0)
    assert await _run(bash, session, {"command": "true"}) == Outcome("[no output]", exit_code=0)
    assert await _run(bash, session, {"command": "exit 3"}) == Outcome("[exit code 3]", exit_code=3)
    assert await _run(bash, session, {"command": "printf x; exit 3"}) == Outcome(
        "x\n[exit code 3]", exit_code=3
    )


@pytest.mark.parametrize(
    ("arguments", "seconds", "words"),
    [({"timeout": 0.2}, 20.0, "0.2 s"), ({}, 0.3, "0.3 s"), ({"timeout": 10}, 0.25, "0.25 s")],
)
async def test_the_shortest_time_counts(
    session: Session, arguments: dict[str, Any], seconds: float, words: str
) -> None:
    command = {"command": "echo begun; sleep 300", **arguments}
    outcome = await _run(Bash(Bare(), 20, 1000), session, command, seconds)
    assert outcome.reason == Reason.DEADLINE_EXCEEDED
    assert outcome.content == f"begun\n[stopped: it ran longer than {words}]"
    assert outcome.exit_code is None


async def test_a_longer_timeout_than_allowed_is_refused_by_the_schema() -> None:
    errors = list(
        Draft202012Validator(Bash(Bare(), 120, 1000).parameters).iter_errors(
            {"command": "x", "timeout": 120000}
        )
    )
    assert "120000 is greater than the maximum of 120" in errors[0].message


@pytest.mark.parametrize("command", ["a\0b", "echo \ud800", "x" * 100_001])
async def test_a_command_that_the_system_could_not_take_is_named(session: Session, command: str) -> None:
    with pytest.raises(SwarmError) as caught:
        await _run(Bash(Bare(), 20, 1000), session, {"command": command})
    assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, "command")


async def test_the_longest_command_runs(session: Session) -> None:
    command = "true " + "x" * (100_000 - 5)
    assert (await _run(Bash(Bare(), 20, 1000), session, {"command": command})).exit_code == 0


async def test_without_a_sandbox_bash_is_refused(session: Session) -> None:
    with pytest.raises(SwarmError) as caught:
        await _run(Bash(Refused("install it"), 20, 1000), session, {"command": "touch made"})
    assert caught.value.reason is Reason.SANDBOX_UNAVAILABLE
    assert not (session.folder / "made").exists()
