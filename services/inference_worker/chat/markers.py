"""The texts with which a format's calls begin and end, as the parser looks for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from services.inference_worker.chat.formats import Format, Tags, Trust, ValueStyle

# What a call begins with where no opener announces it.
_BEGINNINGS = {ValueStyle.JSON_OBJECT: ("{",)}


@dataclass(frozen=True, slots=True)
class Opener:
    """text: what is looked for.
    tags: around the call that begins here; without `close` nothing closes it.
    plain: it may be ordinary text, so that the call must fit a tool that was offered.
    announces: it stands before a call; otherwise it is the beginning of the call itself.
    section: it stands before a run of calls.
    on_line: it counts only at the beginning of a line.
    """

    text: str
    tags: Tags
    plain: bool = False
    announces: bool = True
    section: bool = False
    on_line: bool = False

    @property
    def fence(self) -> bool:
        """In prose its closer may be an opener too, and hides what stands behind it up to the next one."""
        return self.plain and bool(self.tags.close) and self.tags.open.startswith(self.tags.close)


@dataclass(frozen=True, slots=True)
class Markers:
    """What the parser looks for in an answer.

    openers: by their text; of two with one text, the more explicit.
    beginnings: with what a further call begins right behind another one, without an opener of its own.
    call_closers, section_closers: those that cannot be ordinary text.
    function_closers: those that leave a call's block open.
    separators: what may stand between two calls.
    """

    openers: dict[str, Opener]
    beginnings: tuple[str, ...]
    call_closers: tuple[str, ...]
    function_closers: tuple[str, ...]
    section_closers: tuple[str, ...]
    separators: tuple[str, ...]
    closers: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        every = (*self.call_closers, *self.function_closers, *self.section_closers)
        object.__setattr__(self, "closers", tuple(dict.fromkeys(every)))


def markers_of(format: Format) -> Markers:
    openers: dict[str, Opener] = {}
    for opener in _openers(format):
        openers.setdefault(opener.text, opener)
    explicit = () if format.trust is Trust.PLAIN else (format.call, *format.further_calls)
    return Markers(
        openers,
        _BEGINNINGS.get(format.style, ()) if format.style else (),
        tuple(tags.close for tags in explicit if tags.close),
        tuple(closer for closer in (format.function_close,) if closer),
        tuple(tags.close for tags in format.section if tags.close),
        (*format.separators, *([","] if format.array or format.arrays_too else [])),
    )


def _openers(format: Format) -> Iterator[Opener]:
    plain = format.trust is Trust.PLAIN
    naked = False
    for tags in (format.call, *format.further_calls):
        naked = naked or (plain and not tags.open)
        if tags.open:
            yield Opener(tags.open, tags, plain, on_line=format.style is ValueStyle.LINES)
    if format.function.open:
        yield Opener(format.function.open, Tags("", ""), plain, announces=False)
    if format.code:
        yield Opener(format.code, Tags("", ""), plain, announces=False)
    for tags in format.section:
        yield Opener(tags.open, tags, section=True)
    for tags in format.plain_calls:
        naked = naked or not tags.open
        if tags.open:
            yield Opener(tags.open, tags, plain=True)
    if naked:
        lists = ("[",) if format.array or format.arrays_too else ()
        for text in (*_BEGINNINGS.get(format.style, ()), *lists) if format.style else ():
            yield Opener(text, Tags("", ""), plain=True, announces=False)
