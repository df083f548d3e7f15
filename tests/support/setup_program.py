"""A ``starcoder-ls`` for tests of editors: its server has a scripted engine, its ``setup`` uses the Hub of a test."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from harness import FAKE_SERVER_COMMAND

_SCRIPT = """#!{python}
import os, sys
if sys.argv[1] == "serve":
    os.execv({python!r}, {serve!r})
for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
    os.environ.pop(name, None)
os.environ.update({environment!r})
os.execv({python!r}, [{python!r}, "-m", "starcoder_ls", *sys.argv[1:]])
"""


def write_setup_program(folder: Path, hub_url: str) -> tuple[Path, Path]:
    """The program and the settings file that its ``setup`` writes; both are in ``folder``."""
    program, settings_file = folder / "starcoder-ls", folder / "settings.toml"
    environment = {
        "HF_ENDPOINT": hub_url,
        "HF_HOME": str(folder / "hub"),
        "STARCODER_LS_SETTINGS": str(settings_file),
    }
    serve = [*FAKE_SERVER_COMMAND, json.dumps({})]
    program.write_text(_SCRIPT.format(python=sys.executable, serve=serve, environment=environment))
    program.chmod(0o755)
    return program, settings_file
