import socket

import pytest

from gateway.lifetime import Lifetime
from gateway.server import bind
from services.common.errors import Reason, SwarmError


def test_the_socket_listens_at_once_and_names_its_protocol() -> None:
    with bind("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP, "or asyncio leaves Nagle's delay on"
        socket.create_connection(listening.getsockname(), timeout=5).close()


def test_a_taken_port_is_named() -> None:
    with bind("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(SwarmError, match=f"127.0.0.1:{port}") as refused:
            bind("127.0.0.1", port)
    assert refused.value.reason is Reason.UNAVAILABLE


class Decision:
    def __init__(self) -> None:
        self.reasons: list[Exception] = []

    def stop(self, reason: Exception) -> None:
        self.reasons.append(reason)


def test_only_what_still_runs_is_told_that_the_drain_is_over() -> None:
    over, running, lifetime = Decision(), Decision(), Lifetime()
    lifetime.add(over)
    lifetime.add(running)
    lifetime.remove(over)
    assert len(lifetime) == 1
    lifetime.expire()
    assert over.reasons == []
    (reason,) = running.reasons
    assert isinstance(reason, SwarmError)
    assert reason.reason is Reason.UNAVAILABLE
