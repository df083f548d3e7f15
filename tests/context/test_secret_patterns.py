"""Recall and false positives of the detection of secrets in strings."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from context import secret_cases
from starcoder_ls.context.secret_patterns import ALL_CONTEXTS, ALL_TOKENS, CONTEXTS, TOKENS
from starcoder_ls.context.secrets import find_secrets, mask_secrets

PACKAGES = ("pydantic", "huggingface_hub", "hypothesis", "rich")
"""Ordinary code: about 200,000 lines."""


def is_masked(case: secret_cases.StringCase) -> bool:
    masked = mask_secrets(case.text)
    return all(set(masked[start:end]) <= {"x", "\n"} for start, end in case.secrets)


@pytest.mark.parametrize("part", ["tuning", "held_out"])
def test_recall_and_false_positives_of_strings_are_within_their_limits(part: secret_cases.Part) -> None:
    positive, negative = secret_cases.strings(part)
    missed = [case.source for case in positive if not is_masked(case)]
    wrong = [case.source for case in negative if mask_secrets(case.text) != case.text]
    recall = 1 - len(missed) / len(positive)
    print(f"strings, {part}: recall {recall:.1%} of {len(positive)}, {len(wrong)} of {len(negative)} masked wrongly")  # noqa: T201
    assert recall >= 0.9, missed
    assert len(wrong) <= 2, wrong


def test_at_most_one_string_in_a_thousand_lines_of_ordinary_code_is_masked() -> None:
    lines = found = 0
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        for file in sorted(Path(spec.origin).parent.rglob("*.py")):
            text = file.read_text(encoding="utf-8", errors="replace")
            lines += text.count("\n")
            found += sum(1 for _ in find_secrets(text))
    print(f"{found} strings masked in {lines} lines of ordinary code")  # noqa: T201
    assert lines >= 50_000
    assert found <= lines / 1000


def test_each_shape_has_one_group() -> None:
    assert ALL_TOKENS.groups == len(TOKENS)
    assert ALL_CONTEXTS.groups == len(CONTEXTS)
