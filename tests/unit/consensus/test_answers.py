"""Which answers in words are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consensus.answers import answer_key, final_answer, python_tree


def fenced(source: str, language: str = "python") -> str:
    return f"Here it is:\n```{language}\n{source}\n```\nDone."


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("So 6 * 7.\n#### 42", "42"),
        (r"Thus $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        ("The answer is 42.", "42"),
        ("**Final answer:** Paris. It is in France.", "paris"),
        ("Answer: 1,200", "1200"),
        ("The answer is $12.50", "12.5"),
        ("The answer is 3.14", "3.14"),
        ("The answer is -0.0", "0"),
        ("The answer is 007%", "7%"),
        ("The answer is 1. No: the answer is 2.", "2"),
        ("The answer is:\nnothing", "the answer is: nothing"),
        ("  Yes, \n it   IS!  ", "yes, it is"),
        ("ｆｕｌｌ width", "full width"),
        ("", ""),
    ],
)
def test_the_final_answer_is_what_was_stated_last_or_all_of_it(text: str, found: str) -> None:
    assert final_answer(text) == found


def test_python_is_the_same_by_its_syntax() -> None:
    one = fenced('def f(a, b):\n    """Adds."""\n    return a+b  # sum')
    assert answer_key(one) == answer_key(fenced("def f(a,\n      b):\n    return (a + b)", "py"))
    assert answer_key(one) != answer_key(fenced("def f(a, b):\n    return a - b"))


def test_other_code_is_the_same_but_for_white_space_at_its_ends() -> None:
    assert answer_key(fenced("ls -l  \n", "sh")) == answer_key(fenced("ls -l", "bash"))
    assert answer_key(fenced("ls -l", "sh")) != answer_key(fenced("ls  -l", "sh"))
    assert final_answer(fenced("def f(:", "python")) == "def f(:"


@pytest.mark.parametrize(
    "source", ["def f(:", "(" * 5000 + ")" * 5000, "-" * 15_000 + "1", "x = 1\n" * 5000, "\0"]
)
def test_what_cannot_be_parsed_in_good_time_is_no_tree(source: str) -> None:
    assert python_tree(source) is None


def test_odd_escapes_in_code_warn_nobody() -> None:
    assert python_tree("x = '\\d'") is not None


@given(st.text(max_size=300) | st.text(alphabet="`\n#boxed{}\\answer is:= 0.,-py", max_size=300))
def test_any_text_has_a_key(text: str) -> None:
    assert len(answer_key(text)) == 64
    assert answer_key(text) == answer_key(text)


def test_long_hostile_texts_take_no_time() -> None:
    for piece in ("\\boxed{", "```py\n", "answer is ", "#### ", "{{}", "answer: "):
        final_answer(piece * 5_000)
