"""When a guide holds and when it lets go, token by token."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from services.inference_worker.chat.formats import FORMATS
from services.inference_worker.grammar.compiled import Compiled, Compiler, GrammarError
from services.inference_worker.grammar.guide import AnswerGuide, CallGuide
from services.inference_worker.grammar.lark import Lark
from services.inference_worker.grammar.plan import Grammars
from services.inference_worker.grammar.tokens import TokenTable
from tests.unit.inference_worker.grammar.driver import TOOLS, request, table_for

HERMES = FORMATS["hermes_json"]
CALL = '{"name": "now", "arguments": {}}\n</tool_call>'
PIECES = [bytes([byte]) for byte in range(256)] + [b"ab", "é!".encode(), b"yes", b"<|im_end|>"]
TABLE = TokenTable(len(PIECES), PIECES.__getitem__, [len(PIECES) - 1])


def guided(parallel: bool = True) -> tuple[CallGuide, TokenTable]:
    table = table_for(HERMES)
    guide = Grammars(HERMES, table).plan(request(TOOLS, parallel=parallel), TOOLS, "").guide(0)
    assert isinstance(guide, CallGuide)
    return guide, table


def say(guide: CallGuide | AnswerGuide, table: TokenTable, *pieces: str) -> None:
    """Each piece is one token if the vocabulary has it, else its bytes."""
    tokens = {table.text(token): token for token in range(table.size)}
    for piece in pieces:
        data = piece.encode()
        for each in (data,) if data in tokens else (bytes([byte]) for byte in data):
            mask = guide.mask()
            assert mask is None or allowed(mask, tokens[each]), (piece, each)
            guide.accept(tokens[each], each)


def allowed(mask: Any, token: int) -> bool:
    return bool(int(mask[token // 32]) >> token % 32 & 1)


class TestCalls:
    def test_holds_from_the_opener_to_the_closer(self) -> None:
        guide, table = guided()
        say(guide, table, "Well. ")
        assert guide.mask() is None
        say(guide, table, "<tool_call>", "\n")
        assert guide.mask() is not None
        say(guide, table, CALL.removesuffix("</tool_call>"))
        assert guide.mask() is not None
        say(guide, table, "</tool_call>")
        assert guide.mask() is None

    def test_holds_the_next_call_too(self) -> None:
        guide, table = guided()
        say(guide, table, "<tool_call>", CALL, "\nand\n", "<tool_call>")
        mask = guide.mask()
        assert mask is not None
        assert not allowed(mask, ord("a"))

    def test_behind_the_only_call_there_is_only_the_end(self) -> None:
        guide, table = guided(parallel=False)
        say(guide, table, "<tool_call>", CALL)
        mask = guide.mask()
        assert mask is not None
        assert [token for token in range(table.size) if allowed(mask, token)] == list(table.ends)

    def test_the_end_is_not_allowed_inside_a_call(self) -> None:
        guide, table = guided()
        say(guide, table, "<tool_call>", '{"name": "bash", "arguments": {"command": "ls')
        mask = guide.mask()
        assert mask is not None
        assert not any(allowed(mask, end) for end in table.ends)

    def test_names_are_those_that_were_offered(self) -> None:
        guide, table = guided()
        say(guide, table, "<tool_call>", '{"name": "')
        mask = guide.mask()
        assert mask is not None
        assert {chr(token) for token in range(256) if allowed(mask, token)} == {"b", "e", "n"}

    def test_a_token_may_hold_the_opener_and_the_beginning_of_the_call(self) -> None:
        form = FORMATS["qwen3_coder_xml"]
        table = table_for(form)
        guide = Grammars(form, table).plan(request(TOOLS), TOOLS, "").guide(0)
        assert isinstance(guide, CallGuide)
        say(guide, table, "<tool_call", ">\n", "<function=", "now", ">\n", "</function>")
        assert guide.mask() is not None

    def test_no_call_opens_in_the_middle_of_a_line_of_plain_lines(self) -> None:
        form = FORMATS["tool_line"]
        table = table_for(form)
        guide = Grammars(form, table).plan(request(TOOLS), TOOLS, "").guide(0)
        assert isinstance(guide, CallGuide)
        say(guide, table, "they write TOOL: then")
        assert guide.mask() is None
        say(guide, table, "\nTOOL:")
        assert guide.mask() is not None


class TestAnswers:
    def test_characters_over_several_tokens(self) -> None:
        guide = AnswerGuide(Compiled(TABLE, Lark().text('"né!"')))
        for token in (ord("n"), *"é".encode(), ord("!")):
            assert allowed(guide.mask(), token)
            guide.accept(token, PIECES[token])
        assert [t for t in range(TABLE.size) if allowed(guide.mask(), t)] == list(TABLE.ends)

    def test_a_beginning_that_does_not_fit_is_an_error(self) -> None:
        compiled = Compiled(TABLE, Lark().text('"yes"'))
        assert allowed(AnswerGuide(compiled, b"ye").mask(), ord("s"))
        with pytest.raises(ValueError, match="forced"):
            AnswerGuide(compiled, b"no")


class TestCompiled:
    def test_candidates_do_not_disturb_one_another(self) -> None:
        compiled = Compiled(TABLE, Lark().text('"yes"'))
        one, two = AnswerGuide(compiled), AnswerGuide(compiled)
        one.accept(ord("y"), b"y")
        assert allowed(two.mask(), ord("y"))
        assert not allowed(one.mask(), ord("y"))

    def test_what_cannot_be_compiled_says_why(self) -> None:
        with pytest.raises(GrammarError, match="nobody"):
            Compiled(TABLE, Lark().text("nobody"))

    def test_equal_grammars_are_made_once(self) -> None:
        compiler = Compiler(TABLE)
        assert compiler.compile(Lark().text('"a"')) is compiler.compile(Lark().text('"a"'))
        assert compiler.compile(Lark().text('"a"')) is not compiler.compile(Lark().text('"b"'))

    def test_only_so_many_are_kept(self) -> None:
        compiler = Compiler(TABLE)
        first = compiler.compile(Lark().text('"first"'))
        for number in range(100):
            compiler.compile(Lark().text(f'"{number}"'))
        assert compiler.compile(Lark().text('"first"')) is not first


class TestTokens:
    def test_spells_with_the_longest_tokens(self) -> None:
        assert TABLE.spell(b"abcyes") == [256, ord("c"), 258]
        assert TABLE.spell("é".encode()) == list("é".encode())

    def test_what_the_vocabulary_lacks_cannot_be_spelled(self) -> None:
        few = TokenTable(3, [b"a", b"b", b""].__getitem__, [2])
        assert few.spell(b"ab") == [0, 1]
        assert few.spell(b"abc") is None

    def test_finds_tokens_by_how_they_begin_and_what_they_contain(self) -> None:
        assert dict(TABLE.beginning_with(b"a")) == {256: b"b"}
        assert dict(TABLE.containing(b"ye")) == {258: b"s"}
        assert dict(TABLE.containing(b"yes")) == {}

    def test_a_mask_of_some(self) -> None:
        mask = TABLE.only([0, 33, 259])
        assert mask.dtype == np.uint32
        assert [token for token in range(TABLE.size) if allowed(mask, token)] == [0, 33, 259]
