"""Which files of the workspace a file imports, by simple rules per language.

Decides by names and by what exists on disk. Refuses to run or parse anything, and to look outside of the workspace.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from starcoder_ls.languages.language import ImportRule
from starcoder_ls.languages.table import by_path

MOST_FILES = 12
_LOOKED_AT_CHARS = 40_000  # imports stand at the top
_MOST_LEVELS = 12
_MOST_CANDIDATES = 600  # each is a question to the disk

_PYTHON = re.compile(
    r"^[ \t]*(?:from[ \t]+(\.*[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n(]*)|import[ \t]+([\w., \t]+))", re.M
)
_SCRIPT = re.compile(r"""(?:\bfrom\s*|\brequire\(\s*|\bimport\s*\(?\s*)(['"])(\.{1,2}/[^'"\n]+|\.{1,2})\1""")
_GO = re.compile(r'^\s*(?:import\s+)?(?:[\w.]+\s+)?"([^"\n]+)"', re.M)
_RUST = re.compile(r"^\s*(?:pub(?:\([^)]*\))?\s+)?(?:mod\s+(\w+)\s*;|use\s+((?:crate|self|super)(?:::\w+)+))", re.M)
_JAVA = re.compile(r"^\s*import\s+(?:static\s+)?([\w.]+?)(?:\.\*)?\s*;", re.M)
_INCLUDE = re.compile(r'^\s*#\s*(?:include|import)\s+[<"]([^>"\n]+)[>"]', re.M)

_SCRIPT_ENDINGS = ("", ".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".vue", "/index.ts", "/index.tsx", "/index.js")
_SOURCE_FOLDERS = ("", "src", "lib", "include", "src/main/java", "src/test/java", "src/main/kotlin")


def imported(path: Path, text: str, roots: Sequence[Path]) -> list[Path]:
    """Existing files inside ``roots``, in the order they are named, at most ``MOST_FILES``; never ``path`` itself."""
    rule = by_path(str(path)).import_rule
    if rule is None or not path.is_absolute():
        return []
    inside = [str(root) + os.sep for root in roots]
    found: dict[Path, None] = {}
    for candidate in itertools.islice(_RULES[rule](path, text[:_LOOKED_AT_CHARS], roots), _MOST_CANDIDATES):
        real = Path(os.path.normpath(candidate))
        if real != path and real not in found and str(real).startswith(tuple(inside)) and real.is_file():
            found[real] = None
            if len(found) == MOST_FILES:
                break
    return list(found)


def _python(path: Path, text: str, roots: Sequence[Path]) -> Iterator[Path]:
    for source, names, plain in _PYTHON.findall(text):
        modules = [name.split()[0] for name in plain.split(",") if name.split()] if plain else [source]
        for module in modules:
            dots = len(module) - len(module.lstrip("."))
            inner = module[dots:].replace(".", "/")
            starts = list(path.parents[dots - 1 : dots]) if dots else _above(path, roots)
            for start in starts:
                folder = start / inner if inner else start
                yield folder.with_suffix(".py") if inner else folder / "__init__.py"
                for name in re.findall(r"\w+", names):
                    yield folder / f"{name}.py"
                if inner:
                    yield folder / "__init__.py"


def _script(path: Path, text: str, _: Sequence[Path]) -> Iterator[Path]:
    for _quote, name in _SCRIPT.findall(text):
        target = path.parent / name
        for ending in _SCRIPT_ENDINGS:
            yield Path(f"{target}{ending}")
        if target.suffix == ".js":  # TypeScript names what will be there
            yield target.with_suffix(".ts")
            yield target.with_suffix(".tsx")


def _go(path: Path, text: str, roots: Sequence[Path]) -> Iterator[Path]:
    for start in _above(path, roots):
        if (module := _go_module(start / "go.mod")) is None:
            continue
        for name in _GO.findall(text):
            if name.startswith(f"{module}/"):
                folder = start / name.removeprefix(f"{module}/")
                yield from sorted(file for file in _listed(folder) if not file.name.endswith("_test.go"))
        return


def _go_module(file: Path) -> str | None:
    try:
        found = re.search(r"^module\s+(\S+)", file.read_text(encoding="utf-8"), re.M)
    except (OSError, ValueError):
        return None
    return found.group(1) if found else None


def _listed(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.suffix == ".go"][:MOST_FILES]
    except OSError:
        return []


def _rust(path: Path, text: str, roots: Sequence[Path]) -> Iterator[Path]:
    own = path.parent if path.stem in ("mod", "lib", "main") else path.parent / path.stem
    crate = next((start / "src" for start in _above(path, roots) if (start / "Cargo.toml").is_file()), None)
    for module, use in _RUST.findall(text):
        if module:
            yield own / f"{module}.rs"
            yield own / module / "mod.rs"
            continue
        first, *steps = use.split("::")
        base = {"crate": crate, "self": own, "super": own.parent}[first]
        while base is not None and steps:  # the last steps name items, not modules
            yield base.joinpath(*steps).with_suffix(".rs")
            yield base.joinpath(*steps, "mod.rs")
            steps.pop()


def _java(path: Path, text: str, roots: Sequence[Path]) -> Iterator[Path]:
    for name in _JAVA.findall(text):
        inner = name.replace(".", "/")
        for start in _above(path, roots):
            for ending in (".java", ".kt"):
                yield start / f"{inner}{ending}"
                yield (start / inner).parent.with_suffix(ending)  # a member of a class


def _include(path: Path, text: str, roots: Sequence[Path]) -> Iterator[Path]:
    yield path.with_suffix(".h" if path.suffix == ".c" else ".hpp")
    for name in _INCLUDE.findall(text):
        yield path.parent / name
        for start in _above(path, roots):
            yield start / name


def _above(path: Path, roots: Sequence[Path]) -> list[Path]:
    """The folders above ``path`` up to its workspace folder, nearest first, and the usual source folders in them."""
    root = next((root for root in roots if path.is_relative_to(root)), None)
    if root is None:
        return []
    folders = [folder for folder in path.parents if folder.is_relative_to(root)][:_MOST_LEVELS]
    return [folder / inner if inner else folder for inner in _SOURCE_FOLDERS for folder in folders]


_RULES = {
    ImportRule.PYTHON: _python,
    ImportRule.ECMASCRIPT: _script,
    ImportRule.GO: _go,
    ImportRule.RUST: _rust,
    ImportRule.JVM: _java,
    ImportRule.INCLUDE: _include,
}
