"""`swarm status`: processes from the supervisor's state, workers and models from discovery."""

from __future__ import annotations

import asyncio

import grpc
from rich.console import Console
from rich.table import Table

from services.cli.state import Files, SwarmState
from services.common.channel import open_channel
from services.common.grpc_errors import from_rpc_error
from services.common.settings import Settings
from swarm.discovery.v1 import discovery_pb2, discovery_pb2_grpc

PATIENCE = 3.0


def status(settings: Settings, console: Console) -> int:
    """Prints the tables; 0 when a swarm runs here, 3 (as init scripts have it) when none does."""
    state = Files(settings.home).running()
    if state is None:
        console.print("No swarm runs here. `make up` starts one.")
        return 3
    console.print(f"http://{state.gateway}/v1   model {state.model}   {state.instances} candidates")
    console.print(_processes(state))
    try:
        members = asyncio.run(_members(state.services["discovery"].address))
    except grpc.aio.AioRpcError as error:
        console.print(f"Discovery does not answer: {from_rpc_error(error).message}")
        return 0
    console.print(_workers(members))
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
                model.tool_format,
                str(member.slots),
            )
    return table


async def _members(discovery: str) -> list[discovery_pb2.Member]:
    async with open_channel(discovery) as channel:
        stub = discovery_pb2_grpc.DiscoveryServiceStub(channel)
        request = discovery_pb2.ListMembersRequest(kind=discovery_pb2.MEMBER_KIND_WORKER)
        return list((await stub.ListMembers(request, timeout=PATIENCE)).members)
