"""What the user calls a model: `built-in`, a path to a GGUF, or a file on the Hugging Face hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from services.common.errors import SwarmError, invalid

BUILT_IN = "built-in"
_EXPECTED = "expected built-in, a path to a .gguf file, or hf:owner/repo:file.gguf"
_HUB = re.compile(
    r"hf:(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*):(?P<file>(?:[\w.+ -]+/)*[\w.+ -]+\.gguf)"
)
_BUILT_IN_FILE = Path("deploy/built_in_model/swarm-demo.gguf")


@dataclass(frozen=True, slots=True)
class LocalFile:
    path: Path


@dataclass(frozen=True, slots=True)
class HubFile:
    """`repo` is owner/name, `file` the path inside the repository (with `/`)."""

    repo: str
    file: str

    def __str__(self) -> str:
        return f"hf:{self.repo}:{self.file}"


Reference = LocalFile | HubFile


def built_in_path() -> Path:
    """The model that comes with the package, in a checkout as in an installation."""
    return Path(__file__).resolve().parents[3] / _BUILT_IN_FILE


def parse(text: str, setting: str = "model") -> Reference:
    """Raises SwarmError INVALID_FIELD for the `setting` that holds the text, saying what was expected."""
    text = text.strip()
    if text == BUILT_IN:
        return LocalFile(built_in_path())
    if text.startswith("hf:"):
        found = _HUB.fullmatch(text)
        if found is None or ".." in found["file"].split("/"):
            raise _wrong(setting, text, "a file on the hub is written hf:owner/repo:file.gguf")
        return HubFile(found["repo"], found["file"])
    path = Path(text).expanduser()
    if path.is_file():
        return LocalFile(path.resolve())
    if path.is_dir():
        raise _wrong(setting, text, "that is a folder; name the .gguf file in it")
    if text.endswith(".gguf") or "/" in text:
        raise _wrong(setting, text, "there is no such file")
    raise _wrong(setting, text, _EXPECTED)


def _wrong(setting: str, text: str, why: str) -> SwarmError:
    hint = "" if why == _EXPECTED else f" ({_EXPECTED})"
    return invalid(setting, f"{setting} {text!r}: {why}{hint}")
