"""Builds the distribution starcoder-ls-client from the sources of starcoder-ls: no engine, no training, no weights.

The sources are copied, since setuptools packs only what is below its own folder.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import tomllib
from pathlib import Path
from types import ModuleType

from setuptools import find_packages, setup

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "server" / "starcoder_ls"
SOURCES = "build/source"
"""Relative to this folder, as setuptools needs it."""

LEFT_OUT = ("engine", "learning")
"""Packages that import torch."""
BUNDLED_FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
"""What a client of the bundled model needs: no weights."""
HEAVY = ("torch", "transformers", "accelerate", "peft", "numba", "numpy")


def client_dependencies(dependencies: list[str]) -> list[str]:
    """Those of the complete program without the libraries that only the engine imports."""
    return [text for text in dependencies if re.split(r"[^\w.-]", text)[0] not in HEAVY]


def copy_sources(target: Path) -> None:
    """Replace ``target`` with the packages of the client and the editors' files."""
    shutil.rmtree(target, ignore_errors=True)

    def ignored(folder: str, names: list[str]) -> set[str]:
        left_out = {name for name in names if name == "__pycache__" or name.endswith(".egg-info")}
        if Path(folder) == PACKAGE:
            left_out.update(LEFT_OUT)
        if Path(folder) == PACKAGE / "bundled":
            left_out.update(set(names) - set(BUNDLED_FILES))
        return left_out

    shutil.copytree(PACKAGE, target / "starcoder_ls", ignore=ignored)
    complete_setup().copy_editor_files(target / "starcoder_ls" / "editor_files")
    shutil.copy2(ROOT / "LICENSE", target.parent)


def complete_setup() -> ModuleType:
    """The module that builds the complete program."""
    spec = importlib.util.spec_from_file_location("complete_setup", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_version() -> str:
    """The version of the complete program."""
    found = re.search(r'__version__ = "([^"]+)"', (PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    source = Path(__file__).parent / SOURCES
    copy_sources(source)
    setup(
        version=read_version(),
        install_requires=client_dependencies(project["dependencies"]),
        extras_require={"gateway": project["optional-dependencies"]["gateway"]},
        long_description=(ROOT / "docs" / "teams.md").read_text(encoding="utf-8"),
        long_description_content_type="text/markdown",
        package_dir={"": SOURCES},
        packages=find_packages(str(source)),
        package_data={"starcoder_ls": ["bundled/*.json", "editor_files/**/*", "evaluation/page.html", "py.typed"]},
        options={"egg_info": {"egg_base": "build"}},
    )
