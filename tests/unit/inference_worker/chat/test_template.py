"""Requests to prompts, with the template's own words where it refuses."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from services.common.chat import ChatRequest, Message, Role, Tool, ToolCall, ToolChoice, ToolChoiceMode
from services.common.errors import Reason, SwarmError
from services.inference_worker.chat.formats import HERMES_JSON, QWEN3_CODER_XML, Format
from services.inference_worker.chat.template import ChatTemplate
from tests.unit.inference_worker.chat import templates
from tests.unit.inference_worker.chat.reading import STRING, read, tool

BUILT_IN = Path(__file__).parents[4] / "deploy" / "built_in_model" / "template.jinja"


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, bos="<s>", eos="</s>", model="test-model")


def request(
    *messages: Message, tools: tuple[Tool, ...] = (), choice: ToolChoiceMode = ToolChoiceMode.AUTO
) -> ChatRequest:
    return ChatRequest("m", messages, tools, ToolChoice(choice))


def user(text: str) -> Message:
    return Message(Role.USER, text)


def calling(arguments: str, name: str = "bash") -> Message:
    return Message(Role.ASSISTANT, "", tool_calls=(ToolCall("call_1", name, arguments),))


def test_a_conversation_with_tools() -> None:
    prompt = template(templates.HERMES).render(
        request(
            Message(Role.SYSTEM, "Be brief."),
            user("List <files> & 'more'"),
            calling('{"command":"ls \\u00e9"}'),
            Message(Role.TOOL, "a.txt", tool_call_id="call_1"),
            tools=(Tool("bash", "Runs <it>", '{"type": "object", "properties": {}}'),),
        )
    )
    assert prompt == (
        "<|im_start|>system\nTools:\n"
        '{"type": "function", "function": {"name": "bash", "description": "Runs <it>", '
        '"parameters": {"type": "object", "properties": {}}}}\n'
        'Answer with <tool_call>\n{"name": <name>, "arguments": <object>}\n</tool_call><|im_end|>\n'
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nList <files> & 'more'<|im_end|>\n"
        "<|im_start|>assistant\n<tool_call>\n"
        '{"name": "bash", "arguments": {"command": "ls é"}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\na.txt\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_a_forbidden_tool_is_not_shown() -> None:
    shown = template(templates.HERMES)
    offered = (Tool("bash"),)
    assert "bash" in shown.render(request(user("x"), tools=offered))
    assert "bash" not in shown.render(request(user("x"), tools=offered, choice=ToolChoiceMode.NONE))


def test_special_tokens_and_the_day() -> None:
    text = template("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ strftime_now('%Y') }}")
    year = datetime.datetime.now().astimezone().year
    assert text.render(request(user("x"))) in (f"<s>x</s>{year}", f"<s>x</s>{year - 1}")


def test_blocks_are_trimmed_and_loops_controlled() -> None:
    source = """
    {% for m in messages %}
    {% if m.content == "b" %}{% continue %}{% endif %}
    {% if m.content == "d" %}{% break %}{% endif %}
{{ m.content }}
    {% endfor %}
    {% generation %}
end
    {% endgeneration %}"""
    prompt = template(source).render(request(*(user(letter) for letter in "abcde")))
    assert prompt.split() == ["a", "c", "end"]
    assert "  " not in prompt


def test_to_json_is_plain_json() -> None:
    source = "{{ messages | map(attribute='content') | list | tojson(indent=2) }}"
    source += "{{ {'b': 1, 'a': '<é>'} | tojson }}"
    assert template(source).render(request(user("x"))) == '[\n  "x"\n]{"b": 1, "a": "<é>"}'


def test_reasoning_and_the_tools_name_reach_the_template() -> None:
    source = "{% for m in messages %}{{ m.reasoning_content }}|{{ m.name }}|{{ m.tool_call_id }};{% endfor %}"
    prompt = template(source).render(
        request(
            user("x"),
            Message(Role.ASSISTANT, reasoning_content="hm", tool_calls=(ToolCall("c7", "read", "{}"),)),
            Message(Role.TOOL, "y", tool_call_id="c7"),
            Message(Role.TOOL, "z", tool_call_id="c8", name="other"),
        )
    )
    assert prompt == "||;hm||;|read|c7;|other|c8;"


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ((Message(Role.TOOL, "s"), user("x")), "Only user and assistant roles are supported!"),
        ((user("x"), user("y")), "Conversation roles must alternate"),
    ],
)
def test_a_refusal_carries_the_templates_own_words(messages: tuple[Message, ...], words: str) -> None:
    with pytest.raises(SwarmError, match=words) as caught:
        template(templates.STRICT).render(request(*messages))
    assert caught.value.reason is Reason.TEMPLATE_FAILED
    assert caught.value.param == "messages"
    assert "test-model" in caught.value.message


@pytest.mark.parametrize(
    "source", ["{{ 1 + 'a' }}", "{{ nothing.at.all }}", "{{ messages[99].x.y }}", "{{ 1 / 0 }}"]
)
def test_a_template_that_fails_is_a_typed_error(source: str) -> None:
    with pytest.raises(SwarmError) as caught:
        template(source).render(request(user("x")))
    assert caught.value.reason is Reason.TEMPLATE_FAILED


def test_what_is_no_template_is_refused_when_it_is_loaded() -> None:
    with pytest.raises(SwarmError, match=r"test-model.*line 2") as caught:
        template("ok\n{% if %}")
    assert caught.value.reason is Reason.MODEL_FILE_INVALID


@pytest.mark.parametrize("arguments", ["[1]", "7", "null", '"x"', "{", '{"a": NaN}', "ls", "[" * 100_000])
def test_a_cut_off_call_that_comes_back_stays_the_text_it_is(arguments: str) -> None:
    messages = (
        user("x"),
        Message(Role.ASSISTANT, tool_calls=(ToolCall("a", "b", "{}"), ToolCall("c", "d", arguments))),
    )
    as_text = template(templates.HERMES_TEXT_ARGUMENTS).render(request(*messages))
    assert f'"name": "d", "arguments": {arguments}}}' in as_text
    as_object = template(templates.HERMES).render(request(*messages))
    assert f'"name": "d", "arguments": {json.dumps(arguments)}}}' in as_object


def test_a_schema_that_is_no_object_is_named() -> None:
    with pytest.raises(SwarmError) as caught:
        template(templates.PLAIN).render(request(user("x"), tools=(Tool("a"), Tool("b", "", "[]"))))
    assert caught.value.param == "tools[1].function.parameters"


def test_arguments_come_in_the_form_that_the_template_wants() -> None:
    conversation = request(user("x"), calling('{"command":"ls"}'))
    forms = {templates.HERMES: '{"command": "ls"}', templates.HERMES_TEXT_ARGUMENTS: '{"command":"ls"}'}
    for source, spelled in forms.items():
        prompt = template(source).render(conversation)
        assert f'{{"name": "bash", "arguments": {spelled}}}' in prompt
    assert not template(templates.HERMES).habits.arguments_as_text
    assert template(templates.HERMES_TEXT_ARGUMENTS).habits.arguments_as_text
    assert not template(templates.PLAIN).habits.arguments_as_text
    assert not template(templates.STRICT).habits.arguments_as_text


@pytest.mark.parametrize(
    ("source", "form"),
    [
        (templates.HERMES, HERMES_JSON),
        (templates.HERMES_TEXT_ARGUMENTS, HERMES_JSON),
        (templates.CODER_XML, QWEN3_CODER_XML),
        (BUILT_IN.read_text(encoding="utf-8"), HERMES_JSON),
    ],
)
def test_what_a_template_prints_is_read_back(source: str, form: Format) -> None:
    arguments = {"command": "echo \"a\nb\" <x> & 'é' {}", "timeout": 5, "todos": [{"a": None}], "flag": True}
    offered = tool(
        "bash", command=STRING, timeout={"type": "integer"}, todos={"type": "array"}, flag={"type": "boolean"}
    )
    head = request(user("x"), tools=(offered,))
    rendered = template(source)
    prompt = rendered.render(head)
    whole = rendered.render(request(user("x"), calling(json.dumps(arguments)), tools=(offered,)))
    assert whole.startswith(prompt.removesuffix("\n"))
    answer = whole[len(prompt) :].split("<|im_end|>")[0]
    assert read(form, answer, (offered,)).whole_calls() == [("bash", arguments)]
