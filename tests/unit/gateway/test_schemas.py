from typing import Any

import pytest

from gateway.schemas.chat import UNSUPPORTED, parse
from services.common.errors import Reason, SwarmError

BASE: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "bash",
        "description": "runs a command",
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string", "pattern": r"^\p{L}"}},
            "required": ["command"],
        },
    },
}
CALL: dict[str, Any] = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "bash", "arguments": '{"command":"ls"}'},
}
ASKED: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [CALL]}


def with_messages(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [BASE["messages"][0], *messages]}


def tool(**function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "bash", **function}}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def json_schema(**fields: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}, **fields}}


GOOD: list[dict[str, Any]] = [
    {},
    {"stream": True, "stream_options": {"include_usage": True}},
    {"stream": False},
    {"temperature": 0, "top_p": 1, "top_k": 0, "min_p": 0.0, "seed": -5, "n": 128},
    {"temperature": 2.0, "frequency_penalty": -2, "presence_penalty": 2},
    {"max_tokens": 1, "max_completion_tokens": 2**31 - 1},
    {"logprobs": True},
    {"logprobs": False},
    {"logprobs": True, "top_logprobs": 0},
    {"logprobs": True, "top_logprobs": 20},
    {"logit_bias": {}},
    {"logit_bias": {"0": -100, "50256": 100.0, "7": 0.5}},
    {"typical_p": 0.9, "repeat_penalty": 1.1, "repeat_last_n": -1},
    {"dry_multiplier": 0.8, "dry_base": 1.75, "dry_allowed_length": 0, "dry_penalty_last_n": -1},
    {"dry_sequence_breakers": ["\n", "<|im_end|>"]},
    {"xtc_probability": 0.5, "xtc_threshold": 0.1},
    {"mirostat": 2, "mirostat_tau": 5, "mirostat_eta": 0.1, "xtc_probability": 0},
    {"stop": "x"},
    {"stop": []},
    {"stop": ["x"] * 16},
    {"user": "me", "metadata": {"a": "b"}, "safety_identifier": "x", "prompt_cache_key": "k"},
    {"swarm": {"voters": 5}},
    {"swarm": {"min_argument_logprob": -1.5}},
    {"swarm": {}},
    {"tools": []},
    {"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": False},
    {"tools": [TOOL], "tool_choice": "required"},
    {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "bash"}}},
    {"tools": [tool(strict=False), {**tool(strict=True), "function": {"name": "two", "strict": True}}]},
    {"response_format": {"type": "text"}},
    {"response_format": {"type": "json_object"}, "tools": [TOOL]},
    {"response_format": json_schema(strict=True, description="d")},
    {"response_format": json_schema(schema={"type": "array", "items": {"$ref": "#"}})},
    {"grammar": 'root ::= "yes" | "no"', "response_format": {"type": "text"}},
    {"grammar": "root ::= [a-z]+", "tools": [TOOL], "tool_choice": "none"},
    {"grammar": "", "tools": [TOOL]},
    {"tools": [tool(parameters={})]},
    {"tools": [tool(parameters={"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"})]},
    {"tools": [tool(parameters=nested(30))]},
    {"tool_choice": "none"},
    {"tool_choice": "auto"},
    with_messages(ASKED, {"role": "tool", "tool_call_id": "call_1", "content": "a.txt"}),
    with_messages({**ASKED, "content": ""}, {"role": "tool", "tool_call_id": "call_1", "content": ""}),
    with_messages({"role": "assistant", "content": "hi", "reasoning_content": "hm"}),
    with_messages({"role": "assistant", "content": None, "reasoning_content": "hm"}),
    with_messages({"role": "assistant", "content": "hi", "refusal": None, "annotations": [], "audio": None}),
    with_messages({"role": "assistant", "content": None, "tool_calls": [{**CALL, "index": 0}]}),
    with_messages({"role": "system", "content": "s", "name": "n"}, {"role": "developer", "content": "d"}),
    with_messages({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": ""}]}),
    dict.fromkeys(UNSUPPORTED),
    {key: values[0] for key, values in UNSUPPORTED.items() if values},
    dict.fromkeys(("temperature", "stop", "tools", "tool_choice", "stream", "n", "swarm", "metadata")),
]


@pytest.mark.parametrize("extra", GOOD, ids=lambda extra: ",".join(extra) or "least")
def test_good_requests_pass(extra: dict[str, Any]) -> None:
    parse({**BASE, **extra})


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model": ""}, "model"),
    ({"model": 3}, "model"),
    ({"model": None}, "model"),
    ({"messages": []}, "messages"),
    ({"messages": {}}, "messages"),
    ({"messages": ["hi"]}, "messages[0].role"),
    (with_messages({"content": "no role"}), "messages[1].role"),
    (with_messages({"role": "robot", "content": ""}), "messages[1].role"),
    (with_messages({"role": 7, "content": ""}), "messages[1].role"),
    (with_messages({"role": "user"}), "messages[1].content"),
    (with_messages({"role": "user", "content": None}), "messages[1].content"),
    (with_messages({"role": "user", "content": 5}), "messages[1].content"),
    (with_messages({"role": "user", "content": []}), "messages[1].content"),
    (with_messages({"role": "user", "content": [{"type": "text"}]}), "messages[1].content[0].text"),
    (
        with_messages({"role": "user", "content": [{"type": "text", "text": 1}]}),
        "messages[1].content[0].text",
    ),
    (with_messages({"role": "user", "content": [{"type": "x", "text": ""}]}), "messages[1].content[0].type"),
    (with_messages({"role": "user", "content": ["text"]}), "messages[1].content[0]"),
    (with_messages({"role": "assistant", "content": None}), "messages[1].content"),
    (with_messages({"role": "assistant", "content": None, "tool_calls": []}), "messages[1].content"),
    (with_messages({"role": "assistant"}), "messages[1].content"),
    (with_messages({**ASKED, "tool_calls": {}}), "messages[1].tool_calls"),
    (with_messages({**ASKED, "tool_calls": [{**CALL, "id": ""}]}), "messages[1].tool_calls[0].id"),
    (with_messages({**ASKED, "tool_calls": [{**CALL, "id": None}]}), "messages[1].tool_calls[0].id"),
    (
        with_messages({**ASKED, "tool_calls": [{**CALL, "function": {"name": "a", "arguments": {}}}]}),
        "messages[1].tool_calls[0].function.arguments",
    ),
    (with_messages({"role": "tool", "content": "x"}), "messages[1].tool_call_id"),
    (with_messages({"role": "tool", "content": "x", "tool_call_id": "call_1"}), "messages[1].tool_call_id"),
    (
        with_messages(ASKED, {"role": "tool", "content": "x", "tool_call_id": "call_2"}),
        "messages[2].tool_call_id",
    ),
    (
        with_messages({"role": "tool", "content": "x", "tool_call_id": "call_1"}, ASKED),
        "messages[1].tool_call_id",
    ),
    ({"stream": "yes"}, "stream"),
    ({"stream": 1}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": "1"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"temperature": float("inf")}, "temperature"),
    ({"top_p": 1.1}, "top_p"),
    ({"top_k": -1}, "top_k"),
    ({"top_k": 1.5}, "top_k"),
    ({"min_p": 2}, "min_p"),
    ({"frequency_penalty": 3}, "frequency_penalty"),
    ({"presence_penalty": -3}, "presence_penalty"),
    ({"logprobs": 0}, "logprobs"),
    ({"logprobs": "yes"}, "logprobs"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"logprobs": False, "top_logprobs": 2}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": 1.5}, "top_logprobs"),
    ({"logit_bias": [[1, 2]]}, "logit_bias"),
    ({"logit_bias": {"a": 2}}, "logit_bias"),
    ({"logit_bias": {"-1": 2}}, "logit_bias"),
    ({"logit_bias": {"": 2}}, "logit_bias"),
    ({"logit_bias": {"01": 2}}, "logit_bias"),
    ({"logit_bias": {"1.0": 2}}, "logit_bias"),
    ({"logit_bias": {"٣": 2}}, "logit_bias"),
    ({"logit_bias": {"9" * 5000: 2}}, "logit_bias"),
    ({"logit_bias": {str(token): 1 for token in range(10_001)}}, "logit_bias"),
    ({"logit_bias": {"1": 101}}, "logit_bias.1"),
    ({"logit_bias": {"1": None}}, "logit_bias.1"),
    ({"logit_bias": {"1": float("nan")}}, "logit_bias.1"),
    ({"typical_p": 1.1}, "typical_p"),
    ({"typical_p": float("nan")}, "typical_p"),
    ({"repeat_penalty": 0}, "repeat_penalty"),
    ({"repeat_penalty": float("inf")}, "repeat_penalty"),
    ({"repeat_last_n": -2}, "repeat_last_n"),
    ({"repeat_last_n": 2**31}, "repeat_last_n"),
    ({"dry_multiplier": -1}, "dry_multiplier"),
    ({"dry_base": 0.5}, "dry_base"),
    ({"dry_allowed_length": -1}, "dry_allowed_length"),
    ({"dry_penalty_last_n": -2}, "dry_penalty_last_n"),
    ({"dry_sequence_breakers": "x"}, "dry_sequence_breakers"),
    ({"dry_sequence_breakers": ["x"] * 33}, "dry_sequence_breakers"),
    ({"dry_sequence_breakers": ["x", ""]}, "dry_sequence_breakers[1]"),
    ({"dry_sequence_breakers": ["x" * 41]}, "dry_sequence_breakers[0]"),
    ({"xtc_probability": 1.5}, "xtc_probability"),
    ({"xtc_threshold": -0.5}, "xtc_threshold"),
    ({"mirostat": 3}, "mirostat"),
    ({"mirostat": True}, "mirostat"),
    ({"mirostat_tau": -1}, "mirostat_tau"),
    ({"mirostat_eta": 2}, "mirostat_eta"),
    ({"mirostat": 1, "xtc_probability": 0.1}, "xtc_probability"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": 2**31}, "max_tokens"),
    ({"max_tokens": 10**4000}, "max_tokens"),
    ({"max_tokens": 1.0}, "max_tokens"),
    ({"max_completion_tokens": 0}, "max_completion_tokens"),
    ({"n": 0}, "n"),
    ({"n": 129}, "n"),
    ({"n": True}, "n"),
    ({"seed": 2**63}, "seed"),
    ({"seed": "1"}, "seed"),
    ({"stop": ""}, "stop"),
    ({"stop": ["a", ""]}, "stop[1]"),
    ({"stop": ["a"] * 17}, "stop"),
    ({"stop": 5}, "stop"),
    ({"stop": [5]}, "stop[0]"),
    ({"user": 5}, "user"),
    ({"metadata": {"a": 1}}, "metadata.a"),
    ({"swarm": {"voters": 0}}, "swarm.voters"),
    ({"swarm": {"voters": 33}}, "swarm.voters"),
    ({"swarm": {"min_argument_logprob": 0.5}}, "swarm.min_argument_logprob"),
    ({"swarm": {"min_argument_logprob": "low"}}, "swarm.min_argument_logprob"),
    ({"swarm": 3}, "swarm"),
    ({"tools": {}}, "tools"),
    ({"tools": [TOOL] * 129}, "tools"),
    ({"tools": [TOOL, TOOL]}, "tools[1].function.name"),
    ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type"),
    ({"tools": [{"function": {"name": "a"}}]}, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [tool(name="")]}, "tools[0].function.name"),
    ({"tools": [tool(name="a b")]}, "tools[0].function.name"),
    ({"tools": [tool(name="a\n")]}, "tools[0].function.name"),
    ({"tools": [tool(name="a" * 65)]}, "tools[0].function.name"),
    ({"tools": [tool(parameters=[])]}, "tools[0].function.parameters"),
    ({"tools": [tool(parameters={"$schema": 5})]}, "tools[0].function.parameters"),
    ({"tools": [tool(parameters={"$schema": None, "type": "object"})]}, "tools[0].function.parameters"),
    ({"tools": [tool(parameters={"type": "array"})]}, "tools[0].function.parameters"),
    ({"tools": [tool(parameters={"type": ["object", "null"]})]}, "tools[0].function.parameters"),
    ({"tools": [tool(parameters={"type": "object", "properties": []})]}, "tools[0].function.parameters"),
    (
        {"tools": [tool(parameters={"type": "object", "properties": {"a": {"type": "strin"}}})]},
        "tools[0].function.parameters",
    ),
    ({"tools": [tool(parameters={"type": "object", "required": "a"})]}, "tools[0].function.parameters"),
    ({"tools": [tool(parameters={"default": float("inf")})]}, "tools[0].function.parameters"),
    ({"tools": [tool(parameters=nested(33))]}, "tools[0].function.parameters"),
    ({"tools": [tool(parameters={"description": "x" * 300_000})]}, "tools[0].function.parameters"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": "maybe"}, "tool_choice"),
    ({"tool_choice": 1}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice.function"),
    ({"tool_choice": {"type": "function", "function": {"name": "bash"}}}, "tool_choice"),
    (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}},
        "tool_choice.function.name",
    ),
    ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ({"tools": [tool(strict="yes")]}, "tools[0].function.strict"),
    ({"response_format": "json"}, "response_format.type"),
    ({"response_format": {}}, "response_format.type"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": json_schema(name="no blanks")}, "response_format.json_schema.name"),
    ({"response_format": json_schema(schema=None)}, "response_format.json_schema.schema"),
    ({"response_format": json_schema(schema={"type": "objec"})}, "response_format.json_schema.schema"),
    ({"response_format": json_schema(schema=nested(33))}, "response_format.json_schema.schema"),
    ({"response_format": json_schema(strict=1)}, "response_format.json_schema.strict"),
    ({"grammar": 7}, "grammar"),
    ({"grammar": "x" * 300_000}, "grammar"),
    ({"grammar": "root ::= [a-z]", "response_format": {"type": "json_object"}}, "grammar"),
    ({"grammar": "root ::= [a-z]", "tools": [TOOL]}, "grammar"),
]


@pytest.mark.parametrize(("extra", "param"), WRONG, ids=lambda value: str(value)[:60])
def test_a_wrong_field_is_named(extra: dict[str, Any], param: str) -> None:
    with pytest.raises(SwarmError) as refused:
        parse({**BASE, **extra})
    assert (refused.value.reason, refused.value.param) == (Reason.INVALID_FIELD, param)
    assert f"'{param}'" in refused.value.message or param.split(".")[-1] == "name"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"foo": 1}, "foo"),
    ({"repetition_penalty": 1.1}, "repetition_penalty"),
    ({"temprature": None}, "temprature"),
    ({"store": True}, "store"),
    ({"service_tier": "flex"}, "service_tier"),
    ({"reasoning_effort": "low"}, "reasoning_effort"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"functions": []}, "functions"),
    ({"function_call": "auto"}, "function_call"),
    ({"prediction": {}}, "prediction"),
    ({"swarm": {"judge": "tiny"}}, "swarm.judge"),
    ({"stream": True, "stream_options": {"continuous": True}}, "stream_options.continuous"),
    ({"response_format": {"type": "json_object", "schema": {}}}, "response_format.schema"),
    ({"tools": [tool(extra=1)]}, "tools[0].function.extra"),
    (with_messages({"role": "user", "content": "", "x": 1}), "messages[1].x"),
    (with_messages({"role": "function", "content": "", "name": "f"}), "messages[1].role"),
    (with_messages({"role": "assistant", "content": "", "refusal": "no"}), "messages[1].refusal"),
    (
        with_messages({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}),
        "messages[1].content[0]",
    ),
    (
        with_messages({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "input_audio"}]}),
        "messages[1].content[1]",
    ),
]


@pytest.mark.parametrize(("extra", "param"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_cannot_be_honoured_is_refused_by_name(extra: dict[str, Any], param: str) -> None:
    with pytest.raises(SwarmError) as refused:
        parse({**BASE, **extra})
    assert (refused.value.reason, refused.value.param) == (Reason.UNSUPPORTED_PARAMETER, param)
    assert f"'{param}'" in refused.value.message


@pytest.mark.parametrize("missing", ["model", "messages"])
def test_a_missing_field_is_named(missing: str) -> None:
    with pytest.raises(SwarmError) as refused:
        parse({key: value for key, value in BASE.items() if key != missing})
    assert (refused.value.reason, refused.value.param) == (Reason.INVALID_FIELD, missing)
    assert refused.value.message == f"Missing required parameter: '{missing}'."


def test_the_message_says_what_was_found() -> None:
    with pytest.raises(SwarmError) as refused:
        parse({**BASE, "temperature": 3})
    assert refused.value.message == (
        "Invalid value for 'temperature': input should be less than or equal to 2 (got 3)."
    )
