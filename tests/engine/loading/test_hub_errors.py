from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from huggingface_hub import errors as hub_errors

from starcoder_ls.engine.loading import hub_errors as messages
from starcoder_ls.errors import DiskFull, HubUnreachable, ModelError, ModelGated, ModelNotFound, TokenRejected


def http_error(kind: type[hub_errors.HfHubHTTPError], status: int = 0) -> Exception:
    # Attributes of the response that the exception reads, whichever HTTP library huggingface_hub uses.
    return kind("from the hub", response=cast(Any, SimpleNamespace(headers={}, request=None, status_code=status)))


@pytest.fixture(autouse=True)
def no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (http_error(hub_errors.GatedRepoError), ModelGated, "Accept it at https://huggingface.co/owner/name, then"),
        (http_error(hub_errors.RevisionNotFoundError), ModelNotFound, "no revision v1. Correct `model.revision`"),
        (http_error(hub_errors.RepositoryNotFoundError), ModelNotFound, "or it is private"),
        (http_error(hub_errors.HfHubHTTPError, 500), ModelNotFound, "The Hub did not provide owner/name"),
        (http_error(hub_errors.HfHubHTTPError, 401), TokenRejected, "rejects your access token"),
        (hub_errors.HFValidationError("too long"), ModelNotFound, "neither a folder nor the id of a Hub model"),
        (hub_errors.LocalEntryNotFoundError("not cached"), HubUnreachable, "the Hub cannot be reached"),
        (hub_errors.OfflineModeIsEnabled("offline"), ModelNotFound, "HF_HUB_OFFLINE forbids to download it. Unset it"),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            DiskFull,
            "is too full for owner/name. Free",
        ),
        (ConnectionError("reset by peer"), HubUnreachable, "the download continues where it stopped"),
        (OSError("Consistency check failed\nsize 3"), ModelNotFound, "downloaded: Consistency check failed. Check the"),
    ],
)
def test_hub_failure_is_converted_to_a_model_error(raised: Exception, kind: type[ModelError], message: str) -> None:
    error = messages.convert_hub_error(raised, "owner/name", "v1")
    assert message in str(error)
    assert type(error) is kind
    assert "\n" not in str(error)


def test_gate_differs_for_an_account_that_has_not_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    error = messages.convert_hub_error(http_error(hub_errors.GatedRepoError), "owner/name", None)
    assert "the account of your token has not. Accept it at https://huggingface.co/owner/name with that" in str(error)


def test_bad_token_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    error = messages.convert_hub_error(http_error(hub_errors.HfHubHTTPError, 401), "owner/name", None)
    assert "Correct or unset the environment variable HF_TOKEN." in str(error)


def test_login_command_is_found_beside_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pipx and uv put the commands of this package on the path, and not those of its dependencies."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert messages.login_command() == "`hf auth login`"
    (tmp_path / "hf").touch()
    assert messages.login_command() == f"`{tmp_path / 'hf'} auth login`"
