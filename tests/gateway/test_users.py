from __future__ import annotations

from pathlib import Path

import pytest

from starcoder_ls.errors import SettingsError
from starcoder_ls.gateway.users import Users, add_user, read_or_create_secret, salt_of


def test_users_are_found_by_their_tokens_which_are_not_stored(tmp_path: Path) -> None:
    file = tmp_path / "users"
    one, two = add_user(file, "one"), add_user(file, "two@example.com")
    assert one not in file.read_text()
    users = Users(file)
    assert (users.find(one), users.find(two)) == ("one", "two@example.com")
    assert (users.find(""), users.find(one[:-1])) == (None, None)
    file.write_text("\n".join(line for line in file.read_text().splitlines() if not line.startswith("one:")))
    users.reload()
    assert (users.find(one), users.find(two)) == (None, "two@example.com")


@pytest.mark.parametrize("name", ["", "a b", "a:b", "x" * 65, "one"])
def test_invalid_and_known_names_are_refused(tmp_path: Path, name: str) -> None:
    add_user(tmp_path / "users", "one")
    with pytest.raises(SettingsError):
        add_user(tmp_path / "users", name)


def test_readable_or_broken_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "users"
    add_user(file, "one")
    file.chmod(0o640)
    with pytest.raises(SettingsError, match="Others can use"):
        Users(file)
    file.chmod(0o600)
    file.write_text("# names\n\none:secret\n")
    with pytest.raises(SettingsError, match="line 3, is not NAME:SHA256"):
        Users(file)


def test_salts_differ_by_user_and_site_and_stay_the_same(tmp_path: Path) -> None:
    secret = read_or_create_secret(tmp_path / "secret")
    assert secret == read_or_create_secret(tmp_path / "secret")
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert len({salt_of(secret, "one"), salt_of(secret, "two"), salt_of(b"other", "one")}) == 3
