"""The final answer in an answer in words, in a form in which equal ones are equal. Pure."""

from __future__ import annotations

import ast
import hashlib
import re
import unicodedata
import warnings

# Longer code is compared as text: a parser's time and depth are not an answer's to choose.
_LONGEST_CODE = 20_000

_BLOCK = re.compile(r"```([\w+#.-]*)[ \t]*\n(.*?)```", re.DOTALL)
_PYTHON = frozenset({"python", "py", "python3"})
_STATED = re.compile(
    r"(?:^|\n)[ \t]*####[ \t]*(?P<hashes>[^\n]+)"
    r"|\\boxed\{(?P<boxed>(?:[^{}]|\{[^{}]{0,200}\}){0,1000})\}"
    r"|\banswer\b[ \t]*(?:\*\*)?[ \t]*(?:is|:|=)[ \t]*(?:\*\*)?[ \t]*:?(?=(?P<said>[^\n]{1,400}))",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)")
_NUMBER = re.compile(r"[-+]?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?%?")
_EDGES = " \t\r\n.,;:!?*_`'\""


def final_answer(text: str) -> str:
    """What `text` amounts to, normalised: its code if it has any, else the last answer that it states
    (`#### …`, `\\boxed{…}`, "the answer is …"), else all of it. Empty for an empty text.

    Python is compared by its syntax tree, other code by its text without white space at the ends of lines,
    words without case, punctuation at the ends, or runs of white space, numbers by value.
    """
    blocks = _BLOCK.findall(text)
    if blocks:
        return "\n".join(_code(language.lower(), block) for language, block in blocks)
    stated = [found for match in _STATED.finditer(text) if (found := _stated(match).strip(_EDGES))]
    return _plain(stated[-1] if stated else text)


def answer_key(text: str) -> str:
    """The SHA-256 of the final answer in hex."""
    return hashlib.sha256(final_answer(text).encode("utf-8", "surrogatepass")).hexdigest()


def python_tree(source: str) -> ast.Module | None:
    """The syntax tree without docstrings; None for what is no Python, or too long or deep to be read."""
    if len(source) > _LONGEST_CODE:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                node.body = _without_docstring(node.body)
        ast.dump(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    documented = (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
    return body[1:] if documented else body


def _code(language: str, block: str) -> str:
    tree = python_tree(block) if language in _PYTHON else None
    if tree is not None:
        return ast.dump(tree, annotate_fields=False)
    return "\n".join(line.rstrip() for line in block.strip().splitlines())


def _stated(match: re.Match[str]) -> str:
    if (said := match["said"]) is not None:
        return _SENTENCE_END.split(said, maxsplit=1)[0]
    return match["hashes"] if match["boxed"] is None else match["boxed"]


def _plain(text: str) -> str:
    words = " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(_EDGES)
    return _number(words) if _NUMBER.fullmatch(words) else words


def _number(text: str) -> str:
    digits = text.replace(",", "").replace("$", "").replace("%", "").lstrip("+")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    negative = digits.startswith("-")
    digits = digits.lstrip("-").lstrip("0")
    digits = "0" + digits if not digits or digits.startswith(".") else digits
    sign = "-" if negative and digits != "0" else ""
    return sign + digits + ("%" if text.endswith("%") else "")
