"""From a request to the guides of its candidates: what must hold, what is compiled for it, what was wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from services.common.chat import ChatRequest, ResponseKind, Tool, ToolChoiceMode
from services.common.errors import invalid, unsupported
from services.inference_worker.chat.formats import Format
from services.inference_worker.chat.machine import PushMachine
from services.inference_worker.grammar.answers import answer_grammar
from services.inference_worker.grammar.blocks import Blocks, Holds, holds
from services.inference_worker.grammar.calls import WHOLE, Offer, offer, unheld
from services.inference_worker.grammar.compiled import Compiled, Compiler, GrammarError
from services.inference_worker.grammar.guide import AnswerGuide, CallGuide
from services.inference_worker.grammar.schema import SchemaError
from services.inference_worker.grammar.tokens import TokenTable

Guide = AnswerGuide | CallGuide

# Of names and schemas together, in characters, and what each tool adds to them: a grammar takes a hundred
# times that in memory. More tools than that are offered by nobody who wants them held.
_LARGEST, _PER_TOOL = 200_000, 200


@dataclass(frozen=True, slots=True)
class Plan:
    """forced: the beginning of the answer that must stand in the prompt.
    guide: makes the constraint of the candidate of that index.
    constrained: every call in the answer fits its tool's schema.
    """

    forced: str
    guide: Callable[[int], Guide | None]
    constrained: bool


def _unheld(index: int) -> None:
    return None


class Grammars:
    """One model's. May be used from several threads."""

    def __init__(self, format: Format, table: TokenTable) -> None:
        self._format = format
        self._table = table
        self._compiler = Compiler(table)
        table.prepare(tags.open.encode() for tags in format.calls if tags.open)

    @property
    def holds(self) -> Holds:
        """Which calls of this model can be held."""
        return holds(self._format)

    def plan(self, request: ChatRequest, tools: Sequence[Tool], prompt_tail: str) -> Plan:
        """`tools`: those that may be called. Takes milliseconds for tools that were not seen before.

        Raises SwarmError INVALID_FIELD for a schema or a grammar that is wrong, and for a strict one that
        cannot be held; UNSUPPORTED_PARAMETER where this model's calls cannot be held and the request asks
        for that.
        """
        answer = request.response_format
        if answer.kind is not ResponseKind.TEXT:
            return self._answer_plan(request, tools, prompt_tail)
        if not tools or self._format.style is None:
            return Plan("", _unheld, constrained=False)
        must = request.tool_choice.mode in (ToolChoiceMode.REQUIRED, ToolChoiceMode.NAMED)
        self._refuse_what_cannot_be_held(request, tools, must)
        size = sum(len(tool.name) + len(tool.parameters_json) + _PER_TOOL for tool in tools)
        if size > _LARGEST:
            if must or any(tool.strict for tool in tools):
                raise invalid(
                    "tools", f"tools: {len(tools)} of {size} characters are too large to hold calls to them"
                )
            return Plan("", _unheld, constrained=False)
        if not (self.holds.forced if must else self.holds.triggered):
            return Plan("", _unheld, constrained=False)
        return self._call_plan(request, tools, prompt_tail, must)

    def _refuse_what_cannot_be_held(self, request: ChatRequest, tools: Sequence[Tool], must: bool) -> None:
        name = self._format.name
        if must and not self.holds.forced:
            raise unsupported(
                "tool_choice", f"calls of the format {name} cannot be forced; tool_choice must be auto"
            )
        for tool in tools:
            if tool.strict and not (must or self.holds.triggered):
                raise unsupported(
                    _param(request, tool, "strict"), f"calls of the format {name} cannot be held to a schema"
                )

    # -- calls -----------------------------------------------------------------------------------

    def _call_plan(self, request: ChatRequest, tools: Sequence[Tool], prompt_tail: str, must: bool) -> Plan:
        parallel = request.parallel_tool_calls
        blocks = self._blocks(request, tools, parallel)
        opened = {opener: self._compiler.compile(text) for opener, text in blocks.triggered.items()}
        first: tuple[Compiled, bytes] | None = None
        forced = ""
        if must:
            whole = self._compiler.compile(blocks.whole)
            forced = self._beginning(whole, blocks)
            first = (whole, forced.encode())
            if blocks.header and prompt_tail.endswith(blocks.opening):
                forced = forced[len(blocks.opening) :]
        closed = self._closed_reasoning(prompt_tail) if must else ""
        tail = closed if closed else prompt_tail
        window = prompt_tail[-blocks.header :] if blocks.header else "\n"

        def guide(index: int) -> CallGuide:
            return CallGuide(
                self._table,
                opened,
                PushMachine(self._format, (), index, tail),
                parallel and not blocks.last,
                first,
                blocks.at_line_start,
                window,
            )

        return Plan(closed + forced, guide, constrained=not blocks.open)

    def _beginning(self, whole: Compiled, blocks: Blocks) -> str:
        """As much of a call as can stand in the prompt without cutting a word in two."""
        for text in blocks.beginnings:
            if whole.accepts(text.encode()):
                return text
        return ""

    def _closed_reasoning(self, prompt_tail: str) -> str:
        """What closes reasoning that the prompt has opened: before a call that must come, nothing may."""
        reasoning = self._format.reasoning
        opened = PushMachine(self._format, (), 0, prompt_tail).reasoning_open
        return f"{reasoning.close}\n\n" if opened and reasoning is not None else ""

    def _blocks(self, request: ChatRequest, tools: Sequence[Tool], parallel: bool) -> Blocks:
        try:
            offers = [offer(tool) for tool in tools]
            blocks = Blocks(self._format, offers, parallel, self._table.hides)
            self._compiler.compile(blocks.whole)
        except (GrammarError, SchemaError):
            offers = [self._settled(request, tool, parallel) for tool in tools]
            blocks = Blocks(self._format, offers, parallel, self._table.hides)
            try:
                self._compiler.compile(blocks.whole)
            except GrammarError as error:
                raise invalid("tools", f"tools: together they make no grammar: {error}") from error
        return blocks

    def _settled(self, request: ChatRequest, tool: Tool, parallel: bool) -> Offer:
        """The tool, with what cannot be held of it left open. Raises SwarmError if it is strict."""
        made: Offer | None = None
        try:
            made = offer(tool)
            problem = self._problem(made, parallel)
        except SchemaError as error:
            problem = str(error)
        if made is not None and not problem:
            return made
        if tool.strict:
            param = _param(request, tool, "parameters")
            raise invalid(param, f"{param}: strict, but {problem}")
        return unheld(tool.name) if made is None else self._loosened(replace(made, strict=False), parallel)

    def _loosened(self, made: Offer, parallel: bool) -> Offer:
        """With as much of it held as can be."""
        names = [*made.parameters.properties, WHOLE]
        bad = [name for name in names if self._problem(_only(made, name), parallel)]
        for loose in ([], bad, names):
            candidate = replace(made, loose=frozenset(loose))
            if not self._problem(candidate, parallel):
                return candidate
        return unheld(made.name)

    def _problem(self, one: Offer, parallel: bool) -> str:
        try:
            blocks = Blocks(self._format, [one], parallel, self._table.hides)
        except SchemaError as error:
            return str(error)
        return self._compiler.problem(blocks.whole)

    @property
    def _reasons(self) -> bool:
        """The model has a token for the opener. Spelled in letters, by one that never learned to reason, what
        stands behind it has no end."""
        tags = self._format.reasoning
        return tags is not None and len(self._table.spell(tags.open.encode()) or ()) == 1

    # -- whole answers ---------------------------------------------------------------------------

    def _answer_plan(self, request: ChatRequest, tools: Sequence[Tool], prompt_tail: str) -> Plan:
        mode = request.tool_choice.mode
        if tools and mode in (ToolChoiceMode.REQUIRED, ToolChoiceMode.NAMED):
            raise invalid(
                "response_format", "response_format: the answer must be a call, as tool_choice says"
            )
        raw = request.response_format.kind in (ResponseKind.GBNF, ResponseKind.LARK)
        if tools and raw:
            raise unsupported(
                "grammar", "grammar: a grammar holds the whole answer; it cannot stand beside tools"
            )
        if tools and not self.holds.forced:
            raise unsupported(
                "response_format",
                f"calls of the format {self._format.name} cannot stand beside response_format",
            )
        blocks = self._blocks(request, tools, request.parallel_tool_calls) if tools else None
        opened = PushMachine(self._format, (), 0, prompt_tail).reasoning_open
        format = self._format
        if not (opened or self._reasons):
            format = replace(format, reasoning=None)
        grammar = answer_grammar(format, request.response_format, opened, blocks)
        try:
            compiled = self._compiler.compile(grammar)
        except GrammarError as error:
            param = "grammar" if raw else "response_format"
            raise invalid(param, f"{param}: {error}") from error
        return Plan(
            "", lambda index: AnswerGuide(compiled), constrained=blocks is not None and not blocks.open
        )


def _only(made: Offer, name: str) -> Offer:
    """The offer with no more than one parameter."""
    if name == WHOLE:
        return made
    known = made.parameters
    return replace(
        made, parameters=replace(known, properties={name: known.properties[name]}, required=frozenset())
    )


def _param(request: ChatRequest, tool: Tool, field: str) -> str:
    index = next((i for i, each in enumerate(request.tools) if each.name == tool.name), 0)
    return f"tools[{index}].function.{field}"
