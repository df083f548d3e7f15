"""Answers as models write them, and what becomes of the document: through the parser of answers and the edits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from starcoder_ls.errors import AnswerUnusable
from starcoder_ls.rewrite import answer_parsing, edits
from starcoder_ls.rewrite.answer_scope import scope_answer
from starcoder_ls.rewrite.target import Target, find_target

CASES = Path(__file__).parent / "scope_cases"


@dataclass(frozen=True)
class Case:
    """One section of a file of cases.

    The document has the cursor ``▮``, or two around the selection. The result is a document, or ``REFUSED`` and a part
    of the message.
    """

    name: str
    language: str
    options: frozenset[str]
    document: str
    answer: str
    result: str


def read_cases() -> list[Case]:
    cases = []
    for file in sorted(CASES.glob("*.txt")):
        for section in file.read_text(encoding="utf-8").split("\n=== ")[1:]:
            head, _, rest = section.partition("\n")
            document, answer, result = rest.split("\n--- ")[0], "", ""
            parts = dict(part.partition("\n")[::2] for part in rest.split("\n--- ")[1:])
            answer, result = parts["answer"], parts["result"]
            name, *options = head.split(", ")
            cases.append(
                Case(f"{file.stem}: {name}", file.stem, frozenset(options), document, answer, result.rstrip("\n"))
            )
    return cases


def apply_answer(case: Case) -> str:
    """The document after the answer, or the message that refuses it."""
    start = case.document.index("▮")
    text = case.document.replace("▮", "", 1)
    end = text.index("▮") if "▮" in text else start
    target = find_target(text.replace("▮", ""), start, end, case.language)
    assert target is not None
    is_insertion = "insertion" in case.options
    try:
        code = answer_parsing.extract_code(case.answer, "" if is_insertion else target.code, is_cut=False)
        scoped = scope_answer(target, code, is_insertion, may_rename="instruction" in case.options)
        changes = edits.insert_below if is_insertion else edits.replace_target
        ordered = sorted((*scoped.import_changes, *changes(target, scoped.code)), key=lambda change: change.start)
        edits.require_valid_syntax(target, ordered)
    except AnswerUnusable as error:
        return f"REFUSED {error}"
    return edits.apply_changes(target.text, ordered).rstrip("\n")


ALL_CASES = read_cases()


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
def test_only_what_belongs_to_the_target_is_taken(case: Case) -> None:
    found = apply_answer(case)
    if case.result.startswith("REFUSED"):
        assert found.startswith("REFUSED"), found
        assert case.result.removeprefix("REFUSED ").strip() in found
    else:
        assert found == case.result


def test_there_are_cases_of_each_language() -> None:
    counts = {
        language: sum(case.language == language for case in ALL_CASES)
        for language in ("python", "typescript", "javascript", "go", "java", "rust")
    }
    assert len(ALL_CASES) >= 40
    assert min(counts.values()) >= 3, counts


@pytest.mark.parametrize(
    "comment",
    [
        "# the existing method is reused",
        "# Keep the remaining code path for old clients",
        "# the same function as above handles existing code of users",
        "# unchanged by this function",
        "# Existing implementation detail: keys are strings",
        "# rest of the arguments",
        "# same as before",
        "x = 1  # existing code",
    ],
)
def test_comment_about_code_is_no_elision(comment: str) -> None:
    target = Target("def f():\n    return 1 + 0", 0, 26, "python")
    code = f"def f():\n    {comment}\n    return 1"
    assert scope_answer(target, code).code == code


@pytest.mark.parametrize(
    "comment",
    [
        "# ...",
        "# … more",
        "# existing code",
        "# Existing code here.",
        "# (the rest of the function is the same)",
        "# rest of the code remains unchanged",
        "# the remaining implementation stays as before",
        "# same as before, existing code",
        "# keep the existing checks ...",
        "# code omitted for brevity",
    ],
)
def test_comment_that_stands_for_code_is_refused(comment: str) -> None:
    target = Target("def f():\n    return 1 + 0", 0, 26, "python")
    with pytest.raises(AnswerUnusable, match="leaves code out"):
        scope_answer(target, f"def f():\n    {comment}\n    return 1")


def test_message_escapes_control_characters_of_the_comment() -> None:
    with pytest.raises(AnswerUnusable) as caught:
        scope_answer(Target("f()", 0, 3, "python"), "# existing\tcode")
    assert str(caught.value).isprintable()
