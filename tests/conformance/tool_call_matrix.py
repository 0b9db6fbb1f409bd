"""The page that says what holds for each format; `python -m tests.conformance.tool_call_matrix` writes it."""

from __future__ import annotations

import json
from pathlib import Path

from services.common.chat import ToolCallArguments, ToolCallEnded
from services.inference_worker.chat.formats import FORMATS, Format
from services.inference_worker.chat.machine import PushMachine
from services.inference_worker.grammar.blocks import holds
from tests.bench.micro_tool_calls import TOOLS, call
from tests.conformance.tool_calls import CORPUS
from tests.fakes.render_calls import RENDERERS, render

PAGE = Path(__file__).parents[2] / "services" / "inference_worker" / "chat" / "FORMATS.md"

MODELS = {
    "qwen3_coder_xml": "Qwen3-Coder, Qwen3.5, Nemotron 3, Step 3.5",
    "hermes_json": "Qwen2.5, Qwen3, QwQ, Hermes, Granite 4",
    "harmony": "gpt-oss",
    "mistral_args": "Devstral, Mistral Small 3.2, Ministral",
    "qwen25_coder": "Qwen2.5-Coder",
    "fenced_json": "DeepSeek-Coder, Codestral",
    "bare_json": "Phi-4 and others",
    "glm4": "GLM-4.5 to 4.7",
    "gemma4": "Gemma 4",
    "llama3_json": "Llama 3",
    "deepseek_v3": "DeepSeek V3, R1, Coder-V2",
    "deepseek_v31": "DeepSeek V3.1",
    "deepseek_dsml": "DeepSeek V3.2, V4",
    "minimax_m2": "MiniMax M2",
    "kimi_k2": "Kimi K2",
    "mistral_array": "Mistral 7B v0.3, Nemo, Mixtral",
    "seed_oss": "Seed-OSS",
    "granite3": "Granite 3",
    "phi4_mini": "Phi-4-mini",
    "functionary_v31": "Functionary 3.1",
    "functionary_v32": "Functionary 3.2",
    "command_r7b": "Command R7B",
    "command_r": "Command R",
    "pythonic": "Llama 4, ToolACE",
    "lfm2": "LFM2",
    "nemotron_json": "Nemotron (Llama)",
    "minimax_m1": "MiniMax M1",
    "functiongemma": "FunctionGemma",
    "tool_line": "models without a format of their own",
    "none": "models that make no calls",
}

_HEAD = """# Formats of tool calls

What holds for each format, as the tests find it; `make tool-formats` writes this page anew, and a test
fails where it is out of date.

- **whole**: examples of the corpus (`tests/conformance/tool_calls`), and how many only look like calls.
  Every one is read whole, cut at every character, and one character at a time, with the same result.
- **streamed**: whether a call's arguments go out while they are generated. Calls that look like any text
  wait until they are whole: they must name an offered tool and fit its schema.
- **grammar**: when the sampler is held to calls that fit the offered tools' schemas.

| format | models | a call | whole | streamed | grammar |
|---|---|---|---|---|---|
"""


def page() -> str:
    return _HEAD + "".join(_row(name, form) for name, form in sorted(FORMATS.items()))


def _row(name: str, form: Format) -> str:
    examples = CORPUS[name]
    negative = sum(case.negative for case in examples)
    example, streamed, grammar = "–", "–", "–"
    if name in RENDERERS:
        text = render(name, [("bash", {"command": "ls"})])
        example = (
            "`` " + json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("|", "\\|") + " ``"
        )
        streamed = "as generated" if streams(name) else "a call at a time"
        grammar = _grammar(form)
    return f"| {name} | {MODELS[name]} | {example} | {len(examples)}, {negative} | {streamed} | {grammar} |\n"


def streams(name: str) -> bool:
    """Whether half of long arguments is out when half of them is in."""
    text = call(name, 4000)
    machine = PushMachine(FORMATS[name], TOOLS, 0)
    events = [event for character in text[: len(text) // 2] for event in machine.feed(character)]
    assert not any(isinstance(event, ToolCallEnded) for event in events)
    told = sum(len(event.fragment) for event in events if isinstance(event, ToolCallArguments))
    return told > len(text) // 4


def _grammar(form: Format) -> str:
    held = holds(form)
    if held.triggered:
        return "from the opener on, or forced"
    return "forced calls" if held.forced else "none"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE} is written.")
