"""Reads a GGUF's header without trusting it: whatever is wrong with the file is a sentence, not a crash.

llama.cpp aborts or reads past the end on some broken files, so every model passes here first.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gguf.constants import GGML_QUANT_SIZES

from services.common.errors import Reason, SwarmError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_DEFAULT_ALIGNMENT = 32
# Bounds of what a sane file holds; they keep garbage from costing minutes.
_MOST_KEYS = 100_000
_MOST_TENSORS = 1_000_000
_MOST_STRINGS = 10_000_000
_MOST_DIMENSIONS = 4
_LONGEST_NAME = 65_535
# Longer arrays (vocabularies) are passed over; `ArraySize` tells how long they are.
_KEPT_ARRAY = 4_096

_VOCABULARY = "tokenizer.ggml.tokens"
_STRING, _ARRAY = 8, 9
_SCALARS: Mapping[int, struct.Struct] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32, _U64 = _SCALARS[4], _SCALARS[10]
_QUANT_SIZES: Mapping[int, tuple[int, int]] = {int(kind): sizes for kind, sizes in GGML_QUANT_SIZES.items()}

_PART_NAME = re.compile(r"(?P<stem>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})\.gguf")


@dataclass(frozen=True, slots=True)
class ArraySize:
    """Stands for an array that is too long to keep."""

    length: int


Value = int | float | bool | str | tuple[int | float | bool | str, ...] | ArraySize


class _CutShort(Exception):
    """The file ends within its header."""


class _Broken(Exception):
    """The header cannot be right; the message says what was found."""


@dataclass(frozen=True, slots=True)
class GgufFile:
    """`parts` are all files of a split model, in order. `tensor_bytes` is their data without headers."""

    parts: tuple[Path, ...]
    metadata: Mapping[str, Value]
    tensor_bytes: int

    @property
    def path(self) -> Path:
        return self.parts[0]

    @property
    def architecture(self) -> str:
        return self.text("general.architecture")

    def text(self, key: str) -> str:
        """A string of the metadata. Raises SwarmError MODEL_FILE_INVALID when it is missing."""
        value = self.metadata.get(key)
        if not isinstance(value, str) or not value:
            raise invalid_file(self.path, f"its metadata has no {key}")
        return value

    def number(self, key: str, default: int | None = None, least: int = 1) -> int:
        """An integer of at least `least` under `<architecture>.`; the largest where each layer has its own.

        Raises SwarmError MODEL_FILE_INVALID when it is missing and there is no `default`.
        """
        return max(self.per_layer(key, 1, default, least))

    def per_layer(self, key: str, layers: int, default: int | None = None, least: int = 1) -> tuple[int, ...]:
        """As `number`, for each layer; zeros are allowed in arrays (layers without attention)."""
        full = f"{self.architecture}.{key}"
        value = self.metadata.get(full)
        if value is None and default is not None:
            return (default,) * layers
        if isinstance(value, int) and not isinstance(value, bool) and value >= least:
            return (value,) * layers
        if isinstance(value, tuple) and value:
            numbers = tuple(each for each in value if isinstance(each, int) and each >= 0)
            if len(numbers) == len(value) and max(numbers) >= least:
                return numbers
        raise invalid_file(self.path, f"its metadata has no usable {full} ({value!r})")


def invalid_file(path: Path, why: str) -> SwarmError:
    return SwarmError(Reason.MODEL_FILE_INVALID, f"{path} cannot be used as a model: {why}")


def part_names(name: str) -> tuple[str, ...]:
    """All file names of a split model, given its first; just `name` if it is not split."""
    found = _PART_NAME.fullmatch(name)
    if found is None:
        return (name,)
    count = int(found["parts"])
    return tuple(f"{found['stem']}-{part:05d}-of-{count:05d}.gguf" for part in range(1, count + 1))


def model_name(path: Path) -> str:
    """The file's name without what belongs to files: `.gguf` and the numbers of a split."""
    found = _PART_NAME.fullmatch(path.name)
    return found["stem"] if found else path.stem


def read(path: Path) -> GgufFile:
    """Raises SwarmError MODEL_FILE_INVALID: no file, not GGUF, another version, garbage, or cut short."""
    found = _PART_NAME.fullmatch(path.name)
    if found is not None and int(found["part"]) != 1:
        raise invalid_file(path, f"it is part {int(found['part'])} of a split model; name the first part")
    parts = tuple(path.with_name(name) for name in part_names(path.name))
    metadata, tensor_bytes = _read_part(parts[0])
    for part in parts[1:]:
        if not part.is_file():
            raise invalid_file(path, f"part {part.name} of the split model is missing beside it")
        tensor_bytes += _read_part(part)[1]
    if tensor_bytes == 0:
        raise invalid_file(path, "it holds no weights")
    return GgufFile(parts, metadata, tensor_bytes)


def _read_part(path: Path) -> tuple[dict[str, Value], int]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            if file.read(len(_MAGIC)) != _MAGIC:
                raise invalid_file(path, "it is not a GGUF file (its first bytes are not 'GGUF')")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _parse(data, size)
    except OSError as error:
        raise invalid_file(path, error.strerror or str(error)) from error
    except _CutShort:
        raise invalid_file(path, f"it is cut short: {size} bytes end within its header") from None
    except _Broken as broken:
        raise invalid_file(path, str(broken)) from None


def _parse(data: mmap.mmap, size: int) -> tuple[dict[str, Value], int]:
    cursor = _Cursor(data, size)
    version = cursor.scalar(_U32)
    if version not in _VERSIONS:
        swapped = int.from_bytes(int(version).to_bytes(4, "little"), "big")
        if swapped in _VERSIONS:
            raise _Broken("it is a big-endian GGUF, which is not supported")
        raise _Broken(f"its GGUF version is {version}; versions 2 and 3 are supported")
    tensors, keys = int(cursor.scalar(_U64)), int(cursor.scalar(_U64))
    if tensors > _MOST_TENSORS or keys > _MOST_KEYS:
        raise _Broken(f"its header is damaged: {tensors} tensors and {keys} keys")
    metadata: dict[str, Value] = {}
    for _ in range(keys):
        key = cursor.name()
        metadata[key] = cursor.value(int(cursor.scalar(_U32)), key)
    alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise _Broken(f"its general.alignment is {alignment!r}, expected a power of two")
    ends = [cursor.tensor_end() for _ in range(tensors)]
    start = -(-cursor.at // alignment) * alignment
    if not ends:
        # The first part of a split model may hold nothing but metadata.
        return metadata, 0
    needed = start + max(ends)
    if needed > size:
        raise _Broken(f"it is cut short: it has {size} bytes, its tensors end at byte {needed}")
    return metadata, size - start


class _Cursor:
    """Reads on and on, never past the end."""

    def __init__(self, data: mmap.mmap, size: int) -> None:
        self._data = data
        self._size = size
        self.at = len(_MAGIC)

    def scalar(self, kind: struct.Struct) -> int | float | bool:
        at = self._advance(kind.size)
        value: int | float | bool = kind.unpack_from(self._data, at)[0]
        return value

    def text(self) -> str:
        length = int(self.scalar(_U64))
        at = self._advance(length)
        return self._data[at : at + length].decode("utf-8", "replace")

    def name(self) -> str:
        length = int(_U64.unpack_from(self._data, self._peek(_U64.size))[0])
        if not 0 < length <= _LONGEST_NAME:
            raise _Broken(f"its header is damaged: a name of {length} bytes at byte {self.at}")
        return self.text()

    def value(self, kind: int, key: str) -> Value:
        if kind == _STRING:
            return self.text()
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind != _ARRAY:
            raise _Broken(f"its header is damaged: {key} has a value of unknown type {kind}")
        element, length = int(self.scalar(_U32)), int(self.scalar(_U64))
        if element not in _SCALARS and element != _STRING:
            raise _Broken(f"its header is damaged: {key} is an array of unknown type {element}")
        # An element has at least one byte: a longer array cannot be in the file.
        self._peek(length)
        if key == _VOCABULARY and element == _STRING:
            self._refuse_equal_tokens(length)
        if length <= _KEPT_ARRAY:
            if element == _STRING:
                return tuple(self.text() for _ in range(length))
            return tuple(self.scalar(_SCALARS[element]) for _ in range(length))
        if element == _STRING:
            self._refuse_too_many(length, key)
            for _ in range(length):
                self._advance(int(self.scalar(_U64)))
        else:
            self._advance(length * _SCALARS[element].size)
        return ArraySize(length)

    def _refuse_too_many(self, strings: int, key: str) -> None:
        if strings > _MOST_STRINGS:
            raise _Broken(f"its header is damaged: {key} has {strings} strings")

    def _refuse_equal_tokens(self, count: int) -> None:
        """llama.cpp ends the process on a vocabulary that has a token twice. Reads on and goes back."""
        self._refuse_too_many(count, _VOCABULARY)
        start = self.at
        ids: dict[bytes, int] = {}
        for token in range(count):
            length = int(self.scalar(_U64))
            at = self._advance(length)
            # It reads C strings, and gives empty ones a name.
            text = self._data[at : at + length].partition(b"\0")[0] or b"[EMPTY_%d]" % token
            if (first := ids.setdefault(text, token)) != token:
                shown = text.decode("utf-8", "replace")
                raise _Broken(f"its vocabulary has the token {shown!r} twice (numbers {first} and {token})")
        self.at = start

    def tensor_end(self) -> int:
        """The byte behind a tensor, counted from the start of the data section."""
        name = self.name()
        dimensions = int(self.scalar(_U32))
        if not 0 < dimensions <= _MOST_DIMENSIONS:
            raise _Broken(f"its header is damaged: tensor {name!r} has {dimensions} dimensions")
        elements = 1
        for _ in range(dimensions):
            elements *= int(self.scalar(_U64))
        kind = int(self.scalar(_U32))
        offset = int(self.scalar(_U64))
        if elements == 0:
            raise _Broken(f"its header is damaged: tensor {name!r} is empty")
        # A type that this version does not know may be known to llama.cpp: its size is left unchecked.
        block, block_bytes = _QUANT_SIZES.get(kind, (1, 0))
        return offset + -(-elements // block) * block_bytes

    def _peek(self, length: int) -> int:
        if length > self._size - self.at:
            raise _CutShort
        return self.at

    def _advance(self, length: int) -> int:
        at = self._peek(length)
        self.at += length
        return at
