from __future__ import annotations

import pytest

from starcoder_ls.edit_formats import (
    adapt_to_tokens,
    build_edit_parts,
    closing_text,
    find_edit_format,
    find_trained_format,
    join_texts,
    split_template,
)
from starcoder_ls.generation import ChatFormat, Phase, SpecialToken, Status
from starcoder_ls.settings import Model, Settings

COMMIT = frozenset({"<commit_before>", "<commit_msg>", "<commit_after>"})
ISSUE = frozenset({"<issue_start>", "<issue_comment>"})
LARGE = Settings(model=Model(name="some/model"))


@pytest.mark.parametrize(
    ("tokens", "chat", "expected"),
    [
        (COMMIT | ISSUE, None, "commit"),
        (ISSUE, None, "issue"),
        (COMMIT, ChatFormat(before_question="Q"), "chat"),
        (COMMIT, ChatFormat(problem="is broken"), None),
        (frozenset({"<fim_prefix>"}), None, None),
    ],
)
def test_format_follows_from_special_tokens_and_template(
    tokens: frozenset[str], chat: ChatFormat | None, expected: str | None
) -> None:
    status = Status(Phase.READY, special_tokens=tokens, chat=chat)
    assert find_edit_format(LARGE, status) == expected
    assert find_edit_format(Settings(), status) is None, "the bundled model has seen no commits"


def test_parts_of_a_commit_end_with_the_beginning_of_the_answer() -> None:
    before, message, after = map(SpecialToken, ("<commit_before>", "<commit_msg>", "<commit_after>"))
    parts, prefix, ends = build_edit_parts("commit", "a\nb", "Rename a to c", "c\n")
    assert parts == (before, "a\nb", message, "Rename a to c", after, "c\n")
    assert prefix == "c\n"
    assert {before, message, after} < set(ends)
    assert build_edit_parts("commit", "a", "Remove a", "")[0] == (before, "a", message, "Remove a", after)


def test_parts_of_an_issue_have_fences() -> None:
    parts, prefix, _ = build_edit_parts("issue", "a\nb", "Rename a to c", "c\n")
    assert parts[1] == "username_0: Rename a to c\n\n```a\nb```\nUpvotes: 100"
    assert parts[3] == "username_1: Sure, here is the fixed code.\n\n```c\n"
    assert prefix == "```\nc\n"


def test_template_is_split_at_special_tokens_only() -> None:
    start, end = SpecialToken("<s>"), SpecialToken("<s>>")
    assert split_template("<s>user\n<s>>x", frozenset({"<s>", "<s>>"})) == [start, "user\n", end, "x"]
    assert split_template("<s>user", frozenset()) == ["<s>user"]
    assert join_texts(["a", "b", start, "", "c", "d"]) == ("ab", start, "cd")


def test_adapter_learns_commits_if_there_are_tokens_for_them_else_issues() -> None:
    assert find_trained_format(COMMIT | ISSUE) == "commit"
    assert find_trained_format(frozenset()) == "issue"
    assert closing_text("commit") == ""
    assert closing_text("issue") == "\n```"


def test_blank_line_stands_for_a_token_that_the_model_lacks() -> None:
    issue, comment = SpecialToken("<issue_start>"), SpecialToken("<issue_comment>")
    parts = (issue, "question", comment, "answer")
    assert adapt_to_tokens(parts, ISSUE) == parts
    assert adapt_to_tokens(parts, frozenset()) == ("question\n\nanswer",)
