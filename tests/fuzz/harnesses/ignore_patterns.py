"""Patterns of ignore files: what git answers, for any bytes, and within the stated limits on time."""

from __future__ import annotations

import contextlib
import os

from fuzz import git_wildmatch
from fuzz.harnesses.checkpoint_files import check_message
from fuzz.input_bytes import join_fields, split_fields
from starcoder_ls.gitignore import patterns
from starcoder_ls.gitignore.patterns import IgnorePatterns, PatternsTooComplex

MAX_BYTES = 512
MAX_PATH_BYTES = 120

SEEDS = (
    join_fields("a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaa"),
    join_fields("# comment\n*.py[cod]\n!keep.pyc\n/build/\n\\#x\na\\ \n", "src/x/keep.pyc"),
    join_fields("**/foo/**/bar\nfoo/**\n**\n", "x/foo/y/z/bar"),
    join_fields("[!a-c]x\n[[:alpha:]]\n[]-]\n[a\\]]\n[^/]b", "dx"),
    join_fields("\ufeffé*\r\n?/x\0y\na**b/c\n**\\/a", "é/x"),
    join_fields("*/*/*/*\n/**/a\n***/b\n[[:x:]]\n[a", "a/b/c/d/"),
)


def check(data: bytes) -> None:
    content, raw_path = split_fields(data, 2)
    is_folder = raw_path.endswith(b"/")
    names = [
        name for name in raw_path[:MAX_PATH_BYTES].replace(b"\0", b"").split(b"/") if name not in (b"", b".", b"..")
    ]
    path = b"/".join(names)
    try:
        rules = IgnorePatterns(content)
    except PatternsTooComplex as error:
        check_message(str(error))
        return
    assert rules.cost <= patterns.MAX_COST
    answer = rules.match(os.fsdecode(path), is_folder) if path else None
    if not path:
        return
    with contextlib.suppress(git_wildmatch.TooManySteps):
        assert answer == git_wildmatch.decide(content, path, is_folder), (answer, content, path)
    check_folders(rules, path, is_folder)


def check_folders(rules: IgnorePatterns, path: bytes, is_folder: bool) -> None:
    """A pattern of a folder also says what is in it: the answer is one that a level gives."""
    levels = [os.fsdecode(path[:index]) for index, byte in enumerate(path) if byte == ord("/")]
    answers = {rules.match(level, is_folder=True) for level in levels} | {rules.match(os.fsdecode(path), is_folder)}
    answer = rules.match_with_folders(os.fsdecode(path), is_folder=is_folder)
    assert answer in answers
    assert answer is not None or answers == {None}
