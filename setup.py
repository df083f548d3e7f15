"""What pyproject.toml cannot say about the wheel: files from outside the package, and the page of the package index.

The wheel contains the Neovim plug-in, and the VS Code extension if it was built before (`make vsix`). The environment
variable SOURCE_URL is the public repository, on a host with GitHub's paths; without it the package names none.
"""

from __future__ import annotations

import os
import re
import shutil
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


def without_links(markdown: str) -> str:
    """``markdown`` with the text of links to files in their place, and without images."""
    return _RELATIVE_LINK.sub(lambda link: "" if link["image"] else link["text"], markdown)


def package_page(source_url: str) -> str:
    """The README with absolute links, or without links to files if there is no ``source_url``."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return absolute_links(readme, source_url) if source_url else without_links(readme)


def project_urls(source_url: str) -> dict[str, str]:
    """The links beside the page of the package index."""
    if not source_url:
        return {}
    return {
        "Source": source_url,
        "Documentation": f"{source_url}/tree/main/docs",
        "Changelog": f"{source_url}/blob/main/CHANGELOG.md",
        "Issues": f"{source_url}/issues",
    }


if __name__ == "__main__":
    url = os.environ.get("SOURCE_URL", "").rstrip("/")
    setup(
        cmdclass={"build_py": BuildWithEditorFiles},
        project_urls=project_urls(url),
        long_description=package_page(url),
        long_description_content_type="text/markdown",
    )
