"""What a machine can check of the house rules: sizes, names, the mirror rule, documents in step with the code."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "server" / "starcoder_ls"
MODULES = sorted(PACKAGE.rglob("*.py"))

MAX_FILE_LINES = 310
MAX_FUNCTION_LINES = 50
BANNED_FILES = {"utils", "helpers", "common", "misc", "manager", "base", "core"}
BANNED_PREFIXES = ("get_", "do_", "process_")
MAX_DOCSTRING_LINES = 6

# Modules without a test file of their own: tests/features and tests/e2e run them.
TESTED_ELSEWHERE = {
    "__init__",
    "capture",  # by tests/gpu: nothing else has CUDA graphs
    "client",
    "client_info",
    "connect_or_spawn",
    "daemon",
    "request_handle",
    "session",
}  # by tests/features and tests/e2e


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module_keeps_the_house_rules(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert text.count("\n") <= MAX_FILE_LINES, f"{path.name} has more than {MAX_FILE_LINES} lines: split it"
    assert path.stem not in BANNED_FILES, f"{path.name} says nothing about what it decides"
    docstring = ast.get_docstring(tree)
    assert docstring, f"{path.name} does not say what it decides"
    if path.name != "errors.py":  # the exception tree is drawn there
        assert docstring.count("\n") < MAX_DOCSTRING_LINES, f"{path.name}: the module docstring is too long"
    for function in functions(tree):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        where = f"{path.name}:{function.lineno} {function.name}"
        assert not function.name.startswith(BANNED_PREFIXES), f"{where}: name it by what it answers"
        assert length <= MAX_FUNCTION_LINES, f"{where} has {length} lines"


def test_every_test_file_mirrors_a_module() -> None:
    free = {"e2e", "editors", "gpu", "data", "golden"}
    strays = []
    for test in (ROOT / "tests").rglob("test_*.py"):
        relative = test.relative_to(ROOT / "tests")
        if free & set(relative.parts) or relative.name == "test_house.py":
            continue
        folder = PACKAGE / relative.parent
        subject = relative.stem.removeprefix("test_")
        if not (folder / f"{subject}.py").is_file() and not (folder / subject).is_dir():
            strays.append(str(relative))
    assert not strays, f"no module of that name: {strays}"


def test_every_module_has_a_test() -> None:
    for folder in (
        "completion",
        "context",
        "engine",
        "evaluation",
        "features",
        "learning",
        "rewrite",
        "session",
        "daemon",
        "lsp",
        "syntax",
        "text_tokens",
    ):
        for module in (PACKAGE / folder).rglob("*.py"):
            if module.stem not in TESTED_ELSEWHERE and module.parent.name != "kernels":
                mirror = ROOT / "tests" / module.relative_to(PACKAGE).with_name(f"test_{module.stem}.py")
                assert mirror.is_file(), module


def test_generated_documents_are_in_step_with_the_settings() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_path_of_a_machine_is_in_the_tree() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    home = str(Path.home())
    needles = [needle for needle in (str(ROOT), home + "/") if len(needle) > 5]
    for name in listed.splitlines():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".txt", ".lua", ".json", ".ts"} and path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not any(needle in text for needle in needles), f"{name} names a path of this machine"
