from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import huggingface_hub
import pytest
from huggingface_hub import errors as hub_errors

from starcoder_ls.engine.loading import hub, progress
from starcoder_ls.errors import ModelError, ModelGated, ModelInvalid, ModelNotFound

Snapshot = Callable[..., str]


class Hub:
    """Stands at huggingface_hub's boundary: answers or raises, and keeps what was asked."""

    def __init__(self, local: Path | Exception, remote: Path | Exception) -> None:
        self.local, self.remote, self.asked = local, remote, []  # type: ignore[var-annotated]

    def snapshot_download(self, name: str, **options: Any) -> str:
        self.asked.append((name, options))
        answer = self.local if options["local_files_only"] else self.remote
        if isinstance(answer, Exception):
            raise answer
        return str(answer)


def http(kind: type[hub_errors.HfHubHTTPError]) -> Exception:
    # The HTTP library underneath has changed twice; the exception only reads these two.
    return kind("from the hub", response=cast(Any, SimpleNamespace(headers={}, request=None)))


ABSENT = hub_errors.LocalEntryNotFoundError("not cached")


def folder_of(
    answers: Hub, monkeypatch: pytest.MonkeyPatch, offline: bool = False, check: Callable[[Path], Path] = lambda p: p
) -> Path:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", answers.snapshot_download)
    return hub.folder_of("owner/name", "v1", hub.CHECKPOINT_FILES, offline, check, lambda *_: None)


def test_folder_is_used_as_it_is(tmp_path: Path) -> None:
    assert hub.folder_of(str(tmp_path), None, (), False, lambda p: p, lambda *_: None) == tmp_path


def test_local_copy_is_used_without_asking_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Hub(local=tmp_path, remote=AssertionError("asked the network"))
    assert folder_of(answers, monkeypatch) == tmp_path
    name, options = answers.asked[0]
    assert (name, options["revision"]) == ("owner/name", "v1")
    assert not any("bin" in pattern or "py" in pattern for pattern in options["allow_patterns"])


def test_download_reports_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Bytes(Hub):
        def snapshot_download(self, name: str, **options: Any) -> str:
            folder = super().snapshot_download(name, **options)
            bar = options["tqdm_class"](desc="Reconstructing", total=0, initial=0, unit="B", unit_scale=True)
            for _ in range(2):
                bar.total = (bar.total or 0) + 2_000_000  # one file more
                bar.refresh()
                bar.update(1_000_000)
            bar.update(2_000_000)
            options["tqdm_class"](range(3), desc="Fetching 3 files").close()
            return folder

    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", Bytes(ABSENT, tmp_path).snapshot_download)
    seen: list[tuple[float, str]] = []
    hub.folder_of("owner/name", None, (), False, lambda p: p, lambda *report: seen.append(report))
    assert [fraction for fraction, _ in seen] == [0.0, 0.0, 0.5, 0.5, 1.0]
    assert seen[-1][1] == "Downloading owner/name, once. 4 of 4 MB."


def test_half_downloaded_copy_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "whole").mkdir()

    def check(folder: Path) -> Path:
        if folder.name != "whole":
            raise ModelInvalid("lacks a shard")
        return folder

    answers = Hub(local=tmp_path, remote=tmp_path / "whole")
    assert folder_of(answers, monkeypatch, check=check).name == "whole"


def test_offline_never_asks_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Hub(local=ABSENT, remote=AssertionError("asked the network"))
    with pytest.raises(ModelNotFound, match=r"not on this machine, and `model\.offline` forbids"):
        folder_of(answers, monkeypatch, offline=True)


@pytest.mark.parametrize(
    ("raised", "kind", "sentence"),
    [
        (http(hub_errors.GatedRepoError), ModelGated, "Accept it at https://huggingface.co/owner/name, then"),
        (http(hub_errors.RevisionNotFoundError), ModelNotFound, "no revision v1. Correct `model.revision`"),
        (http(hub_errors.RepositoryNotFoundError), ModelNotFound, "or it is private"),
        (http(hub_errors.HfHubHTTPError), ModelNotFound, "The Hub did not give owner/name"),
        (ABSENT, ModelNotFound, "the Hub cannot be reached"),
        (OSError("No space left on device"), ModelNotFound, "No space left on device"),
        (ConnectionError("reset by peer"), ModelNotFound, "Check the network"),
    ],
)
def test_each_failure_of_the_hub_is_one_sentence(
    raised: Exception, kind: type[ModelError], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(kind) as caught:
        folder_of(Hub(local=ABSENT, remote=raised), monkeypatch)
    assert sentence in str(caught.value)
    assert type(caught.value) is kind


def test_name_that_is_neither_folder_nor_hub_id_is_checked_as_a_folder(tmp_path: Path) -> None:
    def check(folder: Path) -> Path:
        raise ModelNotFound(f"There is no folder {folder}.")

    with pytest.raises(ModelNotFound, match="no folder"):
        hub.folder_of(str(tmp_path / "absent"), None, (), False, check, lambda *_: None)
