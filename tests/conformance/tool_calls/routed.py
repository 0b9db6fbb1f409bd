"""Answers in parts with headers, and answers with no calls at all: harmony, functionary_v32, none."""

from __future__ import annotations

from services.common.chat import FinishReason
from tests.conformance.tool_calls.case import (
    CODE,
    LIST,
    LS,
    READ,
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

_ANALYSIS = "<|channel|>analysis<|message|>I list.<|end|>"
_START = "<|start|>assistant"


def _call(name: str, arguments: object, end: str = "<|call|>") -> str:
    header = f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>"
    return f"{header}{js(arguments)}{end}"


_LS = _call(*LS)
_READ = _call(*READ)
_PREAMBLE = "<|channel|>commentary<|message|>I look first.<|end|>"
_OWN = "<|call|><|start|>assistant<|channel|>final<|message|>"
HARMONY = (
    calls("one", _LS, LS),
    calls("behind analysis", f"{_ANALYSIS}{_START}{_LS}", LS, reasoning="I list."),
    calls("recipient in the role", f"{_ANALYSIS}{_START} to=functions.bash<|channel|>commentary "
          '<|constrain|>json<|message|>{"command": "ls"}<|call|>', LS, reasoning="I list."),
    calls("recipient in the role, at the start", ' to=functions.bash<|channel|>commentary json<|message|>'
          '{"command": "ls"}<|call|>', LS),
    calls("no constraint", '<|channel|>commentary to=functions.bash<|message|>{"command": "ls"}<|call|>', LS),
    calls("a bare word for the constraint",
          '<|channel|>commentary to=functions.bash json<|message|>{"command": "ls"}<|call|>', LS),
    calls("no functions. before the name",
          '<|channel|>commentary to=bash <|constrain|>json<|message|>{"command": "ls"}<|call|>', LS),
    calls("two", f"{_LS}{_START}{_READ}", LS, READ),
    calls("a preamble", f"{_PREAMBLE}{_START}{_LS}", LS, content="I look first."),
    calls("analysis, preamble, call", f"{_ANALYSIS}{_START}{_PREAMBLE}{_START}{_LS}", LS,
          content="I look first.", reasoning="I list."),
    calls("an answer", "<|channel|>final<|message|>Yes, it is.<|return|>", content="Yes, it is."),
    calls("an answer behind analysis", f"{_ANALYSIS}{_START}<|channel|>final<|message|>Yes.<|return|>",
          content="Yes.", reasoning="I list."),
    calls("two analyses", f"{_ANALYSIS}{_START}{_ANALYSIS}{_START}{_LS}", LS, reasoning="I list.I list."),
    calls("no end token", f"{_ANALYSIS}{_START}{_call(*LS, end='')}", LS, reasoning="I list."),
    calls("another end token", _call(*LS, end="<|end|>"), LS),
    calls("own markup in a value", _call("bash", {"command": _OWN}), ("bash", {"command": _OWN})),
    calls("code", _call("bash", {"command": CODE}), ("bash", {"command": CODE})),
    calls("unicode", _call("bash", {"command": UNICODE}), ("bash", {"command": UNICODE})),
    calls("empty arguments", _call(*LIST), LIST),
    calls("a tool that nobody offered", _call("zap", {"x": 1}), ("zap", {"x": 1})),
    calls("another case", _call("Bash", {"command": "ls"}), LS),
    calls("a name with a dash", _call("get-weather", {"city": "Oslo"}), ("get-weather", {"city": "Oslo"})),
    draft("words like a call in analysis", "<|channel|>analysis<|message|>Perhaps to=functions.bash "
          '{"command": "ls"}?<|end|><|start|>assistant<|channel|>final<|message|>No.<|return|>',
          content="No.", reasoning='Perhaps to=functions.bash {"command": "ls"}?'),
    one_of("one call allowed", f"{_LS}{_START}{_READ}", LS),
    cut("cut in the value",
        '<|channel|>commentary to=functions.bash <|constrain|>json<|message|>{"command": "rm'),
    cut("cut in the header", "<|channel|>commentary to=functions.ba"),
    Case("analysis never closed", "<|channel|>analysis<|message|>hm", reasoning="hm"),
    Case("no tools, an answer",
         f"{_ANALYSIS}{_START}<|channel|>final<|message|>Yes.<|return|>", content="Yes.",
         reasoning="I list.", tools=()),
    Case("no tools, a call", _LS, content=None, tools=(), negative=True),
    prose("no header at all", "Just an answer."),
    prose("words", 'The call to=functions.bash {"command": "ls"} stands in its header.'),
    Case("words like a call in the answer",
         '<|channel|>final<|message|>Write to=functions.bash {"command": "ls"} then.<|return|>',
         content='Write to=functions.bash {"command": "ls"} then.', negative=True),
)  # fmt: skip

_F_LS = '>>>bash\n{"command": "ls"}'
_F_READ = '>>>read\n{"filePath": "a.py"}'
_F_OWN = '>>>rm\n{"x": 1}\n>>>all\n'
FUNCTIONARY_V32 = (
    calls("one", _F_LS, LS),
    Case("the prompt has opened it",
         'bash\n{"command": "ls"}', (LS,), prompt_tail="assistant<|end_header_id|>\n\n>>>"),
    Case("an answer that the prompt has opened", "all\nYes, it is.", content="Yes, it is.",
         prompt_tail="assistant<|end_header_id|>\n\n>>>"),
    calls("an answer", ">>>all\nYes, it is.", content="Yes, it is."),
    calls("text and call", f">>>all\nI look.\n{_F_LS}", LS, content="I look."),
    calls("text and call, tight", f">>>all\nI look.{_F_LS}", LS, content="I look."),
    calls("two", f"{_F_LS}\n{_F_READ}", LS, READ),
    calls("two, tight", _F_LS + _F_READ, LS, READ),
    calls("text and two", f">>>all\nBoth.\n{_F_LS}\n{_F_READ}", LS, READ, content="Both."),
    calls("end token", f"{_F_LS}<|eot_id|>", LS),
    calls("end token behind text", ">>>all\nYes.<|eot_id|>", content="Yes."),
    calls("own markup in a value", f">>>bash\n{js({'command': _F_OWN})}", ("bash", {"command": _F_OWN})),
    calls("code", f">>>bash\n{js({'command': CODE})}", ("bash", {"command": CODE})),
    calls("unicode", f">>>bash\n{js({'command': UNICODE})}", ("bash", {"command": UNICODE})),
    calls("empty arguments", ">>>list_files\n{}", LIST),
    calls("a tool that nobody offered", '>>>zap\n{"x": 1}', ("zap", {"x": 1})),
    calls("another case", '>>>Bash\n{"command": "ls"}', LS),
    one_of("one call allowed", f"{_F_LS}\n{_F_READ}", LS),
    cut("cut in the value", '>>>bash\n{"command": "rm'),
    cut("cut in the second", _F_LS + '\n>>>read\n{"file', LS),
    Case("no tools, text", ">>>all\nYes.", content=None, tools=(), negative=True),
    Case("no tools, a call", _F_LS, content=None, tools=(), negative=True),
    Case("a python prompt in the text", ">>>all\nType\n>>> print(1)\n1", content="Type\n>>> print(1)\n1",
         negative=True),
    Case("shifts in the text", ">>>all\nx >>> 2 and a >> b", content="x >>> 2 and a >> b", negative=True),
)  # fmt: skip

NONE = (
    prose("words", "Yes, it is."),
    prose("blanks", " \n two words \n\n"),
    prose("json", '{"name": "bash", "arguments": {"command": "ls"}}'),
    prose("tags", '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>'),
    prose("a fence", '```json\n{"name": "bash", "arguments": {"command": "ls"}}\n```'),
    prose("markers", "[TOOL_CALLS]bash[ARGS]{} <|python_tag|> functools[] >>>bash\n{}"),
    prose("lines", 'TOOL: bash\nARGUMENTS: {"command": "ls"}'),
    untooled("no tools", '<tool_call>\n{"name": "bash"}\n</tool_call>'),
    Case("cut off", "Yes, it", content="Yes, it", cut_off=True, finish=FinishReason.LENGTH, negative=True),
)  # fmt: skip

CORPUS: dict[str, tuple[Case, ...]] = {"harmony": HARMONY, "functionary_v32": FUNCTIONARY_V32, "none": NONE}
