"""Which tools there are."""

from __future__ import annotations

import json
from collections.abc import Iterable

from services.common import chat
from services.common.errors import Reason, SwarmError
from services.common.settings import Settings
from services.tool_server.sandbox.base import Sandbox
from services.tool_server.tools.base import Tool
from services.tool_server.tools.bash import Bash
from services.tool_server.tools.read import Read
from services.tool_server.tools.write import Write


def standard_tools(settings: Settings, sandbox: Sandbox) -> list[Tool]:
    return [
        Read(settings.tool_output_limit),
        Write(),
        Bash(sandbox, settings.tool_timeout, settings.tool_output_limit),
    ]


class Registry:
    def __init__(self, tools: Iterable[Tool]) -> None:
        self._tools = {tool.name: tool for tool in tools}

    def get(self, name: str) -> Tool:
        """Raises SwarmError TOOL_NOT_FOUND naming those that there are."""
        if (tool := self._tools.get(name)) is not None:
            return tool
        offered = ", ".join(self._tools)
        raise SwarmError(Reason.TOOL_NOT_FOUND, f"there is no tool {name!r}; there are: {offered}")

    def offered(self) -> list[chat.Tool]:
        return [
            chat.Tool(tool.name, tool.description, json.dumps(tool.parameters))
            for tool in self._tools.values()
        ]
