"""The thin distribution, starcoder-ls-client: what it contains, what it needs, and how it refuses a local model."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "accelerate", "peft", "numba", "numpy")


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


@pytest.mark.parametrize("arguments", [("complete", "{file}:1:3"), ("train", "adapter", "{file}", "--name", "a")])
def test_local_model_is_refused_with_one_sentence(sources: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    file = tmp_path / "a.py"
    file.write_text("x = 1\n")
    done = run_client(sources, *(argument.format(file=file) for argument in arguments))
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert "install starcoder-ls instead" in line
    assert "remote.url" in line
