"""Commands with the user's own rights, for who configures `sandbox = "none"`: no containment at all."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from services.tool_server.sandbox.base import Launch

# Enough to find programs and write text; what else the environment holds (keys, tokens) stays here.
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TMPDIR", "TZ")


@dataclass(frozen=True, slots=True)
class Bare:
    inside: str | None = None
    owner: tuple[int, int] | None = None

    def launch(self, command: str, folder: Path, seconds: float) -> Launch:
        environment = {key: os.environ[key] for key in _KEPT if key in os.environ}
        return Launch(("bash", "--noprofile", "--norc", "-c", command), folder, environment)
