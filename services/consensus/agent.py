"""The model local-swarm-agent: model, vote, tool server, model, until there is an answer in words.

Progress goes out as reasoning; content is the final answer alone. A turn's prose is therefore held back
until it is known whether calls follow it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from services.common.chat import (
    Accepted,
    CandidateFinished,
    ContentDelta,
    DrawnTokens,
    FinishReason,
    Message,
    PrefillProgress,
    ReasoningDelta,
    Role,
    ToolCall,
    ToolChoiceMode,
    Usage,
)
from services.common.errors import Reason, SwarmError, invalid
from services.common.text import shorten
from services.consensus.canonical import InvalidCallError, Toolbox
from services.consensus.decide import Decider
from services.consensus.drafts import Draft
from services.consensus.events import Ballots, DecideEvent, Heartbeat, Question, Spoken
from services.consensus.narration import Say, narrate
from services.consensus.once import execute_once
from services.consensus.ports import Directory, ToolServer

# The same calls so many turns in a row: the model does not come further.
REPEATS = 3
# Longest wait for the tool server's list, in seconds.
_LIST_TOOLS = 10.0
_SHOWN_CALL = 200
_SHOWN_RESULT = 400
_FATAL = (Reason.TOOL_SERVER_UNAVAILABLE, Reason.JOURNAL_UNAVAILABLE, Reason.DEADLINE_EXCEEDED)


@dataclass(slots=True)
class _Turn:
    """One turn of the model as it is gathered."""

    draft: Draft = field(default_factory=lambda: Draft(0, ""))
    reasoning: list[str] = field(default_factory=list)

    def message(self) -> Message:
        reasoning = "".join(self.reasoning)
        return Message(Role.ASSISTANT, self.draft.content, reasoning, tool_calls=self.draft.calls)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one request: `steps` turns of the model, which generate `tokens` together.

    `tool_server_wait` is in seconds: how long a tool server that went away during a call is waited for.
    """

    steps: int
    tokens: int
    tool_server_wait: float


class Agent:
    """One request of the agent model: read `events` once."""

    def __init__(
        self,
        decider: Decider,
        directory: Directory,
        bounds: Bounds,
        heartbeat: float,
        session_id: str,
        run_id: str,
    ) -> None:
        """`session_id` is the tool server's; `run_id` is random, and no other request has it."""
        self._decider = decider
        self._directory = directory
        self._bounds = bounds
        self._heartbeat = heartbeat
        self._session_id = session_id
        self._run_id = run_id
        self._usage = Usage(0, 0, 0, 0)
        self._ballots: Ballots | None = None
        self._announced = False
        self._waiting_for = "the model"

    async def events(self, question: Question, deadline: float) -> AsyncGenerator[DecideEvent, None]:
        """As `Decider.decide`; usage sums all turns, the ballots are those of the last one.

        Raises SwarmError: INVALID_FIELD for what an agent cannot honour, TOOL_SERVER_UNAVAILABLE, and all
        that a decision raises.
        """
        _check(question)

        async def work(say: Say) -> None:
            await self._work(question, deadline, say)

        async with aclosing(narrate(work, self._heartbeat, lambda: self._waiting_for)) as events:
            async for event in events:
                yield event

    async def _work(self, question: Question, deadline: float, say: Say) -> None:
        server = self._directory.tool_server()
        if server is None:
            raise SwarmError(
                Reason.TOOL_SERVER_UNAVAILABLE, "No tool server is in the swarm.", retry_after=2.0
            )
        async with server.in_use():
            await self._loop(server, question, deadline, say)

    async def _loop(self, server: ToolServer, question: Question, deadline: float, say: Say) -> None:
        steps, wanted = self._bounds.steps, question.chat.sampling.max_tokens
        tools = tuple(await server.tools(timeout=min(_LIST_TOOLS, _remaining(deadline))))
        toolbox = Toolbox(tools)
        messages = list(question.chat.messages)
        limit = self._bounds.tokens if wanted is None else min(wanted, self._bounds.tokens)
        history: list[str] = []
        for step in range(1, steps + 1):
            left = limit - self._usage.completion_tokens
            if left <= 0 and step > 1:
                # Who set the limit knows of it.
                text = "" if limit == wanted else f"I stopped after {limit} tokens without a final answer."
                return await self._end(text, FinishReason.LENGTH, say)
            sampling = replace(question.chat.sampling, max_tokens=left)
            chat = replace(question.chat, messages=tuple(messages), tools=tools, sampling=sampling)
            turn = await self._think(replace(question, chat=chat), deadline, say)
            finished = turn.draft.finished
            assert finished is not None, "a decision ends with CandidateFinished"
            calls = turn.draft.calls
            if finished.reason is not FinishReason.TOOL_CALLS:
                for said in turn.draft.said():
                    await say(Spoken(0, said))
                return await self._end("", finished.reason, say)
            history.append(_key(toolbox, calls))
            if history[-REPEATS:] == [history[-1]] * REPEATS:
                text = f"I stopped: the model asked {REPEATS} times in a row for {_line(calls[0])}"
                return await self._end(text, FinishReason.STOP, say)
            if step == steps:
                break
            messages.append(turn.message())
            if turn.draft.content:
                await _progress(turn.draft.content, say)
            for index, call in enumerate(calls):
                key = f"{self._run_id}-{step}-{index}"
                messages.append(await self._execute(server, call, key, deadline, say))
        text = f"I stopped after {steps} turns without a final answer; next came {_line(calls[0])}"
        return await self._end(text, FinishReason.STOP, say)

    async def _think(self, question: Question, deadline: float, say: Say) -> _Turn:
        """One turn of the model."""
        turn = _Turn()
        async with aclosing(self._decider.decide(question, deadline)) as events:
            async for event in events:
                match event:
                    case Heartbeat(waiting_for):
                        self._waiting_for = waiting_for
                    case Ballots():
                        before = self._ballots.generated_tokens if self._ballots else 0
                        self._ballots = replace(event, generated_tokens=event.generated_tokens + before)
                    case Spoken(_, Accepted()):
                        if not self._announced:
                            self._announced = True
                            await say(event)
                    case Spoken(_, PrefillProgress()):
                        await say(event)
                    case Spoken(_, Usage() as usage):
                        self._usage = _sum(self._usage, usage)
                    case Spoken(_, ReasoningDelta(_, text)):
                        turn.reasoning.append(text)
                        await say(event)
                    case Spoken(_, piece) if not isinstance(
                        piece, Accepted | PrefillProgress | DrawnTokens | Usage
                    ):
                        turn.draft.add(piece)
        return turn

    async def _execute(
        self, server: ToolServer, call: ToolCall, key: str, deadline: float, say: Say
    ) -> Message:
        """The tool's result for the model; what the tool server refuses is told to the model as well."""
        await _progress(f"→ {_line(call)}", say)
        self._waiting_for = f"the tool {shorten(call.name, 60)}"

        async def lost() -> None:
            self._waiting_for = "the tool server"
            await _progress("… the tool server's reply was lost; asking again what became of the call", say)

        wait = self._bounds.tool_server_wait
        try:
            outcome = await execute_once(server, self._session_id, call, key, deadline, wait, lost)
            content, failed = outcome.content, outcome.is_error
        except SwarmError as error:
            # No next turn could act on these.
            if error.reason in _FATAL:
                await _progress(f"✗ {shorten(error.message, _SHOWN_RESULT)}", say)
                raise
            content, failed = f"Error: {error.message}", True
        self._waiting_for = "the model"
        await _progress(f"{'✗' if failed else '←'} {shorten(content, _SHOWN_RESULT)}", say)
        return Message(Role.TOOL, content, tool_call_id=call.id, name=call.name)

    async def _end(self, text: str, reason: FinishReason, say: Say) -> None:
        if text:
            await say(Spoken(0, ContentDelta(0, text)))
        usage = self._usage
        await say(Spoken(0, CandidateFinished(0, reason, usage.completion_tokens, usage.reasoning_tokens)))
        if self._ballots is not None:
            await say(self._ballots)
        await say(Spoken(0, usage))


def _check(question: Question) -> None:
    if question.chat.tools:
        raise invalid(
            "tools", "local-swarm-agent brings its own tools; leave `tools` out or ask another model"
        )
    if question.choices != 1:
        raise invalid("n", f"local-swarm-agent gives one answer, got n = {question.choices}")
    if question.chat.tool_choice.mode is not ToolChoiceMode.AUTO:
        raise invalid("tool_choice", "local-swarm-agent chooses its tools itself; expected auto")
    if question.chat.response_format.grammar:
        raise invalid("grammar", "local-swarm-agent calls tools, which a grammar of the whole answer forbids")


async def _progress(text: str, say: Say) -> None:
    await say(Spoken(0, ReasoningDelta(0, text + "\n")))


def _line(call: ToolCall) -> str:
    return shorten(f"{call.name} {call.arguments_json}", _SHOWN_CALL)


def _key(toolbox: Toolbox, calls: Sequence[ToolCall]) -> str:
    try:
        return toolbox.canonical(calls).key
    except InvalidCallError:
        return "\0".join(f"{call.name} {call.arguments_json}" for call in calls)


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        one.prompt_tokens + other.prompt_tokens,
        one.cached_tokens + other.cached_tokens,
        one.completion_tokens + other.completion_tokens,
        one.reasoning_tokens + other.reasoning_tokens,
    )


def _remaining(deadline: float) -> float:
    return max(0.0, deadline - asyncio.get_running_loop().time())
