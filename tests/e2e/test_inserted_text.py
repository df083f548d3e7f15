"""Recorded answers of models through the server: the line that the user has after accepting."""

from __future__ import annotations

import pytest

from fakes import ScriptedEngine
from harness import async_test, initialized_client

CASES = [
    ("html", '<img src="▮">', 'a.png" alt="A">', '<img src="a.png" alt="A">'),
    ("html", '<a href="▮"></a>', 'about.html">About</a>', '<a href="about.html"></a>'),
    ("python", 'f = open("▮")', 'data.txt", encoding="utf-8")', 'f = open("data.txt")'),
    ("rust", "    let v: Vec<Vec<▮>>", "isize>> = vec![];", "    let v: Vec<Vec<isize>> = vec![];"),
    ("java", "Map<String, List<▮>>", "Integer>> m = f();", "Map<String, List<Integer>> m = f();"),
    ("javascript", "items.forEach((item) => {▮});", "go(item);<|cursor|>});", "items.forEach((item) => {go(item);});"),
    ("python", "x = {▮}  # n", "\n    1: 2,\n}  # n", "x = {\n    1: 2,\n}  # n"),
    ("typescript", "on(▮) => {};", "\n  a,\n) => {};", "on(\n  a,\n) => {};"),
    ("make", "app: main.c\n▮", "    cc -o app main.c", "\tcc -o app main.c"),
    ("sh", "for f in *; do▮", '\n  wc "$f"\ndone\necho', 'for f in *; do\n  wc "$f"\ndone'),
]


@pytest.mark.parametrize(("language", "document", "answer", "line"), CASES, ids=lambda value: value[:12])
@async_test
async def test_accepted_suggestion_leaves_a_balanced_line(language: str, document: str, answer: str, line: str) -> None:
    before, after = document.split("▮")
    uri, row = "untitled:name", before.count("\n")
    head, column = before.rpartition("\n")[2], len(before.rpartition("\n")[2])
    async with initialized_client(ScriptedEngine([list(answer)])) as client:
        client.open(uri, before + after, language)
        (item,) = await client.inline_completion(uri, row, column)
    end = item["range"]["end"]["character"] - column
    assert head + item["insertText"] + after[end:] == line
