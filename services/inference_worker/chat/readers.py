"""Which reader understands which style of calls."""

from __future__ import annotations

from collections.abc import Callable

from services.inference_worker.chat.formats import Format, ValueStyle
from services.inference_worker.chat.json_call import JsonCallReader
from services.inference_worker.chat.keyed_call import KeyedCallReader
from services.inference_worker.chat.line_call import LineCallReader
from services.inference_worker.chat.named_call import NamedCallReader
from services.inference_worker.chat.steps import CallReader
from services.inference_worker.chat.toolbox import Toolbox
from services.inference_worker.chat.xml_call import XmlCallReader

# A reader for one call, behind its opener. The last argument: whether the opener can be nothing else.
Maker = Callable[[Format, Toolbox, bool], CallReader]

_MAKERS: dict[ValueStyle, Maker] = {
    ValueStyle.JSON_OBJECT: lambda format, tools, sure: JsonCallReader(format, tools),
    ValueStyle.TYPED_XML: lambda format, tools, sure: XmlCallReader(format, tools, sure=sure),
    ValueStyle.NAMED_JSON: lambda format, tools, sure: NamedCallReader(format, tools, sure=sure),
    ValueStyle.KEYED_XML: lambda format, tools, sure: KeyedCallReader(format, tools),
    ValueStyle.LINES: lambda format, tools, sure: LineCallReader(format, tools),
}


def reader(format: Format, tools: Toolbox, sure: bool) -> CallReader:
    """Raises KeyError for a style that nobody reads."""
    assert format.style is not None
    return _MAKERS[format.style](format, tools, sure)
