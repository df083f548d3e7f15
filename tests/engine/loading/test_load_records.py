from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from starcoder_ls.engine.loading import load_records
from starcoder_ls.engine.loading.load_records import LoadRecord, records_folder
from starcoder_ls.errors import ModelInvalid

AN_HOUR_NS = 3_600 * 10**9


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path / "state"))


class Loader:
    """Loads one file again and again, as programs that end in between would."""

    def __init__(self, file: Path, is_always_hashed: bool = True) -> None:
        self.file, self.is_always_hashed, self.reads = file, is_always_hashed, 0

    def load(self) -> str:
        record = LoadRecord(self.file.parent)
        sentence = record.compare(self.file, self.is_always_hashed, self._hash)
        record.save()
        return sentence

    def _hash(self, file: Path) -> str:
        self.reads += 1
        return file.read_text()


def write(file: Path, text: str, age_ns: int = AN_HOUR_NS) -> Path:
    file.write_text(text)
    changed_ns = time.time_ns() - age_ns
    os.utime(file, ns=(changed_ns, changed_ns))
    return file


def test_replaced_file_is_reported_once_and_accepted(tmp_path: Path) -> None:
    loader = Loader(write(tmp_path / "model.safetensors", "first"))
    assert [loader.load(), loader.load()] == ["", ""]
    write(loader.file, "second", age_ns=0)
    sentence = loader.load()
    assert "model.safetensors is not the one of its last load (" in sentence
    assert sentence.endswith("If you did not replace it, copy it again.")
    assert loader.load() == ""


def test_file_that_changed_without_its_time_of_change_is_damaged(tmp_path: Path) -> None:
    loader = Loader(write(tmp_path / "config.json", "first"))
    loader.load()
    status = loader.file.stat()
    loader.file.write_text("firsT")
    os.utime(loader.file, ns=(status.st_atime_ns, status.st_mtime_ns))
    for _ in range(2):
        with pytest.raises(ModelInvalid, match=r"config\.json is damaged.*not written to\. Copy it again\."):
            loader.load()


def test_file_written_at_the_time_of_its_load_is_not_called_damaged(tmp_path: Path) -> None:
    loader = Loader(write(tmp_path / "config.json", "first", age_ns=0))
    loader.load()
    status = loader.file.stat()
    loader.file.write_text("firsT")
    os.utime(loader.file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert "is not the one" in loader.load()


def test_large_file_is_read_only_when_its_state_differs(tmp_path: Path) -> None:
    loader = Loader(write(tmp_path / "model.safetensors", "first"), is_always_hashed=False)
    loader.load()
    loader.load()
    assert loader.reads == 1
    write(loader.file, "first", age_ns=0)  # as after a copy
    assert [loader.load(), loader.load()] == ["", ""]
    assert loader.reads == 2


def test_unreadable_record_counts_as_a_first_load(tmp_path: Path) -> None:
    loader = Loader(write(tmp_path / "config.json", "first"))
    loader.load()
    (record,) = records_folder().iterdir()
    for text in ("", "[1]", '{"config.json": {"hash": "x"}}', '{"config.json": 1}', "[" * 100_000):
        record.write_text(text)
        write(loader.file, f"other {text[:9]}")
        assert loader.load() == ""


def test_records_of_folders_that_were_not_loaded_for_long_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_records, "MAX_RECORDS", 2)
    for number in range(4):
        folder = tmp_path / str(number)
        folder.mkdir()
        Loader(write(folder / "config.json", "first")).load()
        for record in records_folder().iterdir():  # each is older than the next
            os.utime(record, ns=(0, record.stat().st_mtime_ns - 10**9))
    assert len(list(records_folder().iterdir())) == 2
    write(folder / "config.json", "second")
    assert "is not the one" in Loader(folder / "config.json").load()
