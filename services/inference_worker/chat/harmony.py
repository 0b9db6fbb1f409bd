"""Answers in the harmony notation: messages, each with a header that names its channel and its recipient.

    <|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>commentary to=functions.bash
    <|constrain|>json<|message|>{…}<|call|>

The channel `analysis` is reasoning, any other is content; a message to a recipient is a call in any channel.
"""

from __future__ import annotations

from enum import Enum, auto

from services.inference_worker.chat.formats import Format
from services.inference_worker.chat.harmony_header import ENDS, MARKERS, MESSAGE, START, Header, read_header
from services.inference_worker.chat.message_call import MessageCall
from services.inference_worker.chat.steps import ReaderState, Reasoning, Step, Text
from services.inference_worker.chat.text import BLANKS, Sieve, any_of, may_become, partial_suffix
from services.inference_worker.chat.toolbox import Toolbox

_ANALYSIS = "analysis"
_ROLE = "assistant"
_NAMESPACE = "functions."
_MOST_BLANKS = 1024  # more of them before a header are text: they are looked through with each piece
_NOBODY = ("assistant", "user", "all")  # recipients that are no tools


class _Mode(Enum):
    BETWEEN = auto()
    BODY = auto()
    CALL = auto()
    VERBATIM = auto()
    """A message to a recipient where no tools are offered."""
    SKIP = auto()
    """The rest of a call that broke."""


class HarmonyRouter:
    def __init__(self, format: Format, tools: Toolbox, prompt_tail: str) -> None:
        self.incomplete = False
        self._tools = tools
        self._mode = _Mode.BETWEEN
        self._text = ""
        self._channel = ""
        self._first = True  # nothing was read: blanks are the answer's own
        self._call = MessageCall("")
        self._ends = (*ENDS, *(token for token in format.end_tokens if token not in ENDS))
        self._markers = tuple(dict.fromkeys((*MARKERS, *self._ends, *format.noise)))
        self._sieve = Sieve(
            self._markers
        )  # for markers whose halves came together when others were taken out
        self._handlers = {
            _Mode.BETWEEN: self._between,
            _Mode.BODY: self._body,
            _Mode.CALL: self._arguments,
            _Mode.VERBATIM: self._verbatim,
            _Mode.SKIP: self._skip,
        }
        self._begin(prompt_tail)

    @property
    def reasoning_open(self) -> bool:
        return self._mode is _Mode.BODY and self._channel == _ANALYSIS

    def feed(self, text: str) -> list[Step]:
        self._text += text
        return self._advance(final=False, cut_off=False)

    def finish(self, cut_off: bool) -> list[Step]:
        steps = self._advance(final=True, cut_off=cut_off)
        if self._mode is _Mode.CALL and self._call.state is ReaderState.OPEN:
            self.incomplete = True
        self._release(steps)
        return steps

    def _begin(self, prompt_tail: str) -> None:
        """Reads what the prompt has begun of a message."""
        _, start, begun = prompt_tail.rpartition(START)
        if start and begun.startswith(_ROLE):
            self._text = begun.removeprefix(_ROLE)
            self._advance(final=False, cut_off=False)

    def _advance(self, final: bool, cut_off: bool) -> list[Step]:
        steps: list[Step] = []
        while self._text and self._handlers[self._mode](steps, final, cut_off):
            pass
        return steps

    # Each handler takes what it can from self._text and tells whether there is more to do.

    def _between(self, steps: list[Step], final: bool, cut_off: bool) -> bool:
        text = self._text.lstrip(BLANKS)
        if len(self._text) - len(text) > _MOST_BLANKS:
            return self._enter(_Mode.BODY, "", steps)
        for marker in self._ends:
            if text.startswith(marker):
                self._text = text[len(marker) :]
                return True
        if not text or (may_become(text, self._markers) and not final):
            return False
        header = read_header(self._text, final)
        if header is None:
            return False
        if not header.end:
            self._text = self._text if self._first else text
            return self._enter(_Mode.BODY, "", steps)
        return self._open(header, steps, final)

    def _open(self, header: Header, steps: list[Step], final: bool) -> bool:
        raw, self._text = self._text[: header.end], self._text[header.end :]
        recipient = header.recipient if header.recipient not in _NOBODY else ""
        if final and not self._text and not header.message:
            self.incomplete = self.incomplete or bool(recipient)
            return False
        if not recipient:
            return self._enter(_Mode.BODY, header.channel, steps)
        if not self._tools:
            self._text = raw + self._text
            return self._enter(_Mode.VERBATIM, header.channel, steps)
        self._call = MessageCall(self._name(recipient))
        return self._enter(_Mode.CALL, header.channel, steps)

    def _enter(self, mode: _Mode, channel: str, steps: list[Step]) -> bool:
        if mode is _Mode.CALL or (channel == _ANALYSIS) != (self._channel == _ANALYSIS):
            self._release(steps)
        self._mode = mode
        self._channel = channel
        self._first = False
        return True

    def _name(self, recipient: str) -> str:
        name = self._tools.mend(recipient)
        return name if self._tools.offers(name) else name.removeprefix(_NAMESPACE)

    def _body(self, steps: list[Step], final: bool, cut_off: bool) -> bool:
        marker = any_of(self._markers).search(self._text)
        end = marker.start() if marker else len(self._text)
        if marker is None and not final:
            end -= partial_suffix(self._text, self._markers)
        self._say(self._text[:end], steps)
        self._text = self._text[end:]
        if marker is None:
            return False
        if marker[0] in self._ends:
            self._text = self._text[len(marker[0]) :]
            self._mode = _Mode.BETWEEN
        elif marker[0] not in MARKERS or marker[0] == MESSAGE:
            self._text = self._text[len(marker[0]) :]
        else:
            self._mode = _Mode.BETWEEN
        return True

    def _say(self, text: str, steps: list[Step]) -> None:
        if out := self._sieve.push(text):
            steps.append(Reasoning(out) if self._channel == _ANALYSIS else Text(out))

    def _release(self, steps: list[Step]) -> None:
        if left := self._sieve.release():
            steps.append(Reasoning(left) if self._channel == _ANALYSIS else Text(left))

    def _arguments(self, steps: list[Step], final: bool, cut_off: bool) -> bool:
        call = self._call
        if call.blank:
            text = self._text.lstrip(BLANKS)
            if not text or (may_become(text, self._ends) and not final):
                return False
            ended = next((marker for marker in self._ends if text.startswith(marker)), None)
            if ended is not None:
                steps += call.close()
                self._text = text
                return self._enter(_Mode.BETWEEN, self._channel, steps)
        steps += call.feed(self._text)
        self._text = call.rest
        if call.state is ReaderState.OPEN:
            return False
        if call.state is ReaderState.DONE:
            return self._enter(_Mode.BETWEEN, self._channel, steps)
        if call.state is ReaderState.BROKEN:
            self.incomplete = True
            return self._enter(_Mode.SKIP, self._channel, steps)
        self._text = call.raw + self._text
        return self._enter(_Mode.BODY, self._channel, steps)

    def _verbatim(self, steps: list[Step], final: bool, cut_off: bool) -> bool:
        """Everything up to the end of the message, header and closer included."""
        closers = [at + len(end) for end in ENDS if (at := self._text.find(end)) >= 0]
        end = min(closers, default=len(self._text))
        if not closers and not final:
            end -= partial_suffix(self._text, ENDS)
        if end:
            self._release(steps)
            steps.append(Text(self._text[:end]))
        self._text = self._text[end:]
        if closers:
            self._mode = _Mode.BETWEEN
        return bool(closers)

    def _skip(self, steps: list[Step], final: bool, cut_off: bool) -> bool:
        marker = any_of(self._markers).search(self._text)
        end = marker.start() if marker else len(self._text) - partial_suffix(self._text, self._markers)
        self._text = self._text[end:]
        if marker is not None:
            self._mode = _Mode.BETWEEN
        return marker is not None
