from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import pytest

from starcoder_ls.context.file_reader import FileRefused, decode_text, encode_text, has_bom, read_file, read_stream


def test_regular_file_up_to_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    assert read_file(tmp_path / "a", 100) == b"x" * 100
    with pytest.raises(FileRefused, match="longer than"):
        read_file(tmp_path / "a", 99)


def test_stream_up_to_the_limit_is_read_and_an_endless_one_refused() -> None:
    assert read_stream(io.BytesIO(b"x" * 100), 100) == b"x" * 100
    with open("/dev/zero", "rb") as endless, pytest.raises(FileRefused, match="longer than"):
        read_stream(endless, 100)


def test_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(FileRefused, match="regular"):
        read_file(tmp_path / "fifo", 100)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/tty", "/dev/null"])
def test_link_to_a_device_is_refused_without_opening_it(tmp_path: Path, device: str) -> None:
    (tmp_path / "link").symlink_to(device)
    with pytest.raises(OSError, match=r"regular|No such"):
        read_file(tmp_path / "link", 100)


def test_file_that_grows_while_it_is_read_is_limited() -> None:
    endless = Path("/proc/self/maps")  # its size is given as 0
    if not endless.exists() or not stat.S_ISREG(endless.stat().st_mode):
        pytest.skip("only Linux has /proc")
    with pytest.raises(FileRefused):
        read_file(endless, 10)


def test_missing_file_and_folder_raise_os_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "a", 100)
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path, 100)


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileRefused):
        read_file(tmp_path / name, 100)


def test_file_outside_of_the_workspace_by_its_real_path_is_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "ws", tmp_path / "ws2"
    inside.mkdir()
    outside.mkdir()
    (outside / "a").write_bytes(b"outside")
    (inside / "b").write_bytes(b"inside")
    (inside / "link").symlink_to(outside / "a")
    (inside / "folder").symlink_to(outside)
    (inside / "fine").symlink_to("b")
    (tmp_path / "ws-link").symlink_to(inside)
    for path in (inside / "link", inside / "folder" / "a", inside / ".." / "ws2" / "a"):
        with pytest.raises(FileRefused, match="workspace"):
            read_file(path, 100, [inside])
    assert read_file(inside / "fine", 100, [inside]) == b"inside"
    assert read_file(tmp_path / "ws-link" / "b", 100, [tmp_path / "ws-link"]) == b"inside"


def test_bom_is_no_text_and_is_written_back() -> None:
    content = "\ufeffa = 1\n".encode()
    assert decode_text(content) == "a = 1\n"
    assert has_bom(content)
    assert not has_bom(b"a")
    assert encode_text("a = 1\n", has_bom(content)) == content
