"""A model file's hash: right, and computed once."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from services.inference_worker.models import content_hash as module
from services.inference_worker.models.content_hash import content_hash


@pytest.fixture
def memo(tmp_path: Path) -> Path:
    return tmp_path / "models" / "hashes.json"


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose contents were read."""
    names: list[str] = []
    real = module._hash

    def counting(path: Path) -> str:
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(module, "_hash", counting)
    return names


def model(path: Path, content: bytes = b"weights") -> Path:
    path.write_bytes(content)
    return path


def test_it_is_the_sha256_and_is_computed_once(tmp_path: Path, memo: Path, hashed: list[str]) -> None:
    path = model(tmp_path / "a.gguf")
    expected = hashlib.sha256(b"weights").hexdigest()
    assert content_hash([path], memo) == expected
    assert content_hash([path], memo) == expected
    assert hashed == ["a.gguf"]


def test_a_file_that_has_changed_is_hashed_again(tmp_path: Path, memo: Path, hashed: list[str]) -> None:
    path = model(tmp_path / "a.gguf")
    before = content_hash([path], memo)
    path.write_bytes(b"WEIGHTS")
    os.utime(path, ns=(1, 1))
    assert content_hash([path], memo) == hashlib.sha256(b"WEIGHTS").hexdigest() != before
    # Another file in its place, with the same size and time.
    other = model(tmp_path / "other", b"wEIGHTS")
    os.utime(other, ns=(1, 1))
    other.replace(path)
    assert content_hash([path], memo) == hashlib.sha256(b"wEIGHTS").hexdigest()
    assert len(hashed) == 3


def test_all_parts_count_in_their_order(tmp_path: Path, memo: Path) -> None:
    one, two = model(tmp_path / "1", b"one"), model(tmp_path / "2", b"two")
    assert len({content_hash(parts, memo) for parts in ([one], [two], [one, two], [two, one])}) == 4


@pytest.mark.parametrize("garbage", ["", "{", "[]", '{"/a": 3}', '{"/a": {"identity": 1}}'])
def test_a_broken_memo_costs_a_hash(tmp_path: Path, memo: Path, garbage: str) -> None:
    path = model(tmp_path / "a.gguf")
    memo.parent.mkdir()
    memo.write_text(garbage)
    assert content_hash([path], memo) == hashlib.sha256(b"weights").hexdigest()
    assert str(path) in json.loads(memo.read_text())


def test_files_that_are_gone_are_forgotten(tmp_path: Path, memo: Path) -> None:
    gone, stays = model(tmp_path / "gone"), model(tmp_path / "stays", b"x")
    content_hash([gone], memo)
    gone.unlink()
    content_hash([stays], memo)
    assert list(json.loads(memo.read_text())) == [str(stays)]


def test_a_file_that_is_not_there(tmp_path: Path, memo: Path) -> None:
    with pytest.raises(FileNotFoundError):
        content_hash([tmp_path / "missing"], memo)
