"""How the last requests were decided, for whoever looks on. In memory, bounded, gone with the process."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from services.common.chat import Accepted
from services.consensus.events import Ballots, DecideEvent, Spoken

KEPT = 200


@dataclass(frozen=True, slots=True)
class Decision:
    """`asked_unix` in seconds since 1970; `seconds` from then to the ballots."""

    request_id: str
    model: str
    asked_unix: float
    seconds: float
    ballots: Ballots


class History:
    def __init__(self, clock: Callable[[], float], kept: int = KEPT) -> None:
        """`clock` gives seconds since 1970."""
        self._clock = clock
        self._decisions: deque[Decision] = deque(maxlen=kept)

    def latest(self, limit: int = 0) -> list[Decision]:
        """Newest first; all of them unless `limit` is positive."""
        found = list(reversed(self._decisions))
        return found[:limit] if limit > 0 else found

    async def noting(
        self, events: AsyncGenerator[DecideEvent, None], request_id: str
    ) -> AsyncGenerator[DecideEvent, None]:
        """`events` as they are; what they decide is kept once its ballots come."""
        asked = self._clock()
        model = ""
        async with aclosing(events) as open_events:
            async for event in open_events:
                if isinstance(event, Spoken) and isinstance(event.event, Accepted):
                    model = model or event.event.model
                elif isinstance(event, Ballots):
                    taken = max(0.0, self._clock() - asked)
                    self._decisions.append(Decision(request_id, model, asked, taken, event))
                yield event
