"""A model's own chat template: a request becomes the prompt that the model was trained on."""

from __future__ import annotations

from typing import Any

from jinja2.exceptions import TemplateError, TemplateSyntaxError

from services.common.chat import ChatRequest
from services.common.errors import Reason, SwarmError
from services.inference_worker.chat.conversation import (
    message_dicts,
    offered_tools,
    tool_dicts,
    with_tools,
)
from services.inference_worker.chat.habits import ToolsIn, ask
from services.inference_worker.chat.rephrase import in_shape
from services.inference_worker.chat.sandbox import ChatEnvironment, render


class ChatTemplate:
    """`source` is jinja2 text as GGUF files carry it; `bos` and `eos` are the texts of these tokens, which
    templates may print; `model` names the model in errors.

    Nothing of a request is kept: rendering is safe from several threads.
    """

    def __init__(self, source: str, bos: str, eos: str, model: str) -> None:
        """Raises SwarmError MODEL_FILE_INVALID when the source is no template."""
        self.source = source
        self.model = model
        self._tokens = {"bos_token": bos, "eos_token": eos}
        self._environment = ChatEnvironment()
        try:
            self._compiled = self._environment.from_string(source)
        except (TemplateSyntaxError, RecursionError) as error:
            where = f" (line {error.lineno})" if isinstance(error, TemplateSyntaxError) else ""
            raise SwarmError(
                Reason.MODEL_FILE_INVALID,
                f"The chat template of {model} cannot be read: {error}{where}",
            ) from error
        self.habits = ask(self.render_messages)

    def render(self, request: ChatRequest, add_generation_prompt: bool = True) -> str:
        """The prompt up to where the assistant's turn begins; without the generation prompt, up to where the
        conversation ends.

        Raises SwarmError INVALID_FIELD when a tool's schema is no JSON object, TEMPLATE_FAILED with the
        template's own words when it refuses the conversation.
        """
        tools = offered_tools(request)
        shown = tool_dicts(tools) if tools else None
        messages = message_dicts(in_shape(request.messages, self.habits), self.habits)
        if shown and self.habits.tools is ToolsIn.SYSTEM_MESSAGE:
            messages = with_tools(messages, shown)
        return self.render_messages(messages, shown, add_generation_prompt)

    def render_messages(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None,
        add_generation_prompt: bool = True,
    ) -> str:
        """Renders dicts in OpenAI's shape as they are. Raises SwarmError TEMPLATE_FAILED."""
        variables = {
            "messages": messages,
            "tools": tools,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
            **self._tokens,
        }
        try:
            return render(self._environment, self._compiled, variables)
        except TemplateError as error:
            raise self._failed(f"refuses this conversation: {error.message or error}") from error
        except (
            Exception
        ) as error:  # a template is foreign code: whatever its expressions raise is its failure
            raise self._failed(f"fails on this conversation: {type(error).__name__}: {error}") from error

    def _failed(self, what: str) -> SwarmError:
        return SwarmError(
            Reason.TEMPLATE_FAILED, f"The chat template of {self.model} {what}", param="messages"
        )
