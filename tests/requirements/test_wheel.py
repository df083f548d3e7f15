"""The build steps of setup.py; `.ci/wheel` builds and uses the wheel itself."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("project_setup", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_to_files_become_absolute_and_others_stay(build: ModuleType) -> None:
    text = "![A](docs/a.png) [b](docs/b.md#part) [c](https://c.example/d) [e](#part) [f](mailto:f@g.example)"

    assert build.absolute_links(text, "https://host/project") == (
        "![A](https://host/project/raw/main/docs/a.png) [b](https://host/project/blob/main/docs/b.md#part) "
        "[c](https://c.example/d) [e](#part) [f](mailto:f@g.example)"
    )


@pytest.mark.parametrize("source_url", ["", "https://host/project"])
def test_package_page_is_the_readme_without_relative_links(build: ModuleType, source_url: str) -> None:
    page = build.package_page(source_url)

    assert page.startswith((ROOT / "README.md").read_text(encoding="utf-8").split("\n")[0])
    targets = re.findall(r"\]\(([^)\s]+)", page)
    assert targets
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []
    assert ("https://host/project/blob/main/docs/models.md" in targets) == bool(source_url)
    assert ("Source" in build.project_urls(source_url)) == bool(source_url)


def test_wheel_gets_the_plug_in_and_a_built_extension(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extension, target = tmp_path / "starcoder-ls.vsix", tmp_path / "target"
    (target / "old").mkdir(parents=True)
    monkeypatch.setitem(build.EDITOR_FILES, "vscode", extension)

    build.copy_editor_files(target)
    assert {path.name for path in target.iterdir()} == {"neovim"}

    extension.write_bytes(b"extension")
    build.copy_editor_files(target)
    assert (target / "vscode" / "starcoder-ls.vsix").read_bytes() == b"extension"
    plugin = ROOT / "editors" / "neovim"
    files = {path.relative_to(plugin) for path in plugin.rglob("*") if path.is_file()}
    assert files == {path.relative_to(target / "neovim") for path in (target / "neovim").rglob("*") if path.is_file()}
