"""What runs on this box: deploy/processes.toml as records."""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from services.common.settings import ServiceName, Settings

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = ROOT / "deploy" / "processes.toml"


@dataclass(frozen=True, slots=True)
class Process:
    name: str
    module: str
    address: ServiceName
    health: Literal["grpc", "http"]
    environment: dict[str, str] = field(default_factory=dict)

    def command(self) -> list[str]:
        return [sys.executable, "-m", self.module]

    def variables(self, settings: Settings, inherited: dict[str, str]) -> dict[str, str]:
        """The process's whole environment: what the user set stands above what this file suggests."""
        return {**self.environment, **inherited, **settings.environment()}


def load(path: Path = PROCESSES) -> list[Process]:
    """The processes in starting order. Raises TypeError for an unknown key: the file is ours."""
    return [Process(**entry) for entry in tomllib.loads(path.read_text(encoding="utf-8"))["process"]]
