"""What only looks like a call is text, whichever reader gives it back."""

from __future__ import annotations

import pytest

from services.inference_worker.chat.formats import FORMATS, Format
from tests.unit.inference_worker.chat.reading import read


@pytest.mark.timeout(20)
@pytest.mark.parametrize("record", FORMATS.values(), ids=lambda record: record.name)
@pytest.mark.parametrize(
    "text",
    [
        '{"bash": {"command": "ls"}}',
        '[{"bash": {"command": "ls"}}]',
        "{}",
        "[]",
        "[x]",
        '{"a": {"b": {"c": 1}}} and more',
        "TOOL: nobody\nARGUMENTS: {}",
        "[nobody(a=1)]",
    ],
)
def test_an_object_or_list_that_is_no_call_is_read_to_its_end(record: Format, text: str) -> None:
    reading = read(record, text)
    assert reading.content == text
    assert not reading.calls
