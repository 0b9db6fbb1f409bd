"""Raw values between tags, typed by the schema: Qwen3-Coder, Seed-OSS, MiniMax M2, DeepSeek V3.2, GLM."""

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
    draft,
    one_of,
    prose,
    untooled,
)


def _qwen(name: str, **values: str) -> str:
    inner = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in values.items())
    return f"<tool_call>\n<function={name}>\n{inner}</function>\n</tool_call>"


_Q_LS = "<tool_call>\n<function=bash>\n<parameter=command>\nls\n</parameter>\n</function>\n</tool_call>"
_Q_PWD = _Q_LS.replace("ls", "pwd")
_TYPES = {
    "text": "007", "count": "42", "ratio": "-1.5", "flag": "true", "data": '{"a": [1]}', "items": '["x", 2]',
    "maybe": "null", "kind": "a",
}  # fmt: skip
_TYPED = ("typed", {"text": "007", "count": 42, "ratio": -1.5, "flag": True, "data": {"a": [1]},
                    "items": ["x", 2], "maybe": None, "kind": "a"})  # fmt: skip
_WORDS = ("bash", {"command": "true"})

QWEN3_CODER_XML = (
    calls("one", _Q_LS, LS),
    calls("prose before", f"I look.\n\n{_Q_LS}", LS, content="I look."),
    calls("prose after", f"{_Q_LS}\nDone.", LS, content="Done."),
    calls("two", f"{_Q_LS}\n{_Q_PWD}", LS, PWD),
    calls("two functions in one block",
          "<tool_call>\n<function=bash>\n<parameter=command>\nls\n</parameter>\n"
          "</function>\n<function=read>\n<parameter=filePath>\na.py\n</parameter>\n</function>\n</tool_call>",
          LS, READ),
    calls("no outer opener",
          "<function=bash>\n<parameter=command>\nls\n</parameter>\n</function>\n</tool_call>",
          LS),
    calls("no outer tags", "<function=bash>\n<parameter=command>\nls\n</parameter>\n</function>", LS),
    calls("no outer closer", _Q_LS.removesuffix("\n</tool_call>"), LS),
    calls("no function closer", _Q_LS.replace("</function>\n", ""), LS),
    calls("closer twice", _Q_LS + "\n</tool_call>", LS),
    calls("tight", "<tool_call><function=bash><parameter=command>ls</parameter></function></tool_call>", LS),
    calls("no arguments", "<tool_call>\n<function=list_files>\n</function>\n</tool_call>", LIST),
    calls("code", _qwen("bash", command=CODE), ("bash", {"command": CODE})),
    calls("a page of html", _qwen("bash", command=SCRIPT), ("bash", {"command": SCRIPT})),
    calls("unicode", _qwen("bash", command=UNICODE), ("bash", {"command": UNICODE})),
    calls("entities stay", _qwen("bash", command="a &lt; b &amp;&amp; c"),
          ("bash", {"command": "a &lt; b &amp;&amp; c"})),
    calls("the closer in a line of the value", _qwen("bash", command="echo '</parameter>' done"),
          ("bash", {"command": "echo '</parameter>' done"})),
    calls("the closer on a line of its own, and more", _qwen("bash", command="a\n</parameter>\nb"),
          ("bash", {"command": "a\n</parameter>\nb"})),
    calls("outer closers in the value", _qwen("bash", command="x </function></tool_call> y"),
          ("bash", {"command": "x </function></tool_call> y"})),
    calls("an opener in the value", _qwen("bash", command="<tool_call>\n<function=rm>"),
          ("bash", {"command": "<tool_call>\n<function=rm>"})),
    calls("newlines at the edges", _qwen("bash", command="\n\nls\n"), ("bash", {"command": "\n\nls\n"})),
    calls("blanks at the edges", _qwen("bash", command="  ls\t"), ("bash", {"command": "  ls\t"})),
    calls("empty value", _qwen("bash", command=""), ("bash", {"command": ""})),
    calls("only a newline", _qwen("bash", command="\n"), ("bash", {"command": "\n"})),
    calls("types by the schema", _qwen("typed", **_TYPES), _TYPED),
    calls("a word that is a type elsewhere", _qwen("bash", command="true"), _WORDS),
    calls("a number as text", _qwen("bash", command="007"), ("bash", {"command": "007"})),
    calls("json as text", _qwen("write", content='{"a": 1}\n', filePath="a.json"),
          ("write", {"content": '{"a": 1}\n', "filePath": "a.json"})),
    calls("parameters in another order", _qwen("write", filePath="a", content="b"),
          ("write", {"filePath": "a", "content": "b"})),
    calls("a value that does not fit stays text", _qwen("typed", count="many"), ("typed", {"count": "many"})),
    calls("a list over lines", _qwen("todowrite", todos='[\n  {"content": "a", "done": false}\n]'),
          ("todowrite", {"todos": [{"content": "a", "done": False}]})),
    calls("a tool that nobody offered", _qwen("zap", x="1"), ("zap", {"x": "1"})),
    calls("another case", _qwen("Bash", command="ls"), LS),
    calls("end token", _Q_LS + "<|im_end|>", LS),
    calls("behind reasoning", f"<think>\nhm\n</think>\n\n{_Q_LS}", LS, reasoning="hm"),
    draft("a draft", f"Say {_Q_LS}\n</think>\n\nNo.", content="No.", reasoning=f"Say {_Q_LS}",
          prompt_tail="<think>\n"),
    Case("in reasoning that is never closed", f"hm\n{_Q_LS}", (LS,), reasoning="hm", prompt_tail="<think>\n"),
    one_of("one call allowed", f"{_Q_LS}\n{_Q_PWD}", LS),
    cut("cut in the value", "<tool_call>\n<function=bash>\n<parameter=command>\nrm -r"),
    cut("cut behind a parameter", "<tool_call>\n<function=bash>\n<parameter=command>\nrm\n</parameter>\n"),
    cut("cut in the closer", "<tool_call>\n<function=bash>\n<parameter=command>\nrm\n</param"),
    cut("cut in the name", "<tool_call>\n<function=ba"),
    untooled("no tools", f"So:\n{_Q_LS}\n"),
    prose("tags in a sentence",
          "It writes <function=name>, <parameter=key> and </parameter> inside <tool_call>."),
    prose("closers alone", "</function>\n</tool_call>"),
    prose("html", "<form><parameter name='x'></form>"),
    prose("json between the tags", '<tool_call>\n{"name": "bash", "arguments": {}}\n</tool_call>'),
)  # fmt: skip


def _seed(name: str, **values: str) -> str:
    inner = "".join(f"<parameter={key}>{value}</parameter>\n" for key, value in values.items())
    return f"<seed:tool_call>\n<function={name}>\n{inner}</function>\n</seed:tool_call>"


_S_LS = _seed("bash", command="ls")
SEED_OSS = (
    calls("one", _S_LS, LS),
    calls("values on lines", _S_LS.replace(">ls<", ">\nls\n<"), LS),
    calls("prose before", f"I look.\n{_S_LS}", LS, content="I look."),
    calls("two", f"{_S_LS}\n{_seed('read', filePath='a.py')}", LS, READ),
    calls("no outer closer", _S_LS.removesuffix("\n</seed:tool_call>"), LS),
    calls("no arguments", _seed("list_files"), LIST),
    calls("end token", _S_LS + "<seed:eos>", LS),
    calls("types by the schema", _seed("typed", **_TYPES), _TYPED),
    calls("own closers in a value", _seed("bash", command="a </parameter> b </seed:tool_call> c"),
          ("bash", {"command": "a </parameter> b </seed:tool_call> c"})),
    calls("code", _seed("bash", command=CODE + "#"), ("bash", {"command": CODE + "#"})),
    calls("unicode", _seed("bash", command=UNICODE), ("bash", {"command": UNICODE})),
    calls("a tool that nobody offered", _seed("zap", x="1"), ("zap", {"x": "1"})),
    calls("behind reasoning", f"<seed:think>hm</seed:think>{_S_LS}", LS, reasoning="hm"),
    draft("a draft", f"<seed:think>Say {_S_LS} or not</seed:think>No.", content="No.",
          reasoning=f"Say {_S_LS} or not"),
    one_of("one call allowed", f"{_S_LS}\n{_S_LS}", LS),
    cut("cut in the value", "<seed:tool_call>\n<function=bash>\n<parameter=command>rm"),
    untooled("no tools", _S_LS),
    prose("tags in a sentence", "The tag is <seed:tool_call>, closed by </seed:tool_call>."),
    prose("another tag", "<seed:tool> and <seed:other> are none"),
)  # fmt: skip


def _m2(name: str, **values: str) -> str:
    inner = "".join(f'<parameter name="{key}">{value}</parameter>\n' for key, value in values.items())
    return f'<invoke name="{name}">\n{inner}</invoke>\n'


def _m2_block(*invokes: str) -> str:
    return f"<minimax:tool_call>\n{''.join(invokes)}</minimax:tool_call>"


_M_LS = _m2_block(_m2("bash", command="ls"))
MINIMAX_M2 = (
    calls("one", _M_LS, LS),
    calls("prose before", f"I look.\n{_M_LS}", LS, content="I look."),
    calls("prose after", f"{_M_LS}\nSo.", LS, content="So."),
    calls("two in one block", _m2_block(_m2("bash", command="ls"), _m2("read", filePath="a.py")), LS, READ),
    calls("two blocks", f"{_M_LS}\n{_m2_block(_m2('bash', command='pwd'))}", LS, PWD),
    calls("values on lines", _M_LS.replace(">ls<", ">\nls\n<"), LS),
    calls("no outer closer", _M_LS.removesuffix("</minimax:tool_call>"), LS),
    calls("no arguments", _m2_block(_m2("list_files")), LIST),
    calls("end token", _M_LS + "[e~[", LS),
    calls("types by the schema", _m2_block(_m2("typed", **_TYPES)), _TYPED),
    calls("own closers in a value", _m2_block(_m2("bash", command="a </parameter> b </invoke> c")),
          ("bash", {"command": "a </parameter> b </invoke> c"})),
    calls("code", _m2_block(_m2("bash", command=CODE + "#")), ("bash", {"command": CODE + "#"})),
    calls("unicode", _m2_block(_m2("bash", command=UNICODE)), ("bash", {"command": UNICODE})),
    calls("a tool that nobody offered", _m2_block(_m2("zap", x="1")), ("zap", {"x": "1"})),
    calls("another case", _m2_block(_m2("READ", filePath="a.py")), READ),
    Case("behind reasoning that the prompt opened", f"hm\n</think>\n\n{_M_LS}", (LS,), reasoning="hm",
         prompt_tail="]~b]ai\n<think>\n"),
    draft("a draft", f"<think>Say {_M_LS} or not</think>No.", content="No.", reasoning=f"Say {_M_LS} or not"),
    one_of("one call allowed", _m2_block(_m2("bash", command="ls"), _m2("bash", command="rm")), LS),
    cut("cut in the value", '<minimax:tool_call>\n<invoke name="bash">\n<parameter name="command">rm'),
    cut("cut in the second", _M_LS.removesuffix("</minimax:tool_call>") + '<invoke name="re', LS),
    untooled("no tools", _M_LS),
    prose("tags in a sentence", "The tag is <minimax:tool_call>, closed by </minimax:tool_call>."),
    prose("an html parameter", '<object><param name="command">ls</param></object>'),
)  # fmt: skip


def _dsml(name: str, *parameters: tuple[str, str, str]) -> str:
    inner = "".join(
        f'<｜DSML｜parameter name="{key}" string="{text}">{value}</｜DSML｜parameter>\n'
        for key, text, value in parameters
    )
    return f'<｜DSML｜invoke name="{name}">\n{inner}</｜DSML｜invoke>\n'


def _dsml_block(*invokes: str) -> str:
    return f"<｜DSML｜function_calls>\n{''.join(invokes)}</｜DSML｜function_calls>"


_D_LS = _dsml_block(_dsml("bash", ("command", "true", "ls")))
DEEPSEEK_DSML = (
    calls("one", _D_LS, LS),
    calls("prose before", f"I look.\n\n{_D_LS}", LS, content="I look."),
    calls("two in one block", _dsml_block(_dsml("bash", ("command", "true", "ls")),
                                          _dsml("read", ("filePath", "true", "a.py"))), LS, READ),
    calls("the later section tag", _D_LS.replace("function_calls", "tool_calls"), LS),
    calls("no outer closer", _D_LS.removesuffix("</｜DSML｜function_calls>"), LS),
    calls("no arguments", _dsml_block(_dsml("list_files")), LIST),
    calls("end token", _D_LS + "<｜end▁of▁sentence｜>", LS),
    calls("texts and others", _dsml_block(_dsml("typed", ("text", "true", "007"), ("count", "false", "42"),
                                                ("flag", "false", "true"), ("items", "false", '["x", 2]'))),
          ("typed", {"text": "007", "count": 42, "flag": True, "items": ["x", 2]})),
    calls("own closers in a value",
          _dsml_block(_dsml("bash", ("command", "true", "a </｜DSML｜parameter> b"))),
          ("bash", {"command": "a </｜DSML｜parameter> b"})),
    calls("code",
          _dsml_block(_dsml("bash", ("command", "true", CODE + "#"))), ("bash", {"command": CODE + "#"})),
    calls("unicode",
          _dsml_block(_dsml("bash", ("command", "true", UNICODE))), ("bash", {"command": UNICODE})),
    calls("a tool that nobody offered", _dsml_block(_dsml("zap", ("x", "true", "1"))), ("zap", {"x": "1"})),
    Case("behind reasoning",
         f"hm</think>\n\n{_D_LS}", (LS,), reasoning="hm", prompt_tail="<｜Assistant｜><think>"),
    draft("a draft", f"<think>Say {_D_LS} or not</think>No.", content="No.", reasoning=f"Say {_D_LS} or not"),
    one_of("one call allowed",
           _dsml_block(_dsml("bash", ("command", "true", "ls")), _dsml("list_files")), LS),
    cut("cut in the value", '<｜DSML｜function_calls>\n<｜DSML｜invoke name="bash">\n<｜DSML｜parameter '
        'name="command" string="true">rm'),
    untooled("no tools", _D_LS),
    prose("a word", "DSML is a markup: ｜DSML｜ stands in its tags."),
)  # fmt: skip


def _glm(name: str, **values: str) -> str:
    inner = "".join(
        f"<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n" for key, value in values.items()
    )
    return f"<tool_call>{name}\n{inner}</tool_call>"


_L_LS = _glm("bash", command="ls")
_L_TIGHT = "<tool_call>bash<arg_key>command</arg_key><arg_value>ls</arg_value></tool_call>"
GLM4 = (
    calls("one", _L_LS, LS),
    calls("one, tight", _L_TIGHT, LS),
    calls("prose before", f"I look.\n{_L_LS}", LS, content="I look."),
    calls("prose after", f"{_L_LS}\nSo.", LS, content="So."),
    calls("two", f"{_L_LS}\n{_glm('read', filePath='a.py')}", LS, READ),
    calls("two, tight", _L_TIGHT + _L_TIGHT.replace("ls", "pwd"), LS, PWD),
    calls("no closer", _L_LS.removesuffix("</tool_call>"), LS),
    calls("closer twice", _L_LS + "</tool_call>", LS),
    calls("no arguments", "<tool_call>list_files\n</tool_call>", LIST),
    calls("no arguments, tight", "<tool_call>list_files</tool_call>", LIST),
    calls("types by the schema", _glm("typed", **_TYPES), _TYPED),
    calls("own closers in a value", _glm("bash", command="a </arg_value> b </tool_call> c"),
          ("bash", {"command": "a </arg_value> b </tool_call> c"})),
    calls("code", _glm("bash", command=CODE + "#"), ("bash", {"command": CODE + "#"})),
    calls("html", _glm("bash", command=SCRIPT), ("bash", {"command": SCRIPT})),
    calls("unicode", _glm("bash", command=UNICODE), ("bash", {"command": UNICODE})),
    calls("a name with a dash", _glm("get-weather", city="Köln", days="3"),
          ("get-weather", {"city": "Köln", "days": 3})),
    calls("a tool that nobody offered", _glm("zap", x="1"), ("zap", {"x": "1"})),
    calls("another case", _glm("Bash", command="ls"), LS),
    calls("end token", _L_LS + "<|observation|>", LS),
    calls("behind reasoning", f"\n<think>hm</think>\n{_L_LS}", LS, reasoning="hm"),
    draft("a draft",
          f"<think>Say {_L_LS} or not</think>\nNo.", content="No.", reasoning=f"Say {_L_LS} or not"),
    one_of("one call allowed", f"{_L_LS}\n{_L_LS}", LS),
    cut("cut in the value", "<tool_call>bash\n<arg_key>command</arg_key>\n<arg_value>rm"),
    cut("cut in the name", "<tool_call>ba"),
    cut("cut behind a value", "<tool_call>bash\n<arg_key>command</arg_key>\n<arg_value>rm</arg_value>\n"),
    untooled("no tools", f"{_L_LS}\n"),
    prose("tags in a sentence", "The model writes <tool_call> before a call, and <arg_key> before a key."),
)  # fmt: skip

CORPUS: dict[str, tuple[Case, ...]] = {
    "qwen3_coder_xml": QWEN3_CODER_XML,
    "seed_oss": SEED_OSS,
    "minimax_m2": MINIMAX_M2,
    "deepseek_dsml": DEEPSEEK_DSML,
    "glm4": GLM4,
}
