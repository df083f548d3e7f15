"""Finds the weight files of a checkpoint and checks from their headers that none is missing, truncated or malformed.

It does not import torch, so that a damaged checkpoint is reported before heavy libraries are loaded. Everything that a
header states is checked against the size of its file, so that no memory is allocated for tensors that do not exist.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starcoder_ls.errors import ModelInvalid
from starcoder_ls.json_files import printable, read_json_object

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
PICKLE_PATTERNS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")

MAX_HEADER_BYTES = 4 << 20
"""A parsed header takes up to 30 times its bytes. Published headers have 120 bytes per tensor, at most 100 KB."""

MAX_TENSORS = 1 << 15
"""In all files of a checkpoint together; StarCoder2-15B has 644."""

MAX_DIMENSIONS = 8

# Bits per value of the safetensors format (its README, "Format").
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16,
    "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64,
}  # fmt: skip
_CONVERT = "Name a revision that has safetensors, or convert it with https://huggingface.co/spaces/safetensors/convert."


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor of a header; ``start`` and ``end`` are its bytes in the data behind the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """What the headers say: every tensor's name and shape, and how many values and bytes they have together."""

    files: tuple[Path, ...]
    shapes: Mapping[str, tuple[int, ...]]
    values: int
    bytes: int
    dtypes: frozenset[str]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.shapes)


def find_weights(folder: Path) -> WeightFiles:
    """The weights of a checkpoint folder. Raises ModelInvalid if a file is missing, malformed or a pickle."""
    files = _find_files(folder)
    entries: dict[str, TensorEntry] = {}
    for file in files:
        header = read_header(file)
        if both := min(entries.keys() & header.keys(), default=None):
            raise ModelInvalid(
                f"{folder} has the tensor {printable(both)} in two files. Download the checkpoint again."
            )
        entries |= header
        if len(entries) > MAX_TENSORS:
            raise ModelInvalid(f"{folder} has more than {MAX_TENSORS:,} tensors, as no supported model has.")
    if not entries:
        raise ModelInvalid(f"{folder} contains no tensors. Download the checkpoint again.")
    return WeightFiles(
        files=files,
        shapes={name: entry.shape for name, entry in entries.items()},
        values=sum(math.prod(entry.shape) for entry in entries.values()),
        bytes=sum(entry.end - entry.start for entry in entries.values()),
        dtypes=frozenset(entry.dtype for entry in entries.values()),
    )


def read_header(file: Path) -> dict[str, TensorEntry]:
    """Tensor name -> entry.

    Layout: 8 bytes little-endian length, that many bytes of JSON, then the data (safetensors README, "Format").
    Raises ModelInvalid if the header is invalid, or if the tensors are not exactly the data behind it.
    """
    size = file.stat().st_size
    damaged = f"{file} is damaged or was not downloaded completely ({size:,} bytes)"
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > size - 8:
            raise ModelInvalid(f"{damaged}. Delete it and download it again.")
        if length > MAX_HEADER_BYTES:
            raise ModelInvalid(f"{file} has a header of {length:,} bytes, and {MAX_HEADER_BYTES:,} are the limit.")
        try:
            tensors = json.loads(stream.read(length), object_pairs_hook=_unique_keys)
            tensors.pop("__metadata__", None)
            entries = {name: _read_entry(value) for name, value in tensors.items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelInvalid(f"{damaged}: its header cannot be read. Download it again.") from error
    end = 0
    for entry in sorted(entries.values(), key=lambda entry: (entry.start, entry.end)):
        if entry.start != end:
            raise ModelInvalid(f"{damaged}: its tensors overlap, or leave gaps. Delete it and download it again.")
        end = entry.end
    if size != 8 + length + end:
        raise ModelInvalid(f"{damaged}; its header states {8 + length + end:,}. Delete it and download it again.")
    return entries


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises ValueError if a key occurs twice: two readers could take different ones."""
    if len(pairs) > MAX_TENSORS or len(keys := dict(pairs)) != len(pairs):
        raise ValueError("too many keys, or one that occurs twice")
    return keys


def _read_entry(value: Any) -> TensorEntry:
    """Raises ValueError, KeyError or TypeError unless dtype, shape and range are valid and belong together."""
    dtype, shape, (start, end) = value["dtype"], value["shape"], value["data_offsets"]
    numbers = (*shape, start, end)
    if len(shape) > MAX_DIMENSIONS or not all(type(number) is int and 0 <= number < 1 << 48 for number in numbers):
        raise ValueError("not a shape and a range")
    if math.prod(shape) * _BITS[dtype] != (end - start) * 8:
        raise ValueError("the range does not have the size of the tensor")
    return TensorEntry(dtype, tuple(shape), start, end)


def _find_files(folder: Path) -> tuple[Path, ...]:
    """The only file or all shards. Raises ModelInvalid."""
    index = folder / INDEX_FILE
    if index.is_file():
        return _find_shards(folder, index)
    single = folder / SINGLE_FILE
    if single.is_file():
        return (single,)
    pickles = sorted(path.name for pattern in PICKLE_PATTERNS for path in folder.glob(pattern))
    if pickles:
        raise ModelInvalid(f"{folder} has its weights only as {pickles[0]}, which can run code when read. {_CONVERT}")
    raise ModelInvalid(f"{folder} has no {SINGLE_FILE}. Download the checkpoint again, with its weights.")


def _find_shards(folder: Path, index: Path) -> tuple[Path, ...]:
    """The files that the index names. Raises ModelInvalid if one is missing or not a file beside the index."""
    weight_map = read_json_object(index, MAX_HEADER_BYTES).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelInvalid(f"{index} is not a readable weight index. Download the checkpoint again.")
    names = sorted({str(name) for name in weight_map.values()})
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ModelInvalid(
                f"{index} names '{printable(name)}', which is not a safetensors file beside it. Do not use it."
            )
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelInvalid(
            f"{folder} lacks {len(missing)} of {len(names)} weight files, first {missing[0]}. Download the rest."
        )
    return tuple(folder / name for name in names)
