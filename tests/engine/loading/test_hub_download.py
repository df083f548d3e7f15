"""Downloads from a server that speaks the Hub's API, through huggingface_hub itself."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_server import COMMIT, TOKEN, HubRepository, HubServer, running_hub, use_hub
from starcoder_ls.engine.loading import hub, progress
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.errors import ModelError, ModelGated, ModelInvalid, ModelNotFound

WEIGHTS = os.urandom(300_000)
NAME = "owner/small"


@pytest.fixture
def repository() -> HubRepository:
    return HubRepository({"config.json": b"{}", "model.safetensors": WEIGHTS, "train.py": b"print()"})


@pytest.fixture
def server(repository: HubRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with running_hub({NAME: repository}) as server:
        use_hub(server.url, tmp_path / "cache", monkeypatch)
        monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 10_000)  # it writes after each 10 MB
        yield server


def download(on_progress: progress.ProgressCallback = ignore_progress, name: str = NAME) -> Path:
    def check_folder(folder: Path) -> Path:
        if not (folder / "model.safetensors").is_file():
            raise ModelNotFound("incomplete")
        return folder

    return hub.resolve(name, None, hub.CHECKPOINT_FILES, False, check_folder, on_progress)


def test_files_are_downloaded_once_with_progress(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "MIN_INTERVAL_S", 0.0)
    seen: list[tuple[float, str]] = []
    folder = download(lambda *report: seen.append(report))
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert hub.commit_of(folder) == COMMIT
    assert not (folder / "train.py").exists()
    fractions = [fraction for fraction, message in seen if "MB" in message and "0 MB" not in message[-6:]]
    assert fractions == sorted(fractions)
    requests = len(server.requests)
    assert download() == folder
    assert len(server.requests) == requests


def test_interrupted_download_continues(
    server: HubServer, repository: HubRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    repository.drop_after, repository.drops = 100_000, 1
    assert (download() / "model.safetensors").read_bytes() == WEIGHTS
    assert server.ranges("model.safetensors")[0] == ""
    assert server.ranges("model.safetensors")[1].startswith("bytes=")
    assert server.sent < 1.4 * len(WEIGHTS)


def test_download_of_an_earlier_process_continues(
    server: HubServer, repository: HubRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.drop_after, repository.drops = 100_000, 1

    def give_up(*_: object) -> None:
        raise RuntimeError("the process ends")

    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", give_up)
    with contextlib.suppress(ModelError):
        download()
    assert server.ranges("model.safetensors") == [""]
    assert (download() / "model.safetensors").read_bytes() == WEIGHTS
    start = int(server.ranges("model.safetensors")[1].removeprefix("bytes=").rstrip("-"))
    assert 0 < start <= 100_000


@pytest.mark.usefixtures("server")
def test_progress_callback_can_end_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "MIN_INTERVAL_S", 0.0)

    class ClosingError(Exception):
        pass

    def close(fraction: float, _: str) -> None:
        if fraction > 0:
            raise ClosingError

    with pytest.raises(ClosingError):
        download(close)


@pytest.mark.usefixtures("server")
def test_lost_connection_names_the_way_out(repository: HubRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    repository.drop_after, repository.drops = 0, 100
    with pytest.raises(
        ModelNotFound, match=r"Check the network and try again: the download continues where it stopped"
    ):
        download()


def test_no_connection_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_hub("http://127.0.0.1:9", tmp_path, monkeypatch)
    with pytest.raises(ModelNotFound, match=r"Hub cannot be reached. Check the network"):
        download()


@pytest.mark.usefixtures("server")
def test_damaged_file_is_deleted_and_reported(repository: HubRepository, tmp_path: Path) -> None:
    repository.is_damaged = True
    with pytest.raises(ModelInvalid, match=r"model.safetensors of owner/small was damaged on its way"):
        download()
    assert not list((tmp_path / "cache").rglob("*.partial"))
    repository.is_damaged = False
    assert (download() / "model.safetensors").read_bytes() == WEIGHTS


def test_gated_model_names_the_page_of_its_licence(server: HubServer, repository: HubRepository) -> None:
    repository.is_gated = True
    with pytest.raises(ModelGated, match=rf"Accept it at {server.url}/owner/small, then run"):
        download()


@pytest.mark.usefixtures("server")
def test_gate_for_an_account_is_reported(repository: HubRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.is_gated = True
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(ModelGated, match=r"the account of your token has not"):
        download()


@pytest.mark.usefixtures("server")
def test_bad_token_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    with pytest.raises(ModelGated, match=r"rejects your access token.*unset the environment variable HF_TOKEN"):
        download()


@pytest.mark.usefixtures("server")
def test_model_that_does_not_exist_is_reported() -> None:
    with pytest.raises(ModelNotFound, match=r"no Hub model owner/other, or it is private"):
        download(name="owner/other")


def test_too_small_disk_is_reported_before_the_download(server: HubServer, repository: HubRepository) -> None:
    repository.announced_sizes["model.safetensors"] = 10**15
    with pytest.raises(ModelNotFound, match=r"too full for owner/small: 1000000.0 GB are needed and .* GB free"):
        download()
    assert server.sent == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has /dev/full")
@pytest.mark.usefixtures("server")
def test_disk_that_becomes_full_is_reported(repository: HubRepository, tmp_path: Path) -> None:
    blobs = tmp_path / "cache" / "models--owner--small" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{repository.etag('model.safetensors')}.partial").symlink_to("/dev/full")
    with pytest.raises(ModelNotFound, match=r"is too full for owner/small. Free some space, or set HF_HOME"):
        download()


@pytest.mark.parametrize(
    ("file", "message"),
    [("pytorch_model.bin", "as pickles only"), ("model.gguf", "as GGUF"), ("README.md", "no safetensors files")],
)
def test_repository_without_safetensors_is_refused_before_the_download(
    file: str, message: str, server: HubServer, repository: HubRepository
) -> None:
    repository.files = {"config.json": b"{}", file: b"weights"}
    with pytest.raises(ModelInvalid, match=message):
        download()
    assert server.sent == 0
