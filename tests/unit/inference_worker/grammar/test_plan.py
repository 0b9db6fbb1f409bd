"""What a request asks to be held, what is refused by field, and what is left open."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.common.chat import ResponseFormat, ResponseKind, Tool, ToolChoice, ToolChoiceMode
from services.common.errors import Reason, SwarmError
from services.inference_worker.chat.formats import FORMATS
from services.inference_worker.grammar.plan import Grammars
from tests.unit.inference_worker.grammar.driver import (
    REQUIRED,
    TOOLS,
    fits,
    generate,
    read,
    request,
    table_for,
)

HERMES = FORMATS["hermes_json"]
XML = FORMATS["qwen3_coder_xml"]
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}


def tool(name: str, strict: bool = False, **schema: Any) -> Tool:
    return Tool(name, "", json.dumps(schema), strict)


def refused(*tools: Tool, format: str = "hermes_json", **more: Any) -> SwarmError:
    form = FORMATS[format]
    with pytest.raises(SwarmError) as caught:
        Grammars(form, table_for(form)).plan(request(tools, **more), tools, "")
    return caught.value


class TestCalls:
    def test_without_tools_nothing_is_held(self) -> None:
        plan = Grammars(HERMES, table_for(HERMES)).plan(request(()), (), "")
        assert (plan.forced, plan.guide(0), plan.constrained) == ("", None, False)

    def test_prose_is_left_alone_until_a_call_opens(self) -> None:
        table = table_for(HERMES)
        guide = Grammars(HERMES, table).plan(request(TOOLS), TOOLS, "").guide(0)
        assert guide is not None
        for byte in b"An answer, no call: <tool_ca":
            assert guide.mask() is None
            guide.accept(byte, bytes([byte]))
        for byte in b"ll>":
            guide.accept(byte, bytes([byte]))
        mask = guide.mask()
        assert mask is not None
        assert _allowed(mask, ord("{"))
        assert not _allowed(mask, ord("h"))

    def test_a_call_in_reasoning_is_not_held(self) -> None:
        guide = Grammars(HERMES, table_for(HERMES)).plan(request(TOOLS), TOOLS, "").guide(0)
        assert guide is not None
        for byte in b"<think>I could <tool_call>":
            guide.accept(byte, bytes([byte]))
        assert guide.mask() is None
        for byte in b"</think>\n\n<tool_call>":
            guide.accept(byte, bytes([byte]))
        assert guide.mask() is not None

    def test_reasoning_that_the_prompt_opened_is_closed_before_a_forced_call(self) -> None:
        plan = Grammars(HERMES, table_for(HERMES)).plan(request(TOOLS, REQUIRED), TOOLS, "<think>\n")
        assert plan.forced.startswith("</think>\n\n<tool_call>")

    def test_a_token_that_completes_the_opener_may_not_go_on_wrongly(self) -> None:
        table = table_for(XML)
        guide = Grammars(XML, table).plan(request(TOOLS), TOOLS, "").guide(0)
        assert guide is not None
        for byte in b"<tool_call":
            guide.accept(byte, bytes([byte]))
        mask = guide.mask()
        assert mask is not None
        tokens = {table.text(token): token for token in range(table.size)}
        assert _allowed(mask, tokens[b">\n"])
        assert not _allowed(mask, tokens[b">bash"])
        assert _allowed(mask, ord("x"))

    @pytest.mark.parametrize("format", ["hermes_json", "glm4", "gemma4", "lfm2", "harmony", "mistral_args"])
    def test_a_named_function_is_the_one_that_is_called(self, format: str) -> None:
        form = FORMATS[format]
        table = table_for(form)
        choice = ToolChoice(ToolChoiceMode.NAMED, "edit")
        only = (TOOLS[1],)
        plan = Grammars(form, table).plan(request(TOOLS, choice), only, "")
        text, ended = generate(table, plan, 5, limit=900)
        said = read(form, TOOLS, plan.forced + text, ended)
        assert said.calls
        assert said.calls[0].name == "edit"

    def test_more_tools_than_a_grammar_bears_are_not_held_unless_that_is_demanded(self) -> None:
        many = tuple(Tool(f"tool_{number}") for number in range(2_000))
        grammars = Grammars(HERMES, table_for(HERMES))
        plan = grammars.plan(request(many), many, "")
        assert (plan.forced, plan.guide(0), plan.constrained) == ("", None, False)
        with pytest.raises(SwarmError, match="too large to hold") as caught:
            grammars.plan(request(many, REQUIRED), many, "")
        assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, "tools")


class TestSchemas:
    def test_a_tool_without_a_schema_takes_no_arguments(self) -> None:
        bare = (Tool("now"),)
        table = table_for(HERMES)
        plan = Grammars(HERMES, table).plan(request(bare, REQUIRED, parallel=False), bare, "")
        text, ended = generate(table, plan, 1)
        assert ended
        assert json.loads(read(HERMES, bare, plan.forced + text, ended).calls[0].arguments) == {}

    @pytest.mark.parametrize("format", ["hermes_json", "qwen3_coder_xml", "gemma4", "lfm2"])
    def test_what_cannot_be_held_of_a_plain_tool_is_left_open(self, format: str) -> None:
        form = FORMATS[format]
        table = table_for(form)
        odd = (
            tool(
                "odd",
                type="object",
                properties={
                    "a": {"type": "integer", "not": {"const": 3}},
                    "b": {"type": "string", "pattern": "(?=x)y("},
                },
                required=["a"],
                additionalProperties=False,
            ),
        )
        plan = Grammars(form, table).plan(request(odd, REQUIRED, parallel=False), odd, "")
        for seed in range(3):
            text, ended = generate(table, plan, seed, limit=900)
            said = read(form, odd, plan.forced + text, ended)
            if ended:
                assert isinstance(json.loads(said.calls[0].arguments)["a"], int)

    @pytest.mark.parametrize("format", ["hermes_json", "qwen3_coder_xml"])
    def test_it_is_an_error_of_a_strict_one(self, format: str) -> None:
        fine = tool("fine", type="object", properties={})
        odd = tool("odd", True, type="object", properties={"a": {"type": "string", "pattern": "(?=x)y("}})
        error = refused(fine, odd, format=format)
        assert (error.reason, error.param) == (Reason.INVALID_FIELD, "tools[1].function.parameters")

    def test_strict_is_unsupported_where_calls_cannot_be_held(self) -> None:
        error = refused(tool("a", True, type="object"), format="pythonic")
        assert (error.reason, error.param) == (Reason.UNSUPPORTED_PARAMETER, "tools[0].function.strict")

    def test_loose_tools_are_told(self) -> None:
        known = Grammars(HERMES, table_for(HERMES))
        assert known.plan(request(TOOLS), TOOLS, "").constrained
        loose = (tool("odd", type="object", properties={"a": {"type": "integer", "not": {"const": 3}}}),)
        assert not known.plan(request(loose), loose, "").constrained

    def test_more_than_a_list_of_parameters(self) -> None:
        choice = (
            tool(
                "pick",
                type="object",
                properties={"a": {"type": "integer"}, "b": {"type": "boolean"}},
                anyOf=[{"required": ["a"]}, {"required": ["b"]}],
                additionalProperties=False,
            ),
        )
        table = table_for(HERMES)
        plan = Grammars(HERMES, table).plan(request(choice, REQUIRED, parallel=False), choice, "")
        for seed in range(8):
            text, ended = generate(table, plan, seed)
            if ended:
                call = read(HERMES, choice, plan.forced + text, ended).calls[0]
                assert fits(choice, call) == ""

    @pytest.mark.parametrize("count", [62, 70])
    def test_many_parameters(self, count: int) -> None:
        names = [f"p{i}" for i in range(count)]
        many = (
            tool(
                "many",
                type="object",
                properties={name: {"type": "boolean"} for name in names},
                required=names[-3:],
                additionalProperties=False,
            ),
        )
        table = table_for(HERMES)
        plan = Grammars(HERMES, table).plan(request(many, REQUIRED, parallel=False), many, "")
        text, ended = generate(table, plan, 2, limit=4000)
        assert ended
        assert fits(many, read(HERMES, many, plan.forced + text, ended).calls[0]) == ""


class TestAnswers:
    def answer(self, wanted: ResponseFormat, seed: int, tail: str = "", start: str = "") -> tuple[str, bool]:
        table = table_for(HERMES)
        plan = Grammars(HERMES, table).plan(request((), response_format=wanted), (), tail)
        text, ended = generate(table, plan, seed, start, limit=900)
        return read(HERMES, (), text, ended, tail).content, ended

    def test_json_object(self) -> None:
        whole = 0
        for seed in range(10):
            text, ended = self.answer(ResponseFormat(ResponseKind.JSON_OBJECT), seed)
            if ended:
                whole += 1
                assert isinstance(json.loads(text), dict)
        assert whole >= 5

    def test_json_schema_behind_reasoning(self) -> None:
        wanted = ResponseFormat(ResponseKind.JSON_SCHEMA, json.dumps(PERSON))
        for seed in range(10):
            for tail, start in (("", ""), ("<think>", "hm</think>"), ("", "<think>hm</think>")):
                text, ended = self.answer(wanted, seed, tail, start)
                assert ended
                assert set(json.loads(text)) == {"name", "age"}
                assert 0 <= json.loads(text)["age"] <= 120

    @pytest.mark.parametrize(
        ("kind", "grammar"),
        [
            (ResponseKind.GBNF, 'root ::= ("yes" | "no") "!"'),
            (ResponseKind.LARK, 'start: ("yes" | "no") "!"'),
        ],
    )
    def test_a_grammar_of_the_client(self, kind: ResponseKind, grammar: str) -> None:
        said = {self.answer(ResponseFormat(kind, grammar=grammar), seed)[0] for seed in range(20)}
        assert said == {"yes!", "no!"}

    def test_an_answer_or_a_call(self) -> None:
        table = table_for(HERMES)
        wanted = ResponseFormat(ResponseKind.JSON_SCHEMA, json.dumps(PERSON))
        plan = Grammars(HERMES, table).plan(request(TOOLS, response_format=wanted), TOOLS, "")
        text, ended = generate(table, plan, 3, "<tool_call>")
        said = read(HERMES, TOOLS, text, ended)
        assert said.calls
        assert all(fits(TOOLS, call) == "" for call in said.calls if call.ended)
        text, ended = generate(table, plan, 4, '{"name"')
        assert set(json.loads(text)) == {"name", "age"}

    @pytest.mark.parametrize(
        ("wanted", "param"),
        [
            (ResponseFormat(ResponseKind.JSON_SCHEMA, "no schema"), "response_format"),
            (ResponseFormat(ResponseKind.JSON_SCHEMA, '{"type": "nothing"}'), "response_format"),
            (ResponseFormat(ResponseKind.JSON_SCHEMA, '{"not": {"type": "string"}}'), "response_format"),
            (ResponseFormat(ResponseKind.GBNF, grammar="root ::= ("), "grammar"),
            (ResponseFormat(ResponseKind.LARK, grammar="start: nobody"), "grammar"),
        ],
    )
    def test_what_is_wrong_is_told_by_field(self, wanted: ResponseFormat, param: str) -> None:
        error = refused(response_format=wanted)
        assert (error.reason, error.param) == (Reason.INVALID_FIELD, param)

    def test_a_grammar_beside_tools_is_unsupported(self) -> None:
        wanted = ResponseFormat(ResponseKind.GBNF, grammar='root ::= "a"')
        error = refused(*TOOLS, response_format=wanted)
        assert (error.reason, error.param) == (Reason.UNSUPPORTED_PARAMETER, "grammar")


def _allowed(mask: Any, token: int) -> bool:
    return bool(int(mask[token // 32]) >> token % 32 & 1)
