"""The manifest of the VS Code extension, without an editor."""

from __future__ import annotations

import json
from pathlib import Path

MANIFEST = Path(__file__).parents[2] / "editors" / "vscode" / "package.json"


def test_untrusted_folder_cannot_change_which_files_are_excluded() -> None:
    capabilities = json.loads(MANIFEST.read_text(encoding="utf-8"))["capabilities"]["untrustedWorkspaces"]
    assert capabilities["supported"] == "limited"
    assert {"starcoder.context.ignore", "starcoder.server.command"} <= set(capabilities["restrictedConfigurations"])
