"""The thin distribution, starcoder-ls-client: what it contains, what it needs, and how it refuses a local model."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "accelerate", "peft", "numba", "numpy")


LOCAL_ONLY = {
    ("commands/eval_card.py", "learning"),
    ("commands/eval_explain.py", "learning"),
    ("commands/setup.py", "engine"),
    ("commands/support/adapter_check.py", "engine"),
    ("commands/support/machine.py", "engine"),
    ("commands/support/machine.py", "numpy"),
    ("commands/support/partial_gate.py", "learning"),
}
"""Modules of commands that need a model here, and what they import; the client answers these with one sentence."""


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("client_setup", ROOT / "client" / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sources(build: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("client") / "source"
    build.copy_sources(target)
    return target


def test_client_needs_what_the_program_needs_without_the_engine(build: ModuleType) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = build.client_dependencies(project["dependencies"])
    left_out = set(project["dependencies"]) - set(needed)
    assert sorted(text.split(">")[0] for text in left_out) == sorted(HEAVY)
    assert build.read_version() in (ROOT / "server" / "starcoder_ls" / "__init__.py").read_text(encoding="utf-8")


def test_client_has_no_engine_no_training_and_no_weights(sources: Path) -> None:
    package = sources / "starcoder_ls"
    assert not [name for name in ("engine", "learning") if (package / name).exists()]
    assert not list(sources.rglob("*.safetensors"))
    assert (package / "bundled" / "tokenizer.json").is_file()
    assert sum(path.stat().st_size for path in sources.rglob("*")) < 5_000_000


def run_client(sources: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the client where the libraries of the engine are not installed."""
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(sources)!r})\n"
        f"sys.modules.update(dict.fromkeys({HEAVY!r}))\n"  # Python treats them as missing
        f"sys.argv = ['starcoder-ls', *{arguments!r}]\n"
        "from starcoder_ls.__main__ import main\nmain()"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("complete", "{file}:1:3"),
        ("train", "adapter", "{file}", "--name", "a"),
        ("eval", "edits", "{file}", "--history", "1"),
    ],
)
def test_local_model_is_refused_with_one_sentence(sources: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    file = tmp_path / "a.py"
    file.write_text("x = 1\n")
    done = run_client(sources, *(argument.format(file=file) for argument in arguments))
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert "install starcoder-ls instead" in line
    assert "remote.url" in line


def test_client_has_the_plugin_for_neovim(sources: Path) -> None:
    done = run_client(sources, "editor", "neovim")
    assert done.returncode == 0, done.stderr
    assert str(sources / "starcoder_ls" / "editor_files" / "neovim") in done.stdout


def test_next_edits_are_measured_without_a_model(sources: Path, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def add(first, second):\n    total = first + second\n    return total\n")
    done = run_client(sources, "eval", "edits", str(tmp_path), "--changes", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["renames"]["changes"] == 1


def imports_when_loaded(tree: ast.Module) -> Iterator[str]:
    """The modules that a module imports while it is loaded: not those of functions and of type checkers."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            is_for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
            pending += node.orelse if is_for_types else ast.iter_child_nodes(node)  # type: ignore[attr-defined]


def test_every_module_of_the_client_finds_what_it_imports(build: ModuleType, sources: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [re.split(r"[^\w.-]", text)[0] for text in build.client_dependencies(project["dependencies"])]
    files = [file for name in needed for file in metadata.files(name) or ()]
    known = {"cattrs", "prometheus_client"}  # of lsprotocol; of the extra `gateway`
    known |= {file.parts[0].removesuffix(".py") for file in files if file.suffix == ".py"} | sys.stdlib_module_names
    unresolved = set()
    for path in (sources / "starcoder_ls").rglob("*.py"):
        for name in imports_when_loaded(ast.parse(path.read_text(encoding="utf-8"))):
            own = sources.joinpath(*name.split("."))
            is_own = own.with_suffix(".py").is_file() or (own / "__init__.py").is_file()
            if not is_own and name.partition(".")[0] not in known - {"starcoder_ls"}:
                unresolved.add((path.relative_to(sources / "starcoder_ls").as_posix(), name.split(".")[:2][-1]))
    assert unresolved == LOCAL_ONLY
