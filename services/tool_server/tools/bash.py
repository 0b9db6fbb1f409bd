"""bash: one command, contained by the sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.common.errors import Reason, invalid
from services.tool_server.outcome import Outcome
from services.tool_server.sandbox.base import Sandbox
from services.tool_server.sandbox.process import Finished, run
from services.tool_server.tools.base import Arguments, Run

# The kernel takes no argument of 128 KiB or more.
LONGEST_COMMAND = 100_000


@dataclass(frozen=True, slots=True)
class Bash:
    """`max_seconds` bounds `timeout`, `max_bytes` the output."""

    sandbox: Sandbox
    max_seconds: float
    max_bytes: int
    name: str = "bash"

    @property
    def description(self) -> str:
        return (
            "Runs a command in bash, in the working folder, and returns what it prints. There is no network, "
            "and what it leaves running in the background ends with it."
        )

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {
            "type": "object",
            "properties": {
                "command": {"type": "string", "minLength": 1, "description": "The command."},
                "timeout": {
                    "type": "number",
                    "exclusiveMinimum": 0,
                    "maximum": self.max_seconds,
                    "description": f"Seconds it may run. Default and most: {self.max_seconds:g}.",
                },
            },
            "required": ["command"],
            "additionalProperties": False,
        }

    async def run(self, arguments: Arguments, run_: Run) -> Outcome:
        command = _checked(arguments["command"])
        seconds = min(float(arguments.get("timeout", self.max_seconds)), run_.seconds)
        launch = self.sandbox.launch(command, run_.session.folder, seconds)
        return _outcome(await run(launch, seconds, self.max_bytes, run_.on_output), seconds)


def _checked(command: str) -> str:
    try:
        size = len(command.encode())
    except UnicodeEncodeError as error:
        raise invalid("command", f"command is no valid Unicode text at character {error.start}") from error
    if "\0" in command:
        raise invalid("command", "command has a zero byte")
    if size > LONGEST_COMMAND:
        raise invalid(
            "command",
            f"command has {size} bytes, expected at most {LONGEST_COMMAND}: write it to a file and run that",
        )
    return command


def _outcome(finished: Finished, seconds: float) -> Outcome:
    output, code = finished.output, finished.exit_code
    if code is None:
        note = f"[stopped: it ran longer than {seconds:g} s]"
        return Outcome(_with_note(output, note), Reason.DEADLINE_EXCEEDED, truncated=finished.truncated)
    if code != 0:
        output = _with_note(output, f"[exit code {code}]")
    return Outcome(output or "[no output]", exit_code=code, truncated=finished.truncated)


def _with_note(output: str, note: str) -> str:
    return f"{output}{'' if not output or output.endswith(chr(10)) else chr(10)}{note}"
