"""The votes for people: ballots for the response's metadata, words for a vote without result. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from services.consensus.events import ALL_FITTED, Ballot, Ballots, CallChecks
from services.consensus.strategies.base import Kind, State, Verdict, Vote

_PROPOSAL = {Kind.WORDS: "an answer in words", Kind.CUT_OFF: "cut off before the call was complete"}


def ballots(
    strategy: str,
    verdict: Verdict,
    votes: Iterable[Vote],
    round_number: int,
    generated: int,
    checks: CallChecks = ALL_FITTED,
) -> Ballots:
    """`verdict` is that of the last round, `votes` are those of all rounds by candidate number."""
    decided = verdict.state is State.WON
    return Ballots(
        strategy=strategy,
        quorum=verdict.quorum,
        decided=decided,
        round=round_number,
        ballots=tuple(
            Ballot(
                worker=vote.worker,
                candidate=vote.candidate,
                key=vote.key,
                summary=vote.summary,
                weight=vote.weight,
                mean_logprob=vote.mean_logprob,
                won=decided and vote.candidate in verdict.winners,
            )
            for vote in sorted(votes, key=lambda vote: vote.candidate)
        ),
        generated_tokens=generated,
        call_checks=checks,
    )


def unanimous(
    strategy: str,
    votes: Sequence[Vote],
    generated: int,
    superseded: Collection[int] = (),
    checks: CallChecks = ALL_FITTED,
) -> Ballots:
    """Nobody voted: every candidate is an answer of its own, and all are given but those `superseded`."""
    winners = tuple(vote.candidate for vote in votes if vote.candidate not in superseded)
    rounds = 2 if checks.retried else 1
    return ballots(strategy, Verdict(State.WON, 1, winners=winners), votes, rounds, generated, checks)


def disagreement(votes: Sequence[Vote], rounds: int, quorum: int, hindrance: str = "") -> str:
    """What the user reads instead of a call. `hindrance` says why a further round could not be held."""
    proposals = Counter(_PROPOSAL.get(vote.kind, vote.summary) for vote in votes)
    lines = [f"- {count} × {proposal}" for proposal, count in proposals.most_common()]
    held = "one round" if rounds == 1 else f"{rounds} rounds"
    voters = len(votes) // rounds
    text = (
        f"The workers did not agree on what to do, so no tool was called ({held} of {voters} votes, "
        f"{quorum} equal ones are needed). They proposed:\n" + "\n".join(lines)
    )
    if hindrance:
        text += f"\nA further round could not be held: {hindrance}"
    return text + "\nPlease say more precisely what you want, or ask again."
