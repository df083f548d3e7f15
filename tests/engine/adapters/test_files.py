from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import adapter_fixtures
from starcoder_ls.engine.adapters import files
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.settings import Adapter


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr(files, "cache_folder", lambda: folder)
    return folder


def test_pickle_is_converted_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = files.check_adapter_folder(adapter_fixtures.GOLDEN / "lora")
    first = files.read_tensors(adapter)
    (copy,) = cache.iterdir()
    assert copy.suffix == ".safetensors"
    monkeypatch.setattr(files, "_read_pickle", lambda _: pytest.fail("the pickle was read again"))
    second = files.read_tensors(adapter)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_damaged_copy_of_a_pickle_is_replaced(cache: Path) -> None:
    adapter = files.check_adapter_folder(adapter_fixtures.GOLDEN / "ia3")
    first = files.read_tensors(adapter)
    (copy,) = cache.iterdir()
    copy.write_bytes(b"damaged")
    assert files.read_tensors(adapter).keys() == first.keys()
    assert copy.stat().st_size > 1000


def test_changed_pickle_gets_a_new_copy(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(adapter_fixtures.GOLDEN / "lora", folder)
    weights = torch.load(folder / files.PICKLED_WEIGHTS_FILE, weights_only=True)
    files.read_tensors(files.check_adapter_folder(folder))
    name = min(weights)
    weights[name] = weights[name] + 1
    torch.save(weights, folder / files.PICKLED_WEIGHTS_FILE)
    assert torch.equal(files.read_tensors(files.check_adapter_folder(folder))[name], weights[name])
    assert len(list(cache.iterdir())) == 2


def test_pickle_is_read_if_the_cache_is_not_writable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "file" / "below")
    assert files.read_tensors(files.check_adapter_folder(adapter_fixtures.GOLDEN / "parallel"))


def test_bundled_adapter_is_found_beside_the_bundled_model() -> None:
    adapter = files.resolve_adapter(Adapter(path="bundled"), True, ignore_progress)
    assert adapter.folder.parts[-3:] == ("starcoder_ls", "bundled", "explain")
