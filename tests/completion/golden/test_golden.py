import asyncio
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

from fakes import ScriptedEngine
from starcoder_ls.completion.suggest import Cursor, suggest
from starcoder_ls.generation import Phase
from starcoder_ls.rules import CompletionRule
from starcoder_ls.settings import InlineCompletion

CURSOR = "<|cursor|>"
KEYS = {"name", "language", "document", "raw", "want", "replaces", "max_tokens"}
_TOKEN = re.compile(r"\n[ \t]*|[ \t]?[^\W\d_]+|[ \t]?[^\w\s]{1,2}|.", re.DOTALL)
"""Cuts as the pre-tokenizers of the GPT-2 line do: a blank goes with the word behind it."""


@dataclass(frozen=True)
class Case:
    name: str
    language: str
    document: str
    raw: str
    want: str
    replaces: str = ""
    max_tokens: int = 64


def read() -> list[Case]:
    found = []
    for file in sorted(Path(__file__).parent.glob("*.toml")):
        for table in tomllib.loads(file.read_text(encoding="utf-8"))["case"]:
            assert set(table) <= KEYS, f"{file.name}: {table.get('name')}: no such key: {set(table) - KEYS}"
            found.append(Case(**table))
    return found


CASES = read()


@pytest.fixture(scope="module")
def engine() -> Iterator[ScriptedEngine]:
    made = ScriptedEngine(load_steps=0)
    made.start()
    while made.status().phase is Phase.LOADING:
        pass
    yield made
    made.close()


def shown(engine: ScriptedEngine, case: Case, *off: CompletionRule) -> tuple[str, str]:
    """The ghost text and what it replaces."""
    before, after = case.document.split(CURSOR)
    engine.scripts = [_TOKEN.findall(case.raw)]
    cursor = Cursor(before + after, len(before), case.language, "src/name")
    options = InlineCompletion(rules_off=off, max_new_tokens=case.max_tokens)
    found = asyncio.run(suggest(engine, cursor, options))
    return (found[0].text, cursor.text[found[0].start : found[0].end]) if found else ("", "")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.language}: {case.name}")
def test_case(engine: ScriptedEngine, case: Case) -> None:
    assert shown(engine, case) == (case.want, case.replaces)


def test_cases_are_many_and_each_is_named_once() -> None:
    names = [(case.language, case.name) for case in CASES]
    assert len(CASES) >= 150
    assert len(set(names)) == len(names)
    languages = {case.language for case in CASES}
    assert languages >= {"python", "typescript", "javascript", "java", "go", "rust", "c", "cpp", "shellscript", "html"}
    assert languages >= {"sql", "markdown"}


@pytest.mark.slow
@pytest.mark.parametrize("rule", get_args(CompletionRule))
def test_no_rule_can_go_unnoticed(engine: ScriptedEngine, rule: CompletionRule) -> None:
    """Switched off, it breaks three cases: it does something, and the cases know what."""
    broken = [case.name for case in CASES if shown(engine, case, rule) != (case.want, case.replaces)]
    assert len(broken) >= 3, f"without the rule {rule} only these fail: {broken}"
