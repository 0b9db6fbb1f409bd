"""One configuration for all processes: built-in defaults < swarm.toml < SWARM_… in the environment < flags.

`load()` also remembers where each value came from, for `swarm config`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from services.common.errors import invalid
from services.common.option_text import pairs_of, share_of

ENVIRONMENT_PREFIX = "SWARM_"
CONFIG_VARIABLE = "SWARM_CONFIG"

# Of tool calls, from the lowest on.
RISKS = ("reading", "writing", "destructive")

ServiceName = Literal["gateway", "tool_server", "consensus", "discovery", "worker"]


def default_home() -> Path:
    """$XDG_STATE_HOME/local-swarm, or ~/.local/state/local-swarm."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "local-swarm"


class Settings(BaseModel):
    """Every key is also SWARM_<KEY> in the environment. Times are in seconds, sizes in bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    home: Path = Field(default_factory=default_home, description="state, logs and sockets of this swarm")
    host: str = Field("127.0.0.1", description="address that every service binds")
    port: int = Field(17615, ge=1, le=65525, description="gateway; the other ports follow it")
    tool_server_port: int | None = Field(None, ge=1, le=65535, description="default: port + 1")
    consensus_port: int | None = Field(None, ge=1, le=65535, description="default: port + 2")
    discovery_port: int | None = Field(None, ge=1, le=65535, description="default: port + 3")
    worker_port: int | None = Field(None, ge=1, le=65535, description="default: port + 4")
    metrics_port: int = Field(
        0, ge=0, le=65535, description="where the worker's Prometheus metrics are served; 0: nowhere"
    )

    model: str = Field("built-in", description="built-in, a path to a .gguf, or hf:owner/repo:file.gguf")
    instances: int = Field(3, ge=1, le=32, description="candidates that vote on a tool call")
    context: int = Field(0, ge=0, description="KV cells of the worker; 0: as the model and the memory allow")
    slots: int = Field(16, ge=1, le=256, description="sequences decoded together")
    queue: int = Field(64, ge=1, description="requests that may wait; more are refused with 429")
    stall: float = Field(
        3.0,
        ge=2,
        description="longest pause of a running answer beside others' prompts, in decode steps of all slots; "
        "more favours throughput",
    )
    threads: int = Field(
        0, ge=0, description="threads of the engine; 0: as many as cores, one less from 8 on"
    )
    batch: int = Field(512, ge=32, le=4096, description="tokens of one decode step")
    micro_batch: int = Field(
        0, ge=0, le=4096, description="tokens of one graph of a step; 0: 512, on processors 128"
    )
    flash_attention: Literal["auto", "on", "off"] = Field(
        "auto", description="auto: wherever the runtime can for this model and device"
    )
    kv_type: Literal["auto", "f16", "q8_0", "q4_0"] = Field(
        "auto", description="how keys and values are kept; auto: f16, q8_0 where memory is short"
    )
    kv_ram: int = Field(
        -1, ge=-1, description="bytes of RAM for kept KV state; -1: an eighth of what is free, at most 8 GiB"
    )
    kv_disk: int = Field(
        -1,
        ge=-1,
        description="bytes of disk for kept KV state, in <home>/kv; -1: a tenth of what is free, "
        "at most 32 GiB",
    )
    gpu_layers: int = Field(-1, ge=-1, description="layers put on the GPU; -1: all that fit")
    speculation: Literal["auto", "off", "lookup", "model", "mtp"] = Field(
        "auto",
        description="where guesses of the next tokens come from: the text so far (lookup), draft_model "
        "(model), the model's own prediction layer (mtp); auto: the best that there is",
    )
    draft_model: str = Field(
        "",
        description="a small model of the same vocabulary that guesses, written like model; empty: none",
    )
    tool_format: str = Field(
        "auto",
        description="how the model writes tool calls, by the format's name; auto: as its template tells",
    )
    tool_instructions: Path | None = Field(
        None,
        description="file that tells a model of its tools whose template takes none, read again when it "
        "changes; default: <home>/tool_instructions.txt, else the one that comes along",
    )

    request_timeout: float = Field(600.0, gt=0, description="longest life of one request")
    round_timeout: float = Field(120.0, gt=0, description="longest wait for all votes after the leader ended")
    quorum_reading: str = Field(
        "2/3", description="share of all candidates that must agree on calls that only read, above 1/2"
    )
    quorum_writing: str = Field("4/5", description="the same for calls that write, and for unknown tools")
    quorum_destructive: str = Field(
        "4/5", description="the same for calls that delete, run commands or reach the network"
    )
    tool_risks: str = Field(
        "",
        description="risks of tools that you know better, first match: name=reading, mcp_*=writing, "
        "x=destructive",
    )
    vote_policy: str = Field(
        "",
        description="whether a vote may pass destructive calls, first match: delete*=no; all others: yes",
    )
    not_acting: str = Field(
        "description",
        description="arguments that do not act and are not compared, name or tool.name, with commas between",
    )
    agent_steps: int = Field(12, ge=1, le=100, description="model turns of one local-swarm-agent request")
    agent_tokens: int = Field(
        32_768,
        ge=1,
        description="tokens that all turns of one local-swarm-agent request may generate together",
    )
    tool_server_wait: float = Field(
        30.0, ge=0, description="how long the agent waits for a tool server that went away during a call"
    )
    heartbeat: float = Field(5.0, gt=0, description="pause after which a waiting stream sends a comment")
    drain: float = Field(10.0, ge=0, description="how long a stopping service finishes what it has begun")

    lease_ttl: float = Field(20.0, gt=0, le=30, description="a member that is silent for so long is gone")
    lease_renew: float = Field(5.0, gt=0, description="pause between renewals of a lease")

    tools_root: Path | None = Field(None, description="folder of the tool sessions; default: <home>/sessions")
    tool_timeout: float = Field(120.0, gt=0, description="longest run of one tool")
    tool_output_limit: int = Field(50_000, ge=1_000, description="bytes of output that a tool may return")
    sandbox: Literal["bubblewrap", "none"] = Field(
        "bubblewrap", description="how bash is contained; none runs it bare, with your rights"
    )

    worker_name: str = Field("", description="name of the worker; empty: drawn once and kept in the home")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="what is logged")
    max_body: int = Field(32 * 1024 * 1024, ge=1024, description="largest HTTP body")
    allowed_hosts: str = Field(
        "", description="Host names the gateway answers to beside the loopback's, with commas between"
    )

    @field_validator("home", "tools_root", "tool_instructions", mode="after")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().resolve()

    @field_validator("model", "draft_model", mode="after")
    @classmethod
    def _model_path(cls, value: str) -> str:
        # The services run in another folder than the one the user stands in.
        if value.endswith(".gguf") and not value.startswith("hf:"):
            return str(Path(value).expanduser().resolve())
        return value

    @field_validator("quorum_reading", "quorum_writing", "quorum_destructive", mode="after")
    @classmethod
    def _share(cls, value: str) -> str:
        share_of(value)
        return value

    @field_validator("tool_risks", mode="after")
    @classmethod
    def _risks(cls, value: str) -> str:
        pairs_of(value, RISKS)
        return value

    @field_validator("vote_policy", mode="after")
    @classmethod
    def _policy(cls, value: str) -> str:
        pairs_of(value, ("yes", "no"))
        return value

    @field_validator("host", mode="after")
    @classmethod
    def _loopback(cls, value: str) -> str:
        if value not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError("only loopback is served for now (127.0.0.1 or ::1)")
        return value

    def address(self, service: ServiceName) -> str:
        """host:port of a service of this box."""
        chosen = {
            "gateway": self.port,
            "tool_server": self.tool_server_port or self.port + 1,
            "consensus": self.consensus_port or self.port + 2,
            "discovery": self.discovery_port or self.port + 3,
            "worker": self.worker_port or self.port + 4,
        }[service]
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{chosen}"

    @property
    def sessions_folder(self) -> Path:
        return self.tools_root or self.home / "sessions"

    def environment(self) -> dict[str, str]:
        """These settings as SWARM_… variables, for the processes that a supervisor starts.

        They read no file beside: they run in another folder, where another file may lie.
        """
        given = {
            ENVIRONMENT_PREFIX + key.upper(): str(value)
            for key, value in self.model_dump(mode="json").items()
            if value is not None
        }
        return {**given, CONFIG_VARIABLE: os.devnull}


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and the origin of each key: `default`, the file's path, `environment` or `flag`."""

    settings: Settings
    origin: Mapping[str, str]


def config_file(environ: Mapping[str, str]) -> Path | None:
    """SWARM_CONFIG, else ./swarm.toml, else swarm.toml in the user's configuration folder."""
    if chosen := environ.get(CONFIG_VARIABLE):
        return Path(chosen)
    base = environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    for candidate in (Path("swarm.toml"), Path(base) / "local-swarm" / "swarm.toml"):
        if candidate.is_file():
            return candidate
    return None


def load(flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Loaded:
    """Merges the sources. Raises SwarmError INVALID_FIELD naming the key, its origin and what is expected."""
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    origin: dict[str, str] = dict.fromkeys(Settings.model_fields, "default")

    if (path := config_file(environ)) is not None:
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise invalid(CONFIG_VARIABLE, f"{path}: {error}") from error
        values.update(table)
        origin.update(dict.fromkeys(table, str(path)))
    for key in Settings.model_fields:
        if (text := environ.get(ENVIRONMENT_PREFIX + key.upper())) not in (None, ""):
            values[key] = text
            origin[key] = "environment"
    for key, value in (flags or {}).items():
        if value is not None:
            values[key] = value
            origin[key] = "flag"

    try:
        return Loaded(Settings(**values), origin)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise invalid(key, f"{key} (from {origin.get(key, 'unknown')}): {first['msg']}") from error
