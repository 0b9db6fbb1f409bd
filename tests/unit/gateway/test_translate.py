import json
from typing import Any

import pytest

from gateway.schemas.chat import parse
from gateway.translate import decide_request
from services.common.chat import (
    Message,
    ResponseFormat,
    ResponseKind,
    Role,
    Sampling,
    ToolCall,
    ToolChoice,
    ToolChoiceMode,
)
from services.common.chat_proto import request_from_proto
from services.common.errors import SwarmError
from swarm.consensus.v1 import consensus_pb2 as pb

BASE: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}
PARAMETERS = {"type": "object", "properties": {"größe": {"type": "number", "default": 1.5}}}
TOOL = {"type": "function", "function": {"name": "bash", "description": "runs", "parameters": PARAMETERS}}


def translated(
    extra: dict[str, Any], headers: dict[str, str] | None = None, most: int = 16
) -> pb.DecideRequest:
    return decide_request(parse({**BASE, **extra}), headers or {}, most)


def test_what_is_left_out_stays_unsaid() -> None:
    asked = translated({})
    chat = request_from_proto(asked.chat)
    assert (asked.choices, asked.voters, asked.agent) == (1, 0, False)
    assert chat.sampling == Sampling()
    assert chat.tool_choice == ToolChoice()
    assert chat.parallel_tool_calls
    assert (chat.session_id, chat.parent_session_id, chat.tools) == ("", "", ())


def test_every_sampling_parameter_arrives() -> None:
    given: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 7,
        "min_p": 0.1,
        "frequency_penalty": 0.25,
        "presence_penalty": -0.5,
        "seed": -9,
        "max_tokens": 5,
        "stop": ["a", "b"],
        "typical_p": 0.75,
        "repeat_penalty": 1.125,
        "repeat_last_n": -1,
        "dry_multiplier": 0.5,
        "dry_base": 2.0,
        "dry_allowed_length": 3,
        "dry_penalty_last_n": 99,
        "dry_sequence_breakers": ["\n", "é"],
        "xtc_probability": 0.5,
        "xtc_threshold": 0.25,
        "mirostat_tau": 4.0,
        "mirostat_eta": 0.5,
        "logit_bias": {"7": -100, "0": 1.5},
        "logprobs": True,
        "top_logprobs": 4,
    }
    chat = request_from_proto(translated(given).chat)
    del given["logprobs"]
    lists = {
        "stop": ("a", "b"),
        "dry_sequence_breakers": ("\n", "é"),
        "logit_bias": ((0, 1.5), (7, -100.0)),
    }
    assert chat.sampling == Sampling(**{**given, **lists})
    assert request_from_proto(translated({"mirostat": 2}).chat).sampling == Sampling(mirostat=2)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [({"logprobs": True}, 0), ({"logprobs": True, "top_logprobs": 3}, 3), ({"logprobs": False}, None)],
)
def test_log_probabilities_are_told_when_they_are_asked_for(given: Any, wanted: int | None) -> None:
    assert request_from_proto(translated(given).chat).sampling.top_logprobs == wanted


def test_zero_is_not_taken_for_nothing() -> None:
    chat = request_from_proto(translated({"temperature": 0, "seed": 0, "top_k": 0, "top_p": 0}).chat)
    assert chat.sampling == Sampling(temperature=0.0, seed=0, top_k=0, top_p=0.0)


def test_max_completion_tokens_wins() -> None:
    chat = request_from_proto(translated({"max_tokens": 5, "max_completion_tokens": 9}).chat)
    assert chat.sampling.max_tokens == 9


def test_one_stop_string_is_a_list_of_one() -> None:
    assert request_from_proto(translated({"stop": "ab"}).chat).sampling.stop == ("ab",)


def test_messages_keep_all_that_they_say() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "bash", "arguments": '{"a": 1}'}}
    messages = [
        {"role": "system", "content": "s"},
        {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": "u", "name": "me"},
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call]},
        {"role": "tool", "content": "t\0", "tool_call_id": "call_1"},
    ]
    assert request_from_proto(translated({"messages": messages}).chat).messages == (
        Message(Role.SYSTEM, "s"),
        Message(Role.SYSTEM, "a\nb"),
        Message(Role.USER, "u", name="me"),
        Message(Role.ASSISTANT, "", "hm", (ToolCall("call_1", "bash", '{"a": 1}'),)),
        Message(Role.TOOL, "t\0", tool_call_id="call_1"),
    )


def test_tools_carry_their_schema_as_json_text() -> None:
    chat = request_from_proto(
        translated({"tools": [TOOL, {"type": "function", "function": {"name": "bare"}}]}).chat
    )
    assert [(tool.name, tool.description) for tool in chat.tools] == [("bash", "runs"), ("bare", "")]
    assert json.loads(chat.tools[0].parameters_json) == PARAMETERS
    assert chat.tools[1].parameters_json == ""


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("auto", ToolChoice(ToolChoiceMode.AUTO)),
        ("none", ToolChoice(ToolChoiceMode.NONE)),
        ("required", ToolChoice(ToolChoiceMode.REQUIRED)),
        ({"type": "function", "function": {"name": "bash"}}, ToolChoice(ToolChoiceMode.NAMED, "bash")),
    ],
)
def test_tool_choice(given: Any, wanted: ToolChoice) -> None:
    assert request_from_proto(translated({"tools": [TOOL], "tool_choice": given}).chat).tool_choice == wanted


def test_parallel_calls_can_be_forbidden() -> None:
    assert not request_from_proto(translated({"parallel_tool_calls": False}).chat).parallel_tool_calls


def test_choices_voters_and_agent() -> None:
    asked = translated({"model": "local-swarm-agent", "n": 4, "swarm": {"voters": 5}})
    assert (asked.chat.model, asked.choices, asked.voters, asked.agent) == ("local-swarm-agent", 4, 5, True)


def test_how_sure_calls_must_be_is_asked_for_only_if_the_client_does() -> None:
    assert translated({"swarm": {"min_argument_logprob": 0.0}}).min_argument_logprob == 0.0
    for asked in ({}, {"swarm": {"voters": 5}}):
        assert not translated(asked).HasField("min_argument_logprob")


def test_more_choices_than_there_are_slots_are_refused() -> None:
    assert translated({"n": 2}, most=2).choices == 2
    with pytest.raises(SwarmError) as refused:
        translated({"n": 3}, most=2)
    assert refused.value.param == "n"


@pytest.mark.parametrize(
    ("headers", "extra", "wanted"),
    [
        ({}, {}, ("", "")),
        ({"x-session-id": "s1"}, {}, ("s1", "")),
        ({"x-session-affinity": "s2"}, {}, ("s2", "")),
        ({"x-session-id": "s1", "x-session-affinity": "s2", "x-parent-session-id": "p"}, {}, ("s2", "p")),
        ({}, {"prompt_cache_key": "k"}, ("k", "")),
        ({"x-session-id": "s1"}, {"prompt_cache_key": "k"}, ("s1", "")),
    ],
)
def test_sessions(headers: dict[str, str], extra: dict[str, Any], wanted: tuple[str, str]) -> None:
    chat = translated(extra, headers).chat
    assert (chat.session_id, chat.parent_session_id) == wanted


@pytest.mark.parametrize("value", ["a b", "ü", "x" * 257])
def test_an_odd_session_header_is_named(value: str) -> None:
    with pytest.raises(SwarmError) as refused:
        translated({}, {"x-session-id": value})
    assert refused.value.param == "x-session-id"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, ResponseFormat()),
        ({"response_format": {"type": "text"}}, ResponseFormat()),
        ({"response_format": {"type": "json_object"}}, ResponseFormat(ResponseKind.JSON_OBJECT)),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": PARAMETERS}}},
            ResponseFormat(
                ResponseKind.JSON_SCHEMA,
                '{"type":"object","properties":{"größe":{"type":"number","default":1.5}}}',
            ),
        ),
        ({"grammar": 'root ::= "a"'}, ResponseFormat(ResponseKind.GBNF, grammar='root ::= "a"')),
        (
            {"grammar": '%llguidance {}\nstart: "a"'},
            ResponseFormat(ResponseKind.LARK, grammar='%llguidance {}\nstart: "a"'),
        ),
        ({"grammar": ""}, ResponseFormat()),
    ],
)
def test_what_the_answer_must_be_arrives(given: dict[str, Any], wanted: ResponseFormat) -> None:
    assert request_from_proto(translated(given).chat).response_format == wanted


def test_strict_tools_arrive_as_such() -> None:
    strict = {"type": "function", "function": {**TOOL["function"], "name": "strict", "strict": True}}
    chat = request_from_proto(translated({"tools": [TOOL, strict]}).chat)
    assert [tool.strict for tool in chat.tools] == [False, True]


def test_the_body_says_how_to_decide_and_wins_over_the_header() -> None:
    chosen = {"swarm": {"strategy": "mbr", "voters": 5, "early_stop": "beta_95"}}
    header = {"x-swarm-strategy": " majority "}
    asked = translated(chosen, header)
    assert (asked.strategy, asked.voters, asked.early_stop) == ("mbr", 5, "beta_95")
    assert translated({}, header).strategy == "majority"
    assert translated({"swarm": {"voters": 5}}, header).strategy == "majority"
    assert translated({"swarm": {"strategy": ""}}, header).strategy == ""
    assert translated({}).strategy == translated({}).early_stop == ""
