"""The table of leases. Pure: the clock is an argument, nothing waits here.

A member is any value known by an id. All leases live equally long, so the order in which they were
registered or renewed is the order in which they run out.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.common.errors import Reason, SwarmError

T = TypeVar("T")


@dataclass(slots=True)
class _Lease(Generic[T]):
    member_id: str
    member: T
    expires: float


class LeaseTable(Generic[T]):
    """Times are seconds of one monotonic clock, passed as `now`.

    `changes` counts what a watcher would see: members that came, went, or say something new.
    """

    def __init__(self, ttl: float) -> None:
        self.ttl = ttl
        self.changes = 0
        self._leases: OrderedDict[str, _Lease[T]] = OrderedDict()
        self._lease_of: dict[str, str] = {}

    def register(self, member_id: str, member: T, now: float) -> str:
        """The id of a new lease; an earlier lease of `member_id` is void from now on."""
        self.expire(now)
        replaced = self._lease_of.get(member_id)
        before = self._leases.pop(replaced) if replaced is not None else None
        if before is None or before.member != member:
            self.changes += 1
        lease_id = secrets.token_hex(16)
        self._leases[lease_id] = _Lease(member_id, member, now + self.ttl)
        self._lease_of[member_id] = lease_id
        return lease_id

    def renew(self, lease_id: str, now: float) -> None:
        """Raises SwarmError NOT_FOUND when the lease has run out, was replaced, or never was."""
        self.expire(now)
        lease = self._leases.get(lease_id)
        if lease is None:
            raise SwarmError(Reason.NOT_FOUND, "this lease is unknown or has run out: register again")
        lease.expires = now + self.ttl
        self._leases.move_to_end(lease_id)

    def deregister(self, lease_id: str) -> None:
        """Takes the member out. An unknown lease is no error: what was asked for is so already."""
        lease = self._leases.pop(lease_id, None)
        if lease is not None:
            del self._lease_of[lease.member_id]
            self.changes += 1

    def expire(self, now: float) -> list[str]:
        """Drops the leases that have run out and returns the ids of their members."""
        gone: list[str] = []
        while (due := self.next_expiry()) is not None and due <= now:
            _, lease = self._leases.popitem(last=False)
            del self._lease_of[lease.member_id]
            gone.append(lease.member_id)
        self.changes += len(gone)
        return gone

    def next_expiry(self) -> float | None:
        """When the next lease runs out; None: there is none."""
        return next((lease.expires for lease in self._leases.values()), None)

    def members(self) -> list[T]:
        """In the order in which they first came. Call `expire` before."""
        return [self._leases[lease_id].member for lease_id in self._lease_of.values()]
