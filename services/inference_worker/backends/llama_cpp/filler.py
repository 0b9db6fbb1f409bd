"""Rows that are added to a step because it takes less time with them.

llama.cpp's kernels for processors work on groups of four rows, and do what is left over row by row, each as
slowly as a group. And flash attention works on tiles of 64 rows, several times as fast as on fewer; that
pays where one prompt looks back over many cells. Both are facts of the kernels, not of a model: the first
depends on the type of the weights and is measured, the second is worked out from their shape.
"""

from __future__ import annotations

from collections.abc import Callable

GROUP = 4
TILE = 64

# A group must be quicker than what it replaces by this part, so that noise decides nothing.
_MARGIN = 0.03
# Attention of one row over as many cells as the model is wide costs so many times what its weights cost
# (measured on a 0.5B model; layers and width cancel out), and a tile so much of what its rows cost alone.
_ATTENTION = 1.1
_TILED = 0.35


class Filler:
    """How many rows a step lacks to be quick. Pure but for what it was told."""

    def __init__(self, width: int, tiled: bool, window: int = 0) -> None:
        """`width`: elements of an embedding. `tiled`: flash attention works in tiles here.

        `window`: cells that rows look back on at most, 0: all.
        """
        self._width = max(1, width)
        self._tiled = tiled
        self._window = window
        self._grouped = self._three = False

    def measure(self, seconds: Callable[[int], float]) -> None:
        """`seconds` decodes so many rows and tells how long it took."""
        for _ in range(2):
            # The first steps of a kind are slow for reasons of their own (memory, compiled graphs).
            eight, six = seconds(8), seconds(6)
        self._grouped = eight < (1 - _MARGIN) * six
        if self._grouped:
            for _ in range(2):
                four, three = seconds(4), seconds(3)
            self._three = four < (1 - _MARGIN) * three

    def missing(self, rows: int, sequences: int, depth: int) -> int:
        """Rows to add to a step of `rows` of so many `sequences`, the first at position `depth`."""
        if sequences == 1 and GROUP < rows < TILE and self._tile_pays(rows, depth):
            return TILE - rows
        if self._grouped and (rows > GROUP or (rows == GROUP - 1 and self._three)):
            return -rows % GROUP
        return 0

    def _tile_pays(self, rows: int, depth: int) -> bool:
        if not self._tiled:
            return False
        cells = min(depth, self._window) if self._window else depth
        attention = _ATTENTION * cells / self._width
        return rows * (1 + attention) > TILE * (1 + _TILED * attention)
