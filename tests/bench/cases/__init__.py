"""The cases in the order in which they run."""

from __future__ import annotations

from tests.bench.bench import Case
from tests.bench.cases import (
    candidates,
    clients,
    competitor,
    copying,
    grammar,
    micro,
    next_turn,
    overhead,
    replay,
    single,
    tool_calls,
)

CASES: tuple[Case, ...] = tuple(
    module.CASE
    for module in (
        single,
        clients,
        candidates,
        next_turn,
        competitor,
        copying,
        overhead,
        micro,
        grammar,
        tool_calls,
        replay,
    )
)
