"""From tokens to text: whole UTF-8 characters only, and never a piece of a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class TextAssembler:
    """Turns one candidate's token bytes into text that may be shown.

    Characters that are split over tokens are held until they are whole; text that could be the beginning
    of a stop string is held until it is clear. Invalid bytes become U+FFFD.
    """

    def __init__(self, stops: Sequence[str] = ()) -> None:
        """`stops` are strings of at least one character."""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stops = tuple(stops)
        self._longest = max((len(stop) for stop in self._stops), default=0)
        self._firsts = frozenset(stop[0] for stop in self._stops)
        self._held = ""
        self.stopped = False

    def feed(self, piece: bytes) -> str:
        """The text that can go out now. Sets `stopped` when a stop string is complete; nothing follows it."""
        return self._release(self._decoder.decode(piece))

    def finish(self) -> str:
        """What is still held, after the last token. Empty if a stop string has ended the text."""
        if self.stopped:
            return ""
        text = self._release(self._decoder.decode(b"", final=True))
        held, self._held = self._held, ""
        return text if self.stopped else text + held

    def _release(self, text: str) -> str:
        if self.stopped or not text:
            return ""
        if not self._stops:
            return text
        text = self._held + text
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            # The one that is complete first, however the text was cut into tokens.
            self.stopped = True
            self._held = ""
            return text[: min(found)[1]]
        keep = self._possible_start(text)
        self._held = text[keep:]
        return text[:keep]

    def _possible_start(self, text: str) -> int:
        """Index of the earliest tail of `text` that is a beginning of a stop string; its length if none."""
        for start in range(max(0, len(text) - self._longest + 1), len(text)):
            if text[start] in self._firsts:
                tail = text[start:]
                if any(stop.startswith(tail) for stop in self._stops):
                    return start
        return len(text)
