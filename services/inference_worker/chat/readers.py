"""Which reader understands which style of calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from services.inference_worker.chat.alternative_calls import AlternativeReader
from services.inference_worker.chat.braced_call import BracedCallReader
from services.inference_worker.chat.code_call import CodeCallReader
from services.inference_worker.chat.formats import Format, Trust, ValueStyle
from services.inference_worker.chat.json_call import JsonCallReader
from services.inference_worker.chat.keyed_call import KeyedCallReader
from services.inference_worker.chat.line_call import LineCallReader
from services.inference_worker.chat.list_call import ListReader
from services.inference_worker.chat.named_call import NamedCallReader
from services.inference_worker.chat.plain_json_call import PlainJsonReader
from services.inference_worker.chat.python_call import PythonCallReader
from services.inference_worker.chat.steps import CallReader
from services.inference_worker.chat.toolbox import Toolbox
from services.inference_worker.chat.trusted_call import TrustedReader
from services.inference_worker.chat.xml_call import XmlCallReader

# A reader for one call, behind its opener. The last argument: whether the opener can be nothing else.
Maker = Callable[[Format, Toolbox, bool], CallReader]

_MAKERS: dict[ValueStyle, Maker] = {
    ValueStyle.JSON_OBJECT: lambda format, tools, sure: (
        PlainJsonReader(format, tools) if format.trust is Trust.PLAIN else JsonCallReader(format, tools)
    ),
    ValueStyle.TYPED_XML: lambda format, tools, sure: XmlCallReader(format, tools, sure=sure),
    ValueStyle.NAMED_JSON: lambda format, tools, sure: NamedCallReader(format, tools, sure=sure),
    ValueStyle.KEYED_XML: lambda format, tools, sure: KeyedCallReader(format, tools),
    ValueStyle.BRACED: lambda format, tools, sure: BracedCallReader(format, tools, sure=sure),
    ValueStyle.PYTHON: lambda format, tools, sure: PythonCallReader(format, tools),
    ValueStyle.CODE: lambda format, tools, sure: CodeCallReader(format, tools),
    ValueStyle.LINES: lambda format, tools, sure: LineCallReader(format, tools),
}


def reader(format: Format, tools: Toolbox, sure: bool, plain: bool = False) -> CallReader:
    """A reader for what follows an opener: one call, or a list of calls where the format has lists.

    `plain`: the opener may be ordinary text; the reader then tells of nothing but whole calls that fit.
    Raises KeyError for a style that nobody reads.
    """
    assert format.style is not None
    styles = (format.style, *format.further_styles)
    if plain:
        format = replace(format, trust=Trust.PLAIN)
    makers = [partial(_MAKERS[style], format, tools, sure) for style in styles]

    def one() -> CallReader:
        return AlternativeReader(makers) if len(makers) > 1 else makers[0]()

    read = ListReader(one) if format.array or format.arrays_too else one()
    return TrustedReader(read, tools) if plain else read
