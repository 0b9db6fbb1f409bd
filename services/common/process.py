"""How every process of the swarm begins: settings, logs, and one clear line if it cannot start."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

import structlog

from services.common import logging, settings
from services.common.errors import SwarmError

# sysexits.h EX_CONFIG: starting again would fail in the same way, so the supervisor does not try.
EXIT_CANNOT_START = 78


def run(name: str, main: Callable[[settings.Settings], Awaitable[None]]) -> None:
    """Runs `main` to its end. A SwarmError from it is one line on stderr and exit status 78."""
    try:
        loaded = settings.load().settings
        logging.configure(name, loaded.log_level)
        asyncio.run(_call(main, loaded))
    except SwarmError as error:
        structlog.get_logger().error("cannot start", reason=error.reason, detail=error.message)
        print(f"{name}: {error.message}", file=sys.stderr, flush=True)
        sys.exit(EXIT_CANNOT_START)


async def _call(main: Callable[[settings.Settings], Awaitable[None]], loaded: settings.Settings) -> None:
    await main(loaded)
