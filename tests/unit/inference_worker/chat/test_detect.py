from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from services.inference_worker.chat.detect import detect
from services.inference_worker.chat.formats import HERMES_JSON, NONE, QWEN3_CODER_XML, THINK, Format
from services.inference_worker.chat.template import ChatTemplate
from tests.unit.inference_worker.chat import templates

BUILT_IN = Path(__file__).parents[4] / "deploy" / "built_in_model" / "template.jinja"

# Says how to call but cannot print a call: only its words tell.
DESCRIBES_HERMES = (
    """{%- if tools %}Answer with <tool_call>{"name": ..., "arguments": ...}</tool_call>{% endif %}"""
    + templates.PLAIN
)
DESCRIBES_XML = "{#- <tool_call> <function=name> <parameter=key> -#}" + templates.STRICT


@pytest.mark.parametrize(
    ("source", "form"),
    [
        (templates.HERMES, HERMES_JSON),
        (templates.HERMES_THINKING, HERMES_JSON),
        (templates.HERMES_TEXT_ARGUMENTS, HERMES_JSON),
        (templates.CODER_XML, QWEN3_CODER_XML),
        (DESCRIBES_HERMES, HERMES_JSON),
        (DESCRIBES_XML, QWEN3_CODER_XML),
        (BUILT_IN.read_text(encoding="utf-8"), HERMES_JSON),
        (templates.KEY_VALUE, NONE),
        (templates.PLAIN, NONE),
        (templates.STRICT, NONE),
        (templates.DISTILLED, replace(NONE, reasoning=THINK)),
    ],
)
def test_the_template_tells_the_format(source: str, form: Format) -> None:
    assert detect(ChatTemplate(source, "<s>", "</s>", "m")) == form


def test_a_fingerprint_does_not_outweigh_what_is_printed() -> None:
    misleading = "{#- <tool_call> <function= <parameter= -#}" + templates.HERMES
    assert detect(ChatTemplate(misleading, "", "", "m")) is HERMES_JSON
