import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import starcoder_ls
from starcoder_ls.languages.language import Language
from starcoder_ls.languages.table import LANGUAGES, SOURCE_SUFFIXES, UNKNOWN, by_id, by_path, normalize_id, prompt_name

PACKAGE = Path(starcoder_ls.__file__).parent

# The `languageId`s that editors send where they differ from the table's: VS Code's built-in and common extensions;
# Neovim's filetypes; lsp-mode's table and eglot's mode names; Sublime's table and last parts of scopes; Helix's names;
# the languages of JupyterLab's file editor in lower case.
SENT_IDS = {
    "vscode": {"dockercompose": "yaml", "tex": "latex", "xsl": "xml", "proto3": "proto", "ocaml.interface": "ocaml"},
    "neovim": {
        "sh": "shellscript",
        "bash": "shellscript",
        "zsh": "shellscript",
        "cs": "csharp",
        "make": "makefile",
        "javascript.jsx": "javascriptreact",
        "typescript.tsx": "typescriptreact",
        "objc": "objective-c",
        "objcpp": "objective-cpp",
        "cuda": "cuda-cpp",
        "ps1": "powershell",
        "tex": "latex",
        "plaintex": "latex",
        "text": "plaintext",
        "yaml.docker-compose": "yaml",
        "htmldjango": "html",
        "xhtml": "html",
        "svg": "xml",
        "mysql": "sql",
        "coffee": "coffeescript",
        "ocamlinterface": "ocaml",
    },
    "emacs": {
        "sh": "shellscript",
        "bash": "shellscript",
        "c++": "cpp",
        "objc": "objective-c",
        "cuda": "cuda-cpp",
        "js": "javascript",
        "rjsx": "javascriptreact",
        "tsx": "typescriptreact",
        "rustic": "rust",
        "cperl": "perl",
        "enh-ruby": "ruby",
        "mhtml": "html",
        "nxml": "xml",
        "gfm": "markdown",
        "text": "plaintext",
        "conf-toml": "toml",
        "makefile-gmake": "makefile",
        "js-json": "json",
        "PowerShell": "powershell",
        "ess-r": "r",
        "clojurescript": "clojure",
        "tuareg": "ocaml",
        "plain-tex": "latex",
        "LaTeX": "latex",
        "protobuf": "proto",
        "f90": "fortran",
    },
    "sublime": {"shell": "shellscript", "bash": "shellscript", "txt": "plaintext", "viml": "vim", "Kotlin": "kotlin"},
    "jupyterlab": {
        "c++": "cpp",
        "c#": "csharp",
        "f#": "fsharp",
        "jsx": "javascriptreact",
        "tsx": "typescriptreact",
        "shell": "shellscript",
        "protobuf": "proto",
    },
    "helix": {
        "bash": "shellscript",
        "c-sharp": "csharp",
        "make": "makefile",
        "common-lisp": "lisp",
        "elisp": "emacs-lisp",
        "protobuf": "proto",
        "php-only": "php",
        "text": "plaintext",
        "ocaml-interface": "ocaml",
    },
}


@pytest.mark.parametrize(
    ("sent", "language_id"),
    [
        pytest.param(sent, known, id=f"{editor}: {sent}")
        for editor, ids in SENT_IDS.items()
        for sent, known in ids.items()
    ],
)
def test_id_that_an_editor_sends_finds_its_language(sent: str, language_id: str) -> None:
    assert by_id(sent).id == normalize_id(sent) == language_id


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.id)
def test_entry_is_found_by_each_of_its_names_and_suffixes(language: Language) -> None:
    assert all(by_id(name) is language for name in (language.id, language.id.upper(), *language.aliases))
    assert all(by_path(f"folder/file{suffix.upper()}") is language for suffix in language.suffixes)
    assert all(by_path(f"folder/{name.upper()}") is language for name in language.file_names if not name.endswith("."))
    names = (language.id, *language.aliases, *language.suffixes, *language.file_names)
    assert all(name == name.lower() for name in names)


@pytest.mark.parametrize("language", [*LANGUAGES, UNKNOWN], ids=lambda language: language.id)
def test_patterns_of_an_entry_compile(language: Language) -> None:
    re.compile(language.block_opener)
    re.compile(language.block_closer)


def test_no_name_or_suffix_belongs_to_two_languages() -> None:
    names = Counter(name for language in LANGUAGES for name in (language.id, *language.aliases))
    suffixes = Counter(suffix for language in LANGUAGES for suffix in language.suffixes)
    file_names = Counter(name for language in LANGUAGES for name in language.file_names)
    assert max(names.values()) == max(suffixes.values()) == max(file_names.values()) == 1


@pytest.mark.parametrize(
    ("name", "language_id"),
    [
        ("Makefile", "makefile"),
        ("makefile", "makefile"),
        ("GNUmakefile", "makefile"),
        ("src/Makefile.am", "makefile"),
        ("Dockerfile", "dockerfile"),
        ("Dockerfile.dev", "dockerfile"),
        ("api.dockerfile", "dockerfile"),
        ("Jenkinsfile", "groovy"),
        ("Rakefile", "ruby"),
        ("Gemfile.lock", ""),
        ("Makefile.py", "python"),
        ("dockerfile_parser.c", "c"),
        ("makefile/notes", ""),
        ("LICENSE", ""),
        ("", ""),
    ],
)
def test_language_of_a_file_by_its_whole_name(name: str, language_id: str) -> None:
    assert by_path(name).id == language_id


def test_unknown_id_gets_rules_that_fit_most_languages() -> None:
    assert by_id("befunge") is by_id("") is by_path("program.bf") is UNKNOWN
    assert re.search(by_id("befunge").block_opener, "loop {")
    assert normalize_id("befunge") == "befunge"


def test_prompt_names_a_language_as_people_write_it() -> None:
    assert [prompt_name(sent) for sent in ("cs", "sh", "scala", "befunge", "plaintext", "")] == [
        "C#",
        "shell",
        "scala",
        "befunge",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("language_id", "marks"),
    [
        ("python", ("# ", "")),
        ("html", ("<!-- ", " -->")),
        ("ocaml", ("(* ", " *)")),
        ("vim", ('" ', "")),
        ("plaintext", ("// ", "")),
        ("befunge", ("// ", "")),
    ],
)
def test_comment_marks_of_a_line(language_id: str, marks: tuple[str, str]) -> None:
    assert by_id(language_id).comment_marks == marks


def collections_of(tree: ast.AST) -> Iterator[set[str]]:
    """The strings of each literal collection, and the words of each string that is cut by ``split``."""
    for node in ast.walk(tree):
        elements = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        if texts := {str(element.value) for element in elements if isinstance(element, ast.Constant)}:
            yield texts
        is_split = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "split"
        if is_split and isinstance(node.func.value, ast.Constant):
            yield set(str(node.func.value.value).split())


def languages_in(texts: set[str]) -> set[str]:
    """The languages, by family where they have one, that ``texts`` name by id or suffix."""
    named = {by_path(f"file{text}") if text.startswith(".") else by_id(text) for text in texts} - {UNKNOWN}
    return {language.family or language.id for language in named}


def test_no_other_module_has_a_table_of_languages() -> None:
    tables = [
        f"{path.relative_to(PACKAGE)}: {sorted(languages_in(texts))}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.parent.name != "languages"
        for texts in collections_of(ast.parse(path.read_text(encoding="utf-8")))
        if len(languages_in(texts)) > 2 and len(languages_in(texts)) * 4 > len(texts)  # a word may be an id by chance
    ]
    assert not tables


def test_table_imports_no_grammar() -> None:
    code = "import sys, starcoder_ls.languages.table; print(sorted(m for m in sys.modules if 'tree_sitter' in m))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_data_and_settings_are_no_source_code() -> None:
    data = {suffix for language in LANGUAGES if language.is_data for suffix in language.suffixes}
    assert data == {".json", ".jsonc", ".toml", ".txt", ".xml", ".yaml", ".yml"}
    assert SOURCE_SUFFIXES.isdisjoint(data)
    assert {".py", ".md", ".mk"} <= SOURCE_SUFFIXES
