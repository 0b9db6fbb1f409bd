"""Which shell commands are known to read only: in doubt none is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consensus.strategies.shell import only_reads


@pytest.mark.parametrize(
    "command",
    [
        "ls",
        "ls -la src/*.py",
        "cd sub && ls",
        "cat a.txt | grep -n 'foo(bar)' | wc -l",
        "cat a; cat b || echo 'no $b > here'",
        'grep -rn "two words" src 2>/dev/null',
        "ls nowhere 2>&1 | head -5",
        "find . -name '*.py' -type f -maxdepth 2",
        "git status",
        "git diff --stat HEAD~1 -- src",
        "git log --oneline -5",
        "sed -n '10,20p' a.py",
        "sed -n '3,$p' a.py",
        "sort -rn a | uniq -c",
        "rg -n pattern src",
        "date +%s",
        "\tpwd ",
    ],
)
def test_known(command: str) -> None:
    assert only_reads(command)


@pytest.mark.parametrize(
    "command",
    [
        "",
        " ",
        "rm a",
        "ls; rm a",
        "ls && rm a",
        "ls || rm a",
        "ls | xargs rm",
        "ls & rm a",
        "ls\nrm a",
        "ls > a",
        "ls >> a",
        "ls 2> a",
        "ls 2>/dev/null/../a",
        "ls 2>/dev/null>a",
        "ls 2>&1x",
        "cat < a",
        "cat <(rm a)",
        "echo $(rm a)",
        "echo `rm a`",
        'echo "$(rm a)"',
        'echo "`rm a`"',
        "echo $HOME",
        "l\\s",
        "echo 'open",
        "PATH=. ls",
        "./ls",
        "/tmp/ls",
        "*",
        "ls {a,b}",
        "(ls)",
        "! ls",
        "ls # rm",
        "env ls",
        "sudo ls",
        "python3 -c 'print(1)'",
        "find . -delete",
        "find . -exec rm a ;",
        "find . -fprint a",
        "find *",
        "find '|' ls -delete",
        "sed -i s/a/b/ a",
        "sed -n '1w b' a",
        "sed -n 1p -i a",
        "sort -o a a",
        "sort -uo a a",
        "sort --output=a a",
        "sort * ",
        "uniq a b",
        "tree -o a",
        "date -s 0",
        "date 0101000070",
        "git push",
        "git -c alias.log=!rm log",
        "git diff --output=a",
        "git diff --outp a",
        "git grep -Orm x",
        "git",
        "rg --pre rm x",
        "rg -e --pre=rm x",
        "tail -f a &",
        "ls;;",
        "ls\u00a0&& rm a",
        "ls\x00",
    ],
)
def test_unknown(command: str) -> None:
    assert not only_reads(command)


@given(st.text(alphabet="ls rm|&;>$'\"\\\n*-xo2/dev`(){}#!", max_size=20))
def test_there_is_an_answer_to_anything_and_rm_is_no_program_that_reads(command: str) -> None:
    if only_reads(command) and not {"'", '"'} & set(command):
        parts = command.replace("&", "|").replace(";", "|").replace("2>|1", "").split("|")
        assert all(part.split()[0] == "ls" for part in parts if part.strip())


@given(
    st.sampled_from(["> a", "$(x)", "`x`", "& x", "\nx", "; x", "| x", "&& x", "|| x"]), st.text(max_size=5)
)
def test_nothing_unknown_hides_behind_something_known(tail: str, more: str) -> None:
    assert not only_reads(f"ls {tail}{more}")
