from __future__ import annotations

import random

import pytest

from starcoder_ls.learning.python_functions import PythonFile, PythonFunction, apply
from starcoder_ls.learning.synthetic_changes import CHANGES, Change

TEXT = """
def load(path, limit=10):
    items = read(path)
    items.sort()
    total = len(items) * 25
    return items, total, "left"


def other(entries, width):
    entries.append(width)
    return entries
"""


def function(text: str = TEXT) -> PythonFunction:
    file = PythonFile.parse(text)
    assert file is not None
    return next(file.functions())


def changes(kind: str, text: str = TEXT) -> set[tuple[str, str]]:
    """Subject and first function after the change, with many seeds."""
    made: list[Change] = [
        change for seed in range(60) if (change := CHANGES[kind](function(text), random.Random(seed))) is not None
    ]
    assert not any(change.leads_to for change in made)
    return {(change.subject, apply(text, change.replacements).partition("\n\n\n")[0].strip()) for change in made}


def test_rename_changes_all_occurrences_to_a_name_of_the_file() -> None:
    made = dict(changes("rename"))
    assert made["Rename items to entries"] == (
        "def load(path, limit=10):\n    entries = read(path)\n    entries.sort()\n"
        '    total = len(entries) * 25\n    return entries, total, "left"'
    )
    assert all("limit to" not in subject for subject in made), "it occurs once"


@pytest.mark.parametrize(
    "text",
    [
        "def f(items):\n    global items2\n    return items, items\n\n\ndef g(width):\n    pass\n",
        'def f(items):\n    x = f"{items}"\n    return items\n\n\ndef g(width):\n    pass\n',
        "def f(items):\n    x = call(items=items)\n    return 1\n\n\ndef g(width):\n    pass\n",
    ],
)
def test_name_with_uncertain_occurrences_is_not_renamed(text: str) -> None:
    assert all(not subject.startswith("Rename items") for subject, _ in changes("rename", text))


def test_call_is_replaced_at_all_positions() -> None:
    assert any(subject == "Use width instead of read" and "items = width(path)" in text for subject, text in
               changes("replaced call"))  # fmt: skip


def test_parameter_is_added_with_a_default_and_passed_on() -> None:
    recursive = TEXT.replace("read(path)", "load(path)")
    made = dict(changes("added parameter", recursive))
    text = made["Add parameter strict=True to load"]
    assert "def load(path, limit=10, strict=True):" in text
    assert "load(path, strict=strict)" in text


def test_argument_is_passed_in_all_calls_of_a_function() -> None:
    assert any(subject == "Pass check=True to read" and "read(path, check=True)" in text for subject, text in
               changes("added argument"))  # fmt: skip


def test_default_and_literal_become_others() -> None:
    defaults, literals = changes("changed default"), changes("changed literal")
    assert all("limit" in subject and "limit=10)" not in text for subject, text in defaults)
    assert defaults
    assert any('"left"' not in text for _, text in literals)
    assert any("* 25" not in text for _, text in literals)


def test_parameter_without_default_is_annotated() -> None:
    made = changes("annotation")
    assert made
    assert all("def load(path: " in text and "limit=10)" in text for _, text in made)
