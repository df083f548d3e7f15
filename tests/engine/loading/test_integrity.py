from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

import starcoder_ls
from starcoder_ls.engine.loading import integrity
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.errors import ModelInvalid

BUNDLED = Path(starcoder_ls.__file__).parent / "bundled"


@pytest.fixture(autouse=True)
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(integrity, "remembered_folder", lambda: tmp_path / "verified")
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path / "state"))
    return tmp_path / "verified"


def verify(folder: Path, *names: str) -> None:
    integrity.verify_folder(folder, names, ignore_progress)


def flip_two_bytes(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    content[-1] ^= 64
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        (BUNDLED, {*integrity.CHECKPOINT_FILES, "model.safetensors"}),
        (BUNDLED / "explain", {"adapter_config.json", "adapter_model.safetensors"}),
    ],
)
def test_manifest_of_the_bundled_files_is_theirs(folder: Path, names: set[str]) -> None:
    manifest = integrity.read_manifest(folder)
    assert manifest.keys() == names
    for name, digest in manifest.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, (
            f"{name} changed: run `python -m starcoder_ls.learning.release {folder}`"
        )


def test_flipped_bytes_in_a_file_of_the_manifest_are_found(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    integrity.write_manifest(tmp_path, ["model.safetensors", "absent"])
    verify(tmp_path, "model.safetensors", "absent")
    flip_two_bytes(tmp_path / "model.safetensors")
    with pytest.raises(ModelInvalid, match=r"its hash is not the recorded one\. .*delete SHA256SUMS"):
        verify(tmp_path, "model.safetensors")


def test_file_without_a_recorded_hash_is_compared_with_its_last_load(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / integrity.MANIFEST_FILE).write_text("not a manifest\n../x  y\n")
    names = ["model.safetensors", "absent"]
    assert integrity.verify_folder(tmp_path, names, ignore_progress) == ""
    flip_two_bytes(tmp_path / "model.safetensors")
    sentence = integrity.verify_folder(tmp_path, names, ignore_progress)
    assert "model.safetensors is not the one of its last load" in sentence
    assert caplog.messages == [sentence]
    assert integrity.verify_folder(tmp_path, names, ignore_progress) == ""


def test_large_file_without_a_recorded_hash_says_that_it_is_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrity, "ALWAYS_HASHED_BYTES", 4)
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    messages: list[str] = []
    for _ in range(2):
        integrity.verify_folder(tmp_path, ["model.safetensors"], lambda _, message: messages.append(message))
    assert messages == ["Recording the hash of model.safetensors, once."]


def test_hashes_that_cannot_be_recorded_do_not_prevent_a_load(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    for content in (b"weights", b"WEIGHTS"):
        (tmp_path / "model.safetensors").write_bytes(content)
        assert integrity.verify_folder(tmp_path, ["model.safetensors"], ignore_progress) == ""


def test_missing_manifest_of_a_bundled_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match="Install starcoder-ls again"):
        integrity.require_bundled_manifest(tmp_path)


@pytest.mark.parametrize("kind", ["sha256", "git"])
def test_flipped_bytes_in_the_cache_of_the_hub_are_found(kind: str, tmp_path: Path) -> None:
    content = b"weights"
    git = hashlib.sha1(b"blob 7\0" + content, usedforsecurity=False).hexdigest()
    blob = tmp_path / "blobs" / (hashlib.sha256(content).hexdigest() if kind == "sha256" else git)
    snapshot = tmp_path / "snapshots" / "0"
    blob.parent.mkdir()
    snapshot.mkdir(parents=True)
    blob.write_bytes(content)
    (snapshot / "model.safetensors").symlink_to(blob)
    verify(snapshot, "model.safetensors")
    flip_two_bytes(blob)
    with pytest.raises(ModelInvalid, match="its hash is not the recorded one"):
        verify(snapshot, "model.safetensors")


def test_large_file_is_hashed_once_until_it_changes(
    tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrity, "ALWAYS_HASHED_BYTES", 4)
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    integrity.write_manifest(tmp_path, [file.name])
    verify(tmp_path, file.name)
    assert len(list(notes.iterdir())) == 1
    messages: list[str] = []
    status = file.stat()
    flip_two_bytes(file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    integrity.verify_folder(tmp_path, [file.name], lambda _, message: messages.append(message))
    assert messages == [], "size, time and inode are those of the verified file"
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(ModelInvalid):
        verify(tmp_path, file.name)
