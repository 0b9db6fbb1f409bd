"""What a command prints, within a limit: the head and the tail are kept, the middle is counted. Pure."""

from __future__ import annotations

import codecs

_CONTINUATION = range(0x80, 0xC0)


class HeadTail:
    """Holds at most about 1.5 times `limit` bytes, however much is fed."""

    def __init__(self, limit: int) -> None:
        self._head_size = limit // 2
        self._tail_size = limit - self._head_size
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def feed(self, data: bytes) -> None:
        room = self._head_size - len(self._head)
        self._head += data[:room]
        self._tail += data[max(room, 0) :]
        # Trimmed by halves: moving the tail for every byte would cost as much as it holds.
        if len(self._tail) > 2 * self._tail_size:
            self._trim()

    def _trim(self) -> None:
        surplus = len(self._tail) - self._tail_size
        if surplus > 0:
            self._dropped += surplus
            del self._tail[:surplus]

    @property
    def truncated(self) -> bool:
        return self._dropped > 0 or len(self._tail) > self._tail_size

    def text(self) -> str:
        """Bytes that are no UTF-8 become U+FFFD; no character is cut in two."""
        if not self.truncated:
            return (self._head + self._tail).decode(errors="replace")
        self._trim()
        head = codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(self._head))
        start = 0
        while start < min(3, len(self._tail)) and self._tail[start] in _CONTINUATION:
            start += 1
        tail = self._tail[start:].decode(errors="replace")
        return f"{head}\n[… {self._dropped} bytes left out …]\n{tail}"


class Streamed:
    """The same output as it comes: text for at most `limit` bytes, then one note and silence."""

    def __init__(self, limit: int) -> None:
        self._room = limit
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._ended = False

    def feed(self, data: bytes) -> str:
        if self._ended:
            return ""
        text = self._decoder.decode(data[: self._room])
        if len(data) <= self._room:
            self._room -= len(data)
            return text
        self._ended = True
        return f"{text}\n[the output goes on; the result has its end]\n"

    def finish(self) -> str:
        """What is left of a character that never became whole."""
        return "" if self._ended else self._decoder.decode(b"", final=True)
