"""The header of a message in the harmony notation, with its parts in any order and some of them missing:

<|start|>assistant<|channel|>commentary to=functions.bash <|constrain|>json<|message|>
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from services.inference_worker.chat.text import BLANKS, may_become

START = "<|start|>"
CHANNEL = "<|channel|>"
CONSTRAIN = "<|constrain|>"
MESSAGE = "<|message|>"
ENDS = ("<|end|>", "<|return|>", "<|call|>")
MARKERS = (START, CHANNEL, CONSTRAIN, MESSAGE, *ENDS)

CHANNELS = ("analysis", "commentary", "final")
_BARE = ("assistant", *CHANNELS)  # words that may begin a header whose marker is missing
_KINDS = ("json", "code")  # content types that may stand without their marker
_TO = "to="
_LONGEST = 256  # characters of a word or a recipient
_LONGEST_HEADER = 1024  # of everything before the message: a header is read anew with each piece of it
_WORD = re.compile(r"[\w.\-]+")
_RECIPIENT = re.compile(r"to=[^\s<]*")


@dataclass(slots=True)
class Header:
    """`end`: where the message begins, or, without `message`, where what is no part of the header begins."""

    end: int = 0
    role: str = ""
    channel: str = ""
    recipient: str = ""
    message: bool = False


class _Wants(Enum):
    """What a word would be, where the last part has led."""

    BARE = auto()
    ROLE = auto()
    CHANNEL = auto()
    CONSTRAINT = auto()
    KIND = auto()
    NOTHING = auto()


_BEHIND = {START: _Wants.ROLE, CHANNEL: _Wants.CHANNEL, CONSTRAIN: _Wants.CONSTRAINT}


class _Reader:
    def __init__(self, text: str, final: bool) -> None:
        self.header = Header()
        self._text = text
        self._final = final
        self._at = 0
        self._sure = False  # a marker was read
        self._wants = _Wants.BARE
        self._word_at = 0  # where the channel's name stood

    def read(self) -> Header | None:
        while True:
            self._skip_blanks()
            if self._at > _LONGEST_HEADER:
                return self._broken()
            rest = self._text[self._at : self._at + _LONGEST + 1]
            if not rest or may_become(rest, (*MARKERS, _TO)):
                if not self._final:
                    return None
                self._at = len(self._text)
                return self._ended()
            marker = next((marker for marker in MARKERS if rest.startswith(marker)), "")
            if marker:
                again = marker == START and (self.header.channel or self.header.recipient)
                self._sure = True
                if marker in ENDS or again:
                    return self._ended()
                self._at += len(marker)
                if marker == MESSAGE:
                    self.header.message = True
                    return self._ended()
                self._wants = _BEHIND[marker]
                continue
            found = _RECIPIENT.match(rest) or self._word(rest)
            if found is None or found.end() > _LONGEST:
                return self._broken()
            if found.end() == len(rest) and not self._final:
                return None
            self._take(found[0])

    def _word(self, rest: str) -> re.Match[str] | None:
        """A word that may stand here."""
        word = _WORD.match(rest)
        if word is None or self._wants is _Wants.NOTHING:
            return None
        allowed = {_Wants.BARE: _BARE, _Wants.KIND: _KINDS}.get(self._wants)
        if allowed is None or word[0] in allowed:
            return word
        growing = word.end() == len(rest) and not self._final and may_become(word[0], allowed)
        return word if growing else None

    def _take(self, word: str) -> None:
        if word.startswith(_TO):
            self.header.recipient = word[len(_TO) :]
            self._wants = _Wants.KIND
        elif self._wants is _Wants.ROLE or word == "assistant":
            self.header.role = word
            self._wants = _Wants.NOTHING
        elif self._wants in (_Wants.CHANNEL, _Wants.BARE):
            self.header.channel, self._word_at = word, self._at
            self._wants = _Wants.KIND
        else:
            self._wants = _Wants.NOTHING
        self._at += len(word)

    def _skip_blanks(self) -> None:
        end = min(len(self._text), _LONGEST_HEADER + 1)
        while self._at < end and self._text[self._at] in BLANKS:
            self._at += 1

    def _broken(self) -> Header:
        """What comes is no part of a header, and no marker has ended it."""
        if self.header.channel and self.header.channel not in CHANNELS and not self.header.recipient:
            self._at, self.header.channel = self._word_at, ""
        return self._ended()

    def _ended(self) -> Header:
        self.header.end = self._at
        return self.header if self._sure else Header()


def read_header(text: str, final: bool) -> Header | None:
    """The header at the beginning of `text`; None: more text must come.

    Its `end` is 0 where there is none: where `text` begins with no marker and with no word that a marker
    follows. A header whose message has no marker ends where its notation does.
    """
    return _Reader(text, final).read()
