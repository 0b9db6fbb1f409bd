"""The answer most like the others, and what likeness is."""

from __future__ import annotations

from services.consensus.strategies.base import Kind, State, Vote
from services.consensus.strategies.mbr import Mbr
from services.consensus.strategies.similarity import features, likeness
from tests.unit.consensus.strategies.voters import winner


def words(*texts: str) -> list[Vote]:
    return [Vote(place, "Zeus", Kind.WORDS, f"key of {text}", text=text) for place, text in enumerate(texts)]


def block(source: str) -> str:
    return f"So:\n```python\n{source}\n```"


def test_the_answer_in_the_middle_wins() -> None:
    cast = words("the red fox ran home", "the red fox ran off", "the red cat ran off", "no idea at all")
    verdict = Mbr().decide(cast, 4)
    assert (verdict.state, verdict.winners) == (State.WON, (1,))
    assert Mbr().decide(cast[:3], 4).state is State.OPEN


def test_calls_are_alike_only_if_they_are_equal_and_need_their_quorum() -> None:
    assert winner(Mbr(), "AABbl") == "split"
    assert winner(Mbr(), "AAAAb") == "A"


def test_code_is_alike_whatever_its_variables_and_comments_are() -> None:
    one = features(block("def f(a, b):\n    total = a + b  # sum\n    return total"))
    other = features(block("def f(x, y):\n    '''Adds.'''\n    s = x + y\n    return s"))
    assert likeness(one, other) == 1
    minus = features(block("def f(x, y):\n    s = x - y\n    return s"))
    assert 0.5 < likeness(one, minus) < 1
    assert likeness(features(block("min(a)")), features(block("max(a)"))) < 1


def test_what_is_no_python_is_compared_by_words() -> None:
    assert features(block("def f(:")) == features("So :\n``` PYTHON def f ( : ```")
    assert likeness(features("a b c d"), features("A  b c x")) == 0.75
    assert likeness((), ()) == 1
