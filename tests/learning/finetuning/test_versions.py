from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from starcoder_ls.errors import SettingsError
from starcoder_ls.learning.finetuning.versions import AdapterVersions, Version, adapter_names, write_json

NOW = datetime(2026, 11, 28, 21, 0, 0, tzinfo=UTC)


def add(versions: AdapterVersions, minutes: int = 0) -> Version:
    with versions.new_version(NOW + timedelta(minutes=minutes)) as folder:
        write_json(folder / "training.json", {"minutes": minutes})
    return versions.find()


def test_version_appears_when_it_is_complete_and_not_before(tmp_path: Path) -> None:
    versions = AdapterVersions("own", tmp_path)
    with versions.new_version(NOW) as folder:
        (folder / "training.json").write_text("{}")
        assert versions.all_versions() == []
    assert [version.name for version in versions.all_versions()] == ["2026-11-28T21-00-00"]
    with pytest.raises(OSError, match="full"), versions.new_version(NOW):
        raise OSError("the disk is full")
    assert [path.name for path in (tmp_path / "own" / "versions").iterdir()] == ["2026-11-28T21-00-00"]
    assert add(versions).name == "2026-11-28T21-00-00.1", "two in one second"


def test_rollback_goes_back_one_promotion_at_a_time(tmp_path: Path) -> None:
    versions = AdapterVersions("own", tmp_path)
    first, second = add(versions), add(versions, 1)
    assert versions.current() is None
    for version in (first, second, first):
        versions.promote(version, NOW)
        assert versions.current() == version
    for expected in (second, first, None):
        assert versions.roll_back(NOW) == expected
        assert versions.current() == expected
    assert not versions.current_link.exists()


def test_current_is_a_relative_link_that_is_replaced_in_one_step(tmp_path: Path) -> None:
    versions = AdapterVersions("own", tmp_path)
    versions.promote(add(versions), NOW)
    assert not Path(os.readlink(versions.current_link)).is_absolute()
    inode = os.lstat(versions.current_link).st_ino
    versions.promote(add(versions, 1), NOW)
    assert os.lstat(versions.current_link).st_ino != inode
    assert sorted(path.name for path in versions.folder.iterdir()) == ["current", "history.jsonl", "versions"]


def test_rollback_of_a_repeated_promotion_is_to_another_version(tmp_path: Path) -> None:
    versions = AdapterVersions("own", tmp_path)
    first, second = add(versions), add(versions, 1)
    versions.promote(first, NOW, is_merged=True)
    versions.promote(second, NOW)
    versions.promote(second, NOW, watch_days=7)
    versions.promote(second, NOW, is_merged=True)
    versions.promote(second, NOW, is_merged=True)
    served = []
    while versions.current() is not None:
        previous = versions.roll_back(NOW)
        assert versions.current() == previous
        served.append((previous, versions.is_merged))
    assert served == [(second, False), (first, True), (None, False)]


def test_rollback_skips_a_deleted_version(tmp_path: Path) -> None:
    versions = AdapterVersions("own", tmp_path)
    first, second, third = add(versions), add(versions, 1), add(versions, 2)
    for version in (first, second, third):
        versions.promote(version, NOW)
    shutil.rmtree(second.folder)
    assert versions.roll_back(NOW) == first
    assert versions.roll_back(NOW) is None
    versions.promote(third, NOW)
    assert versions.roll_back(NOW) is None


def test_deleted_version_is_not_rolled_back_to(tmp_path: Path) -> None:
    versions = AdapterVersions("own", tmp_path)
    first, second = add(versions), add(versions, 1)
    for version in (first, second):
        versions.promote(version, NOW)
    (first.folder / "training.json").unlink()
    first.folder.rmdir()
    assert versions.roll_back(NOW) is None


def test_unknown_versions_and_invalid_names_are_refused(tmp_path: Path) -> None:
    versions = AdapterVersions("own", tmp_path)
    with pytest.raises(SettingsError, match="no version"):
        versions.find()
    add(versions)
    with pytest.raises(SettingsError, match=r"There are 2026-11-28T21-00-00"):
        versions.find("2025")
    for name in ("../x", "", "a b"):
        with pytest.raises(SettingsError, match="no name for an adapter"):
            AdapterVersions(name, tmp_path)
    assert adapter_names(tmp_path) == ["own"]
    assert versions.find().training == {"minutes": 0}
    assert versions.find().gate == {}
