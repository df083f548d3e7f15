from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import checkpoints
from starcoder_ls.edit_formats import EditFormat
from starcoder_ls.generation import SpecialToken
from starcoder_ls.learning.finetuning.commit_spans import CommitSpan
from starcoder_ls.learning.finetuning.edit_examples import CHANGED_WEIGHT, EditEncoder, dedent_both, weigh_changes
from starcoder_ls.text_tokens.tokenizer import Tokenizer

SPAN = CommitSpan(Path("/r"), "a.py", "c0", 0, "", "Rename a to b", "    x = a\n    y = 1", "    x = b\n    y = 1")
TOKENIZER = Tokenizer(checkpoints.byte_level_tokenizer())
END = 0


def test_commit_is_encoded_as_in_training_and_only_the_answer_is_learned() -> None:
    encoder = EditEncoder("commit", TOKENIZER, END)
    examples = [encoder.encode(replace(SPAN, commit=f"c{number}")) for number in range(40)]
    before, message, after = map(SpecialToken, ("<commit_before>", "<commit_msg>", "<commit_after>"))
    prompts = {
        tuple(TOKENIZER.encode([before, text, message, "Rename a to b", after]))
        for text in (SPAN.before, "x = a\ny = 1")
    }
    assert {example.prompt for example in examples} == prompts, "as it is, and as an action dedents it"
    answers = {(*TOKENIZER.encode([text]), END) for text in (SPAN.after, "x = b\ny = 1")}
    assert {example.answer for example in examples} == answers
    ids, weights, is_answer = examples[0].row()
    assert [bool(weight) for weight in weights] == is_answer
    assert len(ids) == examples[0].tokens
    assert encoder.encode(SPAN) == encoder.encode(SPAN)


@pytest.mark.parametrize("specials", [("<issue_start>", "<issue_comment>"), ()])
def test_issue_is_encoded_with_the_tokens_that_there_are(specials: tuple[str, ...]) -> None:
    edit_format: EditFormat = "issue"
    tokenizer = Tokenizer(checkpoints.byte_level_tokenizer(("<|endoftext|>", *specials)))
    example = EditEncoder(edit_format, tokenizer, END).encode(SPAN)
    text = tokenizer.decode(example.prompt)
    assert "username_0: Rename a to b\n\n```" in text
    assert text.endswith("username_1: Sure, here is the fixed code.\n\n```\n")
    assert tokenizer.decode(example.answer[:-1]).endswith("y = 1\n```")
    assert ("Upvotes: 100\n\nusername_1" in text) is not bool(specials)


def test_changed_tokens_and_the_one_after_them_have_more_weight() -> None:
    more = CHANGED_WEIGHT
    assert weigh_changes([1, 2, 3, 4], [1, 9, 3, 4, 0]) == (1, more, more, 1, more)
    assert weigh_changes([1, 2, 3], [1, 3, 0]) == (1, more, more), "a deletion is where the copy goes on"


def test_both_sides_lose_the_indentation_that_they_share() -> None:
    assert dedent_both("    a\n\n      b", "    a\n  c") == ("  a\n\n    b", "  a\nc")
    assert dedent_both("\ta", "    a") == ("\ta", "    a")
