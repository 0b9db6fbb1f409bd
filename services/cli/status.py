"""`swarm status`: processes from the supervisor's state, members from discovery, work from each worker."""

from __future__ import annotations

import asyncio

import grpc
from rich.console import Console
from rich.table import Table

from services.cli.state import Files, SwarmState
from services.cli.worker_table import worker_table
from services.common.channel import open_channel
from services.common.errors import SwarmError
from services.common.grpc_errors import from_rpc_error
from services.common.settings import Settings
from swarm.discovery.v1 import discovery_pb2, discovery_pb2_grpc
from swarm.inference.v1 import inference_pb2, inference_pb2_grpc

# Seconds that discovery and every worker have to answer.
PATIENCE = 3.0

# What a worker says of itself, or why it says nothing.
Answer = inference_pb2.GetStatusResponse | SwarmError


def status(settings: Settings, console: Console) -> int:
    """Prints the tables; 0 when a swarm runs here, 3 (as init scripts have it) when none does."""
    state = Files(settings.home).running()
    if state is None:
        console.print("No swarm runs here. `make up` starts one.")
        return 3
    console.print(f"http://{state.gateway}/v1   model {state.model}   {state.instances} candidates")
    console.print(_processes(state))
    try:
        members, answers = asyncio.run(_ask(state.services["discovery"].address))
    except SwarmError as error:
        console.print(f"Discovery does not answer: {error.message}")
        return 0
    console.print(_workers(members))
    for member, answer in zip(members, answers, strict=True):
        if isinstance(answer, SwarmError):
            console.print(f"{member.name} at {member.address} does not answer: {answer.message}")
        else:
            console.print(worker_table(f"{member.name} at {member.address}", answer))
    return 0


def _processes(state: SwarmState) -> Table:
    table = Table("process", "state", "pid", "restarts", "address", "detail")
    for name, service in state.services.items():
        table.add_row(
            name,
            service.state,
            str(service.pid or "-"),
            str(service.restarts),
            service.address,
            service.detail,
        )
    return table


def _workers(members: list[discovery_pb2.Member]) -> Table:
    table = Table("worker", "address", "model", "context", "tool format", "slots")
    for member in members:
        for model in member.models:
            table.add_row(
                member.name,
                member.address,
                model.id,
                str(model.context_length),
                f"{model.tool_format} ({model.tool_format_source})"
                if model.tool_format_source
                else model.tool_format,
                str(member.slots),
            )
    return table


async def _ask(discovery: str) -> tuple[list[discovery_pb2.Member], list[Answer]]:
    """The workers that discovery knows, and what each says. Raises SwarmError: discovery does not answer."""
    members = await _members(discovery)
    return members, list(await asyncio.gather(*(_status_of(member.address) for member in members)))


async def _members(discovery: str) -> list[discovery_pb2.Member]:
    async with open_channel(discovery) as channel:
        stub = discovery_pb2_grpc.DiscoveryServiceStub(channel)
        request = discovery_pb2.ListMembersRequest(kind=discovery_pb2.MEMBER_KIND_WORKER)
        try:
            return list((await stub.ListMembers(request, timeout=PATIENCE)).members)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error


async def _status_of(worker: str) -> Answer:
    async with open_channel(worker) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        try:
            return await stub.GetStatus(inference_pb2.GetStatusRequest(), timeout=PATIENCE)
        except grpc.aio.AioRpcError as error:
            return from_rpc_error(error)
