import pytest

from starcoder_ls.completion.insertion_point import InsertionPoint
from starcoder_ls.completion.output.unsafe_text import hidden_character, special_token


@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u200b", "\ufeff", "\x00", "\x1b", "\U000e0041", "\ufffd"])
def test_text_ends_before_a_character_that_hides(hidden: str) -> None:
    assert hidden_character(f"safe{hidden}evil", InsertionPoint("", "")) == len("safe")


def test_joined_emoji_is_whole() -> None:
    assert hidden_character("👩\u200d👩\u200d👧 and 🏳️\u200d🌈", InsertionPoint("", "")) is None
    assert hidden_character("a\u200db", InsertionPoint("", "")) == 1


@pytest.mark.parametrize(
    "token", ["<|endoftext|>", "<fim_middle>", "<fim-pad>", "<file_sep>", "<reponame>", "<|fim_pad|>", "<｜fim▁end｜>"]
)
def test_token_spelled_out_cuts_what_follows(token: str) -> None:
    assert special_token(f"a = 1{token}b", InsertionPoint("", "")) == len("a = 1")
    assert special_token(f"a = 1{token}b", InsertionPoint(f"MARK = '{token}'\n", "")) is None


def test_tags_of_html_are_no_tokens() -> None:
    assert special_token("<pre><file><div>", InsertionPoint("", "")) is None
