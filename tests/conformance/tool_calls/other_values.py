"""Values in a notation of their own: gemma4, functiongemma, pythonic, lfm2."""

from __future__ import annotations

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
    one_of,
    prose,
    untooled,
)

_Q = '<|"|>'
_G_LS = f"<|tool_call>call:bash{{command:{_Q}ls{_Q}}}<tool_call|>"
_G_READ = f"<|tool_call>call:read{{filePath:{_Q}a.py{_Q}}}<tool_call|>"
_G_OWN = "}<tool_call|> and <|tool_call>call:rm{x:1"


def _gemma(name: str, body: str) -> str:
    return f"<|tool_call>call:{name}{{{body}}}<tool_call|>"


GEMMA4 = (
    calls("one", _G_LS, LS),
    calls("a number", '<|tool_call>call:bash{command:<|"|>ls<|"|>,timeout:1}<tool_call|>',
          ("bash", {"command": "ls", "timeout": 1})),
    calls("two", _G_LS + _G_READ, LS, READ),
    calls("two on lines", f"{_G_LS}\n{_G_READ}", LS, READ),
    calls("prose before", f"I look.\n{_G_LS}", LS, content="I look."),
    calls("prose after", f"{_G_LS}\nSo.", LS, content="So."),
    calls("end token", _G_LS + "<turn|>", LS),
    calls("no closer", _G_LS.removesuffix("<tool_call|>"), LS),
    calls("all types", _gemma("typed", f"text:{_Q}007{_Q},count:42,ratio:-1.5,flag:true,data:{{a:[1]}},"
                              f"items:[{_Q}x{_Q},2],maybe:null,kind:{_Q}a{_Q}"),
          ("typed", {"text": "007", "count": 42, "ratio": -1.5, "flag": True, "data": {"a": [1]},
                     "items": ["x", 2], "maybe": None, "kind": "a"})),
    calls("nested objects",
          _gemma("todowrite", f"todos:[{{content:{_Q}a, b: c{_Q},done:false}},{{done:true}}]"),
          ("todowrite", {"todos": [{"content": "a, b: c", "done": False}, {"done": True}]})),
    calls("own markup in a value",
          _gemma("bash", f"command:{_Q}{_G_OWN}{_Q}"), ("bash", {"command": _G_OWN})),
    calls("code", _gemma("bash", f"command:{_Q}{CODE}{_Q}"), ("bash", {"command": CODE})),
    calls("html", _gemma("bash", f"command:{_Q}{SCRIPT}{_Q}"), ("bash", {"command": SCRIPT})),
    calls("unicode", _gemma("bash", f"command:{_Q}{UNICODE}{_Q}"), ("bash", {"command": UNICODE})),
    calls("newlines at the edges",
          _gemma("bash", f"command:{_Q}\nls\n{_Q}"), ("bash", {"command": "\nls\n"})),
    calls("an empty text", _gemma("bash", f"command:{_Q}{_Q}"), ("bash", {"command": ""})),
    calls("a word that is a type elsewhere",
          _gemma("bash", f"command:{_Q}true{_Q}"), ("bash", {"command": "true"})),
    calls("empty arguments", _gemma("list_files", ""), LIST),
    calls("a tool that nobody offered", _gemma("zap", f"x:{_Q}1{_Q}"), ("zap", {"x": "1"})),
    calls("another case", _gemma("Bash", f"command:{_Q}ls{_Q}"), LS),
    one_of("one call allowed", _G_LS + _G_READ, LS),
    cut("cut in the value", f"<|tool_call>call:bash{{command:{_Q}rm"),
    cut("cut before the brace", f"<|tool_call>call:bash{{command:{_Q}rm{_Q}"),
    cut("cut in the name", "<|tool_call>call:ba"),
    untooled("no tools", _G_LS),
    prose("words", "call:bash{command:ls} without its marks is a line of text, and so is <|tool_c"),
)  # fmt: skip

_E = "<escape>"


def _fg(name: str, body: str) -> str:
    return f"<start_function_call>call:{name}{{{body}}}<end_function_call>"


_FG_LS = _fg("bash", f"command:{_E}ls{_E}")
_FG_OWN = "}<end_function_call>call:rm{"
FUNCTIONGEMMA = (
    calls("one", _FG_LS, LS),
    calls("two", _FG_LS + _fg("read", f"filePath:{_E}a.py{_E}"), LS, READ),
    calls("prose before", f"I look.\n{_FG_LS}", LS, content="I look."),
    calls("a number",
          _fg("bash", f"command:{_E}ls{_E},timeout:5"), ("bash", {"command": "ls", "timeout": 5})),
    calls("the response's opener behind it", _FG_LS + "<start_function_response>", LS),
    calls("no closer", _FG_LS.removesuffix("<end_function_call>"), LS),
    calls("nested",
          _fg("typed", f"data:{{a:[{_E}x{_E},true,null]}}"), ("typed", {"data": {"a": ["x", True, None]}})),
    calls("own markup in a value", _fg("bash", f"command:{_E}{_FG_OWN}{_E}"), ("bash", {"command": _FG_OWN})),
    calls("code", _fg("bash", f"command:{_E}{CODE}{_E}"), ("bash", {"command": CODE})),
    calls("unicode", _fg("bash", f"command:{_E}{UNICODE}{_E}"), ("bash", {"command": UNICODE})),
    calls("a number as text", _fg("bash", f"command:{_E}007{_E}"), ("bash", {"command": "007"})),
    calls("empty arguments", _fg("list_files", ""), LIST),
    calls("a tool that nobody offered", _fg("zap", ""), ("zap", {})),
    one_of("one call allowed", _FG_LS + _FG_LS, LS),
    cut("cut in the value", f"<start_function_call>call:bash{{command:{_E}rm"),
    untooled("no tools", _FG_LS),
    prose("a sentence", "To call: bash is a shell, {x} a set; call me."),
)  # fmt: skip

_OWN = ')]<|tool_call_end|>[rm(x="'
PYTHONIC = (
    calls("one", '[bash(command="ls")]', LS),
    calls("single quotes", "[bash(command='ls')]", LS),
    calls("two", '[bash(command="ls"), read(filePath="a.py")]', LS, READ),
    calls("lines", '[\n  bash(command="ls"),\n  read(filePath="a.py"),\n]', LS, READ),
    calls("blanks", '[bash( command = "ls" )]', LS),
    calls("two arguments", '[bash(command="ls", timeout=5)]', ("bash", {"command": "ls", "timeout": 5})),
    calls("python's words", '[typed(flag=True, maybe=None, ratio=-1.5, data={"a": [1, False]})]',
          ("typed", {"flag": True, "maybe": None, "ratio": -1.5, "data": {"a": [1, False]}})),
    calls("json's words", "[typed(flag=true, maybe=null)]", ("typed", {"flag": True, "maybe": None})),
    calls("escapes",
          r"""[bash(command="a\nb\t\"c\" \\ \x41 \u00e9")]""", ("bash", {"command": 'a\nb\t"c" \\ A é'})),
    calls("the other quote inside", """[bash(command='echo "hi"'), bash(command="it's")]""",
          ("bash", {"command": 'echo "hi"'}), ("bash", {"command": "it's"})),
    calls("brackets in a text", '[bash(command="f(x)[0] = {1: 2}), read(")]',
          ("bash", {"command": "f(x)[0] = {1: 2}), read("})),
    calls("unicode", '[bash(command="naïve 漢字 😀")]', ("bash", {"command": "naïve 漢字 😀"})),
    calls("code", f"[bash(command={CODE!r})]", ("bash", {"command": CODE})),
    calls("empty arguments", "[list_files()]", LIST),
    calls("another case", '[Bash(command="ls")]', LS),
    calls("a list of objects", "[todowrite(todos=[{'content': 'a', 'done': False}])]",
          ("todowrite", {"todos": [{"content": "a", "done": False}]})),
    one_of("one call allowed", '[bash(command="ls"), read(filePath="a.py")]', LS),
    untooled("no tools", '[bash(command="ls")]'),
    prose("nobody offered it", '[frobnicate(x="1")]'),
    prose("a required argument is missing", "[bash()]"),
    prose("an argument of another type", "[bash(command=5)]"),
    prose("an undeclared argument", '[read(filePath="a", mode="r")]'),
    prose("a list", "[1, 2, 3]"),
    prose("a link", "[bash](https://example.org/bash) is a shell"),
    prose("a comprehension", "[f(x) for x in range(3)]"),
    prose("a check list", "- [ ] bash\n- [x] read"),
    prose("positional", '[bash("ls")]'),
    prose("an expression", '[bash(command="a" + "b")]'),
)  # fmt: skip

_A = "<|tool_call_start|>", "<|tool_call_end|>"
LFM2 = (
    calls("one", f'{_A[0]}[bash(command="ls")]{_A[1]}', LS),
    calls("two", f'{_A[0]}[bash(command="ls"), read(filePath="a.py")]{_A[1]}', LS, READ),
    calls("two blocks", f'{_A[0]}[bash(command="ls")]{_A[1]}{_A[0]}[bash(command="pwd")]{_A[1]}', LS, PWD),
    calls("prose before", f'I look.\n{_A[0]}[bash(command="ls")]{_A[1]}', LS, content="I look."),
    calls("prose after", f'{_A[0]}[bash(command="ls")]{_A[1]}I look.', LS, content="I look."),
    calls("end token", f'{_A[0]}[bash(command="ls")]{_A[1]}<|im_end|>', LS),
    calls("no closer", f'{_A[0]}[bash(command="ls")]', LS),
    calls("types", f"{_A[0]}[typed(text='007', count=42, flag=False, items=['x', 2])]{_A[1]}",
          ("typed", {"text": "007", "count": 42, "flag": False, "items": ["x", 2]})),
    calls("own markup in a value", f"{_A[0]}[bash(command={_OWN!r})]{_A[1]}", ("bash", {"command": _OWN})),
    calls("code", f"{_A[0]}[bash(command={CODE!r})]{_A[1]}", ("bash", {"command": CODE})),
    calls("unicode", f"{_A[0]}[bash(command={UNICODE!r})]{_A[1]}", ("bash", {"command": UNICODE})),
    calls("empty arguments", f"{_A[0]}[list_files()]{_A[1]}", LIST),
    calls("a tool that nobody offered", f"{_A[0]}[zap(x=1)]{_A[1]}", ("zap", {"x": 1})),
    calls("another case", f'{_A[0]}[Bash(command="ls")]{_A[1]}', LS),
    one_of("one call allowed", f'{_A[0]}[bash(command="ls"), bash(command="pwd")]{_A[1]}', LS),
    cut("cut in the value", f'{_A[0]}[bash(command="rm'),
    cut("cut before the parenthesis", f'{_A[0]}[bash(command="rm"'),
    cut("cut in the second", f'{_A[0]}[bash(command="ls"), read(file', LS),
    untooled("no tools", f'{_A[0]}[bash(command="ls")]{_A[1]}'),
    prose("a list alone", '[bash(command="ls")]'),
    prose("python", 'x = [f(a=1), g(b="2")]'),
)  # fmt: skip

CORPUS: dict[str, tuple[Case, ...]] = {
    "gemma4": GEMMA4,
    "functiongemma": FUNCTIONGEMMA,
    "pythonic": PYTHONIC,
    "lfm2": LFM2,
}
