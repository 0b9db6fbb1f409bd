"""A request becomes a prompt, also for templates that know nothing of tools."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from services.common.chat import ChatRequest
from services.inference_worker.chat.conversation import offered_tools, tool_dicts
from services.inference_worker.chat.formats import Format, ValueStyle
from services.inference_worker.chat.habits import ToolsIn
from services.inference_worker.chat.instructions import instructions
from services.inference_worker.chat.rephrase import (
    calls_in_words,
    results_in_words,
    with_instructions,
)
from services.inference_worker.chat.spelling import spell
from services.inference_worker.chat.template import ChatTemplate


class Prompt:
    """Renders with `template` for a model that calls in `format`.

    plain: renders requests without tools, where a model brings two templates.
    text: gives the instructions for models whose template takes no tools, with `{tools}` and `{call}` in the
    places of both; asked at each request that needs it.
    """

    def __init__(
        self,
        template: ChatTemplate,
        format: Format,
        text: Callable[[], str],
        plain: ChatTemplate | None = None,
    ) -> None:
        self._template = template
        self._plain = plain or template
        self._format = format
        self._text = text

    def render(self, request: ChatRequest, add_generation_prompt: bool = True) -> str:
        """Like ChatTemplate.render; tools, calls and results that the template cannot print are put in words.

        Raises SwarmError INVALID_FIELD, TEMPLATE_FAILED.
        """
        tools = offered_tools(request)
        template = self._template if tools else self._plain
        if self._format.style is None:
            return template.render(request, add_generation_prompt)
        habits = template.habits
        if self._format.style is ValueStyle.LINES:
            # Whatever the template can print, it is not what the model is to write.
            habits = replace(habits, calls=False, tools=ToolsIn.NOWHERE)
        told = bool(tools) and habits.tools is ToolsIn.NOWHERE
        messages = request.messages
        if not habits.results or (habits.tools is ToolsIn.NOWHERE and not habits.calls):
            messages = results_in_words(messages)
        if not habits.calls:
            messages = calls_in_words(messages, self._format)
        if told:
            tool_dicts(tools)  # a schema that is no object is refused here as everywhere
            call = spell(self._format, "name", '{"parameter": "value"}')
            messages = with_instructions(messages, instructions(self._text(), tools, call))
            request = replace(request, tools=())
        return template.render(replace(request, messages=messages), add_generation_prompt)
