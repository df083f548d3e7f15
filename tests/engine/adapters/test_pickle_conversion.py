"""Pickles that state more than they contain are refused, in a process of its own."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from starcoder_ls.engine.adapters import pickle_conversion
from starcoder_ls.errors import AdapterInvalid


def refuse(file: Path, tmp_path: Path) -> str:
    with pytest.raises(AdapterInvalid) as caught:
        pickle_conversion.convert(file, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
    return str(caught.value)


def test_tensors_are_converted_unchanged(tmp_path: Path) -> None:
    weights = {"a": torch.randn(3, 4), "b": torch.randn(8, dtype=torch.float32).bfloat16(), "t": torch.randn(2, 5).t()}
    torch.save(weights, tmp_path / "adapter_model.bin")
    pickle_conversion.convert(tmp_path / "adapter_model.bin", tmp_path / "out.safetensors")
    converted = load_file(tmp_path / "out.safetensors")
    assert converted.keys() == weights.keys()
    assert all(torch.equal(converted[name], weights[name]) for name in weights)


def test_element_expanded_to_many_rows_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1).expand(2**31)}, tmp_path / "adapter_model.bin")
    assert "states tensors of more than 8,589,934,592 bytes" in refuse(tmp_path / "adapter_model.bin", tmp_path)


def find_problem(contents: object, tmp_path: Path) -> str | None:
    """What the child finds in a file with ``contents``."""
    torch.save(contents, tmp_path / "adapter_model.bin")
    return pickle_conversion.write_tensors(tmp_path / "adapter_model.bin", tmp_path / "out.safetensors")


def test_one_storage_in_many_tensors_is_refused(tmp_path: Path) -> None:
    storage = torch.zeros(1 << 16)
    problem = find_problem({f"{number}": storage[:] for number in range(300)}, tmp_path)
    assert problem is not None
    assert "states tensors of more than" in problem


def test_sparse_and_meta_tensors_are_refused(tmp_path: Path) -> None:
    sparse = torch.sparse_coo_tensor(torch.tensor([[0]]), torch.tensor([1.0]), (2**31,), check_invariants=True)
    for tensor in (sparse, torch.zeros(3, device="meta")):
        assert find_problem({"a": tensor}, tmp_path) == "contains tensors that are not plain arrays"


@pytest.mark.parametrize("contents", [{"nested": {"x": torch.zeros(1)}}, {"x": [1]}, [torch.zeros(1)], torch.zeros(1)])
def test_contents_other_than_a_flat_dictionary_are_refused(contents: object, tmp_path: Path) -> None:
    assert find_problem(contents, tmp_path) == "contains more than named tensors"


def test_compressed_archive_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1 << 22)}, tmp_path / "plain.bin")
    with (
        zipfile.ZipFile(tmp_path / "plain.bin") as plain,
        zipfile.ZipFile(tmp_path / "adapter_model.bin", "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for entry in plain.infolist():
            archive.writestr(entry.filename, plain.read(entry))
    assert "states more data than it contains" in refuse(tmp_path / "adapter_model.bin", tmp_path)


class _AllocatesMuch:
    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (1 << 40,)


class _CreatesFolder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_pickle_that_allocates_or_runs_code_is_refused(tmp_path: Path) -> None:
    for value in (_AllocatesMuch(), _CreatesFolder(tmp_path / "created")):
        torch.save({"a": value}, tmp_path / "adapter_model.bin")
        assert "more memory than its size allows, or" in refuse(tmp_path / "adapter_model.bin", tmp_path)
    assert not (tmp_path / "created").exists()


def test_conversion_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    (tmp_path / "adapter_model.bin").write_bytes(pickle.dumps({}))
    with pytest.raises(AdapterInvalid, match="could not be read in 0 s"):
        pickle_conversion.convert(tmp_path / "adapter_model.bin", tmp_path / "out", time_limit_s=0.01)
