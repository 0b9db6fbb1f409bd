"""The votes for people: ballots for the response's metadata, words for a vote without result. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

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
    lost_workers: Iterable[str] = (),
    early_stop: str = "",
) -> Ballots:
    """`verdict` is that of the last round, `votes` are those of all rounds, equally many each."""
    decided = verdict.state is State.WON
    votes = sorted(votes, key=lambda vote: vote.candidate)
    last = votes[len(votes) // round_number * (round_number - 1) :]
    won = [vote for vote in votes if decided and vote.candidate in verdict.winners]
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
                won=vote in won,
                kind=vote.kind,
                tokens=vote.tokens,
            )
            for vote in votes
        ),
        generated_tokens=generated,
        call_checks=checks,
        clusters=len({(vote.kind, vote.key) for vote in last if vote.kind is not Kind.LOST}),
        agreement=len(won) / len(last) if last else 0.0,
        confidence=_confidence(won),
        lost_workers=tuple(dict.fromkeys(lost_workers)),
        early_stop=early_stop,
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
    told = ballots(strategy, Verdict(State.WON, 1, winners=winners), votes, rounds, generated, checks)
    return replace(told, clusters=len(winners), agreement=1.0)


def _confidence(won: Sequence[Vote]) -> float:
    tokens = sum(vote.tokens for vote in won)
    if not tokens:
        return 0.0
    mean = sum(vote.mean_logprob * vote.tokens for vote in won if vote.tokens) / tokens
    return math.exp(mean)


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
