"""Edits by the text that comes of them, and which paths are one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consensus.edits import Edit, edit_of, outcome, path_argument, plain_path

FILE = "a\nb\nc\nb2\nd"


def equal(one: Edit, other: Edit, lines: str = FILE) -> bool:
    found = outcome(one, lines)
    return found is not None and found == outcome(other, lines)


class TestOutcome:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (("a\nb\nc", "a\nX\nc"), ("b\nc", "X\nc")),
            (("c\nb2", "c\nX"), ("b2", "X")),
            (("d", "d\ne"), ("b2\nd", "b2\nd\ne")),
            (("c", "cc"), ("\nc\n", "\ncc\n")),
        ],
    )
    def test_context_does_not_count_where_the_place_is_certain(
        self, one: tuple[str, str], other: tuple[str, str]
    ) -> None:
        assert equal(Edit("f", *one), Edit("f", *other))

    def test_everywhere_counts_by_what_it_does(self) -> None:
        assert equal(Edit("f", "c", "X", True), Edit("f", "c", "X"))
        assert equal(Edit("f", "b", "X", True), Edit("f", "b", "X", True))
        assert outcome(Edit("f", "b", "X", True), FILE) == ("a\nX\nc\nX2\nd", "a\nX\nc\nX2\nd\n")

    @pytest.mark.parametrize(
        "edit",
        [
            Edit("f", "nowhere", "X"),
            Edit("f", "b", "X"),
            Edit("f", "", "X"),
            Edit("f", "c", "c"),
            Edit("f", "b", "$1", True),
            Edit("f", "c", "$1", True),
        ],
    )
    def test_what_is_not_certain_has_none(self, edit: Edit) -> None:
        assert outcome(edit, FILE) is None

    def test_a_newline_at_the_end_that_nobody_told_of_makes_it_uncertain(self) -> None:
        # "d\n" is there only if the file ends with a newline.
        assert outcome(Edit("f", "d\n", "X\n"), FILE) is None
        # "x\n" is there twice then.
        assert outcome(Edit("f", "x\n", "X\n"), "x\ny\nx") is None
        assert outcome(Edit("f", "x\n", "X\n"), "x\ny\nz") == ("X\ny\nz", "X\ny\nz\n")

    def test_occurrences_that_overlap_are_two(self) -> None:
        assert outcome(Edit("f", "aa", "X"), "aaa") is None

    @given(
        st.text("ab\n", max_size=12), st.text("ab\n", min_size=1, max_size=4), st.text("ab\n$", max_size=4)
    )
    def test_it_is_what_an_editor_does(self, lines: str, old: str, new: str) -> None:
        for everywhere in (False, True):
            found = outcome(Edit("f", old, new, everywhere), lines)
            if found is not None:
                for text, result in zip((lines, lines + "\n"), found, strict=True):
                    assert old in text
                    assert result == text.replace(old, new)
                    assert everywhere or text.count(old) == 1


class TestEditOf:
    def test_the_names_of_arguments_differ_by_client(self) -> None:
        edit = Edit("a", "x", "y")
        assert edit_of("edit", {"filePath": "./a", "oldString": "x", "newString": "y"}) == edit
        assert edit_of("Edit", {"file_path": "a", "old_string": "x", "new_string": "y"}) == edit
        assert edit_of("str_replace", {"path": "a", "old_str": "x", "new_str": "y"}) == edit
        assert edit_of(
            "edit", {"filePath": "a", "oldString": "x", "newString": "y", "replaceAll": True}
        ) == Edit("a", "x", "y", True)

    @pytest.mark.parametrize(
        ("name", "more"),
        [
            ("rename_symbol", {}),
            ("mcp__x__edit", {}),
            ("edit", {"regex": True}),
            ("edit", {"replaceAll": "yes"}),
            ("edit", {"path": "b"}),
            ("edit", {"newString": 5}),
        ],
    )
    def test_what_is_not_known_is_none(self, name: str, more: dict[str, Any]) -> None:
        arguments = {"filePath": "a", "oldString": "x", "newString": "y", **more}
        assert edit_of(name, arguments) is None


class TestPaths:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("./a", "a"),
            (".//a", "a"),
            ("././a/b", "a/b"),
            ("a/./b", "a/b"),
            ("/x/./b", "/x/b"),
            ("./.env", ".env"),
            ("./../a", "../a"),
        ],
    )
    def test_the_same(self, one: str, other: str) -> None:
        assert plain_path(one) == plain_path(other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("a", "A"),
            ("a", "/a"),
            ("a", "a/"),
            ("a", "b/../a"),
            ("./~/a", "~/a"),
            ("./$HOME", "$HOME"),
            ("./C:/a", "C:/a"),
            ("./http://a", "http://a"),
            ("./-x", "-x"),
            (".a", "a"),
            ("..//a", "a"),
            ("a/.b", "a/b"),
            ("a/..b", "a/b"),
        ],
    )
    def test_not_provably_the_same(self, one: str, other: str) -> None:
        assert plain_path(one) != plain_path(other)

    @pytest.mark.parametrize("path", ["..//a", "x./a", "a", "../a", "", ".", "./", "~/a", "a/"])
    def test_what_has_nothing_to_leave_out_stays(self, path: str) -> None:
        assert plain_path(path) == path

    def test_the_argument_must_be_the_only_one(self) -> None:
        assert path_argument({"filePath": "a", "x": 1}) == "filePath"
        assert path_argument({"filePath": "a", "path": "b"}) is None
        assert path_argument({"path": 5}) is None
