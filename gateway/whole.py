"""An answer as one `chat.completion` body. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.events import AnswerReader
from gateway.logprobs import logprob_objects, logprobs_object
from gateway.render import Identity, swarm_object, usage_object
from swarm.inference.v1 import inference_pb2


@dataclass(slots=True)
class _Parts:
    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: dict[int, tuple[str, str, list[str]]] = field(default_factory=dict)
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    finish: str = ""

    def message(self) -> dict[str, Any]:
        text = "".join(self.content)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text if text or not self.calls else None,
            "refusal": None,
        }
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if self.calls:
            message["tool_calls"] = [
                {
                    "id": call_id,
                    "type": "function",
                    "function": {"name": name, "arguments": "".join(fragments)},
                }
                for _, (call_id, name, fragments) in sorted(self.calls.items())
            ]
        return message


class WholeSink:
    """Collects an answer; `body()` is what a client that does not stream gets."""

    def __init__(self, identity: Identity, choices: int) -> None:
        self._identity = identity
        self._choices = [_Parts() for _ in range(choices)]

    def accepted(self, accepted: inference_pb2.Accepted) -> None:
        """Nothing of the answer yet."""

    def content(self, choice: int, text: str) -> None:
        self._choices[choice].content.append(text)

    def reasoning(self, choice: int, text: str) -> None:
        self._choices[choice].reasoning.append(text)

    def logprobs(self, choice: int, tokens: Sequence[inference_pb2.TokenLogprob]) -> None:
        self._choices[choice].logprobs += logprob_objects(tokens)

    def call(self, choice: int, index: int, call_id: str, name: str) -> None:
        self._choices[choice].calls[index] = (call_id, name, [])

    def arguments(self, choice: int, index: int, fragment: str) -> None:
        self._choices[choice].calls[index][2].append(fragment)

    def finished(self, choice: int, reason: str) -> None:
        self._choices[choice].finish = reason

    def body(self, reader: AnswerReader) -> dict[str, Any]:
        """Call `reader.end()` first: it raises when the answer is not whole."""
        assert reader.accepted is not None
        assert reader.usage is not None
        return {
            "id": self._identity.id,
            "object": "chat.completion",
            "created": self._identity.created,
            "model": reader.accepted.model,
            "choices": [
                {
                    "index": index,
                    "message": parts.message(),
                    "finish_reason": parts.finish,
                    "logprobs": logprobs_object(parts.logprobs),
                }
                for index, parts in enumerate(self._choices)
            ],
            "usage": usage_object(reader.usage),
            "swarm": swarm_object(reader),
        }
