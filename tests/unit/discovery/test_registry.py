from __future__ import annotations

import asyncio
import time

from services.discovery.registry import Registry


async def test_a_watcher_gets_the_list_at_once_and_after_each_change() -> None:
    registry: Registry[str] = Registry(20.0)
    registry.register("a", "A")
    lists = registry.watch()
    assert await anext(lists) == ["A"]
    lease = registry.register("b", "B")
    assert await anext(lists) == ["A", "B"]
    registry.renew(lease)
    waiting = asyncio.ensure_future(anext(lists))
    await asyncio.wait({waiting}, timeout=0.02)
    assert not waiting.done()
    registry.deregister(lease)
    assert await asyncio.wait_for(waiting, 5) == ["A"]


async def test_a_slow_watcher_gets_the_latest_list_only() -> None:
    registry: Registry[int] = Registry(20.0)
    lists = registry.watch()
    assert await anext(lists) == []
    for number in range(1000):
        registry.register("a", number)
    assert await anext(lists) == [999]
    registry.close()
    assert [each async for each in lists] == []


async def test_close_ends_watches_that_wait_and_those_to_come() -> None:
    registry: Registry[str] = Registry(20.0)
    lists = registry.watch()
    await anext(lists)
    waiting = asyncio.ensure_future(anext(lists, None))
    await asyncio.wait({waiting}, timeout=0)
    registry.close()
    assert await asyncio.wait_for(waiting, 5) is None
    assert [each async for each in registry.watch()] == []


async def test_expiry_wakes_when_the_lease_runs_out_and_not_before() -> None:
    registry: Registry[str] = Registry(0.2)
    expiring = asyncio.create_task(registry.expire_for_ever())
    lists = registry.watch()
    assert await anext(lists) == []
    started = time.monotonic()
    lease = registry.register("a", "A")
    assert await anext(lists) == ["A"]
    registry.renew(lease)
    assert await asyncio.wait_for(anext(lists), 5) == []
    assert 0.2 <= time.monotonic() - started < 1.0
    expiring.cancel()


async def test_a_member_past_its_time_is_not_listed_even_before_the_task_runs() -> None:
    now = 0.0
    registry: Registry[str] = Registry(20.0, clock=lambda: now)
    registry.register("a", "A")
    now = 20.0
    assert registry.members() == []
