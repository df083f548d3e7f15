from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import adapters as made
from starcoder_ls.engine.adapters import files
from starcoder_ls.settings import Adapter


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr(files, "cache_folder", lambda: folder)
    return folder


def test_pickle_is_converted_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = files.inspect(made.GOLDEN / "lora")
    first = files.tensors(found)
    (copy,) = cache.iterdir()
    assert copy.suffix == ".safetensors"
    monkeypatch.setattr(files, "_unpickled", lambda _: pytest.fail("read again"))
    again = files.tensors(found)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_damaged_copy_is_made_again(cache: Path) -> None:
    found = files.inspect(made.GOLDEN / "ia3")
    first = files.tensors(found)
    (copy,) = cache.iterdir()
    copy.write_bytes(b"damaged")
    assert files.tensors(found).keys() == first.keys()
    assert copy.stat().st_size > 1000


def test_changed_pickle_is_another(cache: Path, tmp_path: Path) -> None:
    shutil.copytree(made.GOLDEN / "lora", tmp_path / "copy")
    weights = torch.load(tmp_path / "copy" / files.PICKLED, weights_only=True)
    files.tensors(files.inspect(tmp_path / "copy"))
    name = min(weights)
    weights[name] = weights[name] + 1
    torch.save(weights, tmp_path / "copy" / files.PICKLED)
    assert torch.equal(files.tensors(files.inspect(tmp_path / "copy"))[name], weights[name])
    assert len(list(cache.iterdir())) == 2


def test_cache_that_cannot_be_written_costs_only_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "file" / "below")
    assert files.tensors(files.inspect(made.GOLDEN / "parallel"))


def test_bundled_is_the_folder_beside_the_bundled_model(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []
    monkeypatch.setattr(files, "inspect", seen.append)
    files.find(Adapter(path="bundled"), True, lambda _fraction, _sentence: None)
    assert seen[0].parts[-3:] == ("starcoder_ls", "bundled", "explain")
