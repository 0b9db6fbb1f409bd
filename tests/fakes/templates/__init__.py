"""Chat templates of each family's shape, in words of our own.

A file is named by the format that its model speaks, and by what is special about it: `glm4.v47.jinja`.
"""

from __future__ import annotations

from pathlib import Path

SOURCES: dict[str, str] = {
    path.name.removesuffix(".jinja"): path.read_text(encoding="utf-8")
    for path in sorted(Path(__file__).parent.glob("*.jinja"))
}
