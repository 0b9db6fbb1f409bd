"""Tests that need a real sandbox ask for it here: loud when there is none, an error on CI."""

from __future__ import annotations

import asyncio
import functools
import os
from pathlib import Path

import pytest

from services.common.settings import Settings
from services.tool_server.sandbox.bubblewrap import Bubblewrap
from services.tool_server.sandbox.choose import choose_sandbox
from services.tool_server.sandbox.refused import Refused


@functools.cache
def _why_not(home: Path) -> str:
    sandbox = asyncio.run(choose_sandbox(Settings(home=home)))
    return sandbox.why if isinstance(sandbox, Refused) else ""


def require_bubblewrap(home: Path) -> Bubblewrap:
    """The sandbox of this machine, its files beneath `home`; the test is skipped (CI: fails) without one."""
    if why := _why_not(home):
        message = f"NOT TESTED, there is no sandbox: {why}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return Bubblewrap("bwrap", home / "sandbox")
