"""Loads the phrasing files and fills their alternations and slots.

A line is a template: `[a|b|]` picks one alternative (may nest), `{slot}` is a slot, `\\n` a new line. In
files of the form `text => answer` both halves are templates.
"""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path

from deploy.built_in_model.generator.paraphrase import paraphrase

FOLDER = Path(__file__).parent.parent / "phrasings"
SLOT = re.compile(r"\{(\w+)\}")
_INNERMOST = re.compile(r"\[([^\[\]]*)\]")


@cache
def lines(intent: str, held_out: bool) -> tuple[str, ...]:
    """The templates of an intent. Raises FileNotFoundError if there is no file, ValueError if it is empty."""
    file = FOLDER / ("held_out" if held_out else "known") / f"{intent}.txt"
    found = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    kept = tuple(dict.fromkeys(line for line in found if line and not line.startswith("#")))
    if not kept:
        raise ValueError(f"{file.name}: no phrasings")
    return kept


def choose(template: str, rng: random.Random) -> str:
    """The template with every alternation decided."""
    while match := _INNERMOST.search(template):
        options = match.group(1).split("|")
        template = (
            template[: match.start()] + options[int(rng.random() * len(options))] + template[match.end() :]
        )
    return re.sub(r" {2,}", " ", template.replace("\\n", "\n")).strip()


def every(template: str) -> list[str]:
    """All texts that the alternations of a template can give."""
    match = _INNERMOST.search(template)
    if not match:
        return [re.sub(r" {2,}", " ", template.replace("\\n", "\n")).strip()]
    out: list[str] = []
    for option in match.group(1).split("|"):
        out += every(template[: match.start()] + option + template[match.end() :])
    return list(dict.fromkeys(out))


_POLITE_START = re.compile(
    r"^(please|pls|kindly|hi|hey|hello|ok|okay|so|now|just|then|also|first|next|quickly|(can|could|"
    r"would|will) (you|u)|let s|lets|let us|i (want|need) you to) "
)
_POLITE_END = re.compile(r" (please|pls|thanks|thx|thank you|for me|now|here we go|then|again)$")


def skeleton(text: str) -> str:
    """A phrasing without case, marks and politeness: two with equal skeletons are the same phrasing."""
    words = " ".join(re.sub(r"[^\w{}]+", " ", text.lower()).split())
    while True:
        bare = _POLITE_END.sub("", _POLITE_START.sub("", words))
        if bare == words:
            return words
        words = bare


@cache
def held_out_skeletons() -> frozenset[str]:
    """The skeletons of everything that the held-out phrasings can say."""
    out: set[str] = set()
    for file in sorted((FOLDER / "held_out").glob("*.txt")):
        for line in lines(file.stem, True):
            out.update(skeleton(text.partition("=>")[0]) for text in every(line))
    return frozenset(out)


def draw(intent: str, rng: random.Random, held_out: bool, paraphrased: float = 0.0) -> str:
    """A phrasing with its alternations decided; a known one is never one that the held-out files can say too.

    `paraphrased` is the share of them that is said in other words.
    """
    options = lines(intent, held_out)
    while True:
        text = choose(options[int(rng.random() * len(options))], rng)
        if rng.random() < paraphrased:
            words, arrow, answer = text.partition("=>")
            text = paraphrase(words, rng) + arrow + answer
        if held_out or skeleton(text.partition("=>")[0]) not in held_out_skeletons():
            return text


@cache
def known_commands() -> frozenset[str]:
    """The commands that the known phrasings of shell_fact lead to."""
    return frozenset(pair(text)[1] for line in lines("shell_fact", False) for text in every(line))


def pair(template: str) -> tuple[str, str]:
    """The two halves of `text => answer`. Raises ValueError if there is no arrow."""
    text, arrow, answer = template.partition("=>")
    if not arrow:
        raise ValueError(f"no => in the line {template!r}")
    return text.strip(), answer.strip()


def fill(template: str, values: dict[str, str]) -> str:
    """The template with its slots filled. Raises KeyError for a slot without a value."""
    return SLOT.sub(lambda match: values[match.group(1)], template)
