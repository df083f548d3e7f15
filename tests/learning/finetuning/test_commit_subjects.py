from __future__ import annotations

import pytest

from starcoder_ls.learning.finetuning.commit_subjects import clean_subject
from training_fixtures import SECRET


@pytest.mark.parametrize(
    ("subject", "cleaned"),
    [
        ("Fix off-by-one error in the pager", "Fix off-by-one error in the pager"),
        ("feat(cli):  add \u202e--json to list (#123)", "feat(cli): add --json to list"),
        ("Update the retry limit of downloads", "Update the retry limit of downloads"),
        ("修复分页中的边界错误问题", "修复分页中的边界错误问题"),
        ("Überträge werden gerundet", "Überträge werden gerundet"),
    ],
)
def test_subject_that_says_what_changes_is_kept(subject: str, cleaned: str) -> None:
    assert clean_subject(subject) == cleaned


@pytest.mark.parametrize(
    "subject",
    [
        "", "update", "Update tests", "test", "WIP", "wip: new parser of headers", "Fix typo", "Fixed some bugs",
        "Minor cleanup of the code", "Merge branch 'main' into topic", "Revert \"Add a cache\"", "Update README.md",
        "Bump requests from 2.31.0 to 2.32.0", "chore(deps): update requests from 2.31.0 to 2.32.0", "Release 2.0 now",
        "v1.2.3", "fixup! Add a cache of answers", "Apply suggestions from code review", "Address review comments",
        "refactoring", "x" * 130,
    ],
)  # fmt: skip
def test_generic_automatic_or_long_subject_is_left_out(subject: str) -> None:
    assert clean_subject(subject) is None


def test_secret_in_a_subject_is_masked() -> None:
    cleaned = clean_subject(f"Use {SECRET} for the upload")
    assert cleaned is not None
    assert SECRET not in cleaned
    assert cleaned.startswith("Use ghp_xxx")
