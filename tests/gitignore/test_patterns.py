"""Every answer is compared with that of ``git check-ignore``."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from starcoder_ls.gitignore import patterns
from starcoder_ls.gitignore.patterns import IgnorePatterns, PatternsTooComplex

PATHS = [
    "a", "b", "ab", "abc", "a.py", "a b", "a ", " a", "#a", "!a", "a*", "[a]", "é", "-", "a/b", "a/b/c", "a/x/b",
    "b/a", "x/a/b", "a/x/y/b", "x/a", "foo.pyc", "x/foo.pyc", "x/.env", "build/x", "x/build/y", "doc/a.txt",
    "doc/x/a.txt", "A", "é/a", "\\a", "ab/c", "x/ab/c", "ab/x/b",
]  # fmt: skip
CONTENTS = [
    "a", "/a", "a/", "/a/", "a/b", "/a/b", "a/*", "a/**", "**/a", "**/b", "a/**/b", "a**/b", "**a", "a**", "*", "**",
    "/*", "/**", "*/b", "*/", "**/", "***/b", "?", "??", "a?b", "x/?", "*.py", "*.py[cod]", "[ab]", "[!a]", "[^a]",
    "[a-c]", "[]]", "[]a]", "[a-]", "[a", "[[:alpha:]]", "[[:x:]]", "[[:alpha:]-z]", "[[:a]", "[\\]a]", "\\a", "\\*",
    "a\\*", "\\[a\\]", "\\", "a\\", "\\#a", "#a", "\\!a", "!a", "a ", "a\\ ", "a  ", " a", "a\n!a", "!a\na", "*\n!a",
    "*\n!a/\n!a/b", "a/\n!a/b", "a/*\n!a/b", "doc/*.txt", "doc/**/*.txt", "é", "?/a", "[é]", "\ufeffa", "\ufeff#a\nb",
    "a\r\nb\r\n", "a\r", "a\r\r\n", "", "\n\n", "/", "//", "a//b", "x/[a/]b", "**\\/a", "!", "*c", "a*c", "*.*",
    "a\0b", "*é*", "x/**/", "/**/b", "a/**/**/b", "**/x/**/b", "a*a*a*a*a*a*a*a*a*a*a*b", "build", "x/build", "*uil*",
    "b*l*d/", "A", "[A-Z]", "\ta", "a\t",
    "/a**", "/a**\n!/ab", "x/a**\n!x/ab/", "/a**/\n!/ab/", "/a**\\/b", "/a***\n!/ab", "/ab**\n!/ab",
]  # fmt: skip


def own_answer(rules: IgnorePatterns, path: str) -> bool | None:
    """As git answers: a path in an excluded folder is excluded, whatever other patterns say."""
    names = path.split("/")
    if any(rules.match("/".join(names[:length]), is_folder=True) for length in range(1, len(names))):
        return True
    return rules.match(path)


def git_answers(repository: Path, content: bytes, paths: Sequence[str]) -> dict[str, bool | None]:
    (repository / ".gitignore").write_bytes(content)
    command = ["git", "-C", str(repository), "check-ignore", "-v", "-n", "--no-index", "-z", "--stdin"]
    process = subprocess.run(command, input="\0".join(paths).encode(), capture_output=True, check=False)
    fields = process.stdout.decode().split("\0")[:-1]
    rows = [fields[start : start + 4] for start in range(0, len(fields), 4)]  # source, line, pattern, path
    return {path: None if not source else not pattern.startswith("!") for source, _, pattern, path in rows}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


@pytest.mark.parametrize("content", CONTENTS)
def test_patterns_match_what_git_matches(repository: Path, content: str) -> None:
    rules = IgnorePatterns(content.encode())
    assert {path: own_answer(rules, path) for path in PATHS} == git_answers(repository, content.encode(), PATHS)


def test_random_patterns_match_what_git_matches(repository: Path) -> None:
    rng = random.Random(15)
    parts = [
        "a",
        "b",
        "*",
        "**",
        "?",
        "/",
        "[ab]",
        "[!a]",
        "[^b-c]",
        "[]a]",
        "[[:alpha:]]",
        "\\a",
        "\\",
        " ",
        "!",
        "#",
        "é",
        "[a-",
        "**/",
        "/**",
    ]
    for _ in range(60):
        lines = ["".join(rng.choices(parts, k=rng.randint(1, 6))) for _ in range(2)]
        content = "\n".join(lines).encode()
        rules = IgnorePatterns(content)
        assert {path: own_answer(rules, path) for path in PATHS} == git_answers(repository, content, PATHS), lines


def test_bytes_that_are_not_utf8_match_the_same_bytes() -> None:
    rules = IgnorePatterns(b"\xff*.py\n")
    assert rules.match("\udcffa.py") is True  # as Python decodes the file's name
    assert rules.match("a.py") is None


def test_pattern_of_a_folder_matches_what_is_in_it_only_with_folders() -> None:
    rules = IgnorePatterns.of_lines(["tests/", "!tests/a.py", "*.gen\nother"])
    assert rules.match("tests/b.py") is None
    assert rules.match_with_folders("x/tests/b.py") is True
    assert rules.match_with_folders("tests/a.py") is False
    assert rules.match_with_folders("x.gen") is True
    assert rules.match_with_folders("other") is None


def test_last_pattern_that_matches_one_of_several_paths_decides() -> None:
    rules = IgnorePatterns(b"*.py\n!/sub/kept.py\n/private/\n")
    assert rules.match_with_folders("sub/kept.py", "kept.py") is False
    assert rules.match_with_folders("kept.py", "sub/kept.py") is False
    assert rules.match_with_folders("sub/private/kept.py", "private/kept.py") is True
    assert rules.match_with_folders("sub/other", "other") is None
    assert rules.match_with_folders() is None


@pytest.mark.parametrize(
    "content",
    [
        "a\n" * (patterns.MAX_BYTES // 2 + 1),
        "\n".join(f"n{number}*" for number in range(100_000)),
        "a*" * 1000,
        "\n".join(f"x{number}" + "[" * 900 for number in range(100)),
        "\n".join(f"*{'?' * number}b*" for number in range(100)),
        "\n".join(f"**/a*{number}/**/c/**/d" for number in range(1000)),
    ],
)
def test_patterns_beyond_a_limit_are_refused(content: str) -> None:
    with pytest.raises(PatternsTooComplex):
        IgnorePatterns(content.encode())


def test_many_literal_lines_are_looked_up() -> None:
    rules = IgnorePatterns("\n".join(f"n{number}" for number in range(35_000)).encode())
    assert rules.cost == 0
    assert rules.match("n34999") is True
    assert rules.match("n35000") is None
