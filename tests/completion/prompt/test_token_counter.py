from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.completion.prompt.token_counter import TokenCounter


@given(st.text(alphabet=st.sampled_from("ab \n\r\f\u2028é"), max_size=200))
def test_sum_over_lines_counts_every_character_once(text: str) -> None:
    assert TokenCounter(len)(text) == len(text)


@given(
    st.text(alphabet=st.sampled_from("ab \n\r\f\u2028é"), max_size=100),
    st.lists(st.tuples(st.floats(0, 1), st.text(alphabet=st.sampled_from("ab\n\r"), max_size=3)), max_size=8),
)
def test_cached_lines_change_no_count(text: str, edits: list[tuple[float, str]]) -> None:
    def count(line: str) -> int:
        return len(line.split()) + 1

    counter = TokenCounter(count)
    for share, inserted in edits:
        index = int(share * len(text))
        text = text[:index] + inserted + text[index:]
        assert counter(text) == sum(map(count, text.splitlines(keepends=True)))


def test_only_new_lines_are_tokenized() -> None:
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return len(text.split())

    counter = TokenCounter(count)
    assert counter("one two\nthree\n") == 3
    assert counter("one two\nthree\nfour five six") == 6
    assert counted == ["one two\n", "three\n", "four five six"]


def test_long_lines_are_not_cached() -> None:
    counted: list[int] = []
    counter = TokenCounter(lambda text: counted.append(len(text)) or 1)
    line = "x" * 10_000
    assert counter(line) + counter(line) == 2
    assert counted == [10_000, 10_000]
