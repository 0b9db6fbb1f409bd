"""The GGUF reader: good files are understood, and whatever is wrong with a file is a sentence."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.errors import Reason, SwarmError
from services.inference_worker.models import gguf_file
from services.inference_worker.models.gguf_file import ArraySize
from tests.fakes import tiny_gguf


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return tiny_gguf.write(tmp_path_factory.mktemp("gguf") / "tiny.gguf").read_bytes()


def refused(path: Path) -> str:
    """Why the file is refused; it must be a typed error that names the file."""
    with pytest.raises(SwarmError) as caught:
        gguf_file.read(path)
    assert caught.value.reason is Reason.MODEL_FILE_INVALID
    assert str(path) in caught.value.message
    return caught.value.message


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def header(version: int = 3, tensors: int = 0, keys: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys)


def key(name: str, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", kind) + value


class TestGoodFiles:
    def test_the_metadata_is_understood(self, tmp_path: Path, tiny: bytes) -> None:
        file = gguf_file.read(written(tmp_path / "tiny.gguf", tiny))
        assert file.architecture == "qwen2"
        assert file.text("general.name") == "tiny"
        assert file.number("context_length") == tiny_gguf.CONTEXT
        assert file.per_layer("attention.head_count_kv", 2) == (2, 2)
        assert file.metadata["tokenizer.chat_template"] == tiny_gguf.CHATML
        assert file.metadata["tokenizer.ggml.add_bos_token"] is False
        assert file.tensor_bytes == pytest.approx(len(tiny), rel=0.05)

    def test_every_kind_of_value_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "kinds.gguf"
        writer = gguf.GGUFWriter(str(path), "test")
        writer.add_uint8("u8", 200)
        writer.add_int8("i8", -5)
        writer.add_uint16("u16", 60_000)
        writer.add_int16("i16", -300)
        writer.add_int32("i32", -70_000)
        writer.add_uint64("u64", 2**63)
        writer.add_int64("i64", -(2**60))
        writer.add_float32("f32", 0.5)
        writer.add_float64("f64", 0.1)
        writer.add_bool("flag", True)
        writer.add_string("text", "wörter")
        writer.add_array("short", [1, 2, 3])
        writer.add_array("words", ["a", "bc"])
        writer.add_array("long", list(range(5000)))
        writer.add_array("long words", ["x"] * 5000)
        writer.add_tensor("t", np.zeros((4, 4), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        metadata = gguf_file.read(path).metadata
        assert metadata["u8"] == 200
        assert metadata["i8"] == -5
        assert metadata["u16"] == 60_000
        assert metadata["i16"] == -300
        assert metadata["i32"] == -70_000
        assert metadata["u64"] == 2**63
        assert metadata["i64"] == -(2**60)
        assert metadata["f32"] == 0.5
        assert metadata["f64"] == 0.1
        assert metadata["flag"] is True
        assert metadata["text"] == "wörter"
        assert metadata["short"] == (1, 2, 3)
        assert metadata["words"] == ("a", "bc")
        assert metadata["long"] == ArraySize(5000)
        assert metadata["long words"] == ArraySize(5000)

    def test_a_split_model_is_read_as_one(self, tmp_path: Path, tiny: bytes) -> None:
        first = written(tmp_path / "big-00001-of-00002.gguf", tiny)
        second = written(tmp_path / "big-00002-of-00002.gguf", tiny)
        file = gguf_file.read(first)
        assert file.parts == (first, second)
        assert file.tensor_bytes == 2 * gguf_file.read(written(tmp_path / "one.gguf", tiny)).tensor_bytes
        assert gguf_file.model_name(first) == "big"

    def test_names(self) -> None:
        assert gguf_file.model_name(Path("a/Qwen2.5-7B.Q4_K_M.gguf")) == "Qwen2.5-7B.Q4_K_M"
        assert gguf_file.part_names("plain.gguf") == ("plain.gguf",)
        assert gguf_file.part_names("x-00001-of-00003.gguf") == (
            "x-00001-of-00003.gguf",
            "x-00002-of-00003.gguf",
            "x-00003-of-00003.gguf",
        )


class TestBadFiles:
    def test_no_file(self, tmp_path: Path) -> None:
        assert "No such file" in refused(tmp_path / "missing.gguf")

    def test_a_folder(self, tmp_path: Path) -> None:
        assert "directory" in refused(tmp_path)

    @pytest.mark.parametrize("data", [b"", b"GG", b"PK\x03\x04 some archive", b"<html>not found</html>"])
    def test_something_else(self, tmp_path: Path, data: bytes) -> None:
        assert "not a GGUF file" in refused(written(tmp_path / "x.gguf", data))

    def test_another_version(self, tmp_path: Path) -> None:
        assert "version is 1;" in refused(written(tmp_path / "x.gguf", header(version=1)))
        assert "version is 99;" in refused(written(tmp_path / "y.gguf", header(version=99)))
        big_endian = b"GGUF" + struct.pack(">IQQ", 3, 0, 0)
        assert "big-endian" in refused(written(tmp_path / "z.gguf", big_endian))

    def test_absurd_counts(self, tmp_path: Path) -> None:
        assert "damaged" in refused(written(tmp_path / "x.gguf", header(tensors=2**60)))
        assert "damaged" in refused(written(tmp_path / "y.gguf", header(keys=2**40)))

    def test_a_string_longer_than_the_file(self, tmp_path: Path) -> None:
        data = header(keys=1) + key("general.name", 8, struct.pack("<Q", 2**50) + b"x")
        assert "cut short" in refused(written(tmp_path / "x.gguf", data))

    def test_an_array_longer_than_the_file(self, tmp_path: Path) -> None:
        data = header(keys=1) + key("tokens", 9, struct.pack("<IQ", 4, 2**50))
        assert "cut short" in refused(written(tmp_path / "x.gguf", data))

    def test_unknown_types(self, tmp_path: Path) -> None:
        assert "unknown type 77" in refused(written(tmp_path / "x.gguf", header(keys=1) + key("k", 77, b"")))
        nested = header(keys=1) + key("k", 9, struct.pack("<IQ", 9, 1))
        assert "array of unknown type 9" in refused(written(tmp_path / "y.gguf", nested))

    def test_an_alignment_of_zero(self, tmp_path: Path) -> None:
        data = header(keys=1) + key("general.alignment", 4, struct.pack("<I", 0))
        assert "general.alignment" in refused(written(tmp_path / "x.gguf", data))

    def test_no_weights(self, tmp_path: Path) -> None:
        assert "no weights" in refused(written(tmp_path / "x.gguf", header()))

    def test_a_part_of_a_split_model(self, tmp_path: Path, tiny: bytes) -> None:
        second = written(tmp_path / "big-00002-of-00003.gguf", tiny)
        assert "part 2 of a split model" in refused(second)
        first = written(tmp_path / "big-00001-of-00003.gguf", tiny)
        assert "big-00003-of-00003.gguf" in refused(first)

    @pytest.mark.parametrize("name", ["context_length", "block_count", "embedding_length"])
    def test_a_key_that_must_be_there_is_named(self, tmp_path: Path, tiny: bytes, name: str) -> None:
        full = f"qwen2.{name}".encode()
        broken = tiny.replace(full, full[:-1] + b"X")
        file = gguf_file.read(written(tmp_path / "x.gguf", broken))
        with pytest.raises(SwarmError) as caught:
            file.number(name)
        assert f"qwen2.{name}" in caught.value.message

    @pytest.mark.parametrize("missing", [1, 1000, 100_000])
    def test_cut_short_within_the_weights(self, tmp_path: Path, tiny: bytes, missing: int) -> None:
        message = refused(written(tmp_path / "x.gguf", tiny[:-missing]))
        assert "cut short" in message
        assert str(len(tiny) - missing) in message

    def test_cut_short_within_the_header(self, tmp_path: Path, tiny: bytes) -> None:
        for size in range(5, 3000, 7):
            assert "cut short" in refused(written(tmp_path / "x.gguf", tiny[:size]))


FUZZ = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def survives(path: Path) -> None:
    """Either it is read or it is refused with a typed error; nothing else may happen."""
    reason = None
    try:
        file = gguf_file.read(path)
        assert file.tensor_bytes > 0
        file.number("context_length")
    except SwarmError as error:
        reason = error.reason
    assert reason in (None, Reason.MODEL_FILE_INVALID)


@FUZZ
@given(data=st.binary(max_size=200), version=st.sampled_from([2, 3]), counts=st.integers(0, 20))
def test_garbage_behind_the_magic(tmp_path: Path, data: bytes, version: int, counts: int) -> None:
    survives(written(tmp_path / "x.gguf", header(version, counts // 5, counts % 5) + data))


@FUZZ
@given(
    changes=st.lists(st.tuples(st.integers(4, 6000), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.integers(0, 500_000),
)
def test_a_real_file_with_bytes_changed(
    tmp_path: Path, tiny: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(tiny)
    for at, value in changes:
        data[at] = value
    survives(written(tmp_path / "x.gguf", bytes(data[: max(100, len(data) - cut)])))


class TestVocabulary:
    """llama.cpp ends the process on a token that is there twice."""

    @staticmethod
    def with_tokens(path: Path, tokens: list[bytes]) -> Path:
        strings = b"".join(struct.pack("<Q", len(token)) + token for token in tokens)
        array = struct.pack("<IQ", 8, len(tokens)) + strings
        return written(path, header(keys=1) + key("tokenizer.ggml.tokens", 9, array))

    @pytest.mark.parametrize("more", [0, 5_000])
    def test_a_token_that_is_there_twice(self, tmp_path: Path, more: int) -> None:
        tokens = [b"a", b"b", *(b"t%d" % number for number in range(more)), b"b"]
        why = refused(self.with_tokens(tmp_path / "twice.gguf", tokens))
        assert f"the token 'b' twice (numbers 1 and {more + 2})" in why

    def test_tokens_that_are_equal_to_llama_cpp(self, tmp_path: Path) -> None:
        assert "'a' twice" in refused(self.with_tokens(tmp_path / "zero.gguf", [b"a", b"a\0b"]))
        assert "'[EMPTY_1]' twice" in refused(self.with_tokens(tmp_path / "empty.gguf", [b"[EMPTY_1]", b""]))

    def test_empty_tokens_are_not_equal(self, tmp_path: Path) -> None:
        assert "it holds no weights" in refused(self.with_tokens(tmp_path / "empties.gguf", [b"", b"", b"a"]))
