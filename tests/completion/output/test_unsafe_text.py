import pytest

from starcoder_ls.completion.insertion_point import InsertionPoint
from starcoder_ls.completion.output.unsafe_text import find_hidden_character, find_special_token


@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u200b", "\ufeff", "\x00", "\x1b", "\U000e0041", "\ufffd"])
def test_hidden_character_is_found(hidden: str) -> None:
    assert find_hidden_character(f"safe{hidden}evil", InsertionPoint("", "")) == len("safe")


def test_joiner_is_hidden_only_outside_an_emoji() -> None:
    assert find_hidden_character("👩\u200d👩\u200d👧 and 🏳️\u200d🌈", InsertionPoint("", "")) is None
    assert find_hidden_character("a\u200db", InsertionPoint("", "")) == 1


@pytest.mark.parametrize(
    "token", ["<|endoftext|>", "<fim_middle>", "<fim-pad>", "<file_sep>", "<reponame>", "<|fim_pad|>", "<｜fim▁end｜>"]
)
def test_special_token_is_found_unless_the_document_has_it(token: str) -> None:
    assert find_special_token(f"a = 1{token}b", InsertionPoint("", "")) == len("a = 1")
    assert find_special_token(f"a = 1{token}b", InsertionPoint(f"MARK = '{token}'\n", "")) is None


def test_html_tags_are_no_special_tokens() -> None:
    assert find_special_token("<pre><file><div>", InsertionPoint("", "")) is None
