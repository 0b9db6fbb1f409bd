"""Calls as objects of one JSON array: Mistral's older ones, Granite 3, Phi-4-mini, Nemotron, Command-R."""

from __future__ import annotations

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

_LS = '{"name": "bash", "arguments": {"command": "ls"}}'
_READ = '{"name": "read", "arguments": {"filePath": "a.py"}}'
_LIST = '{"name": "list_files", "arguments": {}}'
_ZAP = '{"name": "zap", "arguments": {"x": [1]}}'


def _bash(command: str) -> str:
    return js({"name": "bash", "arguments": {"command": command}})


_M_OWN = '"}]</s>[TOOL_CALLS][{"name": "zap"}]'
MISTRAL_ARRAY = (
    calls("one", f"[TOOL_CALLS][{_LS}]", LS),
    calls("one with an id",
          '[TOOL_CALLS][{"name": "bash", "arguments": {"command": "ls"}, "id": "a1B2c3D4e"}]',
          LS),
    calls("a blank before the array", f"[TOOL_CALLS] [{_LS}]", LS),
    calls("two", f"[TOOL_CALLS][{_LS}, {_READ}]", LS, READ),
    calls("two, tight", '[TOOL_CALLS][{"name":"bash","arguments":{"command":"ls"}},{"name":"list_files",'
          '"arguments":{}}]', LS, LIST),
    calls("prose before", f"I look.[TOOL_CALLS][{_LS}]", LS, content="I look."),
    calls("end token", f"[TOOL_CALLS][{_LS}]</s>", LS),
    calls("no bracket at the end", f"[TOOL_CALLS][{_LS}", LS),
    calls("own markup in a value", f"[TOOL_CALLS][{_bash(_M_OWN)}]", ("bash", {"command": _M_OWN})),
    calls("code", f"[TOOL_CALLS][{_bash(CODE)}]</s>", ("bash", {"command": CODE})),
    calls("unicode", f"[TOOL_CALLS][{_bash(UNICODE)}]</s>", ("bash", {"command": UNICODE})),
    calls("empty arguments", f"[TOOL_CALLS][{_LIST}]", LIST),
    calls("id first",
          '[TOOL_CALLS][{"id": "a1B2c3D4e", "arguments": {"command": "ls"}, "name": "bash"}]', LS),
    calls("a tool that nobody offered", f"[TOOL_CALLS][{_ZAP}]", ("zap", {"x": [1]})),
    calls("another case", '[TOOL_CALLS][{"name": "Read", "arguments": {"filePath": "a.py"}}]', READ),
    one_of("one call allowed", f"[TOOL_CALLS][{_LS}, {_READ}]</s>", LS),
    cut("cut in the value", '[TOOL_CALLS][{"name": "bash", "arguments": {"command": "rm '),
    cut("cut in the second", f'[TOOL_CALLS][{_LS}, {{"name": "re', LS),
    untooled("no tools", f"[TOOL_CALLS][{_LS}]"),
    prose("the marker in a sentence", "Mistral writes [TOOL_CALLS] before an array."),
    prose("an array alone", f"[{_LS}]"),
    prose("json in a block", f"```json\n[{_LS}]\n```"),
    prose("other brackets", "[TOOL] [TOOLS] [TOOL_CALL] a[0][1]"),
)  # fmt: skip

_G_OWN = "<|tool_call|>[]<|end_of_text|>"
GRANITE3 = (
    calls("one", f"<|tool_call|>[{_LS}]", LS),
    calls("two", f"<|tool_call|>[{_LS}, {_READ}]", LS, READ),
    calls("a blank and lines", f"<|tool_call|> [\n  {_LS},\n  {_READ}\n]\n", LS, READ),
    calls("prose before", f"I look.\n<|tool_call|>[{_LS}]", LS, content="I look."),
    calls("end token", f"<|tool_call|>[{_LS}]<|end_of_text|>", LS),
    calls("no bracket at the end", f"<|tool_call|>[{_LS}", LS),
    calls("own markup in a value", f"<|tool_call|>[{_bash(_G_OWN)}]", ("bash", {"command": _G_OWN})),
    calls("code", f"<|tool_call|>[{_bash(CODE)}]", ("bash", {"command": CODE})),
    calls("empty arguments", f"<|tool_call|>[{_LIST}]", LIST),
    calls("a tool that nobody offered", f"<|tool_call|>[{_ZAP}]", ("zap", {"x": [1]})),
    calls("functions. before the name", '<|tool_call|>[{"name": "functions.bash", "arguments": '
          '{"command": "ls"}}]', LS),
    one_of("one call allowed", f"<|tool_call|>[{_LS}, {_READ}]", LS),
    cut("cut in the value", '<|tool_call|>[{"name": "bash", "arguments": {"command": "x'),
    cut("cut behind a whole one", f"<|tool_call|>[{_LS},", LS),
    untooled("no tools", f"<|tool_call|>[{_LS}]"),
    prose("an array alone", f"[{_LS}, {_READ}]"),
    prose("an example in a block", f"```json\n{_LS}\n```"),
)  # fmt: skip

_P_OWN = 'functools[{"name": "zap"}]'
PHI4_MINI = (
    calls("one", f"functools[{_LS}]", LS),
    calls("two", f"functools[{_LS}, {_READ}]", LS, READ),
    calls("lines", f"functools[\n  {_LS},\n  {_READ}\n]", LS, READ),
    calls("end token", f"functools[{_LS}]<|end|>", LS),
    calls("no bracket at the end", f"functools[{_LS}", LS),
    calls("prose before", f"I look.\nfunctools[{_LS}]", LS, content="I look."),
    calls("own markup in a value", f"functools[{_bash(_P_OWN)}]", ("bash", {"command": _P_OWN})),
    calls("code", f"functools[{_bash(CODE)}]", ("bash", {"command": CODE})),
    calls("unicode", f"functools[{_bash(UNICODE)}]", ("bash", {"command": UNICODE})),
    calls("empty arguments", f"functools[{_LIST}]", LIST),
    one_of("one call allowed", f"functools[{_LS}, {_READ}]", LS),
    cut("cut in the value", 'functools[{"name": "bash", "arguments": {"command": "x'),
    untooled("no tools", f"functools[{_LS}]"),
    prose("python's module", "import functools\n\n@functools.cache\ndef f(): ..."),
    prose("its subscript", "x = functools[0] + functools[name]"),
    prose("the word at the end", "For partial application use functools"),
    prose("an array alone", f"[{_LS}]"),
)  # fmt: skip

_N_OWN = "]</TOOLCALL>[<TOOLCALL>"
NEMOTRON_JSON = (
    calls("one", f"<TOOLCALL>[{_LS}]</TOOLCALL>", LS),
    calls("two", f"<TOOLCALL>[{_LS}, {_READ}]</TOOLCALL>", LS, READ),
    calls("lines", f"<TOOLCALL>[\n{_LS},\n{_READ}\n]</TOOLCALL>\n", LS, READ),
    calls("prose before", f"I look.\n\n<TOOLCALL>[{_LS}]</TOOLCALL>", LS, content="I look."),
    calls("prose after", f"<TOOLCALL>[{_LS}]</TOOLCALL>\nSo.", LS, content="So."),
    calls("no closer", f"<TOOLCALL>[{_LS}]", LS),
    calls("neither bracket nor closer", f"<TOOLCALL>[{_LS}", LS),
    calls("closer twice", f"<TOOLCALL>[{_LS}]</TOOLCALL></TOOLCALL>", LS),
    calls("own markup in a value", f"<TOOLCALL>[{_bash(_N_OWN)}]</TOOLCALL>", ("bash", {"command": _N_OWN})),
    calls("code", f"<TOOLCALL>[{_bash(CODE)}]</TOOLCALL>", ("bash", {"command": CODE})),
    calls("empty arguments", f"<TOOLCALL>[{_LIST}]</TOOLCALL>", LIST),
    calls("a tool that nobody offered", f"<TOOLCALL>[{_ZAP}]</TOOLCALL>", ("zap", {"x": [1]})),
    calls("behind reasoning", f"<think>\nhm\n</think>\n\n<TOOLCALL>[{_LS}]</TOOLCALL>", LS, reasoning="hm"),
    draft("a draft", f"<think>\n<TOOLCALL>[{_LS}]</TOOLCALL> or not\n</think>\n\nNo.", content="No.",
          reasoning=f"<TOOLCALL>[{_LS}]</TOOLCALL> or not"),
    one_of("one call allowed", f"<TOOLCALL>[{_LS}, {_READ}]</TOOLCALL>", LS),
    cut("cut in the value", '<TOOLCALL>[{"name": "bash", "arguments": {"command": "x'),
    untooled("no tools", f"<TOOLCALL>[{_LS}]</TOOLCALL>"),
    prose("tags in a sentence", "Calls stand between <TOOLCALL> and </TOOLCALL>."),
    prose("an array alone", f"[{_LS}]"),
)  # fmt: skip

_R_LS = '{"tool_call_id": "0", "tool_name": "bash", "parameters": {"command": "ls"}}'
_R_READ = '{"tool_call_id": "1", "tool_name": "read", "parameters": {"filePath": "a.py"}}'
_R_OWN = "]<|END_ACTION|>\n<|START_ACTION|>["
COMMAND_R7B = (
    calls("one", f"<|START_ACTION|>[\n    {_R_LS}\n]<|END_ACTION|>", LS),
    calls("tight", f"<|START_ACTION|>[{_R_LS}]<|END_ACTION|>", LS),
    calls("two", f"<|START_ACTION|>[\n    {_R_LS},\n    {_R_READ}\n]<|END_ACTION|>", LS, READ),
    calls("end token", f"<|START_ACTION|>[{_R_LS}]<|END_ACTION|><|END_OF_TURN_TOKEN|>", LS),
    calls("behind a plan",
          f"<|START_THINKING|>I will list.<|END_THINKING|><|START_ACTION|>[{_R_LS}]<|END_ACTION|>",
          LS, reasoning="I will list."),
    calls("no closer", f"<|START_ACTION|>[{_R_LS}]", LS),
    calls("own markup in a value", "<|START_ACTION|>["
          + js({"tool_call_id": "0", "tool_name": "bash", "parameters": {"command": _R_OWN}})
          + "]<|END_ACTION|>", ("bash", {"command": _R_OWN})),
    calls("code", "<|START_ACTION|>["
          + js({"tool_call_id": "0", "tool_name": "bash", "parameters": {"command": CODE}})
          + "]<|END_ACTION|>", ("bash", {"command": CODE})),
    calls("empty arguments",
          '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "list_files", "parameters": {}}]'
          "<|END_ACTION|>", LIST),
    calls("a tool that nobody offered", '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "zap", '
          '"parameters": {}}]<|END_ACTION|>', ("zap", {})),
    calls("an answer", "<|START_RESPONSE|>Yes, it is.<|END_RESPONSE|>", content="Yes, it is."),
    calls("an answer behind a plan",
          "<|START_THINKING|>Easy.<|END_THINKING|><|START_RESPONSE|>Yes.<|END_RESPONSE|>",
          content="Yes.", reasoning="Easy."),
    draft("a draft",
          f"<|START_THINKING|>Say <|START_ACTION|>[{_R_LS}]<|END_ACTION|> or not<|END_THINKING|>No.",
          content="No.", reasoning=f"Say <|START_ACTION|>[{_R_LS}]<|END_ACTION|> or not"),
    one_of("one call allowed", f"<|START_ACTION|>[{_R_LS}, {_R_READ}]<|END_ACTION|>", LS),
    cut("cut in the value",
        '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "bash", "parameters": {"comm'),
    untooled("no tools", f"<|START_ACTION|>[{_R_LS}]<|END_ACTION|>"),
    prose("an array alone", f"[{_R_LS}]"),
    prose("json in a block", f"```json\n[{_R_LS}]\n```"),
)  # fmt: skip

_C_LS = (
    '{\n        "tool_name": "bash",\n        "parameters": {\n            "command": "ls"\n        }\n    }'
)
_C_READ = '{"tool_name": "read", "parameters": {"filePath": "a.py"}}'
_C_OWN = "```\nAction: ```json\n[]\n```"
COMMAND_R = (
    calls("one", f"Action: ```json\n[\n    {_C_LS}\n]```", LS),
    calls("fence on a line", f"Action: ```json\n[\n    {_C_LS}\n]\n```", LS),
    calls("two", f"Action: ```json\n[\n    {_C_LS},\n    {_C_READ}\n]```", LS, READ),
    calls("prose before", f"I look.\nAction: ```json\n[{_C_READ}]\n```", READ, content="I look."),
    calls("no fence at the end", f"Action: ```json\n[{_C_READ}]", READ),
    calls("end token", f"Action: ```json\n[{_C_READ}]```<|END_OF_TURN_TOKEN|>", READ),
    calls("own markup in a value", "Action: ```json\n["
          + js({"tool_name": "bash", "parameters": {"command": _C_OWN}}) + "]```",
          ("bash", {"command": _C_OWN})),
    calls("code", "Action: ```json\n[" + js({"tool_name": "bash", "parameters": {"command": CODE}}) + "]```",
          ("bash", {"command": CODE})),
    calls("empty arguments", 'Action: ```json\n[{"tool_name": "list_files", "parameters": {}}]```', LIST),
    one_of("one call allowed", f"Action: ```json\n[{_C_READ}, {_C_LS}]```", READ),
    cut("cut in the value", 'Action: ```json\n[{"tool_name": "bash", "parameters": {"comma'),
    untooled("no tools", f"Action: ```json\n[{_C_READ}]```"),
    prose("an action in words", "Action: open the door.\nAction: close it."),
    prose("data in a block", "Here is the data:\n```json\n[1, 2, 3]\n```"),
    prose("an example in a block", f"Like this:\n```json\n[{_C_READ}]\n```"),
    prose("an action in another block", "Action: ```python\nprint(1)\n```"),
)  # fmt: skip

CORPUS: dict[str, tuple[Case, ...]] = {
    "mistral_array": MISTRAL_ARRAY,
    "granite3": GRANITE3,
    "phi4_mini": PHI4_MINI,
    "nemotron_json": NEMOTRON_JSON,
    "command_r7b": COMMAND_R7B,
    "command_r": COMMAND_R,
}
