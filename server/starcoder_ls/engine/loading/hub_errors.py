"""Turns what huggingface_hub raises into messages for users: what failed, and the way out."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path

from starcoder_ls.errors import DiskFull, HubUnreachable, ModelError, ModelGated, ModelNotFound, TokenRejected
from starcoder_ls.printable import escape_control_characters

_MAX_REASON_CHARS = 200
# Classes of the HTTP libraries that versions of huggingface_hub use, which this package does not import.
_CONNECTION_ERRORS = frozenset({"TransportError", "ConnectionError", "TimeoutError", "Timeout"})


def convert_hub_error(error: Exception, name: str, revision: str | None) -> ModelError:
    """The ModelError for what a request to the Hub or the writing of its answer raised."""
    from huggingface_hub import errors

    at_revision = f" at revision {revision}" if revision else ""
    if isinstance(error, errors.OfflineModeIsEnabled):
        return ModelNotFound(
            f"{name} is not on this machine, and the environment variable HF_HUB_OFFLINE forbids to download it. "
            "Unset it."
        )
    if isinstance(error, errors.HFValidationError):
        return ModelNotFound(f"{name} is neither a folder nor the id of a Hub model. Correct `model.name`.")
    if isinstance(error, errors.LocalEntryNotFoundError):
        return unreachable(name)
    if isinstance(error, errors.GatedRepoError):  # a subclass of RepositoryNotFoundError, so it is tested first
        return _gated(name)
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelNotFound(f"{name} has no revision {revision}. Correct `model.revision` or leave it out.")
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelNotFound(
            f"There is no folder and no Hub model {name}{at_revision}, or it is private. Correct `model.name`, or run "
            f"{login_command()}."
        )
    if isinstance(error, errors.HfHubHTTPError):
        if getattr(error.response, "status_code", 0) == 401:
            return _bad_token(name)
        return ModelNotFound(
            f"The Hub did not provide {name}{at_revision}: {_reason(error)} Try again later, or name a local folder."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(name, hub_cache())
    if _CONNECTION_ERRORS & {kind.__name__ for kind in type(error).__mro__}:
        return unreachable(name)
    return ModelNotFound(
        f"{name} could not be downloaded: {_reason(error)} Check the network and the free disk, then try again."
    )


def unreachable(name: str) -> HubUnreachable:
    """Without a connection, or after it was lost: what was downloaded is kept (``hub_download``)."""
    return HubUnreachable(
        f"{name} is not completely on this machine and the Hub cannot be reached. Check the network and try again: the "
        "download continues where it stopped. Or name a local folder."
    )


def disk_full(name: str, folder: Path, needed_bytes: int = 0, free_bytes: int = 0) -> DiskFull:
    """``needed_bytes`` is 0 if the disk became full while a file was written."""
    sizes = f": {needed_bytes / 1e9:.1f} GB are needed and {free_bytes / 1e9:.1f} GB free" if needed_bytes else ""
    return DiskFull(
        f"The disk of {folder} is too full for {name}{sizes}. Free some space, or set HF_HOME to a folder on another "
        "disk."
    )


def hub_cache() -> Path:
    """The folder that has the files of all Hub repositories."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser()


def login_command() -> str:
    """The command that stores an access token. A tool installer such as pipx does not put ``hf`` on the path."""
    own = Path(sys.executable).with_name("hf")
    program = "hf" if shutil.which("hf") or not own.exists() else str(own)
    return f"`{program} auth login`"


def licence_page(name: str) -> str:
    """The page of the Hub on which the licence of a gated model is accepted."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{name}"


def _gated(name: str) -> ModelGated:
    from huggingface_hub import get_token

    page = licence_page(name)
    if get_token():
        return ModelGated(
            f"{name} requires that you accept its licence, and the account of your token has not. Accept it at {page} "
            "with that account; a fine-grained token must also allow gated repositories."
        )
    return ModelGated(f"{name} requires that you accept its licence. Accept it at {page}, then run {login_command()}.")


def _bad_token(name: str) -> TokenRejected:
    source = next((variable for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if os.environ.get(variable)), "")
    remedy = f"Correct or unset the environment variable {source}." if source else f"Run {login_command()} again."
    return TokenRejected(f"The Hub rejects your access token, so {name} cannot be downloaded. {remedy}")


def _reason(error: Exception) -> str:
    """The first line of the message, as the end of a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = escape_control_characters(lines[0] if lines else type(error).__name__)[:_MAX_REASON_CHARS]
    return text if text.endswith(".") else f"{text}."
