"""What is built once and found again: the model and the peers."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cli.bootstrap import Reporter
from tests.bench import models, peers
from tests.bench.client import BenchError


def test_the_model_is_written_once_and_replaces_older_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def write(path: Path) -> Path:
        written.append(path)
        path.write_bytes(b"GGUF")
        return path

    monkeypatch.setattr(models, "write", write)
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    folder = models.folder(environ)
    folder.mkdir(parents=True)
    (folder / "bench-0.5b-old.gguf").touch()
    first, second = (models.get(environ, lambda text: None) for _ in range(2))
    assert first == second
    assert len(written) == 1
    assert list(folder.iterdir()) == [first]


def test_given_peers_are_taken_as_they_are(tmp_path: Path) -> None:
    for name in peers.PROGRAMS:
        (tmp_path / name).touch()
    assert peers.get({peers.VARIABLE: str(tmp_path)}, Reporter()) == tmp_path.resolve()


def test_a_folder_without_the_programs_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "llama-server").touch()
    with pytest.raises(BenchError, match="llama-bench is missing"):
        peers.get({peers.VARIABLE: str(tmp_path)}, Reporter())
