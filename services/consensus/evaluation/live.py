"""The same items the long way: a real `Decider`, and voters in processes of their own behind real RPCs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

from services.common.chat import ContentDelta, ToolCallArguments
from services.common.chat_proto import model_to_proto
from services.common.errors import Reason, SwarmError
from services.consensus.decide import Decider, Rules
from services.consensus.evaluation.bulk import Method, decide
from services.consensus.evaluation.oracle import MODEL, ask, value_of
from services.consensus.evaluation.population import Item, Population, item
from services.consensus.events import Ballots, Question, Spoken
from services.consensus.ports import ToolServer
from services.consensus.remote import RemoteWorker
from services.consensus.strategies.base import Kind
from services.consensus.strategies.risk import Risk
from services.consensus.terms import Terms
from swarm.discovery.v1 import discovery_pb2

# In seconds: for a process to serve, for it to end, and for one item.
_START = 60.0
_STOP = 10.0
_ITEM = 30.0


class _Listed:
    """A `Directory` of voters that never changes."""

    def __init__(self, workers: Sequence[RemoteWorker]) -> None:
        self._workers = workers

    @property
    def known(self) -> bool:
        return True

    def workers(self) -> Sequence[RemoteWorker]:
        return self._workers

    async def changed(self, until: float) -> bool:
        return False

    def tool_server(self) -> ToolServer | None:
        return None


@asynccontextmanager
async def voters(count: int) -> AsyncIterator[Decider]:
    """`count` simulated voters, each a process, and who decides among them.

    Raises SwarmError UNAVAILABLE when a process does not come up.
    """
    async with AsyncExitStack() as stack:
        # Each entry starts its process at once; the processes come up side by side.
        processes = [await stack.enter_async_context(_process(slot)) for slot in range(count)]
        ports = [await _port(process, slot) for slot, process in enumerate(processes)]
        workers = [RemoteWorker(_member(slot, port), lambda: None) for slot, port in enumerate(ports)]
        for worker in workers:
            stack.push_async_callback(worker.retire)
        # The formulas ask for two thirds: the quorum of a tool that only reads.
        terms = Terms(classes=(("*", Risk.READING),))
        yield Decider(_Listed(workers), Rules(count, round_timeout=_ITEM, heartbeat=_ITEM, terms=terms))


async def outcome(
    decider: Decider, population: Population, strategy: str, seed: int, number: int, words: bool
) -> tuple[str | None, int]:
    """The answer given for an item, None if none was, and the round in which it was decided.

    `strategy` is a name as a request has it; `words`: the item is answered in words, otherwise by a call.
    Raises SwarmError for everything but the loss of voters, which is a way to no answer.
    """
    question = Question(ask(population, seed, number, words), voters=population.voters, strategy=strategy)
    until = asyncio.get_running_loop().time() + _ITEM
    said: list[str] = []
    decided = False
    held = 1
    try:
        async with aclosing(decider.decide(question, until)) as events:
            async for event in events:
                match event:
                    case Spoken(_, ToolCallArguments(_, _, fragment)):
                        said.append(fragment)
                    case Spoken(_, ContentDelta(_, text)) if words:
                        said.append(text)
                    case Ballots():
                        held, decided = event.round, event.decided
    except SwarmError as error:
        if error.reason is not Reason.WORKER_LOST:
            raise
        return None, 1
    if not decided:
        return None, held
    return "".join(said) if words else value_of("".join(said)), held


def comparable(drawn: Item) -> bool:
    """Whether the end of an item is told by its votes alone.

    Where fewer than two voters remain, it depends on who is faster whether the last of them still leads into
    another round or is stopped before.
    """
    return sum(not reply.lost for reply in drawn.rounds[0]) >= 2


async def differences(
    decider: Decider,
    population: Population,
    strategy: str,
    method: Method,
    items: int,
    seed: int,
    tick: Callable[[], None] = lambda: None,
) -> list[str]:
    """What the two ways do not agree on, a sentence an item: empty if they always come to the same end.

    `method` is that strategy.
    """
    found: list[str] = []
    for number in range(items):
        drawn = item(population, seed, number)
        if comparable(drawn):
            pure = decide(drawn, method)
            told, held = await outcome(
                decider, population, strategy, seed, number, words=method.kind is Kind.WORDS
            )
            if (told, held) != (pure.value, pure.rounds):
                found.append(
                    f"item {number} of seed {seed}: {pure.value!r} in round {pure.rounds} by the functions, "
                    f"{told!r} in round {held} over RPCs"
                )
        tick()
    return found


@asynccontextmanager
async def _process(slot: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "services.consensus.evaluation.oracle", "--name", f"voter-{slot}"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # An interrupt from the keyboard is for the one who asks; the voters follow when their input ends.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(_STOP):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _port(process: asyncio.subprocess.Process, slot: int) -> int:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_START):
            line = await process.stdout.readline()
    except TimeoutError:
        line = b""
    if not line.strip().isdigit():
        raise SwarmError(Reason.UNAVAILABLE, f"The simulated voter {slot} did not start.")
    return int(line)


def _member(slot: int, port: int) -> discovery_pb2.Member:
    return discovery_pb2.Member(
        id=f"voter-{slot}",
        name=f"voter-{slot}",
        kind=discovery_pb2.MEMBER_KIND_WORKER,
        address=f"127.0.0.1:{port}",
        slots=1,
        models=[model_to_proto(MODEL)],
    )
