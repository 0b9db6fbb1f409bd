"""Log-probabilities of an answer's content: which of the tokens drawn became text that the client reads.

Markup, reasoning and tool calls are made of tokens too, and text comes out later than its tokens went in:
while a character, a stop string or markup may still go on, it is held back. So the bytes of the tokens are
kept until a delta with these bytes comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.common.chat import (
    ChatEvent,
    ContentDelta,
    ReasoningDelta,
    TokenLogprob,
    TokenLogprobs,
    ToolCallArguments,
    ToolCallEnded,
    ToolCallStarted,
)
from services.inference_worker.backends.base import Sampled


class ContentLogprobs:
    """One candidate's, fed with every token and the events that came of it, in order."""

    def __init__(self, candidate: int, piece: Callable[[int], bytes]) -> None:
        """`piece`: the bytes a token stands for."""
        self._candidate = candidate
        self._piece = piece
        self._bytes = bytearray()
        # Whose bytes these are, and how many; None: the rest of a token that was told already.
        self._tokens: list[tuple[TokenLogprob | None, int]] = []

    def weave(self, sampled: Sampled | None, events: Sequence[ChatEvent]) -> list[ChatEvent]:
        """`events` with TokenLogprobs before each piece of content; `sampled`: the token they came of."""
        if sampled is not None:
            self._add(sampled)
        texts = [event for event in events if isinstance(event, ContentDelta | ReasoningDelta)]
        woven: list[ChatEvent] = []
        for event in events:
            if isinstance(event, ContentDelta | ReasoningDelta):
                # What stands before the newest text is markup that may hold the same letters.
                content = isinstance(event, ContentDelta)
                tokens = self._take(event.text.encode(), event is texts[-1], content)
                if tokens and content:
                    woven.append(TokenLogprobs(self._candidate, tokens))
            woven.append(event)
        if events and isinstance(events[-1], ToolCallStarted | ToolCallArguments | ToolCallEnded):
            self._bytes.clear()
            self._tokens.clear()
        return woven

    def _add(self, sampled: Sampled) -> None:
        token = self._told(sampled.token, sampled.logprob)
        if token.token:
            top = tuple(self._told(other, logprob) for other, logprob in sampled.top)
            self._bytes += token.token
            self._tokens.append((TokenLogprob(token.token, token.logprob, top), len(token.token)))

    def _told(self, token: int, logprob: float) -> TokenLogprob:
        return TokenLogprob(self._piece(token), logprob)

    def _take(self, text: bytes, newest: bool, content: bool) -> tuple[TokenLogprob, ...]:
        """The tokens that `text` is made of; they and all before them are forgotten.

        A token that goes on behind it is told with the next content, unless it is told with this one.
        """
        start = self._bytes.rfind(text) if newest else self._bytes.find(text)
        if start < 0:
            # Invalid bytes were shown as U+FFFD: whatever is here became this text.
            start, end = 0, len(self._bytes)
        else:
            end = start + len(text)
        found: list[TokenLogprob] = []
        rest: list[tuple[TokenLogprob | None, int]] = []
        last = 0
        for token, size in self._tokens:
            first, last = last, last + size
            if first >= end:
                rest.append((token, size))
            elif last > start:
                if token is not None:
                    found.append(token)
                if last > end:
                    rest.append((None if content else token, last - end))
        self._tokens = rest
        del self._bytes[:end]
        return tuple(found)
