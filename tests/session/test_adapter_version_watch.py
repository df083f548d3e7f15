from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from starcoder_ls.generation import AdapterStatus
from starcoder_ls.learning.finetuning.versions import AdapterVersions
from starcoder_ls.session.adapter_version_watch import CHECK_INTERVAL_S, AdapterVersionWatch
from starcoder_ls.session.client_settings import ClientSettings
from starcoder_ls.settings import Adapter, Settings

NOW = datetime(2026, 11, 28, tzinfo=UTC)


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AdapterVersions:
    """Three versions of ``own``; the settings file is beside them."""
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("STARCODER_LS_SETTINGS", str(tmp_path / "settings.toml"))
    versions = AdapterVersions("own")
    for _ in range(3):
        with versions.new_version(NOW) as folder:
            (folder / "training.json").write_text("{}")
    return versions


def create_watch(adapters: dict[str, Adapter]) -> tuple[AdapterVersionWatch, ClientSettings]:
    settings = ClientSettings(Settings(adapters=adapters), lambda _: None)
    return AdapterVersionWatch(settings), settings


def status(versions: AdapterVersions, folder: Path) -> AdapterStatus:
    return AdapterStatus("own", "LORA", str(versions.current_link), folder=str(folder))


def test_each_switch_of_the_link_is_reported_once(versions: AdapterVersions) -> None:
    first, second, _ = versions.all_versions()
    versions.promote(first, NOW)
    adapter = Adapter(path=str(versions.current_link))
    watch, _ = create_watch({"own": adapter})
    assert watch.find_changes([status(versions, first.folder)]) == {}
    for _ in range(2):
        versions.promote(second, NOW)
        assert watch.find_changes([status(versions, first.folder)]) == {"own": adapter}
        assert watch.find_changes([status(versions, first.folder)]) == {}, "it could not be loaded"
        versions.roll_back(NOW)
        assert watch.find_changes([status(versions, first.folder)]) == {}
    versions.roll_back(NOW)
    assert watch.find_changes([status(versions, first.folder)]) == {"own": None}


def test_adapters_of_other_folders_are_not_followed(versions: AdapterVersions, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(versions.folder)
    watch, _ = create_watch({"own": Adapter(path=str(link))})
    assert watch.find_changes([AdapterStatus("own", "LORA", str(link), folder="/elsewhere")]) == {}
    assert watch.find_changes([AdapterStatus("own", "LORA", "owner/name")]) == {}


def test_adapter_named_by_its_dated_folder_is_not_followed(versions: AdapterVersions) -> None:
    first, second, _ = versions.all_versions()
    watch, _ = create_watch({"own": Adapter(path=str(first.folder))})
    dated = AdapterStatus("own", "LORA", str(first.folder), folder=str(first.folder))
    assert watch.find_changes([dated]) == {}, "no version serves"
    versions.promote(second, NOW)
    assert watch.find_changes([dated]) == {}


@pytest.mark.parametrize("is_link", [True, False])
def test_adapter_of_the_command_line_stays_when_the_file_changes(
    versions: AdapterVersions, tmp_path: Path, is_link: bool
) -> None:
    versions.promote(versions.all_versions()[0], NOW)
    adapter = Adapter(path=str(versions.current_link if is_link else versions.all_versions()[0].folder))
    watch, settings = create_watch({"chosen": adapter})
    for text in ('[adapters.other]\npath = "/x"\n', "# empty now\n"):
        (tmp_path / "settings.toml").write_text(text)
        assert not watch.update_settings()
    assert settings.current.adapters == {"chosen": adapter}


def test_only_trained_adapters_of_a_changed_settings_file_are_taken(versions: AdapterVersions, tmp_path: Path) -> None:
    file, link = tmp_path / "settings.toml", versions.current_link
    watch, settings = create_watch({"mine": Adapter(path="/mine")})
    assert not watch.update_settings()
    file.write_text(f'[adapters.own]\npath = "{link}"\ntasks = ["completion"]\n[adapters.other]\npath = "/x"\n')
    assert watch.update_settings()
    assert settings.current.adapters.keys() == {"mine", "own"}
    assert settings.current.adapters["own"].tasks == ("completion",)
    assert not watch.update_settings(), "nothing has changed"
    file.write_text("[adapters.own\n")
    assert not watch.update_settings(), "it is being written"
    file.write_text("# empty now\n")
    assert watch.update_settings()
    assert settings.current.adapters.keys() == {"mine"}


def test_files_are_looked_at_once_in_an_interval() -> None:
    watch, _ = create_watch({})
    assert [watch.is_due(now_s) for now_s in (5.0, 5.1, 5.0 + CHECK_INTERVAL_S, 5.2 + CHECK_INTERVAL_S)] == [
        True, False, True, False,
    ]  # fmt: skip
