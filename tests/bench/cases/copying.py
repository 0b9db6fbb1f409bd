"""Text that repeats what stands in the prompt, and text that repeats nothing, with lookup on and off."""

from __future__ import annotations

from tests.bench import words
from tests.bench.bench import Bench, Case, Side
from tests.bench.client import BenchError, Endpoint, chat, user
from tests.bench.ours import Stack
from tests.bench.stats import Row, at_least

# How the configuration spells it; by default it is on.
OFF = {"speculation": "off"}

_COPIED, _SHORT = 256, 32
_ATTEMPTS = 20


async def _run(bench: Bench) -> list[Row]:
    with Stack(bench.setting, "ours without lookup", **OFF) as without:
        await chat(without.endpoint, bench.prompt(_SHORT), 4)
        return await _compare(bench, bench.ours.endpoint, without.endpoint)


async def _compare(bench: Bench, on: Endpoint, off: Endpoint) -> list[Row]:
    rounds = bench.form.rounds
    copied, tokens = bench.form.size(_COPIED, 96), bench.form.size(192, 64)
    texts = [words.text(copied, bench.seed()) for _ in range(rounds)]
    answers: dict[tuple[str, int], str] = {}

    def copying(endpoint: Endpoint) -> Side:
        async def measure(number: int) -> float:
            answer = await chat(endpoint, user(texts[number]), tokens)
            # The answer goes on from the first word, which the template has put into its mouth.
            if answer.texts[0] not in texts[number]:
                raise BenchError(f"{endpoint.name} did not copy: {answer.texts[0][:200]!r}")
            return answer.rate

        return measure

    def lot(endpoint: Endpoint) -> Side:
        async def measure(number: int) -> float:
            answer = await chat(endpoint, user(plain[number]), tokens)
            answers[endpoint.name, number] = answer.texts[0]
            return answer.rate

        return measure

    with_lookup, without = await bench.interleave(rounds, [copying(on), copying(off)])
    plain = [await _unrepeating(bench, off, tokens) for _ in range(rounds)]
    lot_with, lot_without = await bench.interleave(rounds, [lot(on), lot(off)])
    same = all(answers[on.name, number] == answers[off.name, number] for number in range(rounds))
    note = "same text" if same else "the texts DIFFER"
    return [
        Row("copy-heavy text", "tok/s", with_lookup, "lookup off", without, at_least(2.0)),
        Row("text without repetition", "tok/s", lot_with, "lookup off", lot_without, at_least(0.97), note),
    ]


async def _unrepeating(bench: Bench, endpoint: Endpoint, tokens: int) -> str:
    """A prompt whose answer says no word twice."""
    for _ in range(_ATTEMPTS):
        text = words.uncopied(_SHORT, bench.seed())
        answer = await chat(endpoint, user(text), tokens)
        if not words.repeats(text + answer.texts[0]):
            return text
    raise BenchError(f"none of {_ATTEMPTS} answers was without repetition")


CASE = Case("copying", _run, lambda form: 4 * form.rounds)
