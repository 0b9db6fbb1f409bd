"""The inside of a Python text, escapes resolved, in pieces."""

from __future__ import annotations

import re

_ESCAPE = re.compile(
    r"\\(?:\r\n|[0-7]{1,3}|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[\s\S])", re.ASCII
)
_ESCAPE_SO_FAR = re.compile(
    r"\\(?:\r|[0-7]{1,2}|x[0-9a-fA-F]?|u[0-9a-fA-F]{0,3}|U[0-9a-fA-F]{0,7})?", re.ASCII
)
_SIMPLE = {
    "n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "a": "\a", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "\n": "", "\r": "", "\r\n": "",
    "/": "/",  # JSON's
}  # fmt: skip
_REPLACEMENT = "\ufffd"


class PythonText:
    """`read` until `ended`. quotes: what closes it; raw: backslashes stay."""

    def __init__(self, quotes: str, raw: bool) -> None:
        self.ended = False
        self._quotes = quotes
        self._raw = raw
        self._plain = re.compile(rf"[^\\{quotes[:1]}]*")
        self._high = ""  # the first half of a pair of surrogates

    def read(self, text: str, at: int) -> tuple[str, int]:
        """The text from `text[at]` and where reading stopped. What is left must be given again, with more."""
        out: list[str] = []
        while at < len(text) and not self.ended:
            plain = self._plain.match(text, at)
            if plain is not None and plain.end() > at:
                out.append(self._drop_half() + plain[0])
                at = plain.end()
            elif text[at] == "\\":
                after = self._escape(text, at, out)
                if after is None:
                    break
                at = after
            elif text.startswith(self._quotes, at):
                out.append(self._drop_half())
                self.ended = True
                at += len(self._quotes)
            elif self._quotes.startswith(text[at:]):
                break  # the first of three quotes
            else:
                out.append(self._drop_half() + text[at])
                at += 1
        return "".join(out), at

    def _escape(self, text: str, at: int, out: list[str]) -> int | None:
        if self._raw:
            if len(text) - at < 2:
                return None
            out.append(text[at : at + 2])
            return at + 2
        if _ESCAPE_SO_FAR.fullmatch(text, at):
            return None
        match = _ESCAPE.match(text, at)
        assert match is not None  # any character may follow a backslash
        body = match[0][1:]
        out.append(self._character(body))
        return match.end()

    def _character(self, body: str) -> str:
        if body in _SIMPLE:
            return self._drop_half() + _SIMPLE[body]
        if body[0] in "01234567":
            return self._drop_half() + chr(int(body, 8))
        if len(body) == 1:
            return self._drop_half() + "\\" + body  # no escape at all
        code = int(body[1:], 16)
        if 0xD800 <= code <= 0xDBFF:
            dropped = self._drop_half()
            self._high = chr(code)
            return dropped
        if 0xDC00 <= code <= 0xDFFF:
            high, self._high = self._high, ""
            if not high:
                return _REPLACEMENT
            return chr(0x10000 + ((ord(high) - 0xD800) << 10) + (code - 0xDC00))
        return self._drop_half() + (chr(code) if code <= 0x10FFFF else _REPLACEMENT)

    def _drop_half(self) -> str:
        """What becomes of half a pair that nothing followed."""
        half, self._high = self._high, ""
        return _REPLACEMENT if half else ""
