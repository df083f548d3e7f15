"""Which files of the workspace a file imports, by simple rules for each language.

Decides by patterns in the text and by which files exist inside the workspace. Nothing is parsed or run.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from starcoder_ls.context.file_reader import decode_text, is_inside, read_file
from starcoder_ls.languages.language import ImportRule
from starcoder_ls.languages.table import by_id, by_path

MAX_FILES = 12
_SCANNED_CHARS = 40_000  # imports stand at the top
_MAX_LEVELS = 12
_MAX_CANDIDATES = 600  # each costs a system call
_MAX_MODULE_BYTES = 64 * 1024
_MAX_FOLDER_ENTRIES = 2000

# Linear in the text: possessive quantifiers never give back what they took, and the others are bounded.
_PYTHON = re.compile(
    r"^[ \t]*+(?:from[ \t]++([\w.]*+)[ \t]++import[ \t]++(\([^)]{0,2000}+\)|[^\n(]*+)|import[ \t]++([\w., \t]++))", re.M
)
_SCRIPT = re.compile(
    r"""(?:\bfrom\s*+|\brequire\(\s*+|\bimport\s*+(?:\(\s*+)?+)(['"])(\.{1,2}/[^'"\n]{1,400}+|\.{1,2})\1"""
)
_GO = re.compile(r'^[ \t]*+(?:import[ \t]++)?+(?:[\w.]++[ \t]++)?+"([^"\n]++)"', re.M)
_RUST = re.compile(
    r"^[ \t]*+(?:pub(?:\([^)\n]*+\))?+[ \t]++)?+"
    r"(?:mod[ \t]++(\w++)[ \t]*+;|use[ \t]++((?:crate|self|super)(?:::\w++){1,40}+))",
    re.M,
)
_JAVA = re.compile(r"^[ \t]*+import[ \t]++(?:static[ \t]++)?+(\w++(?:\.\w++){0,40}+)(?:\.\*)?+[ \t]*+;", re.M)
_INCLUDE = re.compile(r'^[ \t]*+#[ \t]*+(?:include|import)[ \t]++[<"]([^>"\n]++)[>"]', re.M)
_GO_MODULE = re.compile(r"^module[ \t]++(\S++)", re.M)

_SCRIPT_SUFFIXES = ("", ".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".vue", "/index.ts", "/index.tsx", "/index.js")
_SOURCE_FOLDERS = ("", "src", "lib", "include", "src/main/java", "src/test/java", "src/main/kotlin")


def find_imported_files(path: Path, text: str, roots: Sequence[Path], language: str = "") -> list[Path]:
    """The existing files in ``roots`` that ``text`` imports, in its order; at most ``MAX_FILES``, never ``path``.

    ``language`` is the language id of the text if the name of the file does not tell it.
    """
    rule = by_path(str(path)).import_rule or by_id(language).import_rule
    if rule is None or not path.is_absolute():
        return []
    folders = tuple(str(root) + os.sep for root in roots)
    found: dict[Path, None] = {}
    for candidate in itertools.islice(_CANDIDATES_OF_RULE[rule](path, text[:_SCANNED_CHARS], roots), _MAX_CANDIDATES):
        file = Path(os.path.normpath(candidate))
        is_new = file != path and file not in found and str(file).startswith(folders)
        if is_new and os.path.isfile(file) and is_inside(os.path.realpath(file), roots):
            found[file] = None
            if len(found) == MAX_FILES:
                break
    return list(found)


def _python_candidates(path: Path, text: str, roots: Sequence[Path]) -> Iterator[Path]:
    for source, names, plain in _PYTHON.findall(text):
        modules = [name.split()[0] for name in plain.split(",") if name.split()] if plain else [source]
        for module in modules:
            level = len(module) - len(module.lstrip("."))
            relative = module[level:].replace(".", "/")
            starts = list(path.parents[level - 1 : level]) if level else _import_roots(path, roots)
            for start in starts:
                folder = start / relative if relative else start
                yield folder.with_suffix(".py") if relative else folder / "__init__.py"
                for name in re.findall(r"\w+", names):
                    yield folder / f"{name}.py"
                if relative:
                    yield folder / "__init__.py"


def _script_candidates(path: Path, text: str, _: Sequence[Path]) -> Iterator[Path]:
    for _quote, name in _SCRIPT.findall(text):
        target = path.parent / name
        for suffix in _SCRIPT_SUFFIXES:
            yield Path(f"{target}{suffix}")
        if target.suffix == ".js":  # TypeScript imports by the name of the compiled file
            yield target.with_suffix(".ts")
            yield target.with_suffix(".tsx")


def _go_candidates(path: Path, text: str, roots: Sequence[Path]) -> Iterator[Path]:
    for start in _import_roots(path, roots):
        if (module := _go_module(start / "go.mod", roots)) is None:
            continue
        for name in _GO.findall(text):
            if name.startswith(f"{module}/"):
                folder = start / name.removeprefix(f"{module}/")
                yield from sorted(file for file in _go_files(folder) if not file.name.endswith("_test.go"))
        return


def _go_module(file: Path, roots: Sequence[Path]) -> str | None:
    try:
        found = _GO_MODULE.search(decode_text(read_file(file, _MAX_MODULE_BYTES, roots)))
    except (OSError, ValueError):
        return None
    return found.group(1) if found else None


def _go_files(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = (entry.name for entry in itertools.islice(entries, _MAX_FOLDER_ENTRIES))
            return [folder / name for name in names if name.endswith(".go")][:MAX_FILES]
    except OSError:
        return []


def _rust_candidates(path: Path, text: str, roots: Sequence[Path]) -> Iterator[Path]:
    module_folder = path.parent if path.stem in ("mod", "lib", "main") else path.parent / path.stem
    crate = next((start / "src" for start in _import_roots(path, roots) if os.path.isfile(start / "Cargo.toml")), None)
    for module, use in _RUST.findall(text):
        if module:
            yield module_folder / f"{module}.rs"
            yield module_folder / module / "mod.rs"
            continue
        first, *steps = use.split("::")
        base = {"crate": crate, "self": module_folder, "super": module_folder.parent}[first]
        while base is not None and steps:  # the last steps name items, not modules
            yield base.joinpath(*steps).with_suffix(".rs")
            yield base.joinpath(*steps, "mod.rs")
            steps.pop()


def _java_candidates(path: Path, text: str, roots: Sequence[Path]) -> Iterator[Path]:
    for name in _JAVA.findall(text):
        relative = name.replace(".", "/")
        for start in _import_roots(path, roots):
            for suffix in (".java", ".kt"):
                yield start / f"{relative}{suffix}"
                yield (start / relative).parent.with_suffix(suffix)  # a member of a class


def _include_candidates(path: Path, text: str, roots: Sequence[Path]) -> Iterator[Path]:
    yield path.with_suffix(".h" if path.suffix == ".c" else ".hpp")
    for name in _INCLUDE.findall(text):
        yield path.parent / name
        for start in _import_roots(path, roots):
            yield start / name


def _import_roots(path: Path, roots: Sequence[Path]) -> list[Path]:
    """Where an absolute import may start: the folders from ``path`` up to its workspace folder, nearest first, and the
    usual source folders in them."""
    root = next((root for root in roots if path.is_relative_to(root)), None)
    if root is None:
        return []
    folders = [folder for folder in path.parents if folder.is_relative_to(root)][:_MAX_LEVELS]
    return [folder / relative if relative else folder for relative in _SOURCE_FOLDERS for folder in folders]


_CANDIDATES_OF_RULE = {
    ImportRule.PYTHON: _python_candidates,
    ImportRule.ECMASCRIPT: _script_candidates,
    ImportRule.GO: _go_candidates,
    ImportRule.RUST: _rust_candidates,
    ImportRule.JVM: _java_candidates,
    ImportRule.INCLUDE: _include_candidates,
}
