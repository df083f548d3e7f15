import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.completion.output.delimiters import Delimiter, follow, string_at_end
from starcoder_ls.languages.table import by_id


@pytest.mark.parametrize(
    ("language", "opened", "text", "closed", "still_open"),
    [
        ("python", "(", "a) + (b", [1], ["("]),
        ("python", "(", "# a)\nb)", [6], []),
        ("rust", "<<", "isize>> = vec![];", [5, 6], []),
        ("rust", "<", "&'a str>", [7], []),
        ("typescript", "<", "() => void>", [10], []),
        ("cpp", "(", "i<n)", [3], []),
        ("c", "(", "c == ')')", [8], []),
        ("python", "(", "x < y > z)", [9], []),
    ],
)
def test_text_closes_what_was_open_before_it(
    language: str, opened: str, text: str, closed: list[int], still_open: list[str]
) -> None:
    found = follow(text, [Delimiter(opener) for opener in opened], by_id(language))
    assert found.closed == closed
    assert [delimiter.opener for delimiter in found.open] == still_open


def test_code_in_a_string_may_contain_its_quote() -> None:
    language = by_id("python")
    string = string_at_end('print(f"', '"', language)
    assert string.is_interpolated
    assert follow('{d["a"]} {{ "', [string], language).closed == [12]
    assert not string_at_end('print("', '"', language).is_interpolated


def test_attribute_of_a_tag_is_a_string_and_its_content_is_not() -> None:
    language = by_id("html")
    opened = [Delimiter("<"), Delimiter('"')]
    assert follow('a" title="it\'s">it\'s', opened, language).closed == [1, 15]


@given(
    st.sampled_from(["python", "rust", "html", "javascript", "markdown"]), st.text("ab()<>{}[]\"'`\\\n$", max_size=40)
)
def test_every_text_can_be_followed(language: str, text: str) -> None:
    found = follow(text, [Delimiter("("), Delimiter('"')], by_id(language))
    assert found.closed == sorted(found.closed)
    assert len(found.closed) <= 2
