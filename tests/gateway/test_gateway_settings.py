from __future__ import annotations

from pathlib import Path

import pytest

from starcoder_ls.errors import SettingsError
from starcoder_ls.gateway import gateway_settings

MINIMAL = 'replicas = ["http://a:8000/"]\nusers_file = "users"\nsecret_file = "/etc/secret"\n'


def load(folder: Path, text: str) -> gateway_settings.GatewaySettings:
    file = folder / "gateway.toml"
    file.write_text(text)
    return gateway_settings.load(file)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    settings = load(tmp_path, MINIMAL + 'listen = "[::1]:9000"')
    assert (settings.users_file, settings.secret_file) == (tmp_path / "users", Path("/etc/secret"))
    assert (settings.host, settings.port, settings.replicas) == ("::1", 9000, ("http://a:8000",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("replicas = [", "is no TOML file"),
        ("replicas = []\nusers_file='u'\nsecret_file='s'", "replicas: "),
        (MINIMAL + 'listen = "0.0.0.0:8443"', "without encryption"),
        (MINIMAL + 'certificate = "c.pem"', "certificate and key belong together"),
        (MINIMAL + 'listen = "nowhere"', "is not HOST:PORT"),
        (MINIMAL + "max_tokens = 3", "max_tokens: Extra inputs"),
        (MINIMAL.replace("http:", "ftp:"), "is no address such as"),
        (MINIMAL.replace("8000", "99999"), "is no address such as"),
        (MINIMAL.replace('"]', '", "http://a:8000"]'), "a replica is named twice"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(tmp_path, text)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"gateway\.toml, cannot be read"):
        gateway_settings.load(tmp_path / "gateway.toml")
