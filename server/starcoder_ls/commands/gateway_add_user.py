"""``starcoder-ls gateway add-user``: make a token for a user."""

from __future__ import annotations

import sys
from pathlib import Path

from starcoder_ls.gateway import gateway_settings, users


def run(file: Path, name: str) -> int:
    """Print the token to standard output and what to do with it to standard error. Raises SettingsError."""
    settings = gateway_settings.load(file)
    token = users.add_user(settings.users_file, name)
    print(token)
    print(
        f"{name} writes this token to the file that `remote.token_file` names. It cannot be shown again. "
        "A running gateway reads the users again on SIGHUP.",
        file=sys.stderr,
    )
    return 0
