"""Calls that look like any JSON: qwen25_coder, fenced_json, bare_json, llama3_json."""

from __future__ import annotations

from services.common.chat import FinishReason
from tests.conformance.tool_calls.case import (
    CODE,
    LIST,
    LS,
    PWD,
    READ,
    UNICODE,
    Case,
    calls,
    cut,
    js,
    one_of,
    prose,
    untooled,
)

_LS = '{"name": "bash", "arguments": {"command": "ls"}}'
_PWD = '{"name": "bash", "arguments": {"command": "pwd"}}'
_READ = '{"name": "read", "arguments": {"filePath": "a.py"}}'
_LIST = '{"name": "list_files", "arguments": {}}'
_F_LS = f"```json\n{_LS}\n```"
_F_READ = f"```json\n{_READ}\n```"


def _bash(command: str) -> str:
    return js({"name": "bash", "arguments": {"command": command}})


_FENCE = '```\n```json\n{"name": "read"}\n```'

# Objects with which nothing is called, whatever stands around them.
_NO_CALLS: tuple[tuple[str, str], ...] = (
    ("nobody offered it", '{"name": "frobnicate", "arguments": {"x": 1}}'),
    ("a required argument is missing", '{"name": "bash", "arguments": {"timeout": 5}}'),
    ("an argument of another type", '{"name": "bash", "arguments": {"command": 5}}'),
    ("an undeclared argument where none is allowed",
     '{"name": "read", "arguments": {"filePath": "a.py", "mode": "r"}}'),
    ("a person", '{"name": "Alice", "age": 30}'),
    ("a package", '{"name": "bash", "version": "5.2", "dependencies": {"readline": "8"}}'),
    ("other keys", '{"tool": "bash", "args": {"command": "ls"}}'),
    ("arguments are a list", '{"name": "bash", "arguments": ["ls"]}'),
)  # fmt: skip

QWEN25_CODER = (
    calls("in a fence", _F_LS, LS),
    calls("in tools tags", f"<tools>\n{_LS}\n</tools>", LS),
    calls("in function tags", f"<function>\n{_LS}\n</function>", LS),
    calls("in its template's tags", f"<tool_call>\n{_LS}\n</tool_call>", LS),
    calls("naked", _LS, LS),
    calls("prose before a fence", f"I will look.\n\n{_F_LS}", LS, content="I will look."),
    calls("prose behind a fence", f"{_F_LS}\n\nThat lists them.", LS, content="That lists them."),
    calls("prose before naked", f"I will look.\n{_LS}", LS, content="I will look."),
    calls("two fences", f"{_F_LS}\n{_F_READ}", LS, READ),
    calls("two in tags", f"<tool_call>\n{_LS}\n</tool_call>\n<tool_call>\n{_READ}\n</tool_call>", LS, READ),
    calls("two naked", f"{_LS}\n{_READ}", LS, READ),
    calls("end token", _F_LS + "<|im_end|>", LS),
    calls("a fence in a value", f"```json\n{_bash(_FENCE)}\n```", ("bash", {"command": _FENCE})),
    calls("code", f"<tools>\n{_bash(CODE)}\n</tools>", ("bash", {"command": CODE})),
    calls("no tag at the end", f"<tools>\n{_LS}", LS),
    calls("fence not closed", f"```json\n{_LS}", LS),
    calls("empty arguments", f"```json\n{_LIST}\n```", LIST),
    one_of("one call allowed", f"{_F_LS}\n{_F_READ}", LS),
    cut("cut in tags", '<tool_call>\n{"name": "bash", "arguments": {"command": "rm'),
    untooled("no tools", f"{_F_LS}\n<tools>\n{_LS}\n</tools>\n{_LS}"),
    *(prose(f"in a fence: {id}", f"Such as\n```json\n{body}\n```\nfor example.") for id, body in _NO_CALLS),
    prose("python", '```python\nprint({"name": "bash"})\n```'),
    prose("a sentence", "The <tools> tag lists the tools, <function> names one."),
)  # fmt: skip

FENCED_JSON = (
    calls("one", _F_LS, LS),
    calls("prose before", f"I will look.\n{_F_LS}", LS, content="I will look."),
    calls("prose after", f"{_F_LS}\nDone.", LS, content="Done."),
    calls("two", f"{_F_LS}\n\n{_F_READ}", LS, READ),
    calls("fence not closed", f"```json\n{_LS}", LS),
    calls("parameters for arguments", '```json\n{"name": "bash", "parameters": {"command": "ls"}}\n```', LS),
    calls("spread over lines",
          '```json\n{\n  "name": "bash",\n  "arguments": {\n    "command": "ls"\n  }\n}\n```',
          LS),
    calls("a fence in a value", f"```json\n{_bash(_FENCE)}\n```", ("bash", {"command": _FENCE})),
    calls("code", f"```json\n{_bash(CODE)}\n```", ("bash", {"command": CODE})),
    calls("unicode", f"```json\n{_bash(UNICODE)}\n```", ("bash", {"command": UNICODE})),
    calls("empty arguments", f"```json\n{_LIST}\n```", LIST),
    calls("another case", '```json\n{"name": "Bash", "arguments": {"command": "ls"}}\n```', LS),
    one_of("one call allowed", f"{_F_LS}\n{_F_READ}", LS),
    untooled("no tools", f"So:\n{_F_LS}\n"),
    *(prose(id, f"Look at this:\n```json\n{body}\n```\nNice.") for id, body in _NO_CALLS),
    prose("a list", "```json\n[1, 2, 3]\n```"),
    prose("broken json", '```json\n{"name": "bash", "arguments": {"command": ls}}\n```'),
    prose("python", "```python\ndef f():\n    return {}\n```"),
    prose("a plain fence", "```\nls -la\n```"),
    prose("a sentence with backticks", "Use `json` and ``` to open a fence."),
)  # fmt: skip

BARE_JSON = (
    calls("one", _LS, LS),
    calls("blanks around", f"\n{_LS}\n", LS),
    calls("prose before", f"I will look.\n{_LS}", LS, content="I will look."),
    calls("two", f"{_LS}\n{_PWD}", LS, PWD),
    calls("parameters for arguments", '{"name": "bash", "parameters": {"command": "ls"}}', LS),
    calls("arguments first", '{"arguments": {"command": "ls"}, "name": "bash"}', LS),
    calls("spread over lines", '{\n  "name": "bash",\n  "arguments": {\n    "command": "ls"\n  }\n}', LS),
    calls("code", _bash(CODE), ("bash", {"command": CODE})),
    calls("unicode", _bash(UNICODE), ("bash", {"command": UNICODE})),
    calls("a call in a value", _bash(_LS), ("bash", {"command": _LS})),
    calls("empty arguments", _LIST, LIST),
    calls("functions. before the name",
          '{"name": "functions.read", "arguments": {"filePath": "a.py"}}', READ),
    one_of("one call allowed", f"{_LS}\n{_PWD}", LS),
    untooled("no tools", _LS),
    untooled("no tools and blanks", f"  {_LS} \n"),
    *(prose(id, body) for id, body in _NO_CALLS),
    *(prose(f"behind prose: {id}", f"Such as\n{body}\nfor example.") for id, body in _NO_CALLS[:4]),
    prose("an answer in json", '{"answer": 42, "steps": [{"name": "add"}, {"name": "halve"}]}'),
    prose("code with braces", "int main() { if (x) { return 0; } }"),
    prose("a lone brace", "A { opens a block and } closes it. {"),
    prose("a format string", 'print(f"{name}: {arguments}")'),
)  # fmt: skip

_L_LS = '{"name": "bash", "parameters": {"command": "ls"}}'
_L_READ = '{"name": "read", "parameters": {"filePath": "a.py"}}'
_L_OWN = '<|python_tag|>{"name": "zap"}; <|eom_id|>'
LLAMA3_JSON = (
    calls("one", _L_LS, LS),
    calls("behind the tag", f"<|python_tag|>{_L_LS}", LS),
    calls("two with a semicolon", f"{_L_LS}; {_L_READ}", LS, READ),
    calls("two behind the tag", f"<|python_tag|>{_L_LS}; {_L_READ}", LS, READ),
    calls("end token", f"{_L_LS}<|eot_id|>", LS),
    calls("another end token", f"<|python_tag|>{_L_LS}<|eom_id|>", LS),
    calls("arguments for parameters", _LS, LS),
    calls("as a function", '{"type": "function", "name": "bash", "parameters": {"command": "ls"}}', LS),
    calls("python's call", '<|python_tag|>bash.call(command="ls")', LS),
    calls("python's call of a built-in", '<|python_tag|>brave_search.call(query="x")',
          ("brave_search", {"query": "x"})),
    calls("own markup in a value", js({"name": "bash", "parameters": {"command": _L_OWN}}),
          ("bash", {"command": _L_OWN})),
    calls("code", js({"name": "bash", "parameters": {"command": CODE}}), ("bash", {"command": CODE})),
    calls("empty arguments", '{"name": "list_files", "parameters": {}}', LIST),
    calls("a tool that nobody offered behind the tag", '<|python_tag|>{"name": "zap", "parameters": {}}',
          ("zap", {})),
    one_of("one call allowed", f"{_L_LS}; {_L_READ}", LS),
    cut("cut behind the tag", '<|python_tag|>{"name": "bash", "parameters": {"command": "rm'),
    Case("stopped behind the tag", '<|python_tag|>{"name": "bash", "parameters": {"command": "rm',
         finish=FinishReason.LENGTH, negative=True),
    calls("behind what began like python's call", f"<|python_tag|>bash.x{_L_LS}", LS,
          content="<|python_tag|>bash.x"),
    untooled("no tools", _L_LS),
    *(prose(id, body) for id, body in _NO_CALLS),
    prose("a semicolon", "One; two; three {four};"),
)  # fmt: skip

CORPUS: dict[str, tuple[Case, ...]] = {
    "qwen25_coder": QWEN25_CODER,
    "fenced_json": FENCED_JSON,
    "bare_json": BARE_JSON,
    "llama3_json": LLAMA3_JSON,
}
