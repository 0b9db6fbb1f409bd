from __future__ import annotations

import re

import pytest

from services.inference_worker.chat.call_ids import new_call_id
from services.inference_worker.chat.formats import FORMATS, HERMES_JSON, NONE, QWEN3_CODER_XML, Format
from tests.unit.inference_worker.chat.reading import read


def test_records_are_found_by_their_names() -> None:
    assert {name: record.name for name, record in FORMATS.items()} == {name: name for name in FORMATS}
    assert {"hermes_json", "qwen3_coder_xml", "none"} <= set(FORMATS)


@pytest.mark.parametrize(
    ("form", "some_argument", "rest"),
    [
        (HERMES_JSON, True, 'command": "ls"}}\n</tool_call>'),
        (HERMES_JSON, False, '"command": "ls"}}\n</tool_call>'),
        (QWEN3_CODER_XML, True, "command>\nls\n</parameter>\n</function>\n</tool_call>"),
        (QWEN3_CODER_XML, False, "<parameter=command>\nls\n</parameter>\n</function>\n</tool_call>"),
    ],
)
def test_a_forced_call_goes_on_behind_its_prefix(form: Format, some_argument: bool, rest: str) -> None:
    reading = read(form, form.forced_prefix("bash", some_argument) + rest)
    assert reading.whole_calls() == [("bash", {"command": "ls"})]


@pytest.mark.parametrize(
    ("form", "rest"),
    [
        (HERMES_JSON, 'bash", "arguments": {}}'),
        (QWEN3_CODER_XML, "bash>\n</function>"),
    ],
)
def test_a_call_to_some_tool_can_be_forced(form: Format, rest: str) -> None:
    assert read(form, form.forced_prefix() + rest).whole_calls() == [("bash", {})]


def test_a_format_without_calls_forces_none() -> None:
    with pytest.raises(ValueError, match="none"):
        NONE.forced_prefix("bash")


def test_markers_are_what_the_vocabulary_must_not_hide() -> None:
    assert HERMES_JSON.markers == ("<think>", "</think>", "<tool_call>", "</tool_call>")
    assert "<function=" in QWEN3_CODER_XML.markers
    assert NONE.markers == ()


def test_call_ids_look_like_openais_and_differ() -> None:
    ids = {new_call_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch("call_[0-9A-Za-z]{24}", call_id) for call_id in ids)
