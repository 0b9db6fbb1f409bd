"""Every domain word survives the wire, and a wrong message is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import chat
from services.common.chat_proto import (
    event_from_proto,
    event_to_proto,
    model_from_proto,
    model_to_proto,
    request_from_proto,
    request_to_proto,
)
from services.common.errors import Reason, SwarmError
from swarm.common.v1 import chat_pb2
from swarm.inference.v1 import inference_pb2 as pb

# Protobuf strings are UTF-8: no lone surrogates.
text = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
small = st.integers(0, 2**31 - 1)
whole = st.integers(-(2**31), 2**31 - 1)
number = st.floats(allow_nan=False, allow_infinity=False)
calls = st.builds(chat.ToolCall, text, text, text)
messages = st.builds(
    chat.Message,
    role=st.sampled_from(chat.Role),
    content=text,
    reasoning_content=text,
    tool_calls=st.lists(calls, max_size=2).map(tuple),
    tool_call_id=text,
    name=text,
)
samplings = st.builds(
    chat.Sampling,
    temperature=st.none() | number,
    top_p=st.none() | number,
    top_k=st.none() | small,
    min_p=st.none() | number,
    frequency_penalty=st.none() | number,
    presence_penalty=st.none() | number,
    seed=st.none() | st.integers(-(2**63), 2**63 - 1),
    max_tokens=st.none() | small,
    stop=st.lists(text, max_size=2).map(tuple),
    typical_p=st.none() | number,
    repeat_penalty=st.none() | number,
    repeat_last_n=st.none() | whole,
    dry_multiplier=st.none() | number,
    dry_base=st.none() | number,
    dry_allowed_length=st.none() | whole,
    dry_penalty_last_n=st.none() | whole,
    dry_sequence_breakers=st.lists(text, max_size=2).map(tuple),
    xtc_probability=st.none() | number,
    xtc_threshold=st.none() | number,
    mirostat=st.none() | whole,
    mirostat_tau=st.none() | number,
    mirostat_eta=st.none() | number,
    # The wire's floats have 32 bits there.
    logit_bias=st.dictionaries(whole, st.floats(width=32, allow_nan=False), max_size=3).map(
        lambda biases: tuple(sorted(biases.items()))
    ),
    top_logprobs=st.none() | whole,
)
logprobs = st.builds(
    chat.TokenLogprob,
    st.binary(max_size=4),
    number,
    st.lists(st.builds(chat.TokenLogprob, st.binary(max_size=4), number), max_size=2).map(tuple),
)
drawn = st.lists(
    st.builds(
        chat.DrawnToken,
        small,
        number,
        st.lists(st.builds(chat.DrawnToken, small, number), max_size=2).map(tuple),
    ),
    max_size=3,
).map(tuple)
requests = st.builds(
    chat.ChatRequest,
    model=text,
    messages=st.lists(messages, min_size=1, max_size=3).map(tuple),
    tools=st.lists(st.builds(chat.Tool, text, text, text, st.booleans()), max_size=2).map(tuple),
    tool_choice=st.builds(chat.ToolChoice, st.sampled_from(chat.ToolChoiceMode), text),
    parallel_tool_calls=st.booleans(),
    sampling=samplings,
    candidates=st.integers(1, 64),
    session_id=text,
    parent_session_id=text,
    response_format=st.builds(chat.ResponseFormat, st.sampled_from(chat.ResponseKind), text, text),
    tell_drawn_tokens=st.booleans(),
    resume=st.lists(drawn, max_size=2).map(tuple),
)
events = st.one_of(
    st.builds(chat.Accepted, text, small, small, text),
    st.builds(chat.PrefillProgress, small, small, small),
    st.builds(chat.ContentDelta, small, text),
    st.builds(chat.ReasoningDelta, small, text),
    st.builds(chat.TokenLogprobs, small, st.lists(logprobs, max_size=3).map(tuple)),
    st.builds(chat.DrawnTokens, small, drawn),
    st.builds(chat.ToolCallStarted, small, small, text, text),
    st.builds(chat.ToolCallArguments, small, small, text),
    st.builds(chat.ToolCallEnded, small, small),
    st.builds(
        chat.CandidateFinished,
        small,
        st.sampled_from(chat.FinishReason),
        small,
        small,
        number,
        st.none() | number,
    ),
    st.builds(chat.Usage, small, small, small, small),
)


@given(requests)
def test_a_request_comes_back_as_it_was_sent(request: chat.ChatRequest) -> None:
    wire = request_to_proto(request).SerializeToString()
    assert request_from_proto(pb.ChatRequest.FromString(wire)) == request


@given(events)
def test_an_event_comes_back_as_it_was_sent(event: chat.ChatEvent) -> None:
    wire = event_to_proto(event).SerializeToString()
    assert event_from_proto(pb.ChatEvent.FromString(wire)) == event


def _refused(message: pb.ChatRequest) -> SwarmError:
    with pytest.raises(SwarmError) as caught:
        request_from_proto(message)
    assert caught.value.reason is Reason.INVALID_FIELD
    return caught.value


def test_a_model_comes_back_as_it_was_sent() -> None:
    model = chat.ModelInfo("m", 4096, "glm4", 7, "M", "printed by the template", "f1")
    assert model_from_proto(model_to_proto(model)) == model


def test_wrong_requests_are_refused_by_field() -> None:
    user = chat_pb2.Message(role=chat_pb2.ROLE_USER, content="hi")
    assert _refused(pb.ChatRequest()).param == "messages"
    assert _refused(pb.ChatRequest(messages=[user, chat_pb2.Message()])).param == "messages[1].role"
    assert _refused(pb.ChatRequest(messages=[user], candidates=-1)).param == "candidates"
    odd = pb.ChatRequest(messages=[user])
    odd.response_format.kind = 99  # type: ignore[assignment]  # of a later version
    assert _refused(odd).param == "response_format"


def test_absent_fields_take_their_meaning() -> None:
    user = chat_pb2.Message(role=chat_pb2.ROLE_USER, content="hi")
    request = request_from_proto(pb.ChatRequest(messages=[user]))
    assert request.candidates == 1
    assert request.parallel_tool_calls
    assert request.sampling == chat.Sampling()
    assert request.tool_choice.mode is chat.ToolChoiceMode.AUTO
    assert request.response_format == chat.ResponseFormat()


def test_an_event_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(SwarmError):
        event_from_proto(pb.ChatEvent())
