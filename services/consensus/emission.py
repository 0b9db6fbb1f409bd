"""What is still to be said once the vote has ended. Pure.

Nothing that has been streamed is taken back: what is said here comes after it.
"""

from __future__ import annotations

from collections.abc import Iterator

from services.common.chat import (
    CandidateFinished,
    ChatEvent,
    ContentDelta,
    FinishReason,
)
from services.consensus.drafts import CandidateEvent, Draft
from services.consensus.strategies.base import Kind

_PARAGRAPH = "\n\n"


def closing(kind: Kind, speaker: Draft, shown: Draft | None) -> Iterator[CandidateEvent]:
    """The rest of choice 0, up to and with CandidateFinished.

    `speaker` is the candidate whose answer is given, `shown` the one whose prose was streamed, if any was.
    """
    if speaker is not shown and speaker.content and (shown is None or kind is Kind.WORDS):
        yield from speaker.said(_PARAGRAPH if shown else "")
    if kind in (Kind.CALLS, Kind.INVALID):
        yield from speaker.acts(0)
        reason = FinishReason.TOOL_CALLS
    else:
        reason = FinishReason.LENGTH if speaker.cut_off else FinishReason.STOP
    emitted = [speaker] if shown in (None, speaker) else [speaker, shown]
    yield _finished(reason, emitted, speaker if reason is FinishReason.TOOL_CALLS else None)


def closing_words(text: str, shown: Draft | None) -> Iterator[ChatEvent]:
    """`text` is the swarm's own, which no model generated and which costs no tokens."""
    yield ContentDelta(0, (_PARAGRAPH if shown else "") + text)
    yield _finished(FinishReason.STOP, [shown] if shown else [])


def _finished(reason: FinishReason, emitted: list[Draft], calling: Draft | None = None) -> CandidateFinished:
    """Counts each draft of which the client sees something, once. `calling`: whose calls are given."""
    return CandidateFinished(
        candidate=0,
        reason=reason,
        completion_tokens=sum(draft.tokens for draft in emitted),
        reasoning_tokens=sum(draft.reasoning_tokens for draft in emitted),
        logprob_sum=sum(draft.finished.logprob_sum for draft in emitted if draft.finished),
        argument_logprob=calling.finished.argument_logprob if calling and calling.finished else None,
    )
