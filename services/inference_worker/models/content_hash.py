"""SHA-256 of a model's files, remembered: hashing gigabytes takes seconds, at every start it need not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import structlog

log = structlog.get_logger()


def content_hash(parts: Sequence[Path], memo: Path) -> str:
    """Hexadecimal SHA-256 over all files of a model, in order.

    `memo`: the file that remembers, by path, size, time of change and inode. Raises OSError when a part
    cannot be read.
    """
    known = _read(memo)
    hashes: dict[str, Any] = {}
    for part in parts:
        path = part.resolve()
        stat = path.stat()
        identity = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        entry = known.get(str(path))
        if not (isinstance(entry, dict) and entry.get("identity") == identity):
            entry = {"identity": identity, "sha256": _hash(path)}
        hashes[str(path)] = entry
    if any(known.get(path) != entry for path, entry in hashes.items()):
        _write(memo, {path: entry for path, entry in known.items() if Path(path).exists()} | hashes)
    if len(hashes) == 1:
        return str(next(iter(hashes.values()))["sha256"])
    return hashlib.sha256("".join(str(each["sha256"]) for each in hashes.values()).encode()).hexdigest()


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(memo: Path) -> dict[str, Any]:
    try:
        known = json.loads(memo.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("the remembered hashes of models cannot be read, all is hashed again", error=str(error))
        return {}
    return known if isinstance(known, dict) else {}


def _write(memo: Path, hashes: dict[str, Any]) -> None:
    """Two workers may do this at once: the last one wins, and what is lost is hashed again."""
    memo.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", encoding="utf-8", dir=memo.parent, delete=False) as file:
        json.dump(hashes, file, indent=1, sort_keys=True)
    Path(file.name).replace(memo)
