"""What a template cannot print is put in words, and what it would refuse is said otherwise."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from services.common.chat import ChatRequest, Message, Role, Tool, ToolCall, ToolChoice, ToolChoiceMode
from services.common.errors import Reason, SwarmError
from services.inference_worker.chat.detect import detect
from services.inference_worker.chat.formats import FORMATS
from services.inference_worker.chat.prompt import Prompt
from services.inference_worker.chat.template import ChatTemplate
from tests.fakes.templates import SOURCES
from tests.unit.inference_worker.chat.reading import STRING, TOOLS, read, tool

TEXT = "You have:\n{tools}\nCall so:\n{call}\n"
BASH = replace(tool("bash", command=STRING), description="Runs a command")
LINES = "TOOL: {}\nARGUMENTS: {}"
EXAMPLE = LINES.format("name", '{"parameter": "value"}')
SHOWN = f"You have:\nbash(command?): Runs a command\nCall so:\n{EXAMPLE}"


def prompt(name: str, format: str = "") -> Prompt:
    template = ChatTemplate(SOURCES[name], "<s>", "</s>", "test-model")
    return Prompt(template, FORMATS[format] if format else detect(template).format, lambda: TEXT)


def request(*messages: Message, tools: tuple[Tool, ...] = (BASH,)) -> ChatRequest:
    return ChatRequest("m", messages, tools)


def call(id: str, arguments: str, name: str = "bash") -> ToolCall:
    return ToolCall(id, name, arguments)


def calling(*calls: ToolCall, content: str = "") -> Message:
    return Message(Role.ASSISTANT, content, tool_calls=calls)


def result(id: str, text: str) -> Message:
    return Message(Role.TOOL, text, tool_call_id=id)


SYSTEM = Message(Role.SYSTEM, "Be brief.")
USER = Message(Role.USER, "List the files.")
TWO = (
    USER,
    calling(call("call_1", '{"command": "ls"}'), call("call_2", '{"command": "pwd"}')),
    result("call_1", "a.txt"),
    result("call_2", "/home"),
)


def chatml(*turns: tuple[str, str]) -> str:
    told = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns)
    return f"{told}<|im_start|>assistant\n"


def test_instructions_end_the_system_message() -> None:
    text = prompt("tool_line.chatml").render(request(SYSTEM, USER))
    assert text == chatml(("system", f"Be brief.\n\n{SHOWN}"), ("user", "List the files."))


def test_instructions_are_a_system_message_where_there_is_none() -> None:
    text = prompt("tool_line.chatml").render(request(USER))
    assert text == chatml(("system", SHOWN), ("user", "List the files."))


def test_instructions_stand_in_the_first_user_message_without_a_system_role() -> None:
    text = prompt("tool_line.no_system").render(request(SYSTEM, USER))
    assert text == f"<s>[INST] Be brief.\n\n{SHOWN}\n\nList the files. [/INST]"
    text = prompt("tool_line.no_system").render(request(USER))
    assert text == f"<s>[INST] {SHOWN}\n\nList the files. [/INST]"


@pytest.mark.parametrize("tools", [(), (BASH,)])
def test_nothing_is_told_where_no_tools_are_offered(tools: tuple[Tool, ...]) -> None:
    asked = replace(request(USER, tools=tools), tool_choice=ToolChoice(ToolChoiceMode.NONE))
    assert prompt("tool_line.chatml").render(asked) == chatml(("user", "List the files."))


def test_calls_are_lines_and_results_are_what_the_user_says() -> None:
    more = (*TWO, Message(Role.USER, "And now?"))
    text = prompt("tool_line.chatml").render(request(*more))
    first, second = LINES.format("bash", '{"command": "ls"}'), LINES.format("bash", '{"command": "pwd"}')
    assert text == chatml(
        ("system", SHOWN),
        ("user", "List the files."),
        ("assistant", f"{first}\n\n{second}"),
        ("user", "Result of bash:\na.txt\n\nResult of bash:\n/home\n\nAnd now?"),
    )


def test_words_beside_a_call_stay_before_it() -> None:
    text = prompt("tool_line.chatml").render(request(USER, calling(call("c", "{}"), content="Wait.")))
    assert f"assistant\nWait.\n\n{LINES.format('bash', '{}')}<|im_end|>" in text


@pytest.mark.parametrize("arguments", ['{"command": "l', "[1]", "ls", ""])
def test_a_cut_off_call_stays_the_text_it_is(arguments: str) -> None:
    text = prompt("tool_line.chatml").render(request(USER, calling(call("c", arguments))))
    assert f"TOOL: bash\nARGUMENTS: {arguments or '{}'}<|im_end|>" in text


@pytest.mark.parametrize("name", ["tool_line.no_system", "tool_line.gemma3"])
def test_roles_alternate_where_they_must(name: str) -> None:
    conversation = (SYSTEM, *TWO, calling(call("call_3", "{}")), result("call_3", "x"))
    assert "Result of bash:\nx" in prompt(name).render(request(*conversation))


def test_what_is_rendered_is_the_beginning_of_the_next_turn() -> None:
    spoken = prompt("tool_line.chatml")
    before = spoken.render(request(USER))
    assert spoken.render(request(*TWO)).startswith(before.removesuffix("\n"))


def test_the_text_is_asked_for_at_each_request() -> None:
    texts = iter(["one {tools}", "two {tools}"])
    spoken = Prompt(
        ChatTemplate(SOURCES["tool_line.chatml"], "", "", "m"), FORMATS["tool_line"], lambda: next(texts)
    )
    assert "one bash(" in spoken.render(request(USER))
    assert "two bash(" in spoken.render(request(USER))


def test_a_model_that_is_to_write_lines_sees_nothing_else() -> None:
    text = prompt("glm4", "tool_line").render(request(SYSTEM, *TWO))
    assert SHOWN in text
    assert LINES.format("bash", '{"command": "ls"}') in text
    assert "Result of bash:\na.txt" in text
    assert "<tool" not in text


def test_a_template_that_prints_calls_but_no_tools_shows_its_own_call() -> None:
    text = prompt("deepseek_v3.r1").render(request(SYSTEM, *TWO))
    assert text.startswith(
        "<s>Be brief.\n\nYou have:\nbash(command?): Runs a command\nCall so:\n<｜tool▁calls▁begin｜>"
    )
    assert 'function<｜tool▁sep｜>bash\n```json\n{"command": "pwd"}\n```<｜tool▁call▁end｜>' in text
    assert "<｜tool▁output▁begin｜>a.txt<｜tool▁output▁end｜>" in text
    assert "Result of" not in text


def test_tools_in_the_system_message() -> None:
    for messages, words in (((USER,), ""), ((SYSTEM, USER), "Be brief.")):
        text = prompt("phi4_mini").render(request(*messages))
        shown = text.split("<|tool|>")[1].split("<|/tool|>")[0]
        assert json.loads(shown)[0]["function"]["name"] == "bash"
        assert text.startswith(f"<|system|>{words}<|tool|>")


def test_calls_that_are_not_printed_are_spelled_in_the_models_format() -> None:
    text = prompt("kimi_k2.lists_only").render(request(*TWO))
    answer = text.split("<|im_assistant|>assistant<|im_middle|>")[1].split("<|im_end|>")[0]
    calls = read(FORMATS["kimi_k2"], answer).whole_calls()
    assert calls == [("bash", {"command": "ls"}), ("bash", {"command": "pwd"})]
    assert "You have" not in text


def test_ids_as_mistral_and_kimi_want_them() -> None:
    text = prompt("mistral_array").render(request(*TWO))
    ids = [piece.split('"')[0] for piece in text.split('"id": "')[1:]]
    answered = [piece.split('"')[0] for piece in text.split('"call_id": "')[1:]]
    assert ids == answered
    assert len(set(ids)) == 2
    assert all(len(id) == 9 and id.isalnum() for id in ids)
    text = prompt("kimi_k2").render(request(*TWO))
    assert "<|tool_call_begin|>functions.bash:1<|tool_call_argument_begin|>" in text
    assert "## Return of functions.bash:0\na.txt" in text


@pytest.mark.parametrize("name", ["llama3_json", "harmony"])
def test_several_calls_are_told_one_by_one(name: str) -> None:
    text = prompt(name).render(request(*TWO))
    places = [text.index(word) for word in ('"ls"', "a.txt", '"pwd"', "/home")]
    assert places == sorted(places)


def test_a_model_may_bring_a_template_of_its_own_for_tools() -> None:
    for_tools, plain = (
        ChatTemplate(SOURCES[name], "<s>", "</s>", "m") for name in ("hermes_json", "tool_line.chatml")
    )
    spoken = Prompt(for_tools, FORMATS["hermes_json"], lambda: TEXT, plain)
    assert "<tools>" in spoken.render(request(*TWO))
    text = spoken.render(request(*TWO, tools=()))
    assert "<tools>" not in text
    assert '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>' in text


def test_a_model_without_calls_is_told_of_no_tools() -> None:
    assert prompt("tool_line.chatml", "none").render(request(USER)) == chatml(("user", "List the files."))


def test_a_schema_that_is_no_object_is_named() -> None:
    with pytest.raises(SwarmError) as caught:
        prompt("tool_line.chatml").render(request(USER, tools=(Tool("a"), Tool("b", "", "[]"))))
    assert (caught.value.reason, caught.value.param) == (
        Reason.INVALID_FIELD,
        "tools[1].function.parameters",
    )


@pytest.mark.parametrize("name", SOURCES)
def test_each_familys_template_bears_an_agents_conversation(name: str) -> None:
    """The prompt shows the tool, its calls and their results, wherever the template puts them."""
    conversation = (SYSTEM, *TWO, Message(Role.ASSISTANT, "Two."), Message(Role.USER, "Thanks."))
    text = prompt(name).render(request(*conversation, tools=(BASH, *TOOLS[1:])))
    for word in ("Be brief.", "todowrite", "a.txt", "pwd", "/home", "Two.", "Thanks."):
        if name == "mistral_array" and word == "Be brief.":
            continue  # said with the last user message only
        assert word in text, word
