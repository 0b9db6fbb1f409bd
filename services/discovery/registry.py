"""The lease table in time: it drops what runs out, at that moment, and tells the watchers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Generic, NoReturn, TypeVar

import structlog

from services.discovery.leases import LeaseTable

T = TypeVar("T")

log = structlog.get_logger()


class Registry(Generic[T]):
    """All methods belong to one event loop. `ttl` is a lease's life in seconds."""

    def __init__(self, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.ttl = ttl
        self._clock = clock
        self._table: LeaseTable[T] = LeaseTable(ttl)
        self._told = 0
        self._registered = asyncio.Event()
        self._watchers: set[asyncio.Event] = set()
        self._closed = False

    def register(self, member_id: str, member: T) -> str:
        """The new lease's id."""
        lease_id = self._table.register(member_id, member, self._clock())
        self._registered.set()
        self._tell()
        return lease_id

    def renew(self, lease_id: str) -> None:
        """Raises SwarmError NOT_FOUND for an unknown lease."""
        try:
            self._table.renew(lease_id, self._clock())
        finally:
            self._tell()

    def deregister(self, lease_id: str) -> None:
        self._table.deregister(lease_id)
        self._tell()

    def members(self) -> list[T]:
        """Those whose leases run, in the order in which they first came."""
        self._drop_expired()
        return self._table.members()

    async def watch(self) -> AsyncGenerator[list[T], None]:
        """The list at once and after every change, until `close`.

        A watcher holds no queue: one that is slow gets the latest list next, and misses those between.
        """
        news = asyncio.Event()
        news.set()
        self._watchers.add(news)
        try:
            while await news.wait() and not self._closed:
                news.clear()
                yield self.members()
        finally:
            self._watchers.discard(news)

    def close(self) -> None:
        """Ends all watches, now and later."""
        self._closed = True
        for news in self._watchers:
            news.set()

    async def expire_for_ever(self) -> NoReturn:
        """Wakes when the next lease runs out, or when there is a first one to wait for."""
        while True:
            self._drop_expired()
            self._registered.clear()
            due = self._table.next_expiry()
            pause = None if due is None else max(0.0, due - self._clock())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._registered.wait(), pause)

    def _drop_expired(self) -> None:
        for member_id in self._table.expire(self._clock()):
            log.warning("lease ran out", member=member_id)
        self._tell()

    def _tell(self) -> None:
        if self._told == self._table.changes:
            return
        self._told = self._table.changes
        for news in self._watchers:
            news.set()
