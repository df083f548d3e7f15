"""The manifest of the VS Code extension, without an editor."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

MANIFEST = Path(__file__).parents[2] / "editors" / "vscode" / "package.json"


def test_untrusted_folder_cannot_change_which_files_are_excluded() -> None:
    capabilities = json.loads(MANIFEST.read_text(encoding="utf-8"))["capabilities"]["untrustedWorkspaces"]
    assert capabilities["supported"] == "limited"
    assert {"starcoder.context.ignore", "starcoder.server.command"} <= set(capabilities["restrictedConfigurations"])


def test_no_description_of_a_setting_repeats_its_readable_name() -> None:
    groups = json.loads(MANIFEST.read_text(encoding="utf-8"))["contributes"]["configuration"]
    for key, setting in [item for group in groups for item in group["properties"].items()]:
        name, description = setting["markdownDescription"].removeprefix("**").split(".** ", 1)
        assert not description.removeprefix("The ").lower().startswith(name.lower()), key


@pytest.mark.parametrize("name", ["vscode", "jupyterlab"])
def test_readme_of_a_packaged_extension_has_no_relative_links(name: str) -> None:
    readme = (MANIFEST.parents[1] / name / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", readme)
    assert not [target for target in targets if not target.startswith(("https://", "#"))]
