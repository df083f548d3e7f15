from __future__ import annotations

import fnmatch
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import huggingface_hub
import pytest
from huggingface_hub import errors as hub_errors

from starcoder_ls.engine.loading import hub, progress
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.errors import ModelError, ModelGated, ModelInvalid, ModelNotFound

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


def http_error(kind: type[hub_errors.HfHubHTTPError]) -> Exception:
    # Attributes of the response that the exception reads, whichever HTTP library huggingface_hub uses.
    return kind("from the hub", response=cast(Any, SimpleNamespace(headers={}, request=None)))


ABSENT = hub_errors.LocalEntryNotFoundError("not cached")


def resolve(
    fake: FakeHub,
    monkeypatch: pytest.MonkeyPatch,
    is_offline: bool = False,
    check_folder: Callable[[Path], Path] = lambda folder: folder,
) -> Path:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.snapshot_download)
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


def test_download_reports_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class DownloadingHub(FakeHub):
        def snapshot_download(self, name: str, **options: Any) -> str:
            folder = super().snapshot_download(name, **options)
            bar = options["tqdm_class"](desc="Reconstructing", total=0, initial=0, unit="B", unit_scale=True)
            for _ in range(2):
                bar.total = (bar.total or 0) + 2_000_000  # the download of another file starts
                bar.refresh()
                bar.update(1_000_000)
            bar.update(2_000_000)
            options["tqdm_class"](range(3), desc="Fetching 3 files").close()
            return folder

    monkeypatch.setattr(progress, "MIN_INTERVAL_S", 0.0)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", DownloadingHub(ABSENT, tmp_path).snapshot_download)
    seen: list[tuple[float, str]] = []
    hub.resolve("owner/name", None, (), False, lambda folder: folder, lambda *report: seen.append(report))
    assert [fraction for fraction, _ in seen] == [0.0, 0.0, 0.5, 0.5, 1.0]
    assert seen[-1][1] == "Downloading owner/name, once. 4 of 4 MB."


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


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (http_error(hub_errors.GatedRepoError), ModelGated, "Accept it at https://huggingface.co/owner/name, then"),
        (http_error(hub_errors.RevisionNotFoundError), ModelNotFound, "no revision v1. Correct `model.revision`"),
        (http_error(hub_errors.RepositoryNotFoundError), ModelNotFound, "or it is private"),
        (http_error(hub_errors.HfHubHTTPError), ModelNotFound, "The Hub did not provide owner/name"),
        (ABSENT, ModelNotFound, "the Hub cannot be reached"),
        (OSError("No space left on device"), ModelNotFound, "No space left on device"),
        (ConnectionError("reset by peer"), ModelNotFound, "Check the network"),
    ],
)
def test_hub_failure_is_converted_to_a_model_error(
    raised: Exception, kind: type[ModelError], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(kind) as caught:
        resolve(FakeHub(local=ABSENT, remote=raised), monkeypatch)
    assert message in str(caught.value)
    assert type(caught.value) is kind


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
