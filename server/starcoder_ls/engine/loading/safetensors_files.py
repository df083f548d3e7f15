"""Finds the weight files of a checkpoint and checks from their headers that none is missing or truncated.

It does not import torch, so that a damaged checkpoint is reported before heavy libraries are loaded.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starcoder_ls.errors import ModelInvalid

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
PICKLE_PATTERNS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")

_MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors library itself
_CONVERT = "Name a revision that has safetensors, or convert it with https://huggingface.co/spaces/safetensors/convert."


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """What the headers say: every tensor's name, and how many values and bytes they have together."""

    files: tuple[Path, ...]
    names: frozenset[str]
    values: int
    bytes: int
    dtypes: frozenset[str]


def find_weights(folder: Path) -> WeightFiles:
    """The weights of a checkpoint folder. Raises ModelInvalid if a file is missing, truncated or a pickle."""
    files = _find_files(folder)
    headers = {file: read_header(file) for file in files}
    entries = {name: entry for tensors in headers.values() for name, entry in tensors.items()}
    if not entries:
        raise ModelInvalid(f"{folder} contains no tensors. Download the checkpoint again.")
    return WeightFiles(
        files=files,
        names=frozenset(entries),
        values=sum(math.prod(entry["shape"]) for entry in entries.values()),
        bytes=sum(entry["data_offsets"][1] - entry["data_offsets"][0] for entry in entries.values()),
        dtypes=frozenset(entry["dtype"] for entry in entries.values()),
    )


def read_header(file: Path) -> dict[str, Any]:
    """Tensor name -> dtype, shape and data_offsets.

    Layout: 8 bytes little-endian length, that many bytes of JSON, then the data (safetensors README, "Format").
    Raises ModelInvalid if the header is invalid or the file does not have the length that it states.
    """
    size = file.stat().st_size
    damaged = f"{file} is damaged or was not downloaded completely ({size:,} bytes)"
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
            raise ModelInvalid(f"{damaged}. Delete it and download it again.")
        try:
            tensors: dict[str, Any] = json.loads(stream.read(length))
            tensors.pop("__metadata__", None)
            _ = [(entry["shape"], entry["dtype"]) for entry in tensors.values()]  # KeyError if an entry lacks them
            end = max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelInvalid(f"{damaged}: its header cannot be read. Download it again.") from error
    if size != 8 + length + end:
        raise ModelInvalid(f"{damaged}; its header states {8 + length + end:,}. Delete it and download it again.")
    return tensors


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
    try:
        names = sorted({str(name) for name in json.loads(index.read_bytes())["weight_map"].values()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelInvalid(f"{index} is not a readable weight index. Download the checkpoint again.") from error
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ModelInvalid(f"{index} names {name!r}, which is not a safetensors file beside it. Do not use it.")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelInvalid(
            f"{folder} lacks {len(missing)} of {len(names)} weight files, first {missing[0]}. Download the rest."
        )
    return tuple(folder / name for name in names)
