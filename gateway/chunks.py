"""An answer as `chat.completion.chunk` events, rendered to bytes with as little work a token as can be. Pure.

The part of a chunk that never changes is rendered once for each choice; a delta is then one quoted string
between two constants.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from json.encoder import encode_basestring
from typing import Any

from gateway.errors import error_object
from gateway.events import AnswerReader
from gateway.logprobs import logprob_objects, logprobs_object
from gateway.render import Identity, swarm_object, usage_object
from services.common.errors import SwarmError
from swarm.inference.v1 import inference_pb2

DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"

_END = ',"finish_reason":null,"logprobs":null}]}\n\n'
# Line separators of Unicode's. Legal in JSON and in an event, but some clients split lines at them.
_SEPARATORS = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def quoted(text: str) -> str:
    """`text` as a JSON string that stays on one line wherever a client breaks lines."""
    rendered: str = encode_basestring(text)
    return rendered if rendered.isascii() else rendered.translate(_SEPARATORS)


def event(body: Any) -> bytes:
    """One server-sent event with `body` as JSON."""
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return f"data: {text.translate(_SEPARATORS)}\n\n".encode()


def error_event(error: SwarmError) -> bytes:
    return event(error_object(error))


class ChunkSink:
    """Collects the bytes of chunks; `take()` hands them over.

    The last choice's finish chunk waits for the end, so that it can carry the ballots and so that no
    client sees a finished answer whose usage never comes.
    """

    def __init__(self, identity: Identity, choices: int, include_usage: bool) -> None:
        self._identity = identity
        self._include_usage = include_usage
        self._unfinished = choices
        self._starts: list[str] = []
        self._head = ""
        self._held: tuple[int, str] | None = None
        self._logprobs: dict[int, list[dict[str, Any]]] = {}
        self._out: list[str] = []

    def take(self) -> bytes:
        """What there is to send, and forgets it."""
        text = "".join(self._out)
        self._out.clear()
        return text.encode()

    def accepted(self, accepted: inference_pb2.Accepted) -> None:
        self._head = (
            f'data: {{"id":{quoted(self._identity.id)},"object":"chat.completion.chunk",'
            f'"created":{self._identity.created},"model":{quoted(accepted.model)},'
        )
        self._starts = [
            f'{self._head}"choices":[{{"index":{index},"delta":' for index in range(self._unfinished)
        ]
        for start in self._starts:
            self._out.append(f'{start}{{"role":"assistant","content":""}}{_END}')

    def content(self, choice: int, text: str) -> None:
        end = self._end_with(choice) if self._logprobs else _END
        self._out.append(f'{self._starts[choice]}{{"content":{quoted(text)}}}{end}')

    def reasoning(self, choice: int, text: str) -> None:
        self._out.append(f'{self._starts[choice]}{{"reasoning_content":{quoted(text)}}}{_END}')

    def logprobs(self, choice: int, tokens: Sequence[inference_pb2.TokenLogprob]) -> None:
        self._logprobs.setdefault(choice, []).extend(logprob_objects(tokens))

    def call(self, choice: int, index: int, call_id: str, name: str) -> None:
        self._out.append(
            f'{self._starts[choice]}{{"tool_calls":[{{"index":{index},"id":{quoted(call_id)},'
            f'"type":"function","function":{{"name":{quoted(name)},"arguments":""}}}}]}}{_END}'
        )

    def arguments(self, choice: int, index: int, fragment: str) -> None:
        self._out.append(
            f'{self._starts[choice]}{{"tool_calls":[{{"index":{index},'
            f'"function":{{"arguments":{quoted(fragment)}}}}}]}}{_END}'
        )

    def finished(self, choice: int, reason: str) -> None:
        self._unfinished -= 1
        if self._unfinished:
            self._out.append(self._finish_chunk(choice, reason) + "}\n\n")
        else:
            self._held = (choice, reason)

    def end(self, reader: AnswerReader) -> bytes:
        """The last chunks and `[DONE]`. Call `reader.end()` first: it raises when there is no end to tell."""
        assert self._held is not None
        assert reader.usage is not None
        about = json.dumps(swarm_object(reader), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        self._out.append(f'{self._finish_chunk(*self._held)},"swarm":{about.translate(_SEPARATORS)}}}\n\n')
        if self._include_usage:
            usage = json.dumps(usage_object(reader.usage), separators=(",", ":"))
            self._out.append(f'{self._head}"choices":[],"usage":{usage}}}\n\n')
        return self.take() + DONE

    def _end_with(self, choice: int) -> str:
        """As _END, with the log-probabilities that wait for this choice's text."""
        told = logprobs_object(self._logprobs.pop(choice, []))
        rendered = json.dumps(told, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return f',"finish_reason":null,"logprobs":{rendered.translate(_SEPARATORS)}}}]}}\n\n'

    def _finish_chunk(self, choice: int, reason: str) -> str:
        """Open at its end, for further keys."""
        return f'{self._starts[choice]}{{}},"finish_reason":"{reason}","logprobs":null}}]'
