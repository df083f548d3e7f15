"""Which weight files a checkpoint has, and whether each is whole, from their headers alone.

Decides what counts as missing or truncated. Refuses to know torch: it must answer before anything heavy is imported.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starcoder_ls.errors import ModelInvalid

WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")

_LONGEST_HEADER_BYTES = 100_000_000  # the limit of the safetensors library itself
_CONVERT = "Name a revision that has safetensors, or convert it with https://huggingface.co/spaces/safetensors/convert."


@dataclass(frozen=True, slots=True)
class Weights:
    """What the headers say: every tensor's name, and how many values and bytes they have together."""

    files: tuple[Path, ...]
    names: frozenset[str]
    values: int
    bytes: int
    dtypes: frozenset[str]


def weights_in(folder: Path) -> Weights:
    """The weights of a checkpoint folder. Raises ModelInvalid where a file is missing, truncated or a pickle."""
    files = _files(folder)
    headers = {file: header(file) for file in files}
    entries = {name: entry for tensors in headers.values() for name, entry in tensors.items()}
    if not entries:
        raise ModelInvalid(f"{folder} holds no tensors. Download the checkpoint again.")
    return Weights(
        files=files,
        names=frozenset(entries),
        values=sum(_values(entry["shape"]) for entry in entries.values()),
        bytes=sum(entry["data_offsets"][1] - entry["data_offsets"][0] for entry in entries.values()),
        dtypes=frozenset(entry["dtype"] for entry in entries.values()),
    )


def header(file: Path) -> dict[str, Any]:
    """Tensor name -> dtype, shape and data_offsets. Raises ModelInvalid unless the file is exactly as long as it says.

    Layout: 8 bytes little-endian length, that many bytes of JSON, then the data (safetensors README, "Format").
    """
    size = file.stat().st_size
    damaged = f"{file} is damaged or was not downloaded to its end ({size:,} bytes)"
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, _LONGEST_HEADER_BYTES):
            raise ModelInvalid(f"{damaged}. Delete it and download it again.")
        try:
            tensors: dict[str, Any] = json.loads(stream.read(length))
            tensors.pop("__metadata__", None)
            _ = [(entry["shape"], entry["dtype"]) for entry in tensors.values()]  # KeyError where one lacks them
            end = max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelInvalid(f"{damaged}: its header cannot be read. Download it again.") from error
    if size != 8 + length + end:
        raise ModelInvalid(f"{damaged}; its header promises {8 + length + end:,}. Delete it and download it again.")
    return tensors


def _files(folder: Path) -> tuple[Path, ...]:
    index = folder / INDEX
    if index.is_file():
        return _shards(folder, index)
    whole = folder / WHOLE
    if whole.is_file():
        return (whole,)
    pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
    if pickled:
        raise ModelInvalid(f"{folder} has its weights only as {pickled[0]}, which can run code when read. {_CONVERT}")
    raise ModelInvalid(f"{folder} has no {WHOLE}. Download the checkpoint again, with its weights.")


def _shards(folder: Path, index: Path) -> tuple[Path, ...]:
    try:
        names = sorted({str(name) for name in json.loads(index.read_bytes())["weight_map"].values()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelInvalid(f"{index} is not a readable weight index. Download the checkpoint again.") from error
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ModelInvalid(f"{index} points to {name!r}, which is no safetensors file beside it. Do not use it.")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelInvalid(
            f"{folder} lacks {len(missing)} of {len(names)} weight files, first {missing[0]}. Download it to its end."
        )
    return tuple(folder / name for name in names)


def _values(shape: list[int]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count
