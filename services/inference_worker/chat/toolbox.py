"""The tools offered in a request, as the parser asks for them: names to mend, types of parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from services.common.chat import Tool
from services.inference_worker.chat.fitting import fits
from services.inference_worker.chat.values import STRING, declared_types

_PREFIX = "functions."


class Toolbox:
    """Immutable; may be shared by the machines of all candidates."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._schemas = {tool.name: tool.parameters_json for tool in tools}
        self._by_lower: dict[str, list[str]] = {}
        for name in self._schemas:
            self._by_lower.setdefault(name.lower(), []).append(name)

    def __bool__(self) -> bool:
        return bool(self._schemas)

    def offers(self, name: str) -> bool:
        return name in self._schemas

    def mend(self, name: str) -> str:
        """The offered name that is meant: itself, or the only one that differs in case or by `functions.`.

        A name that is nobody's is returned unchanged: the client tells the model that there is no such tool.
        """
        for candidate in (name, name[len(_PREFIX) :] if name.lower().startswith(_PREFIX) else name):
            if candidate in self._schemas:
                return candidate
            near = self._by_lower.get(candidate.lower(), [])
            if len(near) == 1:
                return near[0]
        return name

    def fits(self, name: str, arguments_json: str) -> bool:
        """Whether this tool was offered and the arguments fit its schema."""
        return name in self._schemas and fits(arguments_json, self._schemas[name])

    def parameter_types(self, tool: str) -> Mapping[str, frozenset[str]]:
        """The types of a tool's declared parameters; what is not declared is text."""
        try:
            root = json.loads(self._schemas.get(tool) or "{}")
        except (ValueError, RecursionError):
            root = {}  # rendering the prompt has refused such a schema; alone, the machine reads text
        properties = root.get("properties") if isinstance(root, dict) else None
        if not isinstance(properties, dict):
            return {}
        return {name: declared_types(schema, root) or STRING for name, schema in properties.items()}
