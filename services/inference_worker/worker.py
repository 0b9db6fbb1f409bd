"""One model that answers: a chat request goes in, structured events per candidate come out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic

from services.common.chat import Accepted, ChatRequest, DrawnToken, ModelInfo, Tool, ToolChoiceMode
from services.common.errors import Reason, SwarmError, invalid, unsupported
from services.inference_worker.backends.base import Backend, Reuse, Sampled
from services.inference_worker.chat.conversation import offered_tools
from services.inference_worker.chat.formats import Format
from services.inference_worker.chat.machine import PushMachine
from services.inference_worker.chat.prompt import Prompt
from services.inference_worker.chat.template import ChatTemplate
from services.inference_worker.engine import sampling
from services.inference_worker.engine.guide import Guide
from services.inference_worker.engine.jobs import Submission
from services.inference_worker.engine.loop import Engine
from services.inference_worker.engine.scheduler import Priority
from services.inference_worker.engine.status import EngineStatus
from services.inference_worker.grammar.plan import Grammars
from services.inference_worker.grammar.tokens import TokenTable
from services.inference_worker.grammar.vocabulary import table_of
from services.inference_worker.kv.eviction import Owner, Rank
from services.inference_worker.logprobs import ContentLogprobs
from services.inference_worker.models.tuning import Choices
from services.inference_worker.outbox import Bell
from services.inference_worker.stream import ChatStream

# Outputs that may wait for a reader that does not read, about 150 bytes each.
PENDING_LIMIT = 8_192
_MOST_CANDIDATES = 128
# Characters of the prompt's end that may open reasoning for the model.
_PROMPT_TAIL = 256


@dataclass(frozen=True, slots=True)
class _Prepared:
    """`forced` is the beginning of the answer that the prompt already contains.

    `stable`: leading tokens that a next turn will most likely repeat, 0 where nobody asks.
    `guide` makes what holds a candidate's answer; `constrained`: every call fits its tool's schema.
    """

    tokens: list[int]
    tools: tuple[Tool, ...]
    prompt_tail: str
    forced: str
    stable: int
    guide: Callable[[int], Guide | None]
    constrained: bool


class Worker:
    """Belongs to the event loop; the engine works on its own thread."""

    def __init__(
        self,
        name: str,
        model: ModelInfo,
        backend: Backend,
        engine: Engine,
        template: ChatTemplate | Prompt,
        format: Format,
        recommendation: sampling.Recommendation,
        choices: Choices,
        pending_limit: int | None = None,
    ) -> None:
        """`choices`: what was chosen for machine and model.

        `pending_limit`: outputs that may wait for a slow reader; default PENDING_LIMIT.
        """
        self.name = name
        self.model = model
        self.choices = choices
        self._backend = backend
        self._engine = engine
        self._template = template
        self._format = format
        self._recommendation = recommendation
        self._pending_limit = pending_limit or PENDING_LIMIT
        self._bell: Bell | None = None
        self._grammars = Grammars(format, _table(backend, format))

    @property
    def status(self) -> EngineStatus:
        return self._engine.status

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return self._engine.waiting

    async def chat(self, request: ChatRequest, time_left: float | None = None) -> ChatStream:
        """Checks the request and puts it in the engine's queue; nothing is computed yet.

        `time_left`: seconds after which it is given up.

        Raises SwarmError: MODEL_NOT_FOUND, INVALID_FIELD, UNSUPPORTED_PARAMETER, TEMPLATE_FAILED,
        CONTEXT_LENGTH_EXCEEDED, QUEUE_FULL, UNAVAILABLE.
        """
        self._check(request)
        self._engine.check_room()
        # Rendering and tokenising a long conversation takes a while: not in the event loop.
        prepared = await asyncio.to_thread(self._prepare, request)
        stream = ChatStream(
            self._engine,
            Accepted(
                self.model.id,
                len(prepared.tokens),
                self._engine.context_length,
                self.name,
                constrained=prepared.constrained,
            ),
            [
                PushMachine(
                    self._format, prepared.tools, index, prepared.prompt_tail, request.parallel_tool_calls
                )
                for index in range(request.candidates)
            ],
            prepared.forced,
            # What was drawn elsewhere comes at once, however quick the reader is.
            self._pending_limit + sum(map(len, request.resume)),
            self._ringing(),
            [ContentLogprobs(index, self._backend.piece) for index in range(request.candidates)]
            if request.sampling.top_logprobs is not None
            else (),
            request.tell_drawn_tokens,
        )
        priority = priority_of(request)
        stream.start(
            Submission(
                prompt=prepared.tokens,
                specs=sampling.specs(request.sampling, self._recommendation, request.candidates),
                sink=stream.sink,
                max_tokens=request.sampling.max_tokens,
                stops=request.sampling.stop,
                priority=priority,
                owner=Owner(request.session_id, Rank(priority)),
                deadline=None if time_left is None else monotonic() + time_left,
                guide=prepared.guide,
                stable=prepared.stable,
                drawn=[[_sampled(token) for token in drawn] for drawn in request.resume],
            )
        )
        return stream

    def close(self) -> None:
        """Inside the event loop, after the engine has ended."""
        if self._bell is not None:
            self._bell.close()
            self._bell = None

    def _ringing(self) -> Bell:
        """Made with the first request: there is no loop before."""
        if self._bell is None:
            self._bell = Bell()
        return self._bell

    def _check(self, request: ChatRequest) -> None:
        if request.model not in ("", self.model.id):
            raise SwarmError(
                Reason.MODEL_NOT_FOUND,
                f"this worker serves {self.model.id}, not {request.model}",
                param="model",
            )
        if not 1 <= request.candidates <= _MOST_CANDIDATES:
            raise invalid("n", f"n: expected 1 to {_MOST_CANDIDATES}, got {request.candidates}")
        vocabulary = self._backend.vocabulary.size
        sampling.check(request.sampling, vocabulary)
        if request.resume and len(request.resume) != request.candidates:
            expected = f"none, or one for each of {request.candidates} candidates"
            raise invalid("resume", f"resume: expected {expected}, got {len(request.resume)}")
        if not all(0 <= token.id < vocabulary for drawn in request.resume for token in drawn):
            raise invalid("resume", f"resume: expected token ids from 0 to {vocabulary - 1}")
        choice = request.tool_choice
        if choice.mode in (ToolChoiceMode.AUTO, ToolChoiceMode.NONE):
            return
        if self._format.style is None:
            raise unsupported(
                "tool_choice", f"the model {self.model.id} has no tool-call format; tool_choice must be auto"
            )
        if not request.tools:
            raise invalid("tool_choice", "tool_choice asks for a call, but tools is empty")
        if choice.mode is ToolChoiceMode.NAMED and choice.name not in (tool.name for tool in request.tools):
            raise invalid("tool_choice", f"tool_choice names {choice.name!r}, which is not among the tools")

    def _prepare(self, request: ChatRequest) -> _Prepared:
        choice, asked = request.tool_choice, request
        if choice.mode is ToolChoiceMode.NAMED:
            request = replace(request, tools=tuple(t for t in request.tools if t.name == choice.name))
        prompt = self._template.render(request)
        tools = offered_tools(request)
        tail = prompt[-_PROMPT_TAIL:]
        plan = self._grammars.plan(asked, tools, tail)
        tokens = self._backend.tokenize(prompt + plan.forced)
        stable = self._stable(request, tokens)
        return _Prepared(tokens, tools, tail, plan.forced, stable, plan.guide, plan.constrained)

    def _stable(self, request: ChatRequest, tokens: list[int]) -> int:
        """Where the conversation ends and what only asks for an answer begins; templates may leave that out
        of the next turn's history."""
        if self._backend.capacity.reuse is Reuse.RANGES:
            return 0
        history = self._backend.tokenize(self._template.render(request, add_generation_prompt=False))
        pairs = zip(tokens, history, strict=False)
        return next((at for at, (one, other) in enumerate(pairs) if one != other), len(history))


def priority_of(request: ChatRequest) -> Priority:
    """A subagent's request names its parent. A session's request without tools is a title or a summary,
    which an agent asks for beside its work."""
    if request.parent_session_id:
        return Priority.SUBAGENT
    if request.session_id and not request.tools:
        return Priority.SIDE
    return Priority.MAIN


def _sampled(token: DrawnToken) -> Sampled:
    return Sampled(token.id, token.logprob, tuple((other.id, other.logprob) for other in token.top))


def _table(backend: Backend, format: Format) -> TokenTable:
    facts = backend.vocabulary
    return table_of(format, facts.size, backend.piece, backend.is_end, facts.control)
