from __future__ import annotations

import fnmatch
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors as hub_errors

from starcoder_ls.engine.loading import hub
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.errors import ModelInvalid, ModelNotFound

Snapshot = Callable[..., str]


class FakeHub:
    """Replaces huggingface_hub: returns or raises the given results, and records the calls."""

    def __init__(self, local: Path | Exception, remote: Path | Exception) -> None:
        self.local, self.remote = local, remote
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def snapshot_download(self, name: str, **options: Any) -> str:
        self.calls.append((name, options))
        result = self.local if options["local_files_only"] else self.remote
        if isinstance(result, Exception):
            raise result
        return str(result)


ABSENT = hub_errors.LocalEntryNotFoundError("not cached")


def resolve(
    fake: FakeHub,
    monkeypatch: pytest.MonkeyPatch,
    is_offline: bool = False,
    check_folder: Callable[[Path], Path] = lambda folder: folder,
) -> Path:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.snapshot_download)
    monkeypatch.setattr(hub, "download_large_files", lambda *_: None)  # tests/engine/loading/test_hub_download.py
    return hub.resolve("owner/name", "v1", hub.CHECKPOINT_FILES, is_offline, check_folder, ignore_progress)


def test_existing_folder_is_returned(tmp_path: Path) -> None:
    assert hub.resolve(str(tmp_path), None, (), False, lambda folder: folder, ignore_progress) == tmp_path


def test_local_copy_is_used_without_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeHub(local=tmp_path, remote=AssertionError("network request"))
    assert resolve(fake, monkeypatch) == tmp_path
    name, options = fake.calls[0]
    assert (name, options["revision"]) == ("owner/name", "v1")
    assert not any("bin" in pattern or "py" in pattern for pattern in options["allow_patterns"])


@pytest.mark.parametrize("is_downloaded", [False, True])
def test_commit_of_a_hub_id_is_logged(
    is_downloaded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "models--owner--name" / "snapshots" / ("0123456789" * 4)
    caplog.set_level("INFO", logger=hub.__name__)
    resolve(FakeHub(local=ABSENT if is_downloaded else folder, remote=folder), monkeypatch)
    assert caplog.messages == [f"owner/name is at commit {'0123456789' * 4}"]


def test_commit_is_found_for_hub_ids_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "snapshots" / ("0123456789" * 4)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", FakeHub(folder, ABSENT).snapshot_download)
    assert hub.find_commit("owner/name", None) == "0123456789" * 4
    assert hub.find_commit("bundled", None) == ""
    assert hub.find_commit(str(tmp_path), None) == ""
    monkeypatch.setattr(huggingface_hub, "snapshot_download", FakeHub(ABSENT, ABSENT).snapshot_download)
    assert hub.find_commit("owner/name", None) == ""


def test_folders_outside_the_cache_of_the_hub_have_no_commit(tmp_path: Path) -> None:
    assert hub.commit_of(tmp_path / ("0123456789" * 4)) == ""
    assert hub.commit_of(tmp_path / "snapshots" / "main") == ""


def test_incomplete_local_copy_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "complete").mkdir()

    def check_folder(folder: Path) -> Path:
        if folder.name != "complete":
            raise ModelInvalid("lacks a shard")
        return folder

    fake = FakeHub(local=tmp_path, remote=tmp_path / "complete")
    assert resolve(fake, monkeypatch, check_folder=check_folder).name == "complete"


def test_offline_makes_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeHub(local=ABSENT, remote=AssertionError("network request"))
    with pytest.raises(ModelNotFound, match=r"not on this machine, and `model\.offline` forbids to"):
        resolve(fake, monkeypatch, is_offline=True)


def test_name_that_is_no_hub_id_is_checked_as_a_folder(tmp_path: Path) -> None:
    def check_folder(folder: Path) -> Path:
        raise ModelNotFound(f"There is no folder {folder}.")

    with pytest.raises(ModelNotFound, match="no folder"):
        hub.resolve(str(tmp_path / "absent"), None, (), False, check_folder, ignore_progress)


@pytest.mark.parametrize("name", ["chat_template.json", "modeling_x.py", "pytorch_model.bin"])
def test_code_is_not_downloaded(name: str) -> None:
    patterns = (*hub.CHECKPOINT_FILES, *hub.ADAPTER_FILES)
    assert not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


@pytest.mark.parametrize("name", ["chat_template.jinja", "tokenizer_config.json"])
def test_chat_templates_are_downloaded_with_a_checkpoint_only(name: str) -> None:
    assert any(fnmatch.fnmatch(name, pattern) for pattern in hub.CHECKPOINT_FILES)
    assert not any(fnmatch.fnmatch(name, pattern) for pattern in hub.ADAPTER_FILES)
