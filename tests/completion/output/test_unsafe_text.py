import pytest

from starcoder_ls.completion.insertion_point import InsertionPoint
from starcoder_ls.completion.output.unsafe_text import drop_unfinished_token, find_hidden_character, find_special_token
from starcoder_ls.completion.prompt.families import FAMILIES


def test_hidden_character_ends_the_suggestion() -> None:
    assert find_hidden_character("safe\u202eevil", InsertionPoint("", "")) == len("safe")


@pytest.mark.parametrize(
    "token", sorted({token for family in FAMILIES for token in (family.prefix, *family.end_tokens)})
)
def test_each_special_token_of_a_known_family_is_found(token: str) -> None:
    assert find_special_token(f"a = 1{token}b", InsertionPoint("", "")) == len("a = 1")


@pytest.mark.parametrize(
    "token", sorted({token for family in FAMILIES for token in (family.prefix, *family.end_tokens)})
)
def test_each_beginning_of_a_special_token_is_dropped(token: str) -> None:
    for end in range(2, len(token)):
        assert drop_unfinished_token(f"a = 1{token[:end]}", InsertionPoint("", "")) == "a = 1", token[:end]


@pytest.mark.parametrize("text", ["a < b", "a <", "x = [", "if a<b", "List<Str", "a | b", "{"])
def test_ordinary_code_has_no_beginning_of_a_special_token(text: str) -> None:
    assert drop_unfinished_token(text, InsertionPoint("", "")) == text


def test_beginning_of_a_token_that_the_document_contains_stays() -> None:
    assert drop_unfinished_token('x = "<fim_', InsertionPoint('y = "<fim_prefix>"\n', "")) == 'x = "<fim_'


@pytest.mark.parametrize(
    "mark",
    [
        "<|cursor|>",
        "<|user_cursor_is_here|>",
        "<|editable_region_start|>",
        "<|CURSOR|>",
        "<cursor>",
        "<cursor/>",
        "[MIDDLE]",
        "[SUFFIX]",
        "[/INST]",
        "<|mask:0|>",
        "<|fim▁end|>",
        "<｜User｜>",
        "<extra_id_0>",
        "<FILL_ME>",
        "{{CURSOR}}",
    ],
)
def test_cursor_mark_or_unknown_token_is_found_unless_the_document_has_it(mark: str) -> None:
    assert find_special_token(f"a = {mark}\n", InsertionPoint("", "")) == len("a = ")
    assert find_special_token(f"a = {mark}\n", InsertionPoint("", f"# {mark}")) is None


def test_second_token_counts_where_the_document_has_only_the_first() -> None:
    point = InsertionPoint("MARK = '<|a|>'\n", "")
    assert find_special_token("<|a|> <|b|>", point) == len("<|a|> ")


@pytest.mark.parametrize(
    "code",
    ["parts[PREFIX]", "p <|> q", "vector<cursor> c;", "a <| b |> c", "x[MIDDLE][SUFFIX]", "1 <|2|> 3", "f()[PREFIX]"],
)
def test_code_that_resembles_a_token_is_kept(code: str) -> None:
    assert find_special_token(code, InsertionPoint("", "")) is None


@pytest.mark.parametrize(
    "token", ["<|endoftext|>", "<fim_middle>", "<fim-pad>", "<file_sep>", "<reponame>", "<|fim_pad|>", "<｜fim▁end｜>"]
)
def test_special_token_is_found_unless_the_document_has_it(token: str) -> None:
    assert find_special_token(f"a = 1{token}b", InsertionPoint("", "")) == len("a = 1")
    assert find_special_token(f"a = 1{token}b", InsertionPoint(f"MARK = '{token}'\n", "")) is None


def test_html_tags_are_no_special_tokens() -> None:
    assert find_special_token("<pre><file><div>", InsertionPoint("", "")) is None
