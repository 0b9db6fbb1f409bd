"""What may stand in MODEL=."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.common.errors import Reason, SwarmError
from services.inference_worker.models.reference import HubFile, LocalFile, built_in_path, parse


def test_the_built_in_model_lies_in_the_package() -> None:
    assert parse("built-in") == LocalFile(built_in_path())
    assert built_in_path().parts[-3:] == ("deploy", "built_in_model", "swarm-demo.gguf")
    assert (built_in_path().parents[2] / "services" / "inference_worker").is_dir()


def test_a_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.gguf").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = LocalFile(tmp_path.resolve() / "model.gguf")
    for text in ("model.gguf", "./model.gguf", " model.gguf ", "~/model.gguf", str(tmp_path / "model.gguf")):
        assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "repo", "file"),
    [
        ("hf:Some-One/Coder-7B_v2.5-GGUF:7b.q4_k_m.gguf", "Some-One/Coder-7B_v2.5-GGUF", "7b.q4_k_m.gguf"),
        ("hf:a/b:folder/x-00001-of-00002.gguf", "a/b", "folder/x-00001-of-00002.gguf"),
    ],
)  # fmt: skip
def test_a_file_on_the_hub(text: str, repo: str, file: str) -> None:
    reference = parse(text)
    assert reference == HubFile(repo, file)
    assert str(reference) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected built-in"),
        ("qwen2.5-coder:7b", "expected built-in"),
        ("no/such/file.gguf", "no such file"),
        ("hf:owner/repo", "hf:owner/repo:file.gguf"),
        ("hf:owner:file.gguf", "hf:owner/repo:file.gguf"),
        ("hf:owner/repo:file.bin", "hf:owner/repo:file.gguf"),
        ("hf:owner/repo:../../file.gguf", "hf:owner/repo:file.gguf"),
        ("hf:../repo:file.gguf", "hf:owner/repo:file.gguf"),
        ("hf:owner/..:file.gguf", "hf:owner/repo:file.gguf"),
    ],
)
def test_what_is_wrong_and_what_was_expected(text: str, words: str) -> None:
    with pytest.raises(SwarmError) as caught:
        parse(text)
    assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, "model")
    assert words in caught.value.message
    assert repr(text) in caught.value.message


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(SwarmError, match="folder"):
        parse(str(tmp_path))


def test_the_setting_that_is_wrong_is_named() -> None:
    with pytest.raises(SwarmError) as caught:
        parse("no/such/file.gguf", "draft_model")
    assert caught.value.param == "draft_model"
    assert "draft_model 'no/such/file.gguf'" in caught.value.message
