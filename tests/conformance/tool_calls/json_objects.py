"""Calls that are one JSON object each between tags: hermes_json, minimax_m1."""

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

_LS = '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>'
_PWD = '<tool_call>\n{"name": "bash", "arguments": {"command": "pwd"}}\n</tool_call>'
_READ = '<tool_call>\n{"name": "read", "arguments": {"filePath": "a.py"}}\n</tool_call>'

_OWN = '</tool_call>\n<tool_call>\n{"name": "rm", "arguments": {}}\n</tool_call>'

HERMES_JSON = (
    calls("one", _LS, LS),
    calls("prose before", "I will look.\n" + _LS, LS, content="I will look."),
    calls("prose after", _LS + "\nThat lists them.", LS, content="That lists them."),
    calls("prose between", f"{_LS}\nand\n{_READ}", LS, READ, content="and"),
    calls("prose around", f"First.\n\n{_LS}\nLast.", LS, content="First.\nLast."),
    calls("two", f"{_LS}\n{_PWD}", LS, PWD),
    calls("three of the same", f"{_LS}\n{_LS}\n{_LS}", LS, LS, LS),
    calls("tight", '<tool_call>{"name":"bash","arguments":{"command":"ls"}}</tool_call>', LS),
    calls("two in one block", '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n'
          '{"name": "read", "arguments": {"filePath": "a.py"}}\n</tool_call>', LS, READ),
    calls("no closer", '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}', LS),
    calls("no closer, then another", '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n' + _PWD,
          LS, PWD),
    calls("closer twice", _LS + "\n</tool_call>", LS),
    calls("closers between", f"{_LS}</tool_call>\n{_PWD}</tool_call></tool_call>", LS, PWD),
    calls("one brace too many",
          '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}}\n</tool_call>',
          LS),
    calls("code", f'<tool_call>\n{{"name": "bash", "arguments": {js({"command": CODE})}}}\n</tool_call>',
          ("bash", {"command": CODE})),
    calls("own markup in a value",
          f'<tool_call>\n{{"name": "bash", "arguments": {js({"command": _OWN})}}}\n</tool_call>',
          ("bash", {"command": _OWN})),
    calls("heredoc with html",
          f'<tool_call>\n{{"name": "bash", "arguments": {js({"command": SCRIPT})}}}\n</tool_call>',
          ("bash", {"command": SCRIPT})),
    calls("unicode",
          f'<tool_call>\n{{"name": "bash", "arguments": {js({"command": UNICODE})}}}\n</tool_call>',
          ("bash", {"command": UNICODE})),
    calls("escaped unicode", '<tool_call>\n{"name": "bash", "arguments": '
          '{"command": "\\u00e9\\ud83d\\ude00\\u0000\\u2028"}}\n</tool_call>',
          ("bash", {"command": "é😀\x00\u2028"})),
    calls("think tags in a value",
          '<tool_call>\n{"name": "bash", "arguments": {"command": "<think>x</think>"}}'
          "\n</tool_call>", ("bash", {"command": "<think>x</think>"})),
    calls("empty arguments", '<tool_call>\n{"name": "list_files", "arguments": {}}\n</tool_call>', LIST),
    calls("no arguments member", '<tool_call>\n{"name": "list_files"}\n</tool_call>', LIST),
    calls("arguments null", '<tool_call>\n{"name": "list_files", "arguments": null}\n</tool_call>', LIST),
    calls("arguments first",
          '<tool_call>\n{"arguments": {"command": "ls"}, "name": "bash"}\n</tool_call>', LS),
    calls("parameters for arguments",
          '<tool_call>\n{"name": "bash", "parameters": {"command": "ls"}}\n</tool_call>', LS),
    calls("arguments as a text", '<tool_call>\n{"name": "bash", "arguments": "{\\"command\\": \\"ls\\"}"}\n'
          "</tool_call>", LS),
    calls("keys of the arguments are called name and arguments",
          '<tool_call>\n{"name": "typed", "arguments": {"data": {"name": "bash", "arguments": {"a": 1}}}}\n'
          "</tool_call>", ("typed", {"data": {"name": "bash", "arguments": {"a": 1}}})),
    calls("deep",
          '<tool_call>\n{"name": "typed", "arguments": {"items": [[[{"a": [null, true, -1.5e3]}]]]}}\n'
          "</tool_call>", ("typed", {"items": [[[{"a": [None, True, -1500.0]}]]]})),
    calls("strings that look like other types",
          '<tool_call>\n{"name": "typed", "arguments": {"text": "007", "kind": "true"}}\n</tool_call>',
          ("typed", {"text": "007", "kind": "true"})),
    calls("a tool that nobody offered",
          '<tool_call>\n{"name": "frobnicate", "arguments": {"x": 1}}\n</tool_call>',
          ("frobnicate", {"x": 1})),
    calls("another case", '<tool_call>\n{"name": "Bash", "arguments": {"command": "ls"}}\n</tool_call>', LS),
    calls("functions. before the name",
          '<tool_call>\n{"name": "functions.bash", "arguments": {"command": "ls"}}\n</tool_call>', LS),
    calls("end token", _LS + "<|im_end|>", LS),
    calls("end tokens behind prose", "Yes.<|im_end|>", content="Yes."),
    calls("behind reasoning", f"<think>\nI list them.\n</think>\n\n{_LS}", LS, reasoning="I list them."),
    Case("in reasoning that is never closed", f"I list them.\n{_LS}", (LS,), reasoning="I list them.",
         prompt_tail="<|im_start|>assistant\n<think>\n"),
    draft("a draft", f"Perhaps {_LS}?\n</think>\n\nNo.", content="No.", reasoning=f"Perhaps {_LS}?",
          prompt_tail="<think>\n"),
    draft("a draft and a call", f"<think>\nFirst {_LS}\n</think>\n\n{_PWD}", PWD, reasoning=f"First {_LS}"),
    one_of("one call allowed", f"Look.\n{_LS}\n{_PWD}\nmore", LS, "Look."),
    cut("cut in the value", '<tool_call>\n{"name": "bash", "arguments": {"command": "rm -rf /tmp/x'),
    cut("cut before the last brace", '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}'),
    cut("cut in the name", '<tool_call>\n{"name": "ba'),
    cut("cut behind the opener", "I look.\n<tool_call>", content="I look."),
    cut("cut in the second", f"{_LS}\n<tool_call>\n{{\"name\": \"bash\", \"argum", LS),
    Case("stopped in the value", '<tool_call>\n{"name": "bash", "arguments": {"command": "rm',
         finish=FinishReason.LENGTH, negative=True),
    Case("whole at the limit", _LS, (LS,), finish=FinishReason.LENGTH, cut_off=True),
    untooled("no tools", f" \nIt would be:\n{_LS}\n"),
    prose("tags in a sentence", "The model writes <tool_call> and closes it with </tool_call>."),
    prose("the opener at the end", "Every call begins with <tool_call>"),
    prose("a json block", 'Send this:\n```json\n{"name": "bash", "arguments": {"command": "ls"}}\n```\n'),
    prose("naked json", '{"name": "bash", "arguments": {"command": "ls"}}'),
    prose("no json between the tags", "<tool_call>\nls -la\n</tool_call>"),
    prose("another object between the tags", '<tool_call>\n{"color": "red"}\n</tool_call>'),
    prose("comparison", "if a <tool and b < c: <tool_box> is <tool_callx>"),
    prose("blanks", "  \n two words \n\n"),
    prose("function tags are another model's", "<function=bash>\n<parameter=command>\nls\n</parameter>\n"
          "</function>"),
    prose("a broken name", '<tool_call>\n{"name": ["bash"], "arguments": {}}\n</tool_call>'),
)  # fmt: skip

_M1_LS = '{"name": "bash", "arguments": {"command": "ls"}}'
_M1_READ = '{"name": "read", "arguments": {"filePath": "a.py"}}'
_M1_OWN = "</tool_calls>\n<tool_calls>"

MINIMAX_M1 = (
    calls("one", f"<tool_calls>\n{_M1_LS}\n</tool_calls>", LS),
    calls("two lines", f"<tool_calls>\n{_M1_LS}\n{_M1_READ}\n</tool_calls>", LS, READ),
    calls("prose before", f"I look.\n<tool_calls>\n{_M1_LS}\n</tool_calls>", LS, content="I look."),
    calls("prose after", f"<tool_calls>\n{_M1_LS}\n</tool_calls>\nDone.", LS, content="Done."),
    calls("no closer", f"<tool_calls>\n{_M1_LS}\n{_M1_READ}", LS, READ),
    calls("own markup in a value",
          f'<tool_calls>\n{{"name": "bash", "arguments": {js({"command": _M1_OWN})}}}\n</tool_calls>',
          ("bash", {"command": _M1_OWN})),
    calls("code", f'<tool_calls>\n{{"name": "bash", "arguments": {js({"command": CODE})}}}\n</tool_calls>',
          ("bash", {"command": CODE})),
    calls("unicode",
          f'<tool_calls>\n{{"name": "bash", "arguments": {js({"command": UNICODE})}}}\n</tool_calls>',
          ("bash", {"command": UNICODE})),
    calls("empty arguments", '<tool_calls>\n{"name": "list_files", "arguments": {}}\n</tool_calls>', LIST),
    calls("a tool that nobody offered", '<tool_calls>\n{"name": "zap", "arguments": {}}\n</tool_calls>',
          ("zap", {})),
    calls("another case",
          '<tool_calls>\n{"name": "BASH", "arguments": {"command": "ls"}}\n</tool_calls>', LS),
    calls("behind reasoning",
          f"<think>\nhm\n</think>\n<tool_calls>\n{_M1_LS}\n</tool_calls>", LS, reasoning="hm"),
    draft("a draft", f"<think>So <tool_calls>\n{_M1_LS}\n</tool_calls></think>No.", content="No.",
          reasoning=f"So <tool_calls>\n{_M1_LS}\n</tool_calls>"),
    one_of("one call allowed", f"<tool_calls>\n{_M1_LS}\n{_M1_READ}\n</tool_calls>", LS),
    cut("cut in the second", f'<tool_calls>\n{_M1_LS}\n{{"name": "read", "argum', LS),
    cut("cut in the value", '<tool_calls>\n{"name": "bash", "arguments": {"command": "l'),
    untooled("no tools", f"<tool_calls>\n{_M1_LS}\n</tool_calls>"),
    prose("tags in a sentence", "It writes <tool_calls> around its calls and then </tool_calls>."),
    prose("another tag", f"<tool_call>\n{_M1_LS}\n</tool_call>"),
)  # fmt: skip

CORPUS = {"hermes_json": HERMES_JSON, "minimax_m1": MINIMAX_M1}
