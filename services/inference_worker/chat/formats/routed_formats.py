"""Answers whose every part begins with a header that says what it is."""

from __future__ import annotations

from services.inference_worker.chat.formats.record import END_TOKENS, Format, Routing, Tags, ValueStyle

HARMONY = Format(
    name="harmony",
    style=ValueStyle.NAMED_JSON,
    reasoning=Tags("<|channel|>analysis<|message|>", "<|end|>"),
    section=(Tags("<|start|>", "<|return|>"),),
    call=Tags("<|channel|>commentary", "<|call|>"),
    function=Tags(" to=", " <|constrain|>json<|message|>"),
    name_prefix="functions.",
    end_tokens=END_TOKENS,
    routing=Routing.HARMONY,
)

FUNCTIONARY_V32 = Format(
    name="functionary_v32",
    style=ValueStyle.NAMED_JSON,
    call=Tags(">>>", ""),
    function=Tags("", "\n"),
    noise=("<|start_header_id|>assistant<|end_header_id|>",),
    routing=Routing.RECIPIENT,
)

RECORDS = (HARMONY, FUNCTIONARY_V32)
