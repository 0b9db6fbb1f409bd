"""What a call can do at worst, by name and arguments."""

from __future__ import annotations

from typing import Any

import pytest

from services.common.settings import RISKS
from services.consensus.strategies.risk import Risk, risk_of


@pytest.mark.parametrize(
    ("name", "risk"),
    [
        ("read", Risk.READING),
        ("Read", Risk.READING),
        ("read_file", Risk.READING),
        ("readFile", Risk.READING),
        ("list", Risk.READING),
        ("glob", Risk.READING),
        ("grep", Risk.READING),
        ("search", Risk.READING),
        ("write", Risk.WRITING),
        ("edit", Risk.WRITING),
        ("MultiEdit", Risk.WRITING),
        ("apply_patch", Risk.WRITING),
        ("todowrite", Risk.WRITING),
        ("task", Risk.WRITING),
        ("frobnicate", Risk.WRITING),
        ("swarm_read", Risk.WRITING),
        ("", Risk.WRITING),
        ("delete", Risk.DESTRUCTIVE),
        ("deleteFile", Risk.DESTRUCTIVE),
        ("git_rm", Risk.DESTRUCTIVE),
        ("webfetch", Risk.DESTRUCTIVE),
        ("WebFetch", Risk.DESTRUCTIVE),
        ("web_search", Risk.DESTRUCTIVE),
        ("run_tests", Risk.DESTRUCTIVE),
        ("sendMail", Risk.DESTRUCTIVE),
        ("HTTPGet", Risk.DESTRUCTIVE),
        ("swarm_bash", Risk.DESTRUCTIVE),
        ("mcp__files__read", Risk.DESTRUCTIVE),
        ("mcp_files_read", Risk.DESTRUCTIVE),
        ("files.read", Risk.DESTRUCTIVE),
    ],
)
def test_by_name(name: str, risk: Risk) -> None:
    assert risk_of(name, {}) is risk


@pytest.mark.parametrize(
    ("arguments", "risk"),
    [
        ({"command": "ls"}, Risk.READING),
        ({"command": "ls", "timeout": 5, "workdir": "/x", "description": "Lists"}, Risk.READING),
        ({"command": "rm a"}, Risk.DESTRUCTIVE),
        ({"command": "ls", "env": {"PATH": "."}}, Risk.DESTRUCTIVE),
        ({"command": ["ls"]}, Risk.DESTRUCTIVE),
        ({}, Risk.DESTRUCTIVE),
        (None, Risk.DESTRUCTIVE),
    ],
)
@pytest.mark.parametrize("name", ["bash", "Bash", "shell", "run_command"])
def test_a_shells_risk_is_its_commands(name: str, arguments: dict[str, Any] | None, risk: Risk) -> None:
    assert risk_of(name, arguments) is risk


def test_the_users_word_goes_first_and_the_first_of_them_counts() -> None:
    chosen = [("mcp__files__read*", Risk.READING), ("mcp__*", Risk.WRITING), ("grep", Risk.DESTRUCTIVE)]
    assert risk_of("mcp__files__read_all", {}, chosen) is Risk.READING
    assert risk_of("mcp__files__send", {}, chosen) is Risk.WRITING
    assert risk_of("grep", {}, chosen) is Risk.DESTRUCTIVE
    assert risk_of("read", {}, chosen) is Risk.READING


def test_the_settings_know_the_same_classes() -> None:
    assert tuple(risk.name.casefold() for risk in sorted(Risk)) == RISKS
