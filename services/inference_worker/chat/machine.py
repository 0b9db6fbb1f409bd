"""The push machine: generated text in, chat events out, whole or in any pieces.

Pure: no I/O, no clock; the only chance in it is that of the calls' ids, which can be given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum, auto
from itertools import groupby

from services.common.chat import (
    ChatEvent,
    ContentDelta,
    FinishReason,
    ReasoningDelta,
    Tool,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
)
from services.inference_worker.chat.call_ids import new_call_id
from services.inference_worker.chat.drafts import Draft
from services.inference_worker.chat.formats import THINK, Format
from services.inference_worker.chat.parser import CallParser, Parser, PlainParser
from services.inference_worker.chat.routed import router
from services.inference_worker.chat.steps import Arguments, End, Reasoning, Start, Step, Text
from services.inference_worker.chat.text import BLANKS, Sieve, Trailing, any_of, may_become, partial_suffix
from services.inference_worker.chat.toolbox import Toolbox

_NEWLINES = "\r\n"
_PIECE = 4096  # longer texts are read in pieces, so that cutting the front off a text stays cheap


class _Phase(Enum):
    OPENING = auto()
    """Nothing but blanks yet: reasoning may be opened."""
    REASONING_HEAD = auto()
    REASONING = auto()
    CLOSED = auto()
    """Right behind reasoning: newlines are markup, and reasoning may be opened again."""
    ANSWER = auto()


class PushMachine:
    """Reads the text of one candidate as it is generated. `feed` and `finish` never raise, whatever the text.

    format: how the model writes reasoning and calls.
    tools: the tools offered in this request; with none, nothing becomes a call.
    candidate: the number that every event carries.
    prompt_tail: the end of the prompt; reasoning may have been opened there.
    parallel: False lets one call through; whatever is generated after it is dropped (see `done`).
    """

    def __init__(
        self,
        format: Format,
        tools: Sequence[Tool],
        candidate: int,
        prompt_tail: str = "",
        parallel: bool = True,
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        self._format = format
        self._tags = format.reasoning or THINK
        self._toolbox = Toolbox(tools) if format.style is not None else Toolbox(())
        self._candidate = candidate
        self._parallel = parallel
        self._new_id = new_id
        self._text = ""
        self._lead: list[str] = []
        self._newlines = Trailing(_NEWLINES)
        self._noise = (*format.noise, *format.end_tokens) if self._toolbox else format.end_tokens
        self._sieve = Sieve(self._noise)
        self._draft = Draft(self._new_parser(draft=True))
        self._router = router(format, self._toolbox, prompt_tail)
        self._parser = self._router or self._new_parser()
        self._started = 0
        self._ended = 0
        self._muted = False  # inside a call that says that nothing is called
        self._done = False
        self._phase = _Phase.ANSWER
        if format.reasoning is not None and self._router is None:
            opened = prompt_tail.rstrip().endswith(format.reasoning.open)
            self._phase = _Phase.REASONING_HEAD if opened else _Phase.OPENING

    @property
    def reasoning_open(self) -> bool:
        """Whether the text that comes now is reasoning."""
        if self._router is not None:
            return self._router.reasoning_open
        return self._phase in (_Phase.REASONING_HEAD, _Phase.REASONING)

    @property
    def done(self) -> bool:
        """Whether whatever comes now would be dropped: generation may end here."""
        return self._done

    def feed(self, text: str) -> list[ChatEvent]:
        """The events that are certain with `text`; none of them is ever taken back."""
        events: list[ChatEvent] = []
        if self._done:
            return events
        for at in range(0, len(text), _PIECE):
            self._text += text[at : at + _PIECE]
            self._advance(events)
        return _merged(events)

    def finish(self, cut_off: bool) -> tuple[list[ChatEvent], FinishReason]:
        """What was held back, and why the answer ends. `cut_off`: the token limit ended it, not the model.

        A call without its ToolCallEnded stays so: it was cut off or malformed, and the reason is LENGTH
        unless whole calls came before it.
        """
        events: list[ChatEvent] = []
        if self._phase in (_Phase.OPENING, _Phase.CLOSED):
            self._answer("".join(self._lead) + self._text, events)
        elif self.reasoning_open:
            text, steps = self._end_of_reasoning(cut_off)
            self._reason(text, events)
            self._tell(steps, events, reasoning=True)
            self._reason_out(self._sieve.release(), events)
        self._text = ""
        self._tell(self._parser.finish(cut_off), events)
        return _merged(events), self._reason_to_finish(cut_off)

    def _reason_to_finish(self, cut_off: bool) -> FinishReason:
        if self._done and self._ended:
            return FinishReason.TOOL_CALLS
        if cut_off:
            return FinishReason.LENGTH
        if self._ended:
            return FinishReason.TOOL_CALLS
        incomplete = self._parser.incomplete or self._draft.incomplete
        return FinishReason.LENGTH if incomplete else FinishReason.STOP

    def _end_of_reasoning(self, cut_off: bool) -> tuple[str, list[Step]]:
        certain = self._draft.feed(self._text)
        last, steps = self._draft.finish(cut_off)
        return certain + last, steps

    def _new_parser(self, draft: bool = False) -> Parser:
        if self._toolbox:
            return CallParser(self._format, self._toolbox, draft)
        return PlainParser(() if draft else self._noise)

    def _advance(self, events: list[ChatEvent]) -> None:
        while self._phase is not _Phase.ANSWER:
            match self._phase:
                case _Phase.OPENING:
                    more = self._opening(events)
                case _Phase.REASONING_HEAD:
                    more = self._reasoning_head()
                case _Phase.REASONING:
                    more = self._reasoning(events)
                case _Phase.CLOSED:
                    more = self._closed()
            if not more:
                return
        text, self._text = self._text, ""
        self._answer(text, events)

    # Each handler takes what it can from self._text and tells whether there is more to do.

    def _opening(self, events: list[ChatEvent]) -> bool:
        rest = self._text.lstrip(BLANKS)
        self._lead.append(self._text[: len(self._text) - len(rest)])
        self._text = rest
        if self._skip(self._tags.open):
            self._lead = []
            self._phase = _Phase.REASONING_HEAD
        elif noise := any_of(self._noise).match(self._text):
            self._text = self._text[noise.end() :]
        elif not rest or may_become(rest, (self._tags.open, *self._noise)):
            return False
        else:
            self._phase = _Phase.ANSWER
            self._answer("".join(self._lead), events)
        return True

    def _reasoning_head(self) -> bool:
        self._text = self._text.lstrip(_NEWLINES)
        if self._skip(self._tags.open):
            return True  # opened by the prompt and by the model again
        if not self._text or may_become(self._text, (self._tags.open,)):
            return False
        self._phase = _Phase.REASONING
        return True

    def _reasoning(self, events: list[ChatEvent]) -> bool:
        end = self._text.find(self._tags.close)
        closed = end >= 0
        if not closed:
            end = len(self._text) - partial_suffix(self._text, (self._tags.close,))
        certain = self._draft.feed(self._text[:end])
        self._text = self._text[end:]
        if closed:
            certain += self._draft.close()
            self._draft = Draft(self._new_parser(draft=True))
            self._skip(self._tags.close)
            self._phase = _Phase.CLOSED
        self._reason(certain, events)
        if closed:
            self._reason_out(self._sieve.release(), events)
            self._newlines.release()  # those before the closing tag are markup
        return closed

    def _closed(self) -> bool:
        self._text = self._text.lstrip(_NEWLINES)
        if self._skip(self._tags.open):
            self._phase = _Phase.REASONING_HEAD
        elif self._skip(self._tags.close):
            return True  # closed twice
        elif not self._text or may_become(self._text, (self._tags.open, self._tags.close)):
            return False
        else:
            self._phase = _Phase.ANSWER
        return True

    def _skip(self, tag: str) -> bool:
        if not self._text.startswith(tag):
            return False
        self._text = self._text[len(tag) :]
        return True

    def _answer(self, text: str, events: list[ChatEvent]) -> None:
        self._tell(self._parser.feed(text), events)

    def _reason(self, text: str, events: list[ChatEvent]) -> None:
        self._reason_out(self._sieve.push(text), events)

    def _reason_out(self, text: str, events: list[ChatEvent]) -> None:
        if out := self._newlines.push(text):
            events.append(ReasoningDelta(self._candidate, out))

    def _tell(self, steps: list[Step], events: list[ChatEvent], reasoning: bool = False) -> None:
        """Steps to events. `reasoning`: text beside these calls is reasoning."""
        for step in steps:
            if self._done:
                return
            match step:
                case Text(text) if reasoning:
                    self._reason(text, events)
                case Reasoning(text):
                    self._reason_out(text, events)
                case Text(text):
                    events.append(ContentDelta(self._candidate, text))
                case Start(name):
                    self._muted = name in self._format.no_call_names and not self._toolbox.offers(name)
                    if not self._muted:
                        self._start(name, events)
                case Arguments() | End() if self._muted:
                    continue
                case Arguments(fragment):
                    events.append(ToolCallArguments(self._candidate, self._started - 1, fragment))
                case End():
                    events.append(ToolCallEnded(self._candidate, self._started - 1))
                    self._ended += 1
                    self._done = not self._parallel

    def _start(self, name: str, events: list[ChatEvent]) -> None:
        if self._started and not self._parallel:
            self._done = True  # the one call that was allowed has broken
            return
        events.append(ToolCallStarted(self._candidate, self._started, self._new_id(), name))
        self._started += 1


def _merged(events: list[ChatEvent]) -> list[ChatEvent]:
    """Neighbouring pieces of one text as one event."""
    if len(events) < 2:
        return events
    return [_joined(list(run)) for _, run in groupby(events, _same_text)]


def _same_text(event: ChatEvent) -> object:
    """Equal for neighbours that are pieces of one text, and for no others."""
    match event:
        case ContentDelta() | ReasoningDelta():
            return type(event)
        case ToolCallArguments(index=index):
            return index, ToolCallArguments
    return id(event)


def _joined(run: list[ChatEvent]) -> ChatEvent:
    match run[0]:
        case ContentDelta() | ReasoningDelta() as first:
            return replace(first, text="".join(piece.text for piece in run if isinstance(piece, type(first))))
        case ToolCallArguments() as first:
            fragments = (piece.fragment for piece in run if isinstance(piece, ToolCallArguments))
            return replace(first, fragment="".join(fragments))
    return run[0]
