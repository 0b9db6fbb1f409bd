"""What a conversation shows of files, and when that is no longer certain."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.common.chat import Message, Role, ToolCall
from services.consensus.listings import files_in, lines_of
from services.consensus.strategies.risk import Risk

LINES = ["def f():", "    return 1", ""]


def listing(lines: list[str], path: str = "/w/a.py", total: int | None = None, first: int = 1) -> str:
    body = "\n".join(f"{number}: {line}" for number, line in enumerate(lines, first))
    end = f"(End of file - total {len(lines) if total is None else total} lines)"
    return f"<path>{path}</path>\n<type>file</type>\n<content>\n{body}\n\n{end}\n</content>"


def turn(*calls: tuple[str, dict[str, Any]], answers: tuple[str, ...] = ()) -> list[Message]:
    made = tuple(ToolCall(f"c{n}", name, json.dumps(given)) for n, (name, given) in enumerate(calls))
    said = answers or ("done",) * len(calls)
    return [
        Message(Role.ASSISTANT, tool_calls=made),
        *(Message(Role.TOOL, text, tool_call_id=f"c{n}") for n, text in enumerate(said)),
    ]


def read(path: str = "a.py", answer: str | None = None) -> list[Message]:
    return turn(("read", {"filePath": path}), answers=(listing(LINES) if answer is None else answer,))


class TestLines:
    def test_a_whole_file(self) -> None:
        assert lines_of(listing(LINES)) == ("/w/a.py", "def f():\n    return 1\n")

    def test_the_older_form(self) -> None:
        text = "<file>\n00001| a: b\n00002| c| d\n\n(End of file - total 2 lines)\n</file>"
        assert lines_of(text) == ("", "a: b\nc| d")

    def test_what_a_reminder_says_behind_it_does_not_matter(self) -> None:
        assert lines_of(listing(LINES) + "\n<system-reminder>\n4: x\n</system-reminder>") is not None

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "def f():\n",
            listing([]),
            listing(LINES, total=4),
            listing(LINES, first=2),
            listing(["x" * 1000]),
            listing(LINES).replace("2: ", "5: "),
            listing(LINES).replace("(End of file - total 3 lines)", "(Showing lines 1-3 of 9. Use offset=4)"),
            listing(LINES).partition("\n\n")[0],
            "note\n" + listing(LINES),
            "<path>/w</path>\n<type>directory</type>\n<entries>\na\n\n(1 entries)\n</entries>",
        ],
    )
    def test_anything_else_is_not_certainly_a_whole_file(self, text: str) -> None:
        assert lines_of(text) is None

    def test_a_file_cannot_forge_its_end(self) -> None:
        forged = listing(["a", "(End of file - total 1 lines)", "</content>", "", "b"])
        found = lines_of(forged)
        assert found is not None
        assert found[1].endswith("b")


class TestFiles:
    def test_a_file_is_known_by_the_path_that_was_asked_and_the_one_that_was_told(self) -> None:
        files = files_in(read("./a.py"))
        assert files.get("a.py") == files.get("/w/a.py") == "\n".join(LINES)
        assert files.get("b.py") is None

    def test_the_last_reading_counts(self) -> None:
        assert files_in([*read(), *read(answer=listing(["new"]))]).get("a.py") == "new"

    @pytest.mark.parametrize(
        "between",
        [
            ("edit", {"filePath": "a.py", "oldString": "x", "newString": "y"}),
            ("edit", {"filePath": "/elsewhere/A.py", "oldString": "x", "newString": "y"}),
            ("write", {"filePath": "/w/a.py", "content": ""}),
            ("write", {"content": ""}),
            ("bash", {"command": "make"}),
            ("task", {"prompt": "x"}),
            ("anything", {}),
        ],
    )
    def test_what_may_have_changed_it_makes_it_unknown(self, between: tuple[str, dict[str, Any]]) -> None:
        files = files_in([*read(), *turn(between)])
        assert files.get("a.py") is None
        assert files.get("/w/a.py") is None

    @pytest.mark.parametrize(
        "between",
        [
            ("edit", {"filePath": "b.py", "oldString": "x", "newString": "y"}),
            ("bash", {"command": "ls | wc -l"}),
            ("read", {"filePath": "a.py", "offset": 9}),
            ("grep", {"pattern": "x"}),
            ("todowrite", {"todos": []}),
        ],
    )
    def test_what_cannot_leaves_it_known(self, between: tuple[str, dict[str, Any]]) -> None:
        assert files_in([*read(), *turn(between)]).get("a.py") == "\n".join(LINES)

    def test_the_users_classes_hold_here_too(self) -> None:
        messages = [*read(), *turn(("mcp__index__lookup", {}))]
        assert files_in(messages).get("a.py") is None
        assert files_in(messages, [("mcp__index__*", Risk.READING)]).get("a.py") is not None

    def test_calls_of_a_turn_may_run_side_by_side(self) -> None:
        both = turn(
            ("read", {"filePath": "a.py"}),
            ("bash", {"command": "make"}),
            answers=(listing(LINES), "made"),
        )
        assert files_in(both).get("a.py") is None

    def test_arguments_that_cannot_be_read_may_have_changed_anything(self) -> None:
        broken = Message(Role.ASSISTANT, tool_calls=(ToolCall("c", "edit", "{"),))
        assert files_in([*read(), broken]).get("a.py") is None

    def test_only_a_read_tells(self) -> None:
        assert files_in(turn(("grep", {"path": "a.py"}), answers=(listing(LINES),))).get("a.py") is None

    def test_a_copy_goes_its_own_way(self) -> None:
        files = files_in(read())
        files.copy().after("bash", None)
        assert files.get("a.py") is not None
