"""What a tool says and the answer to it: the common parts."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.built_in_model.generator.names import Names

NOTHING = ("", "(no output)", "(no output)", "(empty)")


@dataclass
class Outcome:
    """A tool's text, the answer to it, what the answer quotes, and whether the tool failed."""

    result: str
    answer: str
    quotes: list[str]
    failed: bool = False


def join(items: list[str]) -> str:
    """a, b and c."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def base(n: Names) -> str:
    """An absolute folder."""
    return n.pick(
        (
            f"/home/{n.word()}/{n.word()}",
            f"/tmp/{n.word()}",
            f"/srv/{n.word()}",
            f"/Users/{n.word()}/{n.word()}",
            f"/tmp/{n.syllables()}-{n.number()}/{n.word()}",
            "/srv",
            "/workspace",
        )
    )


def absolute(n: Names, path: str) -> str:
    """The path as tools print it."""
    return path if path.startswith(("/", "~")) else f"{base(n)}/{path.removeprefix('./')}"
