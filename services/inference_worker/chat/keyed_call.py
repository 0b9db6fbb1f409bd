"""Reads a call with a bare name and with markers around each key and each value, such as

    bash
    <arg_key>command</arg_key>
    <arg_value>ls</arg_value>
    </tool_call>

behind its opener. Values are raw text, and what ends one is what ends one in `xml_call.py`: the record is
read as one of that style whose values have an opener of their own, and whose calls are closed by one marker.
"""

from __future__ import annotations

import re
from dataclasses import replace

from services.inference_worker.chat.formats import Format, Tags
from services.inference_worker.chat.steps import Step
from services.inference_worker.chat.text import BLANKS, may_become
from services.inference_worker.chat.toolbox import Toolbox
from services.inference_worker.chat.xml_call import Mode, XmlCallReader

_LONGEST_NAME = 256
_LONGEST_BLANKS = 256  # between a name or a key and the marker behind it
_NAME = re.compile(r"\w[\w.:/-]*")


class KeyedCallReader(XmlCallReader):
    """Counts as a call from the marker behind its name: a key's opener, or the closer of the call."""

    def __init__(self, format: Format, tools: Toolbox) -> None:
        read_as = replace(
            format,
            call=Tags(format.call.open, ""),
            function_close=format.call.close,
            parameter_close=format.value.close,
        )
        super().__init__(read_as, tools, sure=True)
        self._value_opened = False
        self._cut_off = False

    def finish(self, cut_off: bool) -> list[Step]:
        self._cut_off = cut_off
        return super().finish(cut_off)

    def _function(self, steps: list[Step], final: bool) -> bool:
        self._text = self._text.lstrip(BLANKS)
        name = _NAME.match(self._text)
        if name is None or name.end() > _LONGEST_NAME:
            return self._wait_or_refuse(False)
        following = self._text[name.end() :].lstrip(BLANKS)
        markers = (self._format.parameter.open, self._format.function_close)
        if following.startswith(markers):
            self._name = self._tools.mend(name[0])
            self._types = dict(self._tools.parameter_types(self._name))
            self._start(steps)
            return self._take(len(self._text) - len(following), Mode.PARAMETERS)
        blanks = len(self._text) - name.end() - len(following)
        open_ended = not following or may_become(following, markers)
        self.begun = open_ended and self._tools.offers(self._tools.mend(name[0]))
        return self._wait_or_refuse(open_ended and blanks <= _LONGEST_BLANKS)

    def _between(self, steps: list[Step], final: bool) -> bool:
        self._text = self._text.lstrip(BLANKS)
        self._value_opened = False
        if self._text.startswith(self._format.function_close):
            self._end(steps)  # the closer is the whole call's, which is not read here
            return False
        return super()._between(steps, final)

    def _value_head(self, steps: list[Step], final: bool) -> bool:
        if not self._value_opened:
            following = self._text.lstrip(BLANKS)
            blanks = len(self._text) - len(following)
            markers = (self._format.value.open, self._format.parameter.close)
            if blanks <= _LONGEST_BLANKS:
                if not following or may_become(following, markers):
                    return False
                if following.startswith(markers[1]):
                    return self._take(blanks + len(markers[1]), Mode.VALUE_HEAD)  # closed twice
                if following.startswith(markers[0]):
                    self._text = following[len(markers[0]) :]
            self._value_opened = True  # by its marker, or right behind the key where that was left out
        more = super()._value_head(steps, final)
        # That a value begins with a newline tells nothing here: the template writes it as it is.
        self._on_lines = False
        return more

    def _ends_value(self, closer: re.Match[str], final: bool) -> bool | None:
        if self._cut_off and closer[0] == self._format.function_close:
            return None  # without its own closer, only an end that the model meant ends a value
        return super()._ends_value(closer, final)
