from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import Reason, SwarmError
from services.discovery.leases import LeaseTable


def test_a_member_is_there_until_its_lease_runs_out() -> None:
    table: LeaseTable[str] = LeaseTable(20.0)
    table.register("a", "A", now=100.0)
    assert table.next_expiry() == 120.0
    assert table.expire(119.9) == []
    assert table.members() == ["A"]
    assert table.expire(120.0) == ["a"]
    assert table.members() == []
    assert table.next_expiry() is None


def test_renewing_prolongs_from_now() -> None:
    table: LeaseTable[str] = LeaseTable(20.0)
    lease = table.register("a", "A", now=0.0)
    table.register("b", "B", now=1.0)
    table.renew(lease, now=15.0)
    assert table.next_expiry() == 21.0
    assert table.expire(30.0) == ["b"]
    assert table.members() == ["A"]


@pytest.mark.parametrize("now", [20.0, 1000.0])
def test_a_lease_that_ran_out_cannot_be_renewed(now: float) -> None:
    table: LeaseTable[str] = LeaseTable(20.0)
    lease = table.register("a", "A", now=0.0)
    with pytest.raises(SwarmError) as caught:
        table.renew(lease, now=now)
    assert caught.value.reason is Reason.NOT_FOUND


def test_registering_again_replaces_and_voids_the_old_lease() -> None:
    table: LeaseTable[str] = LeaseTable(20.0)
    old = table.register("a", "A", now=0.0)
    table.register("b", "B", now=0.0)
    new = table.register("a", "A2", now=1.0)
    assert table.members() == ["A2", "B"]
    with pytest.raises(SwarmError):
        table.renew(old, now=2.0)
    table.deregister(old)
    assert table.members() == ["A2", "B"]
    table.deregister(new)
    assert table.members() == ["B"]


def test_changes_count_what_a_watcher_would_see() -> None:
    table: LeaseTable[str] = LeaseTable(20.0)
    seen = [table.changes]

    def note() -> None:
        seen.append(table.changes)

    lease = table.register("a", "A", now=0.0)
    note()
    table.renew(lease, now=1.0)
    note()
    lease = table.register("a", "A", now=2.0)
    note()
    lease = table.register("a", "changed", now=3.0)
    note()
    table.deregister(lease)
    note()
    table.deregister(lease)
    note()
    table.register("b", "B", now=4.0)
    note()
    table.expire(24.0)
    note()
    assert seen == [0, 1, 1, 1, 2, 3, 3, 4, 5]


_STEPS = st.lists(
    st.tuples(st.sampled_from(["register", "renew", "leave"]), st.integers(0, 3), st.floats(0, 8)),
    max_size=60,
)


@given(_STEPS)
def test_the_table_agrees_with_a_plain_model(steps: list[tuple[str, int, float]]) -> None:
    table: LeaseTable[int] = LeaseTable(10.0)
    expires: dict[int, float] = {}
    lease: dict[int, str] = {}
    now = 0.0
    for action, member, pause in steps:
        now += pause
        alive = member in expires and expires[member] > now
        if action == "register":
            lease[member] = table.register(str(member), member, now)
            expires[member] = now + 10.0
        elif action == "renew" and alive:
            table.renew(lease[member], now)
            expires[member] = now + 10.0
        elif action == "leave" and member in lease:
            table.deregister(lease[member])
            expires.pop(member, None)
        expires = {each: until for each, until in expires.items() if until > now}
        table.expire(now)
        assert set(table.members()) == set(expires)
        assert table.next_expiry() == min(expires.values(), default=None)
