"""The answer to a correction: gathered to its end before anything of it but its reasoning is told."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import structlog

from services.common.chat import ReasoningDelta
from services.consensus.drafts import Draft
from services.consensus.events import Heartbeat, Spoken
from services.consensus.fanout import Fanout
from services.consensus.lanes import Lost, Moved, Piece, Resumed
from services.consensus.pulse import Pulse

log = structlog.get_logger()


class SecondAnswer:
    """Run `events` to its end, then read `draft`; it has not finished if no worker could give it."""

    def __init__(self, fanout: Fanout, pulse: Pulse, choice: int) -> None:
        """`fanout` has one lane with one candidate, which speaks as `choice`."""
        self._fanout = fanout
        self._pulse = pulse
        self._choice = choice
        self.draft = self._new()

    async def events(self) -> AsyncGenerator[Spoken | Heartbeat, None]:
        """What can be shown meanwhile. Raises nothing for a worker's sake: there is an answer already."""
        while self.draft.finished is None:
            arrival = await self._fanout.next(self._pulse.at)
            match arrival:
                case Moved():
                    self.draft = self._new()
                case Resumed(lane):
                    self.draft.worker = lane.worker.name
                case Lost(_, _, error):
                    log.warning("no second answer", reason=error.reason, detail=error.message)
                    return
                case Piece(_, event):
                    self.draft.add(event)
                    if isinstance(event, ReasoningDelta):
                        self._pulse.sent()
                        yield Spoken(self._choice, ReasoningDelta(self._choice, event.text))
                case _:
                    pass
            if self._pulse.due:
                self._pulse.sent()
                yield Heartbeat("a second try of a call that was invalid")

    def _new(self) -> Draft:
        (lane,) = self._fanout.lanes
        return Draft(lane.candidates.start, lane.worker.name)
