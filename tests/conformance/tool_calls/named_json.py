"""A name, then its arguments as one JSON object: Mistral, DeepSeek, Kimi, Functionary 3.1, plain lines."""

from __future__ import annotations

from services.common.chat import FinishReason
from tests.conformance.tool_calls.case import (
    CODE,
    LIST,
    LS,
    PWD,
    READ,
    SCRIPT,
    UNICODE,
    Case,
    calls,
    cut,
    draft,
    js,
    one_of,
    prose,
    untooled,
)

_LS = '{"command": "ls"}'
_READ = '{"filePath": "a.py"}'

_M_LS = f"[TOOL_CALLS]bash[ARGS]{_LS}"
_M_READ = f"[TOOL_CALLS]read[ARGS]{_READ}"
_M_OWN = "[ARGS]{}[TOOL_CALLS]rm[CALL_ID]0[ARGS]{}"
MISTRAL_ARGS = (
    calls("one", _M_LS, LS),
    calls("with an id", f"[TOOL_CALLS]bash[CALL_ID]a1B2c3D4e[ARGS]{_LS}", LS),
    calls("two", _M_LS + _M_READ, LS, READ),
    calls("two with ids", f"[TOOL_CALLS]bash[CALL_ID]a1[ARGS]{_LS}[TOOL_CALLS]read[CALL_ID]b2[ARGS]{_READ}",
          LS, READ),
    calls("prose before", f"I look.{_M_LS}", LS, content="I look."),
    calls("end token", _M_LS + "</s>", LS),
    calls("own markup in a value",
          f"[TOOL_CALLS]bash[ARGS]{js({'command': _M_OWN})}", ("bash", {"command": _M_OWN})),
    calls("code", f"[TOOL_CALLS]bash[ARGS]{js({'command': CODE})}</s>", ("bash", {"command": CODE})),
    calls("a page of html",
          f"[TOOL_CALLS]bash[ARGS]{js({'command': SCRIPT})}", ("bash", {"command": SCRIPT})),
    calls("unicode", f"[TOOL_CALLS]bash[ARGS]{js({'command': UNICODE})}", ("bash", {"command": UNICODE})),
    calls("empty arguments", "[TOOL_CALLS]list_files[ARGS]{}", LIST),
    calls("a tool that nobody offered", '[TOOL_CALLS]zap[ARGS]{"x": 1}', ("zap", {"x": 1})),
    calls("another case", f"[TOOL_CALLS]Bash[ARGS]{_LS}", LS),
    calls("a name with a dash",
          '[TOOL_CALLS]get-weather[ARGS]{"city": "Oslo"}', ("get-weather", {"city": "Oslo"})),
    calls("behind reasoning", f"[THINK]I list.[/THINK]{_M_LS}", LS, reasoning="I list."),
    calls("an answer behind reasoning", "[THINK]Easy.[/THINK]Yes.</s>", content="Yes.", reasoning="Easy."),
    draft("a draft", f"[THINK]Say {_M_LS} or not[/THINK]No.", content="No.", reasoning=f"Say {_M_LS} or not"),
    Case("in reasoning that is never closed", f"[THINK]I list.{_M_LS}", (LS,), reasoning="I list."),
    one_of("one call allowed", _M_LS + _M_READ, LS),
    cut("cut in the value", '[TOOL_CALLS]bash[ARGS]{"command": "rm'),
    cut("cut in the name", "[TOOL_CALLS]ba"),
    cut("cut in the id", "[TOOL_CALLS]bash[CALL_ID]a1"),
    cut("cut in the second", _M_LS + '[TOOL_CALLS]read[ARGS]{"file', LS),
    untooled("no tools", _M_LS),
    prose("the marker in a sentence", "Calls begin with [TOOL_CALLS] and have [ARGS] behind the name."),
    prose("brackets", "a[ARG] b[0] [TOOL] [x](y) [TOOL_CALL"),
)  # fmt: skip

_V3 = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_V3_LS = f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>bash\n```json\n{_LS}\n```<｜tool▁call▁end｜>"
_V3_READ = f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>read\n```json\n{_READ}\n```<｜tool▁call▁end｜>"
_V3_OWN = "```<｜tool▁call▁end｜>\n```json\n{}\n```<｜tool▁calls▁end｜>"


def _v3(name: str, arguments: object) -> str:
    body = f"function<｜tool▁sep｜>{name}\n```json\n{js(arguments)}\n```"
    return f"{_V3[0]}<｜tool▁call▁begin｜>{body}<｜tool▁call▁end｜>{_V3[1]}"


DEEPSEEK_V3 = (
    calls("one", _V3[0] + _V3_LS + _V3[1], LS),
    calls("two", f"{_V3[0]}{_V3_LS}\n{_V3_READ}{_V3[1]}", LS, READ),
    calls("prose before", f"I look.{_V3[0]}{_V3_LS}{_V3[1]}", LS, content="I look."),
    calls("end token", f"{_V3[0]}{_V3_LS}{_V3[1]}<｜end▁of▁sentence｜>", LS),
    calls("no section at the end", _V3[0] + _V3_LS, LS),
    calls("no closers at all", _V3[0] + _V3_LS.removesuffix("<｜tool▁call▁end｜>"), LS),
    calls("own markup in a value", _v3("bash", {"command": _V3_OWN}), ("bash", {"command": _V3_OWN})),
    calls("code", _v3("bash", {"command": CODE}), ("bash", {"command": CODE})),
    calls("unicode", _v3("bash", {"command": UNICODE}), ("bash", {"command": UNICODE})),
    calls("empty arguments", _v3("list_files", {}), LIST),
    calls("a tool that nobody offered", _v3("zap", {"x": 1}), ("zap", {"x": 1})),
    calls("another case", _v3("Bash", {"command": "ls"}), LS),
    Case("behind reasoning", f"hm\n</think>\n\n{_v3('bash', {'command': 'ls'})}", (LS,), reasoning="hm",
         prompt_tail="<｜Assistant｜><think>\n"),
    draft("a draft", f"<think>Say {_V3[0]}{_V3_LS}{_V3[1]} or not</think>No.", content="No.",
          reasoning=f"Say {_V3[0]}{_V3_LS}{_V3[1]} or not"),
    one_of("one call allowed", f"{_V3[0]}{_V3_LS}\n{_V3_READ}{_V3[1]}", LS),
    cut("cut in the value",
        _V3[0] + '<｜tool▁call▁begin｜>function<｜tool▁sep｜>bash\n```json\n{"command": "rm'),
    cut("cut in the name", _V3[0] + "<｜tool▁call▁begin｜>function<｜tool▁sep｜>ba"),
    untooled("no tools", _V3[0] + _V3_LS + _V3[1]),
    prose("an example in a block", f"bash\n```json\n{_LS}\n```"),
    prose("odd bars", "a ｜ b ▁ c <｜ d"),
)  # fmt: skip

_V31_OWN = "<｜tool▁call▁end｜><｜tool▁sep｜>{"


def _v31(*named: tuple[str, object]) -> str:
    each = (f"<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{js(body)}<｜tool▁call▁end｜>" for name, body in named)
    return f"{_V3[0]}{''.join(each)}{_V3[1]}"


_V31_LS = _v31(("bash", {"command": "ls"}))
DEEPSEEK_V31 = (
    calls("one", f"{_V3[0]}<｜tool▁call▁begin｜>bash<｜tool▁sep｜>{_LS}<｜tool▁call▁end｜>{_V3[1]}", LS),
    calls("two", _v31(LS, READ), LS, READ),
    calls("three", _v31(LS, LIST, PWD), LS, LIST, PWD),
    calls("prose before", f"I look.{_V31_LS}", LS, content="I look."),
    calls("end token", f"{_V31_LS}<｜end▁of▁sentence｜>", LS),
    calls("no section at the end", _V31_LS.removesuffix(_V3[1]), LS),
    calls("no closers at all", f"{_V3[0]}<｜tool▁call▁begin｜>bash<｜tool▁sep｜>{_LS}", LS),
    calls("own markup in a value", _v31(("bash", {"command": _V31_OWN})), ("bash", {"command": _V31_OWN})),
    calls("code", _v31(("bash", {"command": CODE})), ("bash", {"command": CODE})),
    calls("unicode", _v31(("bash", {"command": UNICODE})), ("bash", {"command": UNICODE})),
    calls("empty arguments", _v31(LIST), LIST),
    calls("a tool that nobody offered", _v31(("zap", {})), ("zap", {})),
    Case("behind reasoning",
         f"hm</think>{_V31_LS}", (LS,), reasoning="hm", prompt_tail="<｜Assistant｜><think>"),
    draft("a draft",
          f"<think>Say {_V31_LS} or not</think>No.", content="No.", reasoning=f"Say {_V31_LS} or not"),
    one_of("one call allowed", _v31(LS, READ), LS),
    cut("cut in the value", _V3[0] + '<｜tool▁call▁begin｜>bash<｜tool▁sep｜>{"command": "rm'),
    cut("cut in the second",
        _v31(LS).removesuffix(_V3[1]) + '<｜tool▁call▁begin｜>read<｜tool▁sep｜>{"fi', LS),
    untooled("no tools", _V31_LS),
    prose("json alone", _LS),
)  # fmt: skip


def _kimi(*named: tuple[str, object]) -> str:
    each = (
        f"<|tool_call_begin|>functions.{name}:{i}<|tool_call_argument_begin|>{js(body)}<|tool_call_end|>"
        for i, (name, body) in enumerate(named)
    )
    return f"<|tool_calls_section_begin|>{''.join(each)}<|tool_calls_section_end|>"


_K_LS = _kimi(LS)
_K_OWN = "<|tool_call_end|><|tool_calls_section_end|>"
KIMI_K2 = (
    calls("one", "<|tool_calls_section_begin|><|tool_call_begin|>functions.bash:0<|tool_call_argument_begin|>"
          f"{_LS}<|tool_call_end|><|tool_calls_section_end|>", LS),
    calls("two", _kimi(LS, READ), LS, READ),
    calls("later numbers", _kimi(LS).replace(":0", ":17"), LS),
    calls("no prefix", _K_LS.replace("functions.", ""), LS),
    calls("prose before", f"I look.{_K_LS}", LS, content="I look."),
    calls("end token", f"{_K_LS}<|im_end|>", LS),
    calls("no section at the end", _K_LS.removesuffix("<|tool_calls_section_end|>"), LS),
    calls("no closers at all", _K_LS.removesuffix(_K_OWN), LS),
    calls("lines between", _K_LS.replace("<|tool_call", "\n<|tool_call"), LS),
    calls("own markup in a value", _kimi(("bash", {"command": _K_OWN})), ("bash", {"command": _K_OWN})),
    calls("code", _kimi(("bash", {"command": CODE})), ("bash", {"command": CODE})),
    calls("unicode", _kimi(("bash", {"command": UNICODE})), ("bash", {"command": UNICODE})),
    calls("empty arguments", _kimi(LIST), LIST),
    calls("a name with a dash", _kimi(("get-weather", {"city": "Oslo"})), ("get-weather", {"city": "Oslo"})),
    calls("behind reasoning", f"<think>hm</think>{_K_LS}", LS, reasoning="hm"),
    draft("a draft", f"<think>Say {_K_LS} or not</think>No.", content="No.", reasoning=f"Say {_K_LS} or not"),
    one_of("one call allowed", _kimi(LS, READ), LS),
    cut("cut in the value", _K_LS.removesuffix('"}' + _K_OWN)),
    cut("cut in the name", "<|tool_calls_section_begin|><|tool_call_begin|>functions.ba"),
    untooled("no tools", _K_LS),
    prose("json alone", _LS),
    prose("the name alone", "It is called functions.bash:0 there."),
)  # fmt: skip

_F_LS = f"<function=bash>{_LS}</function>"
_F_READ = f"<function=read>{_READ}</function>"
_F_OWN = "</function><function=rm>{}"
FUNCTIONARY_V31 = (
    calls("one", _F_LS, LS),
    calls("two", _F_LS + _F_READ, LS, READ),
    calls("two on lines", f"{_F_LS}\n{_F_READ}\n", LS, READ),
    calls("prose before", f"I look.\n{_F_LS}", LS, content="I look."),
    calls("prose after", f"{_F_LS}\nSo.", LS, content="So."),
    calls("no closer", f"<function=bash>{_LS}", LS),
    calls("closer twice", _F_LS + "</function>", LS),
    calls("end token", _F_LS + "<|eom_id|>", LS),
    calls("own markup in a value", f"<function=bash>{js({'command': _F_OWN})}</function>",
          ("bash", {"command": _F_OWN})),
    calls("code", f"<function=bash>{js({'command': CODE})}</function>", ("bash", {"command": CODE})),
    calls("unicode", f"<function=bash>{js({'command': UNICODE})}</function>", ("bash", {"command": UNICODE})),
    calls("empty arguments", "<function=list_files>{}</function>", LIST),
    calls("a tool that nobody offered", '<function=zap>{"x": 1}</function>', ("zap", {"x": 1})),
    calls("another case", f"<function=Bash>{_LS}</function>", LS),
    one_of("one call allowed", _F_LS + _F_READ, LS),
    cut("cut in the value", '<function=bash>{"command": "rm'),
    cut("cut in the name", "<function=ba"),
    untooled("no tools", _F_LS),
    prose("the tag in a sentence", "Write <function=name> before the arguments and </function> behind them."),
    prose("a shell line between the tags", "<function=bash>\nls\n</function>"),
)  # fmt: skip

_T_LS = f"TOOL: bash\nARGUMENTS: {_LS}"
_T_READ = f"TOOL: read\nARGUMENTS: {_READ}"
_T_OWN = "TOOL: read\nARGUMENTS: {}"
TOOL_LINE = (
    calls("one", _T_LS, LS),
    calls("a newline behind", _T_LS + "\n", LS),
    calls("prose before", f"I look.\n{_T_LS}", LS, content="I look."),
    calls("prose before and a blank line", f"I look.\n\n{_T_LS}", LS, content="I look."),
    calls("two", f"{_T_LS}\n{_T_READ}", LS, READ),
    calls("two with a blank line", f"{_T_LS}\n\n{_T_READ}", LS, READ),
    calls("arguments over lines", 'TOOL: bash\nARGUMENTS: {\n  "command": "ls"\n}', LS),
    calls("own markup in a value",
          f"TOOL: bash\nARGUMENTS: {js({'command': _T_OWN})}", ("bash", {"command": _T_OWN})),
    calls("code", f"TOOL: bash\nARGUMENTS: {js({'command': CODE})}", ("bash", {"command": CODE})),
    calls("unicode", f"TOOL: bash\nARGUMENTS: {js({'command': UNICODE})}", ("bash", {"command": UNICODE})),
    calls("empty arguments", "TOOL: list_files\nARGUMENTS: {}", LIST),
    calls("another case", f"TOOL: Bash\nARGUMENTS: {_LS}", LS),
    one_of("one call allowed", f"{_T_LS}\n{_T_READ}", LS),
    Case("cut in the value", 'TOOL: bash\nARGUMENTS: {"command": "rm', content=None, cut_off=True,
         finish=FinishReason.LENGTH, negative=True),
    untooled("no tools", _T_LS),
    prose("nobody offered it", 'TOOL: frobnicate\nARGUMENTS: {"x": 1}'),
    prose("a required argument is missing", "TOOL: bash\nARGUMENTS: {}"),
    prose("an argument of another type", 'TOOL: bash\nARGUMENTS: {"command": 1}'),
    prose("an undeclared argument", 'TOOL: read\nARGUMENTS: {"filePath": "a", "x": 1}'),
    prose("no arguments line", "TOOL: bash\nThat is what you need."),
    prose("a list of tools", "TOOL: hammer\nTOOL: saw\nARGUMENTS: for the saw there are many"),
    prose("in a line", f"Write TOOL: bash and then ARGUMENTS: {_LS} behind it."),
    prose("small letters", "tool: bash\narguments: none"),
    prose("no json", "TOOL: bash\nARGUMENTS: ls -la"),
)  # fmt: skip

CORPUS: dict[str, tuple[Case, ...]] = {
    "mistral_args": MISTRAL_ARGS,
    "deepseek_v3": DEEPSEEK_V3,
    "deepseek_v31": DEEPSEEK_V31,
    "kimi_k2": KIMI_K2,
    "functionary_v31": FUNCTIONARY_V31,
    "tool_line": TOOL_LINE,
}
