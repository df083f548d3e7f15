from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import adapter_fixtures
import starcoder_ls
from starcoder_ls.engine.adapters import files, pickle_conversion
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.errors import AdapterInvalid
from starcoder_ls.settings import Adapter


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr(files, "cache_folder", lambda: folder)
    return folder


def test_pickle_is_converted_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = files.check_adapter_folder(adapter_fixtures.GOLDEN / "lora")
    first = files.read_tensors(adapter)
    assert {file.name for file in cache.glob("*/*")} == {files.WEIGHTS_FILE, "SHA256SUMS"}
    monkeypatch.setattr(pickle_conversion, "convert", lambda *_: pytest.fail("the pickle was read again"))
    second = files.read_tensors(adapter)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The pickles that were converted; it happens in this process, which has imported torch already."""
    converted: list[Path] = []

    def convert(file: Path, out: Path) -> None:
        converted.append(file)
        assert pickle_conversion.write_tensors(file, out) is None

    monkeypatch.setattr(pickle_conversion, "convert", convert)
    return converted


def test_damaged_copy_of_a_pickle_is_replaced(cache: Path, conversions: list[Path]) -> None:
    adapter = files.check_adapter_folder(adapter_fixtures.GOLDEN / "ia3")
    first = files.read_tensors(adapter)
    (copy,) = cache.glob("*/*.safetensors")
    intact = copy.read_bytes()
    copy.write_bytes(intact[:-3] + bytes([intact[-3] ^ 1, intact[-2] ^ 1, intact[-1]]))
    second = files.read_tensors(adapter)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert copy.read_bytes() == intact
    assert len(conversions) == 2


def test_name_of_the_adapter_in_tensor_names_is_removed(tmp_path: Path) -> None:
    weights = {"base_model.model.h.0.c_attn.lora_A.default.weight": torch.zeros(2, 3)}
    weights |= {"base_model.model.h.0.c_attn.lora_B.default.weight": torch.zeros(3, 2)}
    adapter_fixtures.write_config(tmp_path, "LORA")
    save_file(weights, tmp_path / files.WEIGHTS_FILE)
    read = files.read_tensors(files.check_adapter_folder(tmp_path))
    assert read.keys() == {f"base_model.model.h.0.c_attn.lora_{part}.weight" for part in "AB"}
    save_file(weights | {"base_model.model.h.0.c_attn.lora_A.other.weight": torch.zeros(2, 3)},
              tmp_path / files.WEIGHTS_FILE)  # fmt: skip
    with pytest.raises(AdapterInvalid, match="several adapters"):
        files.read_tensors(files.check_adapter_folder(tmp_path))


def test_adapter_larger_than_the_limit_is_refused_unread(tmp_path: Path) -> None:
    adapter_fixtures.write_config(tmp_path, "LORA")
    size = files.MAX_WEIGHTS_BYTES + 4
    header = json.dumps({"a": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    with (tmp_path / files.WEIGHTS_FILE).open("wb") as stream:  # a sparse file
        stream.write(len(header).to_bytes(8, "little") + header)
        stream.truncate(8 + len(header) + size)
    with pytest.raises(AdapterInvalid, match="GB of memory"):
        files.check_adapter_folder(tmp_path)


def test_flipped_bytes_in_an_adapter_with_a_manifest_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "explain"
    shutil.copytree(Path(starcoder_ls.__file__).parent / "bundled" / "explain", folder)
    files.resolve_adapter(Adapter(path=str(folder)), True, ignore_progress)
    weights = folder / files.WEIGHTS_FILE
    intact = weights.read_bytes()
    weights.write_bytes(intact[:-9] + bytes([intact[-9] ^ 1, intact[-8] ^ 64]) + intact[-7:])
    with pytest.raises(AdapterInvalid, match="its hash is not the recorded one"):
        files.resolve_adapter(Adapter(path=str(folder)), True, ignore_progress)


def test_changed_pickle_gets_a_new_copy(cache: Path, conversions: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(adapter_fixtures.GOLDEN / "lora", folder)
    weights = torch.load(folder / files.PICKLED_WEIGHTS_FILE, weights_only=True)
    files.read_tensors(files.check_adapter_folder(folder))
    name = min(weights)
    weights[name] = weights[name] + 1
    torch.save(weights, folder / files.PICKLED_WEIGHTS_FILE)
    assert torch.equal(files.read_tensors(files.check_adapter_folder(folder))[name], weights[name])
    assert len(list(cache.iterdir())) == len(conversions) == 2


def test_pickle_is_read_if_the_cache_is_not_writable(
    conversions: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "file" / "below")
    assert files.read_tensors(files.check_adapter_folder(adapter_fixtures.GOLDEN / "parallel"))
    assert len(conversions) == 1


def test_bundled_adapter_is_found_beside_the_bundled_model() -> None:
    adapter = files.resolve_adapter(Adapter(path="bundled"), True, ignore_progress)
    assert adapter.folder.parts[-3:] == ("starcoder_ls", "bundled", "explain")


def test_overwriting_the_file_does_not_change_tensors_that_were_read(tmp_path: Path) -> None:
    folder = shutil.copytree(adapter_fixtures.GOLDEN / "lora", tmp_path / "adapter")
    tensors = files.read_tensors(files.check_adapter_folder(folder))
    save_file(dict(tensors), folder / files.WEIGHTS_FILE)
    read = files.read_tensors(files.check_adapter_folder(folder))
    weights = folder / files.WEIGHTS_FILE
    with weights.open("r+b") as file:
        file.seek(weights.stat().st_size // 2)
        file.write(b"\0" * (weights.stat().st_size // 2))
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())
