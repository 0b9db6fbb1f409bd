"""What models write and what a client must get of it: the corpus of tool calls, by format."""

from __future__ import annotations

from collections.abc import Mapping

from tests.conformance.tool_calls import (
    json_arrays,
    json_objects,
    named_json,
    other_values,
    plain_json,
    routed,
    xml_values,
)
from tests.conformance.tool_calls.case import Case

CORPUS: Mapping[str, tuple[Case, ...]] = {
    **json_objects.CORPUS,
    **json_arrays.CORPUS,
    **plain_json.CORPUS,
    **xml_values.CORPUS,
    **named_json.CORPUS,
    **other_values.CORPUS,
    **routed.CORPUS,
}
