"""Every family's template tells its format; what is printed counts more than what is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.common.errors import Reason, SwarmError
from services.inference_worker.chat import detect as detection
from services.inference_worker.chat.detect import detect
from services.inference_worker.chat.fingerprints import FINGERPRINTS, NAMES, STUBBORN
from services.inference_worker.chat.formats import FORMATS, THINK, Tags
from services.inference_worker.chat.habits import Ids, ToolsIn
from services.inference_worker.chat.template import ChatTemplate
from tests.fakes.templates import SOURCES
from tests.unit.inference_worker.chat import templates

BUILT_IN = Path(__file__).parents[4] / "deploy" / "built_in_model" / "template.jinja"

# Says how to call but cannot print a call: only its words tell.
DESCRIBES_HERMES = (
    """{%- if tools %}Answer with <tool_call>{"name": ..., "arguments": ...}</tool_call>{% endif %}"""
    + templates.PLAIN
)
DESCRIBES_XML = "{#- <tool_call> <function=name> <parameter=key> -#}" + templates.STRICT
# Prints calls in a way that nobody reads, with a known format's words in a comment.
UNKNOWN = templates.KEY_VALUE.replace("<tool_call>", "((").replace("arg_key", "k").replace("arg_value", "v")


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, "<s>", "</s>", "m")


@pytest.mark.parametrize("name", SOURCES)
def test_each_familys_template_is_detected(name: str) -> None:
    detected = detect(template(SOURCES[name]))
    assert detected.format.name == name.split(".")[0]
    expected = detection.PRINTED
    if name.startswith("tool_line"):
        expected = detection.DEFAULT
    elif name in ("kimi_k2.lists_only", "lfm2.lists_only", "phi4_mini"):
        expected = detection.DESCRIBED
    assert detected.how == expected


def test_there_is_a_template_for_each_format_that_has_one() -> None:
    without = {"none", "qwen25_coder"}
    assert {name.split(".")[0] for name in SOURCES} == set(FORMATS) - without


@pytest.mark.parametrize("name", [name for name in SOURCES if not name.startswith("tool_line")])
def test_detection_by_markers_alone_agrees(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "_reads", lambda record, printed: False)
    assert detect(template(SOURCES[name])).format.name == name.split(".")[0]


@pytest.mark.parametrize(
    ("source", "name", "how"),
    [
        (templates.HERMES, "hermes_json", detection.PRINTED),
        (templates.HERMES_THINKING, "hermes_json", detection.PRINTED),
        (templates.HERMES_TEXT_ARGUMENTS, "hermes_json", detection.PRINTED),
        (templates.CODER_XML, "qwen3_coder_xml", detection.PRINTED),
        (templates.KEY_VALUE, "glm4", detection.PRINTED),
        (BUILT_IN.read_text(encoding="utf-8"), "hermes_json", detection.PRINTED),
        (DESCRIBES_HERMES, "hermes_json", detection.DESCRIBED),
        (DESCRIBES_XML, "qwen3_coder_xml", detection.DESCRIBED),
        (UNKNOWN, "tool_line", detection.DEFAULT),
        (templates.PLAIN, "tool_line", detection.DEFAULT),
        (templates.STRICT, "tool_line", detection.DEFAULT),
    ],
)
def test_what_tells_the_format(source: str, name: str, how: str) -> None:
    detected = detect(template(source))
    assert (detected.format.name, detected.how) == (name, how)


def test_a_fingerprint_does_not_outweigh_what_is_printed() -> None:
    misleading = "{#- <tool_call> <function= <parameter= ｜DSML｜ -#}" + templates.HERMES
    assert detect(template(misleading)).format.name == "hermes_json"


@pytest.mark.parametrize(
    ("source", "tags"),
    [
        (SOURCES["hermes_json"], THINK),
        (SOURCES["mistral_args.thinking"], Tags("[THINK]", "[/THINK]")),
        (SOURCES["seed_oss"], Tags("<seed:think>", "</seed:think>")),
        (SOURCES["tool_line.chatml"], None),
        (SOURCES["tool_line.distilled"], THINK),
        (SOURCES["bare_json"] + "{# <think></think> #}", THINK),
        (SOURCES["hermes_json"] + "{# [THINK][/THINK] #}", Tags("[THINK]", "[/THINK]")),
    ],
)
def test_the_template_shows_the_reasoning_tags(source: str, tags: Tags | None) -> None:
    assert detect(template(source)).format.reasoning == tags


@pytest.mark.parametrize(
    ("name", "source", "format", "how"),
    [
        ("Qwen2.5 Coder 7B Instruct", templates.HERMES, "qwen25_coder", detection.NAMED),
        ("qwen2.5-coder-32b-instruct-q4_k_m.gguf", templates.HERMES, "qwen25_coder", detection.NAMED),
        ("Qwen2.5-7B-Instruct", templates.HERMES, "hermes_json", detection.PRINTED),
        ("Qwen3-Coder-30B", templates.PLAIN, "qwen3_coder_xml", detection.NAMED),
        ("Qwen3-Coder-30B", templates.HERMES, "hermes_json", detection.PRINTED),
        ("deepseek-coder-6.7b-instruct.Q4_K_M.gguf", templates.PLAIN, "fenced_json", detection.NAMED),
        ("Codestral-22B-v0.1", templates.STRICT, "fenced_json", detection.NAMED),
        ("phi-4-q4.gguf", templates.PLAIN, "fenced_json", detection.NAMED),
        ("Phi-4-mini-instruct", templates.PLAIN, "phi4_mini", detection.NAMED),
        ("phi-40b", templates.PLAIN, "tool_line", detection.DEFAULT),
        ("gemma-2-9b-it", templates.STRICT, "tool_line", detection.DEFAULT),
    ],
)
def test_the_models_name(name: str, source: str, format: str, how: str) -> None:
    for names in ((name,), ("", name), (name, "model.gguf")):
        detected = detect(template(source), names)
        assert (detected.format.name, detected.how) == (format, how)


def test_the_setting_overrules_all() -> None:
    detected = detect(template(SOURCES["glm4"]), ("Qwen2.5-Coder",), "pythonic")
    assert (detected.format.name, detected.how) == ("pythonic", detection.CHOSEN)
    assert detected.format.reasoning == THINK  # as the template shows it
    assert detect(template(templates.PLAIN), chosen="auto").format.name == "tool_line"
    assert detect(template(templates.HERMES), chosen="none").format.style is None


def test_an_unknown_setting_lists_the_formats() -> None:
    with pytest.raises(SwarmError) as caught:
        detect(template(templates.PLAIN), chosen="hermes")
    assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, "tool_format")
    assert "'hermes'" in caught.value.message
    assert all(name in caught.value.message for name in ["auto", *FORMATS])


def test_all_that_is_told_is_a_format() -> None:
    told = {each.format for each in FINGERPRINTS} | {name for _, name in (*STUBBORN, *NAMES)}
    assert told <= set(FORMATS)


@pytest.mark.parametrize(
    ("name", "habit"),
    [
        ("hermes_json", "calls results parallel system"),
        ("hermes_json.text_arguments", "calls results parallel system arguments_as_text"),
        ("deepseek_v3", "calls results parallel system arguments_as_text"),
        ("llama3_json", "calls results system"),
        ("harmony", "calls results system"),
        ("lfm2.lists_only", "results parallel system"),
        ("tool_line.chatml", "results parallel system"),
        ("tool_line.gemma3", "parallel system"),
        ("tool_line.no_system", "parallel"),
    ],
)
def test_what_a_template_takes_is_found_out(name: str, habit: str) -> None:
    habits = template(SOURCES[name]).habits
    asked = ("calls", "results", "parallel", "system", "arguments_as_text")
    assert {each for each in asked if getattr(habits, each)} == set(habit.split())


def test_where_tools_go_and_which_ids_are_borne() -> None:
    habits = {name: template(source).habits for name, source in SOURCES.items()}
    assert {name for name, each in habits.items() if each.tools is ToolsIn.SYSTEM_MESSAGE} == {"phi4_mini"}
    assert {name for name, each in habits.items() if each.tools is ToolsIn.NOWHERE} == {
        "deepseek_v3",
        "deepseek_v3.r1",
        *(name for name in SOURCES if name.startswith("tool_line")),
    }
    assert {name: each.ids for name, each in habits.items() if each.ids is not Ids.AS_GIVEN} == {
        "kimi_k2": Ids.NAMED,
        "mistral_array": Ids.NINE,
        "mistral_args.call_id": Ids.NINE,
    }
    assert {name for name, each in habits.items() if not each.empty_content} == {
        "deepseek_v3",
        "deepseek_v3.r1",
    }
