from __future__ import annotations

from pathlib import Path

import pytest

from remote_engines import write_token
from starcoder_ls.errors import SettingsError
from starcoder_ls.remote.endpoint import TOKEN_VARIABLE, Endpoint, is_loopback, open_client, read_endpoint
from starcoder_ls.settings import Remote


def test_token_comes_from_the_file_else_from_the_environment(tmp_path: Path) -> None:
    remote = Remote(url="https://models.example/", token_file=write_token(tmp_path, "from-file"))
    environment = {TOKEN_VARIABLE: "from-environment"}
    assert read_endpoint(remote, environment).token == "from-file"
    assert read_endpoint(Remote(url="https://models.example"), environment).token == "from-environment"
    assert read_endpoint(Remote(url="https://models.example"), {}).token == ""


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_token_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    file = Path(write_token(tmp_path))
    file.chmod(mode)
    with pytest.raises(SettingsError, match="chmod 600"):
        read_endpoint(Remote(url="https://models.example", token_file=str(file)), {})


@pytest.mark.parametrize("content", ["", "two words", "line\nfeed", "caf\u00e9", "x" * 5000])
def test_token_must_be_one_word(tmp_path: Path, content: str) -> None:
    file = write_token(tmp_path, content)
    with pytest.raises(SettingsError, match="token"):
        read_endpoint(Remote(url="https://models.example", token_file=file), {})


def test_missing_token_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"remote\.token_file.*missing"):
        read_endpoint(Remote(url="https://models.example", token_file=str(tmp_path / "missing")), {})


@pytest.mark.parametrize(
    "url",
    [
        "http://models.example",
        "http://10.0.0.1:8000",
        "http://localhost.example",
        "https://u:p@h",
        "https://h?x=1",
        "https://h:99999",
    ],
)
def test_plain_http_to_others_and_invalid_urls_are_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"remote\.url"):
        read_endpoint(Remote(url=url), {})


def test_this_machine_may_be_reached_without_encryption() -> None:
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        assert is_loopback(host)
        shown = f"[{host}]" if ":" in host else host
        assert read_endpoint(Remote(url=f"http://{shown}:8000"), {}).host == f"{shown}:8000"


def test_token_is_in_no_representation() -> None:
    assert "secret" not in repr(Endpoint("https://h", "secret"))


def test_unreadable_certificates_are_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(SettingsError, match=r"ca\.pem"):
        open_client(Endpoint("https://h", ca_file=str(tmp_path / "ca.pem")))


def test_client_follows_no_redirects_and_reads_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:1")
    client = open_client(Endpoint("http://127.0.0.1:1", "t"))
    assert (client.follow_redirects, client.trust_env) == (False, False)
    assert client.headers["authorization"] == "Bearer t"
