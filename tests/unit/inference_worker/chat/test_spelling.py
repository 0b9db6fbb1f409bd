"""A call as text is what the format's machine reads."""

from __future__ import annotations

import json

import pytest

from services.inference_worker.chat.formats import FORMATS, Format, ValueStyle
from services.inference_worker.chat.spelling import spell
from tests.unit.inference_worker.chat.reading import STRING, read, tool

TOOL = tool(
    "edit_file",
    path=STRING,
    text=STRING,
    count={"type": "integer"},
    deep={"type": "object"},
    all={"type": "boolean"},
    nothing={"type": "null"},
)
ARGUMENTS: dict[str, object] = {
    "path": "a 'b' \"c\".txt",
    "text": "one\ntwo {x} <y>\n\t\\n é漢",
    "count": 3,
    "deep": {"a": [1, None, True, "x"]},
    "all": False,
    "nothing": None,
}
SPELLED = [record for record in FORMATS.values() if record.style not in (None, ValueStyle.BRACED)]


@pytest.mark.parametrize("record", SPELLED, ids=lambda record: record.name)
@pytest.mark.parametrize("arguments", [ARGUMENTS, {}, {"path": "", "count": -1}])
def test_a_spelled_call_is_read_back(record: Format, arguments: dict[str, object]) -> None:
    text = spell(record, "edit_file", json.dumps(arguments))
    assert read(record, text, (TOOL,)).whole_calls() == [("edit_file", arguments)]


@pytest.mark.parametrize("arguments", ['{"a": ', "[1]", "ls", "[" * 100_000])
def test_what_is_no_object_stays_as_it_is(arguments: str) -> None:
    for record in FORMATS.values():
        assert spell(record, "bash", arguments) == f"TOOL: bash\nARGUMENTS: {arguments}"
