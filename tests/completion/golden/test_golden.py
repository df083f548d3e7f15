import asyncio
import re
import tomllib
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import get_args

import pytest

from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggest import suggest
from starcoder_ls.rules import CompletionRule
from starcoder_ls.settings import InlineCompletion
from stepped_engine import SteppedEngine

CURSOR = "<|cursor|>"
KEYS = {"name", "language", "document", "raw", "want", "replaces", "max_tokens"}
_TOKEN = re.compile(r"\n[ \t]*|[ \t]?[^\W\d_]+|[ \t]?[^\w\s]{1,2}|.", re.DOTALL)
"""Splits as GPT-2-style pre-tokenizers do: a blank belongs to the word after it."""


@dataclass(frozen=True)
class Case:
    name: str
    language: str
    document: str
    raw: str
    want: str
    replaces: str = ""
    max_tokens: int = 64


def read_cases() -> list[Case]:
    found = []
    for file in sorted(Path(__file__).parent.glob("*.toml")):
        for table in tomllib.loads(file.read_text(encoding="utf-8"))["case"]:
            assert set(table) <= KEYS, f"{file.name}: {table.get('name')}: no such key: {set(table) - KEYS}"
            found.append(Case(**table))
    return found


CASES = read_cases()


def complete(case: Case, *disabled: CompletionRule) -> tuple[str, str]:
    """The suggestion for the recorded answer, and the text that it replaces."""
    before, after = case.document.split(CURSOR)
    engine = SteppedEngine(_TOKEN.findall(case.raw))
    cursor = Cursor(before + after, len(before), case.language, "src/name")
    options = InlineCompletion(rules_off=disabled, max_new_tokens=case.max_tokens)
    found = asyncio.run(suggest(engine, cursor, options))
    return (found[0].text, cursor.text[found[0].start : found[0].end]) if found else ("", "")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.language}: {case.name}")
def test_recorded_answer_becomes_the_expected_suggestion(case: Case) -> None:
    assert complete(case) == (case.want, case.replaces)


def test_cases_have_unique_names_and_cover_the_languages() -> None:
    names = [(case.language, case.name) for case in CASES]
    assert len(CASES) >= 300
    assert len(set(names)) == len(names)
    languages = {case.language for case in CASES}
    assert languages >= {"python", "typescript", "javascript", "java", "go", "rust", "c", "cpp", "shellscript", "html"}
    assert languages >= {"sql", "markdown"}


@pytest.mark.slow
@pytest.mark.parametrize("rule", get_args(CompletionRule))
def test_each_rule_is_needed_by_three_cases(rule: CompletionRule) -> None:
    """A rule whose removal no case notices could be deleted, or broken, without a failing test."""
    broken = [*islice((case.name for case in CASES if complete(case, rule) != (case.want, case.replaces)), 3)]
    assert len(broken) == 3, f"without the rule {rule} only these cases fail: {broken}"
