"""Where calls open in a format's answers, and the grammar of what follows each opener."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.inference_worker.chat.formats import Format, Routing, Tags, Trust, ValueStyle
from services.inference_worker.grammar.calls import CallGrammar, Offer
from services.inference_worker.grammar.lark import Lark, literal

# Code has no form that a grammar could hold.
_HELD_STYLES = frozenset(ValueStyle) - {ValueStyle.CODE}
# Styles in which the opener of a function is markup of its own, with or without that of a call before it.
_BARE_FUNCTIONS = frozenset((ValueStyle.TYPED_XML, ValueStyle.NAMED_JSON))


@dataclass(frozen=True, slots=True)
class Holds:
    """forced: a call can be demanded. triggered: calls that the model opens by itself are held."""

    forced: bool
    triggered: bool


def holds(format: Format) -> Holds:
    """Calls in plain text are not triggered: what looks like their beginning may be prose. They count only
    if they fit, anyway."""
    if format.style not in _HELD_STYLES:
        return Holds(False, False)
    plain = format.trust is Trust.PLAIN and format.style is not ValueStyle.LINES
    return Holds(True, bool(format.call.open) and not plain)


class Blocks:
    """One request's calls.

    triggered: for each text that opens a call, the grammar of what follows it.
    whole: the grammar of a call, opener and all.
    opening: the markers with which a call begins.
    beginnings: beginnings of a call that may stand in a prompt, the longest first.
    header: characters at the prompt's end in which an opener may have begun; 0: none.
    last: a call ends the answer.
    at_line_start: openers count at the beginning of a line only.
    open: something of a schema is not held.
    """

    def __init__(
        self, format: Format, offers: Sequence[Offer], parallel: bool, hidden: Callable[[str], bool]
    ) -> None:
        """`hidden` tells of texts that no token spells, because they end the answer. Raises SchemaError."""
        self._format = format
        self._offers = offers
        self._parallel = parallel
        self._hidden = hidden
        self.at_line_start = format.style is ValueStyle.LINES
        self.last = format.routing is Routing.HARMONY
        self.header = len(format.call.open) if format.routing is Routing.RECIPIENT else 0
        self.open = any(not each.strict for each in offers)
        self.triggered = self._triggered() if holds(format).triggered else {}
        opening = self.opening = self._opening()
        self.whole = self._grammar(lambda calls: f"{literal(opening)} " * bool(opening) + self._block(calls))
        self.beginnings = self._beginnings(opening)

    def alternative(self, lark: Lark) -> str:
        """An expression for a call, opener and all, and for more of them where that is allowed."""
        calls = CallGrammar(lark, self._format, self._offers, self._parallel)
        opening = self._opening()
        call = lark.rule(f"{literal(opening)} " * bool(opening) + self._block(calls))
        return f"{call} ({lark.blanks} {call})*" if self._parallel and not self.last else call

    def _opening(self) -> str:
        form = self._format
        section = form.section[0].open if form.section and form.routing is Routing.NONE else ""
        return section + form.call.open

    def _triggered(self) -> dict[str, str]:
        form = self._format
        if form.routing is Routing.RECIPIENT:
            return {
                form.call.open + each.name + form.function.close: self._grammar(
                    lambda calls, each=each: calls.arguments(each), [each]
                )
                for each in self._offers
            }
        found = {}
        for tags in (form.call, *form.further_calls):
            if tags.open:
                found[tags.open] = self._grammar(lambda calls, tags=tags: self._block(calls, tags))
        if form.function.open and form.style in _BARE_FUNCTIONS and form.routing is Routing.NONE:
            close = "" if self._hidden(form.call.close) else form.call.close
            found[form.function.open] = self._grammar(lambda calls: calls.function(close))
        if form.routing is Routing.HARMONY:
            # Behind the channel alone the message may be for the user.
            del found[form.call.open]
            found[form.call.open + form.function.open] = self._grammar(lambda calls: calls.addressed())
            found["<|start|>assistant" + form.function.open] = self._grammar(
                lambda calls: calls.addressed(form.call.open)
            )
        return found

    def _block(self, calls: CallGrammar, tags: Tags | None = None) -> str:
        tags = tags or self._format.call
        close = "" if self._hidden(tags.close) else tags.close
        return calls.block(tags, close)

    def _grammar(self, body: Callable[..., str], offers: Sequence[Offer] | None = None) -> str:
        lark = Lark()
        calls = CallGrammar(lark, self._format, offers or self._offers, self._parallel)
        return lark.text(body(calls))

    def _beginnings(self, opening: str) -> tuple[str, ...]:
        form = self._format
        name = self._offers[0].name if len(self._offers) == 1 else ""
        some = bool(name) and bool(self._offers[0].parameters.required)
        try:
            longest = form.forced_prefix(name, some)
        except ValueError:
            longest = ""
        head = opening + form.function.open + form.name_prefix
        return tuple(text for text in (longest, head + name, head, opening) if text)
