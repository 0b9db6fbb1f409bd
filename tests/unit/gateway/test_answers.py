"""Events to answers: by example, then by random event sequences, cut off anywhere."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion as ChatCompletionOfOpenAI
from openai.types.chat import ChatCompletionChunk

from gateway.schemas.answers import ChatCompletion
from services.common.errors import Reason, SwarmError
from swarm.consensus.v1 import consensus_pb2 as pb
from tests.fakes.consensus import (
    accepted,
    arguments,
    ballots,
    chat,
    content,
    ended,
    finished,
    heartbeat,
    logprobs,
    reasoning,
    started,
    usage,
    words,
)
from tests.unit.gateway.streams import data_of, folded, streamed, whole

FINISHES = {"stop", "length", "tool_calls"}
CALLING = [
    accepted(),
    started("call_1", "bash"),
    arguments('{"command":'),
    arguments('"ls"}'),
    ended(),
    started("call_2", "read", index=1),
    arguments("{}", index=1),
    ended(index=1),
    finished("tool_calls"),
    ballots(),
    usage(completion=9, cached=4, thinking=2),
]


def test_words_stream_in_order_between_role_and_finish() -> None:
    chunks = data_of(streamed(words("Hello", " there")))
    assert chunks[-1] == "[DONE]"
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-2]]
    assert deltas == [{"role": "assistant", "content": ""}, {"content": "Hello"}, {"content": " there"}, {}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-2]] == [None, None, None, "stop"]
    assert len({chunk["id"] for chunk in chunks[:-1]}) == 1
    assert all(chunk["model"] == "tiny" and chunk["created"] > 0 for chunk in chunks[:-1])


def test_usage_comes_last_with_empty_choices() -> None:
    chunk = data_of(streamed(CALLING))[-2]
    assert chunk["choices"] == []
    assert chunk["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 9,
        "total_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }


def test_calls_begin_with_index_id_and_name() -> None:
    chunks = data_of(streamed(CALLING))
    first = chunks[1]["choices"][0]["delta"]
    assert first == {
        "tool_calls": [
            {"index": 0, "id": "call_1", "type": "function", "function": {"name": "bash", "arguments": ""}}
        ]
    }
    assert folded(chunks)[0]["calls"] == {
        0: {"id": "call_1", "name": "bash", "args": '{"command":"ls"}'},
        1: {"id": "call_2", "name": "read", "args": "{}"},
    }
    assert folded(chunks)[0]["finish"] == "tool_calls"


def test_ballots_ride_on_the_finish_chunk_even_when_they_come_later() -> None:
    late = [accepted(), content("x"), finished(), usage(), ballots(strategy="majority")]
    chunk = data_of(streamed(late))[-3]
    assert chunk["choices"][0]["finish_reason"] == "stop"
    assert chunk["swarm"]["strategy"] == "majority"
    assert chunk["swarm"]["worker"] == "Zeus"
    assert chunk["swarm"]["ballots"][0]["won"] is True


def test_calls_that_do_not_fit_are_marked() -> None:
    found = pb.InvalidCall(choice=0, index=1, id="call_2", name="read", problem="path: 5 is no string")
    marked = pb.DecideEvent(
        ballots=pb.Ballots(strategy="s", call_checks=pb.CallChecks(retried=True, invalid=[found]))
    )
    script = [event for event in CALLING if not event.HasField("ballots")]
    wanted = {
        "retried": True,
        "invalid": [
            {"choice": 0, "index": 1, "id": "call_2", "name": "read", "problem": "path: 5 is no string"}
        ],
    }
    assert data_of(streamed([*script, marked]))[-3]["swarm"]["tool_calls"] == wanted
    body = whole([*script, marked])
    assert body["swarm"]["tool_calls"] == wanted
    ChatCompletion.model_validate_json(json.dumps(body))
    assert "tool_calls" not in whole(CALLING)["swarm"]


def test_a_ballot_of_probability_zero_is_still_json() -> None:
    event = pb.DecideEvent(ballots=pb.Ballots(ballots=[pb.Ballot(mean_logprob=float("-inf"))]))
    assert whole([*words("x"), event])["swarm"]["ballots"][0]["mean_logprob"] is None


def test_a_heartbeat_is_a_comment() -> None:
    stream = streamed([accepted(), heartbeat(), *words("x")[1:]])
    assert stream.count(": ping\n\n") == 1


def test_events_before_the_first_chat_event_hold_the_headers_back() -> None:
    with pytest.raises(SwarmError) as refused:
        streamed([heartbeat(), SwarmError(Reason.QUEUE_FULL, "full", retry_after=3)])
    assert refused.value.reason is Reason.QUEUE_FULL


@pytest.mark.parametrize(
    "script",
    [
        [],
        [content("x"), *words("x")],
        [usage()],
        [finished()],
        [SwarmError(Reason.NO_WORKER, "none")],
    ],
)
def test_what_fails_before_it_is_accepted_is_no_stream(script: list[Any]) -> None:
    with pytest.raises(SwarmError):
        streamed(script)
    with pytest.raises(SwarmError):
        whole(script)


BROKEN: list[list[Any]] = [
    [accepted()],
    [accepted(), content("x")],
    [accepted(), content("x"), finished()],
    [accepted(), content("x"), usage()],
    [accepted(), content("x"), chat(candidate_finished={}), usage()],
    [accepted(), finished(), content("x"), usage()],
    [accepted(), finished(), finished(), usage()],
    [accepted(), content("x", choice=1), finished(), usage()],
    [accepted(), content("x", choice=-1), finished(), usage()],
    [accepted(), finished("tool_calls"), usage()],
    [accepted(), started("", "bash"), arguments("{}"), ended(), finished("tool_calls"), usage()],
    [accepted(), started("c", ""), arguments("{}"), ended(), finished("tool_calls"), usage()],
    [accepted(), started("c", "b", index=-1), finished("stop"), usage()],
    [accepted(), started("c", "b"), started("d", "b"), finished("stop"), usage()],
    [accepted(), arguments("{}"), finished("stop"), usage()],
    [accepted(), ended(), finished("stop"), usage()],
    [
        accepted(),
        started("c", "b"),
        arguments("{}"),
        ended(),
        arguments("x"),
        finished("tool_calls"),
        usage(),
    ],
    [accepted(), content("x"), SwarmError(Reason.WORKER_LOST, "Zeus is gone")],
    [accepted(), content("x"), RuntimeError("unforeseen")],
    [*words("x"), SwarmError(Reason.WORKER_LOST, "Zeus is gone")],
]


@pytest.mark.parametrize("script", BROKEN)
def test_a_stream_that_breaks_ends_in_an_error_event(script: list[Any]) -> None:
    chunks = data_of(streamed(script))
    assert set(chunks[-1]) == {"error"}
    assert chunks[-1]["error"]["type"] == "server_error"
    assert "[DONE]" not in chunks
    assert all(choice["finish"] is None for choice in folded(chunks).values())
    with pytest.raises((SwarmError, RuntimeError)):
        whole(script)


def test_an_unforeseen_error_does_not_show_its_inside() -> None:
    assert "unforeseen" not in streamed([accepted(), RuntimeError("unforeseen")])


@pytest.mark.parametrize(
    "said", [["{"], ["{}"], ['{"a": 1}', "\n"], ['{"a":{}', "} "], ['{"a":"}'], ["{", "}", "}"]]
)
@pytest.mark.parametrize("reason", sorted(FINISHES))
def test_a_call_that_was_cut_off_never_looks_whole(said: list[str], reason: str) -> None:
    script = [accepted(), started("c", "b"), *map(arguments, said), finished(reason), usage()]
    (choice,) = folded(data_of(streamed(script))).values()
    assert choice["finish"] == "length"
    for call in choice["calls"].values():
        with pytest.raises(ValueError):
            json.loads(call["args"])
        assert call["args"], "some clients take empty arguments for {}"


@pytest.mark.parametrize(
    ("said", "told"),
    [([], "{}"), ([" \n"], "{}"), (["[1", "]"], "[1]"), (['{"a":'], '{"a":'), (["}"], "}"), (['"x"'], '"x"')],
)
def test_a_complete_call_whose_arguments_are_no_object_is_passed_on_as_it_is(
    said: list[str], told: str
) -> None:
    script = [accepted(), started("c", "b"), *map(arguments, said), ended(), finished("tool_calls"), usage()]
    (choice,) = folded(data_of(streamed(script))).values()
    assert choice["calls"] == {0: {"id": "c", "name": "b", "args": told}}
    assert choice["finish"] == "tool_calls"
    (call,) = whole(script)["choices"][0]["message"]["tool_calls"]
    assert call["function"]["arguments"] == told


@pytest.mark.parametrize("said", [[], [""], [" \n"], ["}"]])
def test_a_call_that_was_cut_off_before_any_text_is_not_named(said: list[str]) -> None:
    script = [accepted(), started("c", "b"), *map(arguments, said), finished("length"), usage()]
    assert folded(data_of(streamed(script)))[0] == {
        "content": "",
        "reasoning": "",
        "calls": {},
        "finish": "length",
    }
    assert "tool_calls" not in whole(script)["choices"][0]["message"]


def test_whole_answers_fit_their_declared_shape() -> None:
    for script in (words("a", "b"), CALLING, [accepted(), reasoning("hm"), *words("x")[1:]]):
        ChatCompletion.model_validate_json(json.dumps(whole(script)))


def test_a_whole_answer_with_calls_has_no_content() -> None:
    body = whole(CALLING)
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "bash", "arguments": '{"command":"ls"}'},
            },
            {"id": "call_2", "type": "function", "function": {"name": "read", "arguments": "{}"}},
        ],
    }
    assert body["usage"]["completion_tokens"] == 9


def test_choices_finish_each_on_its_own_and_usage_counts_them_once() -> None:
    script = [
        accepted(),
        content("a", 0),
        content("b", 1),
        finished("length", 1),
        content("c", 0),
        finished("stop", 0),
        usage(completion=6),
    ]
    chunks = data_of(streamed(script, choices=2))
    got = folded(chunks)
    assert {index: (choice["content"], choice["finish"]) for index, choice in got.items()} == {
        0: ("ac", "stop"),
        1: ("b", "length"),
    }
    assert [chunk.get("usage", {}).get("completion_tokens") for chunk in chunks[:-1]].count(6) == 1
    assert whole(script, choices=2)["usage"]["completion_tokens"] == 6


TOLD = [
    accepted(),
    reasoning("hm"),
    logprobs((b" caf", -0.5), (b"\xc3", -2.0)),
    content(" caf"),
    logprobs((b"\xa9", float("-inf"))),
    content("é"),
    content("!"),
    finished(),
    usage(),
]
E_ACUTE = [
    {"token": " caf", "logprob": -0.5, "bytes": [32, 99, 97, 102]},
    {"token": "\ufffd", "logprob": -2.0, "bytes": [0xC3]},
    {"token": "\ufffd", "logprob": -9999.0, "bytes": [0xA9]},
]


def test_log_probabilities_ride_on_the_text_that_they_became() -> None:
    chunks = data_of(streamed(TOLD))[:-2]
    told = [chunk["choices"][0]["logprobs"] for chunk in chunks]
    assert [each and len(each["content"]) for each in told] == [None, None, 2, 1, None, None]
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks[2:4]] == [" caf", "é"]
    flat = [token for each in told if each for token in each["content"]]
    assert [{key: token[key] for key in ("token", "logprob", "bytes")} for token in flat] == E_ACUTE
    assert flat[0]["top_logprobs"] == [
        {"token": " caf", "logprob": -0.5, "bytes": [32, 99, 97, 102]},
        {"token": "~", "logprob": -1.5, "bytes": [126]},
    ]


def test_a_whole_answer_tells_all_log_probabilities_at_once() -> None:
    body = whole(TOLD)
    ChatCompletion.model_validate_json(json.dumps(body))
    (choice,) = body["choices"]
    assert choice["logprobs"]["refusal"] is None
    told = choice["logprobs"]["content"]
    assert [{key: token[key] for key in ("token", "logprob", "bytes")} for token in told] == E_ACUTE
    assert bytes(byte for token in told for byte in token["bytes"]).decode() == " café"
    assert whole(words("x"))["choices"][0]["logprobs"] is None


def test_log_probabilities_are_those_of_their_choice() -> None:
    script = [
        accepted(),
        logprobs((b"a", -1.0), choice=0),
        logprobs((b"b", -2.0), choice=1),
        content("b", 1),
        content("a", 0),
        finished(choice=0),
        finished(choice=1),
        usage(),
    ]
    parts = [chunk["choices"][0] for chunk in data_of(streamed(script, choices=2))[1:-2]]
    told = {part["index"]: part["logprobs"]["content"][0]["token"] for part in parts if part["logprobs"]}
    assert told == {0: "a", 1: "b"}


def test_openais_types_take_them() -> None:
    body = ChatCompletionOfOpenAI.model_validate(whole(TOLD))
    assert body.choices[0].logprobs is not None
    assert body.choices[0].logprobs.content is not None
    assert [token.logprob for token in body.choices[0].logprobs.content] == [-0.5, -2.0, -9999.0]
    chunk = ChatCompletionChunk.model_validate(data_of(streamed(TOLD))[2])
    assert chunk.choices[0].logprobs is not None
    assert chunk.choices[0].logprobs.content is not None
    assert chunk.choices[0].logprobs.content[0].top_logprobs[1].token == "~"


# --- random sequences -------------------------------------------------------------------------------------

texts = st.text(max_size=6) | st.sampled_from(["\u2028", "\x85", '"', "\\", "\n\ndata: x", "\r", "😀"])
fragments = st.sampled_from(["{", "}", "{}", '{"a":', "1", '"}"', " ", "\n", '{"a":1}', "", "[", "]"])
indexes = st.integers(0, 1)
steps = st.one_of(
    st.builds(content, texts, indexes),
    st.builds(reasoning, texts, indexes),
    st.builds(lambda token, choice: logprobs((token, -1.0), choice=choice), st.binary(max_size=3), indexes),
    st.builds(started, st.sampled_from(["c1", "c2"]), st.sampled_from(["bash"]), indexes, indexes),
    st.builds(arguments, fragments, indexes, indexes),
    st.builds(ended, indexes, indexes),
    st.builds(finished, st.sampled_from(sorted(FINISHES)), indexes),
    st.builds(heartbeat),
    st.builds(ballots),
    st.builds(usage),
    st.just(pb.DecideEvent()),
    st.just(chat(prefill_progress={"done_tokens": 1, "total_tokens": 2})),
    st.just(SwarmError(Reason.WORKER_LOST, "gone")),
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(script=st.lists(steps, max_size=14), choices=st.integers(1, 2))
def test_every_stream_ends_with_reasons_and_usage_or_with_an_error(script: list[Any], choices: int) -> None:
    chunks = data_of(streamed([accepted(), *script], choices))
    got = folded(chunks)
    if chunks[-1] == "[DONE]":
        assert {choice["finish"] for choice in got.values()} <= FINISHES
        assert len(got) == choices
        assert chunks[-2]["usage"]["total_tokens"] == 10
    else:
        assert chunks[-1]["error"]["message"]
        assert any(choice["finish"] is None for choice in got.values())
    over = {
        (event.choice, event.chat.tool_call_ended.index)
        for event in script
        if isinstance(event, pb.DecideEvent) and event.chat.HasField("tool_call_ended")
    }
    for number, choice in got.items():
        for index, call in choice["calls"].items():
            assert call["args"], "some clients take empty arguments for {}"
            if (number, index) not in over:
                with pytest.raises(ValueError):
                    json.loads(call["args"])


@st.composite
def good_scripts(draw: st.DrawFn) -> list[pb.DecideEvent]:
    """Answers of the kind that consensus promises, calls of two choices interleaved."""
    script = [accepted()]
    for number in (0, 1):
        script += [reasoning(text, number) for text in draw(st.lists(texts, max_size=2))]
        script += [content(text, number) for text in draw(st.lists(texts, max_size=3))]
        values = draw(
            st.lists(st.dictionaries(texts, texts | st.integers() | st.just({}), max_size=2), max_size=2)
        )
        for index, value in enumerate(values):
            text = json.dumps(value, ensure_ascii=False, indent=draw(st.sampled_from([None, 1])))
            cut = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
            script.append(started(f"call_{number}_{index}", "bash", index, number))
            for start, stop in zip([0, *cut], [*cut, len(text)], strict=True):
                script.append(arguments(text[start:stop], index, number))
            script.append(ended(index, number))
        script.append(finished("tool_calls" if values else "stop", number))
    return [*script, usage()]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(script=good_scripts())
def test_streamed_and_whole_say_the_same_and_lose_nothing(script: list[pb.DecideEvent]) -> None:
    chunks = data_of(streamed(script, 2))
    assert chunks[-1] == "[DONE]"
    body = whole(script, 2)
    for number, choice in folded(chunks).items():
        message = body["choices"][number]["message"]
        assert choice["content"] == (message["content"] or "")
        assert choice["reasoning"] == message.get("reasoning_content", "")
        assert choice["finish"] == body["choices"][number]["finish_reason"]
        assert list(choice["calls"].values()) == [
            {"id": call["id"], "name": call["function"]["name"], "args": call["function"]["arguments"]}
            for call in message.get("tool_calls", [])
        ]
        said = "".join(
            event.chat.content.text
            for event in script
            if event.choice == number and event.chat.HasField("content")
        )
        assert choice["content"] == said
        for index, call in choice["calls"].items():
            sent = "".join(
                event.chat.tool_call_arguments.fragment
                for event in script
                if event.choice == number
                and event.chat.HasField("tool_call_arguments")
                and event.chat.tool_call_arguments.index == index
            )
            assert call["args"] == sent


@settings(max_examples=100, deadline=None, derandomize=True)
@given(script=good_scripts(), data=st.data())
def test_a_good_answer_cut_anywhere_is_an_error(script: list[pb.DecideEvent], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(script) - 1))
    assert "error" in data_of(streamed(script[:cut], 2))[-1]
