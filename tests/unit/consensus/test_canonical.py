"""When two calls are the same, and which calls are none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.chat import Message, Role, Tool, ToolCall
from services.common.errors import Reason, SwarmError
from services.consensus.canonical import InvalidCallError, Toolbox, key_as_written
from services.consensus.strategies.risk import Risk

BASH = {
    "type": "object",
    "properties": {
        "command": {"type": "string"},
        "timeout": {"type": "number"},
        "description": {"type": "string"},
        "env": {"type": "object"},
    },
    "required": ["command"],
    "additionalProperties": False,
}
NOTE = {"type": "object", "properties": {"description": {"type": "string"}}}
TOOLS = Toolbox(
    [
        Tool("bash", "", json.dumps(BASH)),
        Tool("note", "", json.dumps(NOTE)),
        Tool("free"),
        Tool("none", "", "{}"),
    ]
)


def key(arguments: str, name: str = "bash", call_id: str = "c") -> str:
    return TOOLS.canonical([ToolCall(call_id, name, arguments)]).key


def problem(arguments: str, name: str = "bash", tools: Toolbox = TOOLS) -> str:
    with pytest.raises(InvalidCallError) as caught:
        tools.canonical([ToolCall("c", name, arguments)])
    return str(caught.value)


class TestSame:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ('{"command":"ls","timeout":5}', '{ "timeout" : 5.0,\n"command" : "ls" }'),
            ('{"command":"ls"}', '{"command":"\\u006cs"}'),
            ('{"command":"ls","description":"Lists"}', '{"command":"ls","description":"Show files"}'),
            ('{"command":"ls","timeout":1e1}', '{"command":"ls","timeout":10}'),
            ('{"command":"ls","timeout":-0.0}', '{"command":"ls","timeout":0}'),
            ('{"command":"ls","env":{"a":1,"b":2}}', '{"command":"ls","env":{"b":2,"a":1.0}}'),
        ],
    )
    def test_spelling_does_not_count(self, one: str, other: str) -> None:
        assert key(one) == key(other)

    def test_ids_do_not_count(self) -> None:
        assert key('{"command":"ls"}', call_id="a") == key('{"command":"ls"}', call_id="b")

    @given(
        st.dictionaries(
            st.text(), st.one_of(st.integers(-(2**53), 2**53), st.text(), st.none(), st.booleans())
        )
    )
    def test_the_order_of_keys_and_blanks_do_not_count(self, arguments: dict[str, Any]) -> None:
        turned = dict(reversed(arguments.items()))
        assert key(json.dumps(arguments), "free") == key(
            json.dumps(turned, indent=3, ensure_ascii=False), "free"
        )


class TestDifferent:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ('{"command":"ls"}', '{"command":"ls "}'),
            ('{"command":"ls"}', '{"command":"ls","timeout":5}'),
            ('{"command":"ls","env":{"description":"a"}}', '{"command":"ls","env":{"description":"b"}}'),
            ('{"command":"ls","timeout":9007199254740993}', '{"command":"ls","timeout":9007199254740992}'),
            ('{"command":"ls","env":{"a":1}}', '{"command":"ls","env":{"a":true}}'),
            ('{"command":"ls","env":{"a":1}}', '{"command":"ls","env":{"a":"1"}}'),
        ],
    )
    def test_what_acts_counts(self, one: str, other: str) -> None:
        assert key(one) != key(other)

    def test_a_description_that_is_all_a_tool_has_counts(self) -> None:
        assert key('{"description":"a"}', "note") != key('{"description":"b"}', "note")

    def test_the_tool_counts(self) -> None:
        assert key("{}", "free") != key("{}", "none")

    def test_the_order_of_calls_counts(self) -> None:
        calls = [ToolCall("1", "bash", '{"command":"a"}'), ToolCall("2", "bash", '{"command":"b"}')]
        assert TOOLS.canonical(calls).key != TOOLS.canonical(calls[::-1]).key

    def test_calls_cannot_run_into_each_other(self) -> None:
        one = [ToolCall("1", "free", '{"a":1}'), ToolCall("2", "free", "{}")]
        assert TOOLS.canonical(one).key != TOOLS.canonical(one[:1]).key


class TestInvalid:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ("", "no JSON object"),
            ('{"command":"ls"', "no JSON object"),
            ('["ls"]', "a list instead of an object"),
            ('{"command":"ls","command":"rm"}', "a key occurs twice"),
            ('{"command":"ls","timeout":NaN}', "NaN is no JSON"),
            ('{"command":"ls","timeout":1e999}', "out of range"),
            ('{"timeout":5}', "'command' is a required property"),
            ('{"command":5}', "command: 5 is not of type 'string'"),
            ('{"command":"ls","cwd":"/"}', "'cwd' was unexpected"),
            ("[" * 100_000, "no JSON object"),
            ('{"command":' + "9" * 5000 + "}", "no JSON object"),
        ],
        ids=lambda text: text[:30],
    )
    def test_arguments_that_do_not_fit(self, arguments: str, words: str) -> None:
        assert words in problem(arguments)

    def test_a_tool_that_nobody_offered(self) -> None:
        assert "no such tool" in problem("{}", "fly")

    def test_without_parameters_any_object_will_do(self) -> None:
        assert key('{"x":1}', "free")

    @given(st.text())
    def test_no_text_at_all_breaks_it(self, text: str) -> None:
        try:
            TOOLS.canonical([ToolCall("c", "free", text)])
        except InvalidCallError:
            return
        assert isinstance(json.loads(text), dict)

    def test_lone_surrogates_are_legal_and_the_summary_can_be_sent(self) -> None:
        found = TOOLS.canonical([ToolCall("c", "free", '{"a":"\\ud800"}')])
        assert found.summary.encode("utf-8")
        assert found.key != key('{"a":"?"}', "free")


class TestSchemas:
    @pytest.mark.parametrize(
        "schema",
        ["{", "[]", "1", '{"type":"strin"}', '{"properties":5}', '{"$schema":5}', "[" * 100_000],
        ids=lambda text: text[:20],
    )
    def test_what_is_no_schema_is_refused(self, schema: str) -> None:
        with pytest.raises(SwarmError) as caught:
            Toolbox([Tool("bad", "", schema)])
        assert (caught.value.reason, caught.value.param) == (
            Reason.INVALID_FIELD,
            "tools[0].function.parameters",
        )

    @pytest.mark.parametrize("reference", ["http://127.0.0.1:1/s.json", "file:///etc/hostname", "other.json"])
    def test_a_reference_that_leads_outside_is_refused(self, reference: str) -> None:
        schema = {"type": "object", "properties": {"a": {"$ref": reference}}}
        with pytest.raises(SwarmError, match="outside the schema"):
            Toolbox([Tool("bad", "", json.dumps(schema))])

    def test_local_references_work(self) -> None:
        schema = {"properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}}
        box = Toolbox([Tool("t", "", json.dumps(schema))])
        assert box.canonical([ToolCall("c", "t", '{"a":1}')])
        assert "not of type 'integer'" in problem('{"a":"x"}', "t", box)

    @pytest.mark.parametrize("reference", ["#/$defs/nowhere", "#"])
    def test_references_that_cannot_be_followed_make_the_call_invalid(self, reference: str) -> None:
        schema = {"properties": {"a": {"$ref": reference}}} if reference != "#" else {"$ref": "#"}
        box = Toolbox([Tool("t", "", json.dumps(schema))])
        assert "schema cannot be applied" in problem('{"a":1}', "t", box)

    @pytest.mark.parametrize(
        "schema",
        [
            {"properties": {"a": {"multipleOf": 0.5}}},
            {"properties": {"a": {"$ref": "#/title"}}, "title": "no schema"},
            {"properties": {"a": {"$ref": "#/allOf/x"}}, "allOf": [{}]},
            {"$schema": "http://json-schema.org/draft-03/schema#", "properties": {"a": {"disallow": "x"}}},
        ],
        ids=str,
    )
    def test_a_schema_that_breaks_the_check_makes_the_call_invalid(self, schema: dict[str, Any]) -> None:
        box = Toolbox([Tool("t", "", json.dumps(schema))])
        assert "schema cannot be applied" in problem('{"a":1' + "0" * 400 + "}", "t", box)

    def test_patterns_are_checked_if_they_can_be_read(self) -> None:
        schema = {"properties": {"a": {"pattern": "^x"}, "b": {"pattern": "\\p{L}"}}}
        box = Toolbox([Tool("t", "", json.dumps(schema))])
        assert "does not match" in problem('{"a":"y"}', "t", box)
        assert box.canonical([ToolCall("c", "t", '{"a":"x","b":"y"}')])


class TestAsWritten:
    def key(self, *arguments: str) -> str:
        return key_as_written([ToolCall(str(place), "bash", text) for place, text in enumerate(arguments)])

    def test_calls_that_no_schema_accepts_are_equal_by_what_they_say(self) -> None:
        assert self.key('{"a": 1, "b": 2.0}') == self.key('{"b":2,"a":1}')
        assert self.key("{}", "{}") != self.key("{}")

    def test_what_is_no_json_is_equal_by_its_text(self) -> None:
        assert self.key("{oops") == self.key("{oops")
        assert len({self.key("{oops"), self.key("{oops "), self.key('"{oops"'), self.key("[")}) == 4


FILE_TOOLS = {
    "edit": ["filePath", "oldString", "newString", "replaceAll"],
    "write": ["filePath", "content"],
    "read": ["filePath"],
    "bash": ["command"],
    "fetch": ["path"],
}
LISTING = (
    "<path>/w/a.py</path>\n<type>file</type>\n<content>\n1: a\n2: b\n3: c\n\n(End of file - total 3 lines)\n"
    "</content>"
)
READ = (
    Message(Role.ASSISTANT, tool_calls=(ToolCall("r", "read", '{"filePath": "a.py"}'),)),
    Message(Role.TOOL, LISTING, tool_call_id="r"),
)


class TestEdits:
    def key(self, *calls: tuple[str, dict[str, Any]], known: bool = True) -> str:
        tools = [
            Tool(name, "", json.dumps({"properties": {each: {} for each in names}}))
            for name, names in FILE_TOOLS.items()
        ]
        box = Toolbox(tools, messages=READ if known else ())
        return box.canonical([ToolCall("c", name, json.dumps(given)) for name, given in calls]).key

    def edit(self, old: str, new: str, path: str = "a.py", **more: Any) -> tuple[str, dict[str, Any]]:
        return "edit", {"filePath": path, "oldString": old, "newString": new, **more}

    def test_where_the_file_is_known_edits_are_the_text_that_comes_of_them(self) -> None:
        narrow, wide = self.edit("b", "X"), self.edit("a\nb\nc", "a\nX\nc", "./a.py")
        assert self.key(narrow) == self.key(wide)
        assert self.key(narrow) != self.key(self.edit("b", "Y"))
        assert self.key(narrow) == self.key(self.edit("b", "X", replaceAll=True))

    def test_where_it_is_not_only_equal_words_are_equal(self) -> None:
        narrow, wide = self.edit("b", "X"), self.edit("a\nb\nc", "a\nX\nc")
        assert self.key(narrow, known=False) != self.key(wide, known=False)
        assert self.key(self.edit("b", "X", "b.py")) != self.key(self.edit("a\nb\nc", "a\nX\nc", "b.py"))
        assert self.key(narrow, known=False) == self.key(self.edit("b", "X", "./a.py"), known=False)
        assert self.key(narrow, known=False) == self.key(self.edit("b", "X", replaceAll=False), known=False)
        assert self.key(narrow, known=False) != self.key(self.edit("b", "X", replaceAll=True), known=False)

    def test_the_same_text_by_another_path_is_another_edit(self) -> None:
        assert self.key(self.edit("b", "X")) != self.key(self.edit("b", "X", "/w/a.py"))

    @pytest.mark.parametrize(
        "before",
        [("bash", {"command": "make"}), ("edit", {"filePath": "a.py", "oldString": "c", "newString": "d"})],
    )
    def test_behind_a_call_that_may_change_the_file_it_is_known_no_more(
        self, before: tuple[str, dict[str, Any]]
    ) -> None:
        narrow, wide = self.edit("b", "X"), self.edit("a\nb", "a\nX")
        assert self.key(before, narrow) != self.key(before, wide)
        assert self.key(("bash", {"command": "ls"}), narrow) == self.key(("bash", {"command": "ls"}), wide)

    def test_edits_that_fail_are_equal_only_by_their_words(self) -> None:
        assert self.key(self.edit("x", "X")) != self.key(self.edit("y", "X"))

    def test_a_written_file_counts_to_the_last_newline(self) -> None:
        one = ("write", {"filePath": "./a", "content": "x\n"})
        assert self.key(one) == self.key(("write", {"filePath": "a", "content": "x\n"}))
        assert self.key(one) != self.key(("write", {"filePath": "a", "content": "x"}))

    def test_what_a_path_is_to_another_tool_nobody_knows(self) -> None:
        assert self.key(("fetch", {"path": "./a"})) != self.key(("fetch", {"path": "a"}))

    def test_no_call_can_be_written_that_is_taken_for_an_edits_result(self) -> None:
        free = Toolbox([Tool("edit")], messages=READ)
        forged = json.dumps({"edited": "a.py", "result": ["a\nX\nc", "a\nX\nc\n"]})
        real = json.dumps(self.edit("b", "X")[1])
        keys = {free.canonical([ToolCall("c", "edit", each)]).key for each in (forged, real)}
        assert len(keys) == 2


class TestRisk:
    def test_of_several_calls_the_highest_counts(self) -> None:
        box = Toolbox([Tool("read"), Tool("write"), Tool("bash")])
        read, write = ToolCall("1", "read", "{}"), ToolCall("2", "write", "{}")
        rm = ToolCall("3", "bash", '{"command": "rm a"}')
        assert box.canonical([read]).risk is Risk.READING
        assert box.canonical([read, write]).risk is Risk.WRITING
        assert box.canonical([rm, read]).risk is Risk.DESTRUCTIVE

    @pytest.mark.parametrize("command", ["ls", "rm a"])
    def test_what_does_not_act_does_not_change_it(self, command: str) -> None:
        one, other = (
            TOOLS.canonical([ToolCall("c", "bash", json.dumps({"command": command, **more}))])
            for more in ({}, {"description": "x"})
        )
        assert (one.key, one.risk) == (other.key, other.risk)
