"""Writes calls as each format's chat template prints them: what a model that keeps to its template emits."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

# A tool's name and its arguments.
Call = tuple[str, Mapping[str, object]]
Renderer = Callable[[Sequence[Call]], str]


def render(format: str, calls: Sequence[Call]) -> str:
    """The text of `calls`, without end tokens. Raises KeyError for a format that has no calls."""
    return RENDERERS[format](calls)


def _js(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _object(call: Call, name: str = "name", arguments: str = "arguments") -> str:
    return _js({name: call[0], arguments: call[1]})


def _around(before: str, after: str, glue: str = "\n") -> Renderer:
    """One object each, between tags of its own."""
    return lambda calls: glue.join(f"{before}{_object(call)}{after}" for call in calls)


def _array(before: str, after: str) -> Renderer:
    return lambda calls: f"{before}[{', '.join(map(_object, calls))}]{after}"


def _raw(value: object) -> str:
    """A value without markup: texts as they are, everything else as JSON."""
    return value if isinstance(value, str) else _js(value)


def _qwen3_coder_xml(calls: Sequence[Call]) -> str:
    blocks = []
    for name, arguments in calls:
        inner = "".join(
            f"<parameter={key}>\n{_raw(value)}\n</parameter>\n" for key, value in arguments.items()
        )
        blocks.append(f"<tool_call>\n<function={name}>\n{inner}</function>\n</tool_call>")
    return "\n".join(blocks)


def _seed_oss(calls: Sequence[Call]) -> str:
    blocks = []
    for name, arguments in calls:
        inner = "".join(f"<parameter={key}>{_raw(value)}</parameter>\n" for key, value in arguments.items())
        blocks.append(f"<seed:tool_call>\n<function={name}>\n{inner}</function>\n</seed:tool_call>")
    return "\n".join(blocks)


def _minimax_m2(calls: Sequence[Call]) -> str:
    blocks = []
    for name, arguments in calls:
        inner = "".join(
            f'<parameter name="{key}">{_raw(value)}</parameter>\n' for key, value in arguments.items()
        )
        blocks.append(f'<invoke name="{name}">\n{inner}</invoke>\n')
    return f"<minimax:tool_call>\n{''.join(blocks)}</minimax:tool_call>"


def _deepseek_dsml(calls: Sequence[Call]) -> str:
    blocks = []
    for name, arguments in calls:
        inner = "".join(
            f'<｜DSML｜parameter name="{key}" string="{_js(isinstance(value, str))}">{_raw(value)}'
            "</｜DSML｜parameter>\n"
            for key, value in arguments.items()
        )
        blocks.append(f'<｜DSML｜invoke name="{name}">\n{inner}</｜DSML｜invoke>\n')
    return f"<｜DSML｜function_calls>\n{''.join(blocks)}</｜DSML｜function_calls>"


def _glm4(calls: Sequence[Call]) -> str:
    blocks = []
    for name, arguments in calls:
        inner = "".join(
            f"<arg_key>{key}</arg_key>\n<arg_value>{_raw(value)}</arg_value>\n"
            for key, value in arguments.items()
        )
        blocks.append(f"<tool_call>{name}\n{inner}</tool_call>")
    return "\n".join(blocks)


def _named(before: str, between: str, after: str, glue: str = "") -> Renderer:
    """The name, then the arguments as JSON."""
    return lambda calls: glue.join(
        f"{before}{name}{between}{_js(arguments)}{after}" for name, arguments in calls
    )


def _section(before: str, calls: Renderer, after: str) -> Renderer:
    return lambda each: f"{before}{calls(each)}{after}"


def _kimi_k2(calls: Sequence[Call]) -> str:
    each = (
        f"<|tool_call_begin|>functions.{name}:{i}<|tool_call_argument_begin|>{_js(arguments)}<|tool_call_end|>"
        for i, (name, arguments) in enumerate(calls)
    )
    return f"<|tool_calls_section_begin|>{''.join(each)}<|tool_calls_section_end|>"


def _braced(before: str, quote: str, after: str) -> Renderer:
    def value(of: object) -> str:
        if isinstance(of, str):
            return f"{quote}{of}{quote}"
        if isinstance(of, Mapping):
            return "{" + ",".join(f"{key}:{value(each)}" for key, each in of.items()) + "}"
        if isinstance(of, list):
            return "[" + ",".join(map(value, of)) + "]"
        return _js(of)

    return lambda calls: "".join(f"{before}call:{name}{value(arguments)}{after}" for name, arguments in calls)


def _python(before: str, after: str) -> Renderer:
    def one(call: Call) -> str:
        return f"{call[0]}({', '.join(f'{key}={value!r}' for key, value in call[1].items())})"

    return lambda calls: f"{before}[{', '.join(map(one, calls))}]{after}"


def _mistral_array(calls: Sequence[Call]) -> str:
    each = (
        _js({"name": name, "arguments": arguments, "id": f"call{i + 1:05}"})
        for i, (name, arguments) in enumerate(calls)
    )
    return f"[TOOL_CALLS][{', '.join(each)}]"


def _command(before: str, after: str, numbered: bool) -> Renderer:
    def render(calls: Sequence[Call]) -> str:
        each: list[Mapping[str, object]] = [
            {"tool_name": name, "parameters": arguments} for name, arguments in calls
        ]
        if numbered:
            each = [{"tool_call_id": str(i), **call} for i, call in enumerate(each)]
        return before + json.dumps(each, ensure_ascii=False, indent=4) + after

    return render


def _harmony(calls: Sequence[Call]) -> str:
    return "<|start|>assistant".join(
        f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{_js(arguments)}<|call|>"
        for name, arguments in calls
    )


def _llama3_json(calls: Sequence[Call]) -> str:
    return "; ".join(_object(call, arguments="parameters") for call in calls)


RENDERERS: Mapping[str, Renderer] = {
    "qwen3_coder_xml": _qwen3_coder_xml,
    "hermes_json": _around("<tool_call>\n", "\n</tool_call>"),
    "harmony": _harmony,
    "mistral_args": _named("[TOOL_CALLS]", "[ARGS]", ""),
    "qwen25_coder": _around("```json\n", "\n```"),
    "fenced_json": _around("```json\n", "\n```"),
    "bare_json": _around("", ""),
    "glm4": _glm4,
    "gemma4": _braced("<|tool_call>", '<|"|>', "<tool_call|>"),
    "llama3_json": _llama3_json,
    "deepseek_v3": _section(
        "<｜tool▁calls▁begin｜>",
        _named(
            "<｜tool▁call▁begin｜>function<｜tool▁sep｜>", "\n```json\n", "\n```<｜tool▁call▁end｜>", "\n"
        ),
        "<｜tool▁calls▁end｜>",
    ),
    "deepseek_v31": _section(
        "<｜tool▁calls▁begin｜>",
        _named("<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"),
        "<｜tool▁calls▁end｜>",
    ),
    "deepseek_dsml": _deepseek_dsml,
    "minimax_m2": _minimax_m2,
    "kimi_k2": _kimi_k2,
    "mistral_array": _mistral_array,
    "seed_oss": _seed_oss,
    "granite3": _array("<|tool_call|>", ""),
    "phi4_mini": _array("functools", ""),
    "functionary_v31": _named("<function=", ">", "</function>"),
    "functionary_v32": _named(">>>", "\n", "", "\n"),
    "command_r7b": _command("<|START_ACTION|>", "<|END_ACTION|>", numbered=True),
    "command_r": _command("Action: ```json\n", "```", numbered=False),
    "pythonic": _python("", ""),
    "lfm2": _python("<|tool_call_start|>", "<|tool_call_end|>"),
    "nemotron_json": _array("<TOOLCALL>", "</TOOLCALL>"),
    "minimax_m1": _section("<tool_calls>\n", _around("", ""), "\n</tool_calls>"),
    "functiongemma": _braced("<start_function_call>", "<escape>", "<end_function_call>"),
    "tool_line": _named("TOOL: ", "\nARGUMENTS: ", "", "\n"),
}
