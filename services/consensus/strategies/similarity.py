"""How alike two answers are: by the edits between their words, or between their code's syntax trees. Pure."""

from __future__ import annotations

import ast
import re

from rapidfuzz.distance import Levenshtein

from services.consensus.answers import python_tree

_WORDS = re.compile(r"\w+|[^\w\s]")
_CODE_BLOCK = re.compile(r"```(?:python|py|python3)[ \t]*\n(.*?)```", re.DOTALL)

Features = tuple[str, ...]


def features(text: str) -> Features:
    """What is compared of an answer: the syntax of its blocks of Python if it has any that parse, else its
    words, small and without white space.
    """
    shapes = [_shape(block) for block in _CODE_BLOCK.findall(text)]
    if shapes and all(shapes):
        return tuple(_WORDS.findall("\n".join(shapes)))
    return tuple(word.lower() for word in _WORDS.findall(text))


def likeness(one: Features, other: Features) -> float:
    """1 for equal ones, down to 0; the same both ways."""
    return float(Levenshtein.normalized_similarity(one, other))


def _shape(source: str) -> str:
    """The syntax tree as text, its own variables and parameters numbered in the order in which they appear;
    empty for what is no Python.
    """
    tree = python_tree(source)
    if tree is None:
        return ""
    bound = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)} | {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    try:
        return ast.dump(_Renamed(bound).visit(tree), annotate_fields=False)
    except RecursionError:  # deeper than it could be parsed: the words of it are compared
        return ""


class _Renamed(ast.NodeTransformer):
    def __init__(self, bound: set[str]) -> None:
        self._bound = bound
        self._names: dict[str, str] = {}

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self._name(node.id), node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(self._name(node.arg))

    def _name(self, name: str) -> str:
        return self._names.setdefault(name, f"v{len(self._names)}") if name in self._bound else name
