"""`swarm parse`: raw output in, the machine's events out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

XML = "I look.<tool_call>\n<function=bash>\n<parameter=n>\n007\n</parameter>\n</function>\n</tool_call>"
CODE = {"type": "object", "properties": {"n": {"type": "string"}}}
NUMBER = {"type": "object", "properties": {"n": {"type": "number"}}}


def parse(text: str | bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli.main", "parse", *options],
        input=text.encode() if isinstance(text, str) else text,
        capture_output=True,
        check=False,
        timeout=60,
    )


def events(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def offered(folder: Path, content: Any) -> str:
    path = folder / "tools.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


def bash(parameters: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "bash", "parameters": parameters}}


@pytest.mark.parametrize(
    ("content", "value"),
    [([bash(CODE)], "007"), ({"model": "m", "tools": [bash(CODE)]}, "007"), ([bash({})], "007")],
)
def test_types_come_from_the_tools_in_the_file(tmp_path: Path, content: Any, value: object) -> None:
    shown = events(parse(XML, "--format", "qwen3_coder_xml", "--tools", offered(tmp_path, content)))
    assert shown[0] == {"event": "ContentDelta", "candidate": 0, "text": "I look."}
    started = [each for each in shown if each.get("event") == "ToolCallStarted"]
    assert [each["name"] for each in started] == ["bash"]
    assert json.loads("".join(each.get("fragment", "") for each in shown)) == {"n": value}
    assert shown[-1] == {"finish": "tool_calls"}


def test_a_declared_number_is_one(tmp_path: Path) -> None:
    tools = offered(tmp_path, [bash(NUMBER)])
    shown = events(parse(XML.replace("007", "7"), "--format", "qwen3_coder_xml", "--tools", tools))
    assert json.loads("".join(each.get("fragment", "") for each in shown)) == {"n": 7}


def test_without_tools_in_the_request_nothing_is_a_call(tmp_path: Path) -> None:
    shown = events(parse(XML, "--format", "qwen3_coder_xml", "--tools", offered(tmp_path, [])))
    assert "".join(each.get("text", "") for each in shown) == XML
    assert shown[-1] == {"finish": "stop"}


def test_pieces_and_the_prompts_end_are_told_and_the_text_is_taken_as_it_is() -> None:
    done = parse("é\r\n</think>a\r\nb", "--format", "hermes_json", "--prompt-tail", "<think>", "--piece", "1")
    shown = events(done)
    assert {each["event"] for each in shown[:-1]} == {"ReasoningDelta", "ContentDelta"}
    assert "".join(each["text"] for each in shown if each.get("event") == "ContentDelta") == "a\r\nb"


def test_a_text_that_was_cut_off_finishes_so() -> None:
    shown = events(parse('<tool_call>{"name": "a", "arg', "--format", "hermes_json", "--cut-off"))
    assert shown[-1] == {"finish": "length"}


@pytest.mark.parametrize("content", ["no json", "5", "[{}]", '[{"function": {"name": 5}}]', '{"tools": 7}'])
def test_a_file_without_tools_is_refused_in_words(tmp_path: Path, content: str) -> None:
    done = parse("", "--format", "hermes_json", "--tools", offered(tmp_path, content))
    assert done.returncode == 2
    assert "holds no tools" in done.stderr.decode()


def test_a_format_that_nobody_knows_is_refused_with_those_that_are_known() -> None:
    done = parse("", "--format", "klingon")
    assert done.returncode == 2
    assert "hermes_json" in done.stderr.decode()
