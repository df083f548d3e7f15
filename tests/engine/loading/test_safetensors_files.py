from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from starcoder_ls.engine.loading.safetensors_files import INDEX_FILE, SINGLE_FILE, find_weights, read_header
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
