"""Checks of the conventions in CONTRIBUTING.md: sizes, names, mirrored tests, documents that match the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "server" / "starcoder_ls"
MODULES = sorted(PACKAGE.rglob("*.py"))
PYTHON_FILES = sorted(
    path
    for folder in ("server", "tests", "benchmarks", "deploy", "docs", "requirements")
    for path in (ROOT / folder).rglob("*.py")
)

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50
MAX_DOCSTRING_LINES = 6
MAX_TEST_NAME_CHARS = 70
BANNED_FILES = {"utils", "helpers", "common", "misc", "manager", "base", "core"}
BANNED_PREFIXES = ("get_", "do_", "process_")

# Words that had a meaning of their own in this project, and the standard term for each.
PRIVATE_WORDS = {
    "anew": "again",
    "anybody": "the actor: client, user, request",
    "asked": "request, prompt",
    "begun": "started",
    "borrow": "engine_client",
    "borrowed": "engine_client",
    "circle": "find_repetition",
    "complaints": "settings_errors",
    "desk": "DocumentCompleter",
    "eighth": "int8",
    "eighths": "int8",
    "errand": "control_task",
    "gap": "InsertionPoint",
    "heard": "on_..., received",
    "hear": "on_...",
    "hears": "receives",
    "healed": "token_healing",
    "house": "daemon, conventions",
    "joining": "connect_or_spawn",
    "lean": "bigcode_cpu",
    "lend": "engine_server",
    "lending": "engine_server",
    "lent": "is_view",
    "nobody": "the actor: no client, no request",
    "outlet": "OutputStream",
    "outlets": "OutputStream",
    "overheard": "recorded",
    "overlays": "settings_merge",
    "owed": "remaining_prefix",
    "place": "Anchor, position, folder",
    "places": "positions, folders",
    "said": "text, message",
    "seat": "static row",
    "seats": "static_kv",
    "somebody": "the actor: client, user, request",
    "spot": "syntax_context",
    "spots": "positions",
    "steady": "ghost_stability",
    "suited": "threads_for_pass",
    "tally": "metrics",
    "thought": "PendingGeneration",
    "thoughts": "PendingGeneration",
    "tidy": "postprocess",
    "told": "notify, messages",
    "unwanted": "unsafe_text",
    "visitors": "pending connections",
    "wanted": "requested, expected, settings",
    "whoever": "the actor: client, user, request",
}
# Names in which such a word has its ordinary meaning, or that are fields of files that users keep.
ALLOWED_NAMES = {"_place_quantized", "wanted_per_kind"}
ALLOWED_PHRASE = "in_place"

# Modules without a test file of their own: tests/features, tests/e2e or, for CUDA graphs, tests/gpu run them.
TESTED_ELSEWHERE = {
    "__init__",
    "capture",
    "client",
    "language_client",
    "pygls_compat",
    "connect_or_spawn",
    "session",
}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def declared_names(path: Path) -> Iterator[str]:
    """The names of the file and of the classes, functions, parameters, variables and attributes that it declares."""
    yield path.stem
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def words_of(name: str) -> set[str]:
    """The words of a name in snake_case or CamelCase, in lower case."""
    name = "" if name in ALLOWED_NAMES else name.replace(ALLOWED_PHRASE, "")
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module_follows_limits_and_naming(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert text.count("\n") <= MAX_FILE_LINES, f"{path.name} has more than {MAX_FILE_LINES} lines: split it"
    assert path.stem not in BANNED_FILES, f"{path.name} does not say what the module decides"
    docstring = ast.get_docstring(tree)
    assert docstring, f"{path.name} has no docstring"
    assert "efuses to know" not in docstring, f"{path.name}: the import contracts say what it must not know"
    if path.name != "errors.py":  # the exception tree is drawn there
        assert docstring.count("\n") < MAX_DOCSTRING_LINES, f"{path.name}: the module docstring is too long"
    for function in functions(tree):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        where = f"{path.name}:{function.lineno} {function.name}"
        assert not function.name.startswith(BANNED_PREFIXES), f"{where}: name it by what it returns"
        assert length <= MAX_FUNCTION_LINES, f"{where} has {length} lines"


def test_no_declared_name_contains_a_private_word() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name} (say: {PRIVATE_WORDS[word]})"
        for path in PYTHON_FILES
        for name in declared_names(path)
        for word in sorted(words_of(name) & PRIVATE_WORDS.keys())
    ]
    assert not found, "\n".join(found)


def test_names_of_tests_are_short_enough_to_read() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {function.name} has {len(function.name)} characters"
        for path in (ROOT / "tests").rglob("test_*.py")
        for function in functions(ast.parse(path.read_text(encoding="utf-8")))
        if function.name.startswith("test_") and len(function.name) > MAX_TEST_NAME_CHARS
    ]
    assert not found, "\n".join(found)


def test_every_test_file_mirrors_a_module() -> None:
    folders_without_mirror = {"e2e", "editors", "fuzz", "gpu", "data", "golden", "requirements"}
    unmatched = []
    for test in (ROOT / "tests").rglob("test_*.py"):
        relative = test.relative_to(ROOT / "tests")
        if folders_without_mirror & set(relative.parts) or relative.name == Path(__file__).name:
            continue
        folder = (ROOT if relative.parts[0] in ("benchmarks", "deploy") else PACKAGE) / relative.parent
        subject = relative.stem.removeprefix("test_")
        if not (folder / f"{subject}.py").is_file() and not (folder / subject).is_dir():
            unmatched.append(str(relative))
    assert not unmatched, f"no module of that name: {unmatched}"


def test_every_module_has_a_test() -> None:
    for folder in (
        "completion",
        "context",
        "engine",
        "evaluation",
        "features",
        "gitignore",
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


def test_generated_documents_match_the_settings() -> None:
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    check = subprocess.run(command, capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stdout + check.stderr


def test_no_file_contains_a_path_of_this_machine_or_a_merge_conflict() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    home = str(Path.home())
    paths = [path for path in (str(ROOT), home + "/") if len(path) > 5]
    for name in tracked.splitlines():
        file = ROOT / name
        if file.suffix in {".py", ".md", ".toml", ".txt", ".lua", ".json", ".ts"} and file.is_file():
            text = file.read_text(encoding="utf-8")
            assert not any(path in text for path in paths), f"{name} contains a path of this machine"
            assert not re.search(r"^(<{7}|>{7}) ", text, re.MULTILINE), f"{name} contains a merge conflict"


def test_contributing_lists_thirteen_changes_with_existing_files() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split("## Typical changes")[1].split("\n## ")[0]
    rows = [row.split("|") for row in section.splitlines() if row.startswith("| ")][1:]
    assert len(rows) == 13
    for _, change, files, _ in rows:
        paths = re.findall(r"`([\w./<>-]+[./][\w./<>-]*)`", files)
        assert paths, f"{change}: no file"
        for name in paths:
            base = PACKAGE if (PACKAGE / name.split("/")[0]).exists() else ROOT
            existing = name.split("<")[0].rpartition("/")[0] if "<" in name else name
            is_code_name = re.fullmatch(r"[a-z]+\.[A-Z]\w+", name) is not None  # such as `generation.Engine`
            assert is_code_name or (base / existing).exists(), f"{change.strip()}: there is no {name}"


def raised_errors(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The classes that ``function`` raises itself, not those of functions defined or called in it."""
    names = set()
    nodes: list[ast.AST] = list(function.body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            names.add(ast.unparse(raised).rpartition(".")[2])
        nodes.extend(ast.iter_child_nodes(node))
    return {name for name in names if name[:1].isupper()}


def public_functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Functions and methods whose names, and those of their classes, have no leading underscore; with that docstring
    which describes them: an ``__init__`` is described by its class."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield ast.get_docstring(node) or "", node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for method in node.body:
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and (
                    not method.name.startswith("_") or method.name == "__init__"
                ):
                    described = node if method.name == "__init__" else method
                    yield ast.get_docstring(described) or "", method


def test_public_functions_document_the_errors_they_raise() -> None:
    of_the_interface = {"attach", "detach", "stream", "prefill", "count_tokens"}  # generation.Engine documents these
    undocumented = [
        f"{path.relative_to(PACKAGE)}:{function.lineno} {function.name} raises {', '.join(sorted(errors))}"
        for path in MODULES
        if path.parent.name != "cli"  # there the docstring is the help text
        for docstring, function in public_functions(ast.parse(path.read_text(encoding="utf-8")))
        if (errors := raised_errors(function))
        and not re.search(r"\b[Rr]aises?\b", docstring)
        and not (function.name in of_the_interface and not docstring)
    ]
    assert not undocumented, "\n".join(undocumented)


def test_public_tensor_functions_document_shapes() -> None:
    undocumented = [
        f"{path.relative_to(PACKAGE)}:{function.lineno} {function.name}"
        for folder in ("runner", "cuda_graphs", "kv_cache", "generation")
        for path in (PACKAGE / "engine" / folder).rglob("*.py")
        for docstring, function in public_functions(ast.parse(path.read_text(encoding="utf-8")))
        if function.name != "__init__"
        and "[" not in docstring
        and "torch.Tensor" in ast.unparse(function).split(":\n")[0]
    ]
    assert not undocumented, "\n".join(undocumented)


# Modules that read files of their own: settings, checkpoints, sockets, logs, results. All other files are a user's, and
# only context/file_reader.py opens those.
READERS_OF_OWN_FILES = {
    "atomic_files.py": "opens a new file to write it",
    "context/file_reader.py": "reads the files of users for all other modules",
    "daemon/activity.py": "memory shared with windows",
    "daemon/liveness.py": "/proc",
    "daemon/editor_watch.py": "/proc",
    "daemon/launch_options.py": "the settings file",
    "daemon/runtime_dir.py": "the lock",
    "settings/toml_file.py": "the settings file",
    "commands/support/settings_file.py": "the settings file",
    "commands/support/log_file.py": "the log",
    "commands/support/crash_report.py": "tracebacks beside the log",
    "commands/support/metrics_files.py": "counters",
    "commands/support/demo_explain.py": "modules of installed packages, named in the code",
    "commands/demo.py": "modules of installed packages, named in the code",
    "commands/support/hole_server.py": "the log of the server that it starts",
    "commands/processes.py": "the log",
    "evaluation/html_report.py": "its template",
    "feedback_store/path_hash.py": "the key of this user",
    "feedback_store/promotions.py": "the history of promotions",
    "json_files.py": "files of checkpoints and adapters",
    "lsp/stdio.py": "/dev/null",
    "gateway/gateway_settings.py": "the settings of the gateway",
    "private_files.py": "tokens and secrets",
    "text_tokens/chat_template.py": "the chat template of a checkpoint",
    "text_tokens/chat_template_child.py": "/proc",
}
PACKAGES_THAT_READ_CHECKPOINTS_AND_CORPORA = {"engine", "learning", "bundled"}
READING_CALLS = {"open", "read_text", "read_bytes", "FileIO", "memmap", "mmap"}
MODULES_WITH_AN_OPEN_OF_THEIR_OWN = {  # such as documents.open(uri, ...)
    "documents", "notebooks", "text_sync", "notebook_sync", "server", "client", "self",
}  # fmt: skip


def reading_calls(path: Path) -> Iterator[str]:
    """The calls in a module that may read a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
        owner = function.value if isinstance(function, ast.Attribute) else None
        owner_name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
        if name in READING_CALLS and owner_name.lstrip("_") not in MODULES_WITH_AN_OPEN_OF_THEIR_OWN:
            yield f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno} {ast.unparse(function)}"


def test_only_the_file_reader_reads_files_of_users() -> None:
    found = [
        call
        for path in MODULES
        if path.relative_to(PACKAGE).parts[0] not in PACKAGES_THAT_READ_CHECKPOINTS_AND_CORPORA
        and path.relative_to(PACKAGE).as_posix() not in READERS_OF_OWN_FILES
        for call in reading_calls(path)
    ]
    assert not found, "\n".join(("use context/file_reader.py:", *found))


def test_every_module_that_may_read_files_still_reads_one() -> None:
    idle = [name for name in READERS_OF_OWN_FILES if not any(reading_calls(PACKAGE / name))]
    assert not idle, f"remove these from READERS_OF_OWN_FILES: {idle}"
