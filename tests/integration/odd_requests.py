"""Chat requests with odd values in every field, as hypothesis draws them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from swarm.common.v1 import chat_pb2
from swarm.inference.v1 import inference_pb2 as pb

# Characters, and tokens: much of the context, and it still fits.
LONG = 200
MOST_CANDIDATES = 128
# Tokens of an answer, so that an example takes milliseconds.
SHORT = 6
_INT32 = 2**31 - 1
_INT64 = 2**63 - 1

_odd_text = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "\0",
            "a\0b",
            "\r\n",
            "\ufeff",
            "\u202e\u0301",
            "\U0010ffff",
            "<|im_start|>system\n",
            "<|im_end|>",
            "<|endoftext|>",
            "<tool_call>",
            "</tool_call>",
            "<think>",
            "{{ messages }}",
            "{% raw %}",
            "None",
            "../../etc/passwd",
            "%s%n",
            "x" * LONG,
            "\u00e9" * LONG,
        ]
    ),
    st.text(max_size=12),
)
_odd_floats = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 1e-38, 1e-9, 0.5, 100.0, 1e38, 1e308, -1e308]),
    st.sampled_from([float("nan"), float("inf"), float("-inf")]),
    st.floats(),
)
_odd_int32 = st.one_of(
    st.sampled_from([0, 1, -1, 2, 3, 255, 65_536, _INT32 - 1, _INT32, -_INT32, -_INT32 - 1]),
    st.integers(-_INT32 - 1, _INT32),
)


def _mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One in twenty is odd: the first that is refused ends the matter."""
    return st.integers(0, 19).flatmap(lambda draw: odd if draw == 19 else usual)


_odd_objects = st.sampled_from(
    [
        "",
        "{}",
        '{"required": 7}',
        '{"required": "path"}',
        '{"required": ["path"], "properties": 3}',
        '{"properties": {"path": null, "": [], "x": {"type": ["string", 7, null]}}}',
        '{"properties": {"path": {"$ref": "#"}}}',
        '{"properties": {"path": {"$ref": "#/properties/path"}}}',
        '{"properties": {"path": {"anyOf": 1, "enum": {}, "type": {}}}}',
        '{"properties": {"path": {"enum": [null, 1e999, "\\u0000"]}}, "required": [null, {}, "path"]}',
        '{"$defs": {"a": {"$ref": "#/$defs/a"}}, "properties": {"p": {"$ref": "#/$defs/a"}}}',
        '{"properties": {"p": {"pattern": "(a+)+$", "minLength": -1, "maxItems": 1e308}}}',
        '{"type": "object", "type": "array"}',
        '{"a": "\\ud800"}',
        '{"a":' * 200 + "1" + "}" * 200,
    ]
)
_no_objects = st.one_of(
    _odd_text,
    st.sampled_from(
        [
            "{",
            "[]",
            "null",
            "7",
            '"text"',
            "NaN",
            '{"type": NaN}',
            "1" * 5_000,
            "[" * 100_000,
            '{"a": Infinity}',
        ]
    ),
)

_odd_json = _mostly(_odd_objects, _no_objects)

_calls = st.builds(chat_pb2.ToolCall, id=_odd_text, name=_odd_text, arguments_json=_odd_json)

_roles = _mostly(st.integers(1, 4), _odd_int32)
_messages = st.lists(
    st.builds(
        chat_pb2.Message,
        role=_roles,
        content=_odd_text,
        reasoning_content=_odd_text,
        tool_calls=st.lists(_calls, max_size=2),
        tool_call_id=_odd_text,
        name=_odd_text,
    ),
    max_size=4,
)
_tools = st.lists(
    st.builds(
        chat_pb2.Tool,
        name=_mostly(st.just("read"), _odd_text),
        description=_odd_text,
        parameters_json=_odd_json,
    ),
    max_size=3,
)
_choices = st.builds(
    chat_pb2.ToolChoice,
    mode=_mostly(st.integers(0, 4), _odd_int32),
    name=_mostly(st.just("read"), _odd_text),
)

# Within what is allowed, the values at which code breaks. None: the field is absent.
_EXTREMES: dict[str, tuple[Any, ...]] = {
    "temperature": (0.0, 5e-324, 1e-9, 1e-3, 1.0, 2.0),
    "top_p": (0.0, 5e-324, 1e-9, 0.5, 1.0),
    "top_k": (0, 1, 2, 263, 264, _INT32),
    "min_p": (0.0, 5e-324, 0.5, 1.0),
    "typical_p": (0.0, 5e-324, 0.5, 1.0),
    "frequency_penalty": (-2.0, 0.0, 5e-324, 2.0),
    "presence_penalty": (-2.0, 0.0, 5e-324, 2.0),
    "seed": (0, 1, -1, _INT32, 2**32 - 1, 2**32, _INT64, -_INT64 - 1),
    "repeat_penalty": (0.01, 1.0, 100.0),
    "repeat_last_n": (-1, 0, 1, _INT32),
    "dry_multiplier": (0.0, 5e-324, 1.0, 100.0),
    "dry_base": (1.0, 1.75, 100.0),
    "dry_allowed_length": (0, 1, _INT32),
    "dry_penalty_last_n": (-1, 0, 1, _INT32),
    "xtc_probability": (0.0, 5e-324, 0.5, 1.0),
    "xtc_threshold": (0.0, 5e-324, 0.5, 1.0),
    "mirostat_tau": (0.0, 5e-324, 5.0, 100.0),
    "mirostat_eta": (0.0, 5e-324, 1.0),
    "top_logprobs": (0, 1, 20),
}
_FLOATS = (
    "temperature",
    "top_p",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "typical_p",
    "repeat_penalty",
    "dry_multiplier",
    "dry_base",
    "xtc_probability",
    "xtc_threshold",
    "mirostat_tau",
    "mirostat_eta",
)
_INTEGERS = (
    "top_k",
    "max_tokens",
    "repeat_last_n",
    "dry_allowed_length",
    "dry_penalty_last_n",
    "mirostat",
    "top_logprobs",
)
_ODD_SAMPLING: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(_FLOATS, _odd_floats),
    **dict.fromkeys(_INTEGERS, _odd_int32),
    "seed": st.integers(-_INT64 - 1, _INT64),
    "stop": st.lists(_odd_text, max_size=18),
    "dry_sequence_breakers": st.lists(_odd_text, max_size=34),
    "logit_bias": st.dictionaries(
        st.one_of(st.integers(0, 262), _odd_int32),
        st.floats(width=32),
        max_size=5,
    ),
}
_ODD_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "model": _odd_text,
    "messages": _messages,
    "tools": _tools,
    "tool_choice": _choices,
    "parallel_tool_calls": st.booleans(),
    "candidates": _odd_int32,
    "session_id": _odd_text,
    "parent_session_id": _odd_text,
}


def plain(text: str = "hello", **sampling: Any) -> pb.ChatRequest:
    """A request with nothing odd in it, greedy and short unless told otherwise."""
    return pb.ChatRequest(
        messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER, content=text)],
        candidates=1,
        sampling=pb.Sampling(**{"temperature": 0.0, "max_tokens": SHORT, **sampling}),
    )


@st.composite
def odd(draw: st.DrawFn) -> pb.ChatRequest:
    """Up to four fields hold anything that the wire can carry."""
    names = [*_ODD_FIELDS, *_ODD_SAMPLING]
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True))
    fields = {name: draw(_ODD_FIELDS[name]) for name in chosen if name in _ODD_FIELDS}
    sampling = {name: draw(_ODD_SAMPLING[name]) for name in chosen if name in _ODD_SAMPLING}
    request = plain(**sampling)
    for name in fields:
        request.ClearField(name)
    request.MergeFrom(pb.ChatRequest(**fields))
    if request.candidates > 4:
        # Bounded work: this many answers up to the end of the context would take seconds.
        request.sampling.max_tokens = 2
    return request


@st.composite
def conversation(draw: st.DrawFn) -> pb.ChatRequest:
    """Odd messages, tools and choices; how it is sampled is plain, so that they are reached."""
    request = plain()
    request.ClearField("messages")
    request.messages.extend(draw(_messages))
    if draw(st.booleans()):
        request.messages.append(plain().messages[0])
    request.tools.extend(draw(_tools))
    request.tool_choice.CopyFrom(draw(_choices))
    request.parallel_tool_calls = draw(st.booleans())
    request.candidates = draw(st.integers(1, 3))
    return request


@st.composite
def extreme(draw: st.DrawFn) -> pb.ChatRequest:
    """Everything is allowed, and as near to its bounds as can be: there must be an answer."""
    chosen = draw(st.lists(st.sampled_from(list(_EXTREMES)), unique=True))
    sampling = {name: draw(st.sampled_from(_EXTREMES[name])) for name in chosen}
    if not sampling.get("xtc_probability"):
        sampling["mirostat"] = draw(st.sampled_from((0, 1, 2)))
    bias = draw(
        st.dictionaries(st.integers(0, 262), st.sampled_from((-100.0, -0.0, 1e-45, 100.0)), max_size=5)
    )
    breakers = st.sampled_from(("\n", "a", "\0", "\u00e9" * 20, "<|im_end|>"))
    stops = st.text(min_size=1, max_size=3)
    request = plain(
        draw(st.text(max_size=40)),
        logit_bias=bias,
        stop=draw(st.lists(stops, max_size=16)),
        dry_sequence_breakers=draw(st.lists(breakers, max_size=32)),
        **sampling,
    )
    request.candidates = draw(st.sampled_from((1, 1, 2, 5, 20)))
    request.session_id = draw(_odd_text)
    request.parent_session_id = draw(st.one_of(st.just(""), _odd_text))
    return request
