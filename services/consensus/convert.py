"""The domain's events to and from `swarm.consensus.v1`, and the sum of what workers say of themselves."""

from __future__ import annotations

from google.protobuf.message import Message

from services.common.chat_proto import event_to_proto, request_from_proto
from services.consensus.events import Ballots, CallChecks, DecideEvent, Heartbeat, Question
from services.consensus.history import Decision
from services.consensus.routing import AGENT
from swarm.consensus.v1 import consensus_pb2 as pb

# Of a worker's status, what is its own: names and what it chose for its machine.
_NOT_SUMMED = ("worker", "choices")


def question_from_proto(message: pb.DecideRequest) -> Question:
    """Raises SwarmError INVALID_FIELD."""
    chat = request_from_proto(message.chat)
    return Question(
        chat=chat,
        choices=message.choices or 1,
        voters=message.voters,
        agent=message.agent or chat.model == AGENT,
        strategy=message.strategy,
        early_stop=message.early_stop,
        min_argument_logprob=(
            message.min_argument_logprob if message.HasField("min_argument_logprob") else None
        ),
    )


def decide_event_to_proto(event: DecideEvent) -> pb.DecideEvent:
    match event:
        case Ballots():
            return pb.DecideEvent(ballots=_ballots_to_proto(event))
        case Heartbeat(waiting_for):
            return pb.DecideEvent(heartbeat=pb.Heartbeat(waiting_for=waiting_for))
        case _:
            return pb.DecideEvent(choice=event.choice, chat=event_to_proto(event.event))


def decision_to_proto(decision: Decision) -> pb.Decision:
    return pb.Decision(
        request_id=decision.request_id,
        model=decision.model,
        asked_unix=decision.asked_unix,
        seconds=decision.seconds,
        ballots=_ballots_to_proto(decision.ballots),
    )


def add_status(total: Message, status: Message) -> None:
    """Adds the numbers of one worker's `status` to `total`, also those of its parts."""
    for field in status.DESCRIPTOR.fields:
        if field.name in _NOT_SUMMED:
            continue
        if field.message_type is None:
            setattr(total, field.name, getattr(total, field.name) + getattr(status, field.name))
        elif status.HasField(field.name):
            add_status(getattr(total, field.name), getattr(status, field.name))


def _ballots_to_proto(ballots: Ballots) -> pb.Ballots:
    return pb.Ballots(
        strategy=ballots.strategy,
        quorum=ballots.quorum,
        decided=ballots.decided,
        round=ballots.round,
        generated_tokens=ballots.generated_tokens,
        ballots=[
            pb.Ballot(
                worker=ballot.worker,
                candidate=ballot.candidate,
                key=ballot.key,
                summary=ballot.summary,
                weight=ballot.weight,
                mean_logprob=ballot.mean_logprob,
                won=ballot.won,
                kind=ballot.kind,
                tokens=ballot.tokens,
            )
            for ballot in ballots.ballots
        ],
        call_checks=_checks_to_proto(ballots.call_checks) if ballots.call_checks else None,
        candidates=len(ballots.ballots),
        clusters=ballots.clusters,
        agreement=ballots.agreement,
        confidence=ballots.confidence,
        lost_workers=ballots.lost_workers,
        early_stop=ballots.early_stop,
    )


def _checks_to_proto(checks: CallChecks) -> pb.CallChecks:
    return pb.CallChecks(
        retried=checks.retried,
        invalid=[
            pb.InvalidCall(
                choice=call.choice, index=call.index, id=call.id, name=call.name, problem=call.problem
            )
            for call in checks.invalid
        ],
    )
