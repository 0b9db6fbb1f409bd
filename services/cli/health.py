"""Asks a service whether it is ready."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

PATIENCE = 2.0

# The environment's proxies are for the world outside: one would never find this machine's loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


async def grpc_ready(channel: grpc.aio.Channel) -> bool:
    """Whether the server behind `channel` says SERVING."""
    try:
        # The stubs' package does not know the methods that the generated stub makes at run time.
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
    except grpc.aio.AioRpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def http_json(url: str, timeout: float = PATIENCE) -> tuple[int, Any]:
    """GET `url` as (status, JSON); (0, None) when nobody answers. Only for addresses of our own services."""
    try:
        with _OPENER.open(url, timeout=timeout) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        try:
            return error.code, json.load(error)
        except (OSError, ValueError, http.client.HTTPException):
            return error.code, None
    except (OSError, ValueError, http.client.HTTPException):
        return 0, None
