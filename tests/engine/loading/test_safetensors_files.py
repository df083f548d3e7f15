from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from starcoder_ls.engine.loading.safetensors_files import (
    INDEX_FILE,
    MAX_HEADER_BYTES,
    MAX_TENSORS,
    SINGLE_FILE,
    find_weights,
    read_header,
)
from starcoder_ls.errors import ModelInvalid


@pytest.fixture
def single(tmp_path: Path) -> Path:
    save_file(
        {"a": torch.zeros(3, 4), "b": torch.zeros(5, dtype=torch.bfloat16)}, tmp_path / SINGLE_FILE, {"format": "pt"}
    )
    return tmp_path


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    save_file({"a": torch.zeros(3, 4)}, tmp_path / "model-1.safetensors")
    save_file({"b": torch.zeros(5)}, tmp_path / "model-2.safetensors")
    weight_map = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    (tmp_path / INDEX_FILE).write_text(json.dumps({"weight_map": weight_map}))
    return tmp_path


def test_values_and_bytes_are_counted_from_the_header(single: Path) -> None:
    weights = find_weights(single)
    assert weights.names == {"a", "b"}
    assert (weights.values, weights.bytes) == (17, 58)
    assert weights.dtypes == {"F32", "BF16"}


def test_shards_are_counted_together(sharded: Path) -> None:
    weights = find_weights(sharded)
    assert weights.names == {"a", "b"}
    assert [file.name for file in weights.files] == ["model-1.safetensors", "model-2.safetensors"]


@pytest.mark.parametrize("length", [0, 5, 40, -1])
def test_truncated_file_is_refused(single: Path, length: int) -> None:
    file = single / SINGLE_FILE
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(ModelInvalid, match=r"model\.safetensors is damaged .* [Dd]ownload it again\."):
        find_weights(single)


def test_file_longer_than_its_header_states_is_refused(single: Path) -> None:
    file = single / SINGLE_FILE
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(ModelInvalid, match="its header states"):
        read_header(file)


@pytest.mark.parametrize("bad", [b"\xff" * 8, (2**60).to_bytes(8, "little"), (2).to_bytes(8, "little") + b"[]"])
def test_malformed_header_is_refused(single: Path, bad: bytes) -> None:
    (single / SINGLE_FILE).write_bytes(bad + b"\0" * 64)
    with pytest.raises(ModelInvalid, match="damaged"):
        find_weights(single)


def write(folder: Path, header: object, data_bytes: int) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / SINGLE_FILE).write_bytes(len(text).to_bytes(8, "little") + text + b"\0" * data_bytes)


def entry(shape: object, start: object, end: object, dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "header",
    [
        {"a": entry([2], 0, 8), "b": entry([2], 0, 8)},  # the same bytes twice
        {"a": entry([2], 0, 8), "b": entry([2], 4, 12)},
        {"a": entry([1], 0, 4), "b": entry([1], 8, 12)},  # a gap
        {"a": entry([2**31], 0, 12)},
        {"a": entry([2**40, 2**40], 0, 12)},
        {"a": entry([3], 0, 12, "F99")},
        {"a": entry([3], 0, 12, ["F32"])},
        {"a": entry([-3], 0, -12)},
        {"a": entry([3.0], 0, 12)},
        {"a": entry([True, 3], 0, 12)},
        {"a": entry("3", 0, 12)},
        {"a": entry([1] * 99 + [3], 0, 12)},
        {"a": entry([3], 12, 24)},
        {"a": [1]},
        {"a": None},
        b'{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}',
        b'{"a":' * 100_000,
    ],
)
def test_header_that_does_not_describe_the_data_is_refused(header: object, tmp_path: Path) -> None:
    write(tmp_path, header, 12)
    with pytest.raises(ModelInvalid, match="damaged"):
        find_weights(tmp_path)


def test_large_header_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    write(tmp_path, b"{" + b" " * MAX_HEADER_BYTES, 0)
    with pytest.raises(ModelInvalid, match="are the limit"):
        find_weights(tmp_path)


def test_too_many_tensors_are_refused(tmp_path: Path) -> None:
    write(tmp_path, {f"{number}": entry([0], 0, 0) for number in range(MAX_TENSORS + 1)}, 0)
    with pytest.raises(ModelInvalid):
        find_weights(tmp_path)


def test_tensor_in_two_shards_is_refused(sharded: Path) -> None:
    save_file({"a": torch.zeros(5)}, sharded / "model-2.safetensors")
    with pytest.raises(ModelInvalid, match="has the tensor a in two files"):
        find_weights(sharded)


def test_missing_shard_is_named(sharded: Path) -> None:
    (sharded / "model-2.safetensors").unlink()
    with pytest.raises(ModelInvalid, match=r"lacks 1 of 2 weight files, first model-2\.safetensors"):
        find_weights(sharded)


@pytest.mark.parametrize("name", ["../other/model.safetensors", "/etc/passwd", "weights.bin"])
def test_index_that_names_another_folder_or_type_is_refused(sharded: Path, name: str) -> None:
    (sharded / INDEX_FILE).write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(ModelInvalid, match="not a safetensors file beside it"):
        find_weights(sharded)


def test_pickled_weights_are_refused_by_file_name(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(ModelInvalid, match=r"only as pytorch_model\.bin, which can run code .* convert it"):
        find_weights(tmp_path)


def test_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match=r"has no model\.safetensors\. Download"):
        find_weights(tmp_path)
