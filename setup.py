"""What pyproject.toml cannot say about the wheel: files from outside the package, and the page of the package index.

The wheel contains the Neovim plug-in, and the VS Code extension if it was built before (`make vsix`).
"""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
EDITOR_FILES = {"neovim": ROOT / "editors" / "neovim", "vscode": ROOT / "editors" / "vscode" / "starcoder-ls.vsix"}
"""Folder in `starcoder_ls/editor_files` -> its content in the clone. `commands/support/editor_files.py` uses it."""

_RELATIVE_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?![a-z]+:|#)(?P<path>[^)\s]+)\)")


class BuildWithEditorFiles(build_py):
    """Copies EDITOR_FILES into the built package. A package that is installed as editable uses those of the clone."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            copy_editor_files(Path(self.build_lib) / "starcoder_ls" / "editor_files")


def copy_editor_files(target: Path) -> None:
    """Replace ``target`` with EDITOR_FILES, each in its folder. The extension may be missing."""
    shutil.rmtree(target, ignore_errors=True)
    for name, source in EDITOR_FILES.items():
        if source.is_dir():
            shutil.copytree(source, target / name)
        elif source.is_file():
            (target / name).mkdir(parents=True)
            shutil.copy2(source, target / name)


def absolute_links(markdown: str, source_url: str) -> str:
    """``markdown`` with links to ``source_url`` in place of links to files, which a package page does not have."""

    def replace(link: re.Match[str]) -> str:
        kind = "raw" if link["image"] else "blob"
        return f"{link['image']}[{link['text']}]({source_url}/{kind}/main/{link['path']})"

    return _RELATIVE_LINK.sub(replace, markdown)


def package_page() -> str:
    """The README with absolute links."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return absolute_links((ROOT / "README.md").read_text(encoding="utf-8"), project["urls"]["Source"])


if __name__ == "__main__":
    setup(
        cmdclass={"build_py": BuildWithEditorFiles},
        long_description=package_page(),
        long_description_content_type="text/markdown",
    )
