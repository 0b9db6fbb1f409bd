"""Consensus put together: server, members and the entry in discovery."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.common.errors import SwarmError
from services.common.membership import keep_registered
from services.common.option_text import share_of
from services.common.server import ServiceServer
from services.common.settings import Settings
from services.consensus.decide import Decider, Rules
from services.consensus.members import Members
from services.consensus.outcomes import Outcomes, outcomes_file
from services.consensus.servicer import ConsensusServicer, SwarmAsWorker
from services.consensus.strategies.quorum import Quorums
from services.consensus.terms import terms_from
from services.consensus.trial import merit
from services.consensus.weights import Voter
from swarm.consensus.v1 import consensus_pb2_grpc
from swarm.discovery.v1 import discovery_pb2
from swarm.inference.v1 import inference_pb2_grpc

SERVICE_NAMES = ("swarm.consensus.v1.ConsensusService", "swarm.inference.v1.InferenceService")


@asynccontextmanager
async def running(
    settings: Settings, address: str | None = None, discovery: str | None = None
) -> AsyncIterator[ServiceServer]:
    """Serves on `address`, following `discovery` (both default: as configured), while the body runs.

    Raises SwarmError when the address is taken or discovery refuses the entry.
    """
    discovery = discovery or settings.address("discovery")
    members = Members(discovery, settle=settings.lease_renew)
    outcomes = _outcomes(settings)
    rules = Rules(
        settings.instances,
        settings.round_timeout,
        settings.heartbeat,
        Quorums(
            share_of(settings.quorum_reading),
            share_of(settings.quorum_writing),
            share_of(settings.quorum_destructive),
        ),
        terms_from(settings.not_acting, settings.tool_risks, settings.vote_policy),
        weigh=lambda model, worker: outcomes.weight(Voter(worker, model)),
        advise=lambda model: merit.advice(settings.home / "evaluations", model),
    )
    decider = Decider(members, rules)
    server = ServiceServer("consensus", address or settings.address("consensus"), settings.drain)
    consensus_pb2_grpc.add_ConsensusServiceServicer_to_server(
        ConsensusServicer(members, decider, settings), server.grpc
    )
    inference_pb2_grpc.add_InferenceServiceServicer_to_server(
        SwarmAsWorker(members, decider, settings), server.grpc
    )
    await server.start(SERVICE_NAMES)
    own = server.address.rpartition(":")[0] + f":{server.port}"
    entry = discovery_pb2.Member(
        id=f"consensus@{own}",
        name="consensus",
        kind=discovery_pb2.MEMBER_KIND_CONSENSUS,
        address=own,
    )
    stopped = asyncio.Event()
    try:
        # A group, so that a defect in one of the tasks ends the process instead of leaving it half alive.
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(members.run(stopped))
            tasks.create_task(keep_registered(entry, discovery, settings.lease_renew, server.stopping))
            try:
                await server.serving()
                yield server
            finally:
                if not server.stopping.is_set():
                    await server.stop()
                stopped.set()
    except ExceptionGroup as group:
        # What the supervisor shows is one line, not a tree.
        if isinstance(group.exceptions[0], SwarmError):
            raise group.exceptions[0] from group
        raise


def _outcomes(settings: Settings) -> Outcomes:
    """What is known when the service starts."""
    path = outcomes_file(settings.home)
    try:
        return Outcomes.load(path)
    except SwarmError:
        # It is logged as an error and the file set aside. Without records all votes weigh the same: no reason
        # for a swarm not to answer.
        return Outcomes(path, {})
