from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from starcoder_ls.engine.loading.safetensors_files import INDEX, WHOLE, header, weights_in
from starcoder_ls.errors import ModelInvalid


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    save_file({"a": torch.zeros(3, 4), "b": torch.zeros(5, dtype=torch.bfloat16)}, tmp_path / WHOLE, {"format": "pt"})
    return tmp_path


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    save_file({"a": torch.zeros(3, 4)}, tmp_path / "model-1.safetensors")
    save_file({"b": torch.zeros(5)}, tmp_path / "model-2.safetensors")
    weight_map = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    return tmp_path


def test_weights_are_counted_from_headers(whole: Path) -> None:
    weights = weights_in(whole)
    assert weights.names == {"a", "b"}
    assert (weights.values, weights.bytes) == (17, 58)
    assert weights.dtypes == {"F32", "BF16"}


def test_shards_count_together(sharded: Path) -> None:
    weights = weights_in(sharded)
    assert weights.names == {"a", "b"}
    assert [file.name for file in weights.files] == ["model-1.safetensors", "model-2.safetensors"]


@pytest.mark.parametrize("kept_bytes", [0, 5, 40, -1])
def test_truncated_file_is_told_by_its_length(whole: Path, kept_bytes: int) -> None:
    file = whole / WHOLE
    file.write_bytes(file.read_bytes()[:kept_bytes])
    with pytest.raises(ModelInvalid, match=r"model\.safetensors is damaged .* [Dd]ownload it again\."):
        weights_in(whole)


def test_file_with_more_than_it_says_is_refused(whole: Path) -> None:
    file = whole / WHOLE
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(ModelInvalid, match="its header promises"):
        header(file)


@pytest.mark.parametrize("bad", [b"\xff" * 8, (2**60).to_bytes(8, "little"), (2).to_bytes(8, "little") + b"[]"])
def test_hostile_header_is_refused(whole: Path, bad: bytes) -> None:
    (whole / WHOLE).write_bytes(bad + b"\0" * 64)
    with pytest.raises(ModelInvalid, match="damaged"):
        weights_in(whole)


def test_missing_shard_is_named(sharded: Path) -> None:
    (sharded / "model-2.safetensors").unlink()
    with pytest.raises(ModelInvalid, match=r"lacks 1 of 2 weight files, first model-2\.safetensors"):
        weights_in(sharded)


@pytest.mark.parametrize("name", ["../other/model.safetensors", "/etc/passwd", "weights.bin"])
def test_index_that_points_elsewhere_is_refused(sharded: Path, name: str) -> None:
    (sharded / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(ModelInvalid, match="no safetensors file beside it"):
        weights_in(sharded)


def test_pickle_is_refused_by_name_and_never_opened(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(ModelInvalid, match=r"only as pytorch_model\.bin, which can run code .* convert it"):
        weights_in(tmp_path)


def test_folder_without_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match=r"has no model\.safetensors\. Download"):
        weights_in(tmp_path)
