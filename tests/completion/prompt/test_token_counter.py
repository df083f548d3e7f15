import re

from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.completion.prompt.token_counter import TokenCounter

_TEXTS = st.text(alphabet=st.sampled_from("ab1_(. \t\n\r\f\u2028é"), max_size=200)
_UNFINISHED_WORD = re.compile(r" ?[a-z]+\Z")


@given(_TEXTS)
def test_sum_counts_every_character_once_but_the_unfinished_word(text: str) -> None:
    last_line = text[text.rfind("\n") + 1 :]
    word = _UNFINISHED_WORD.search(last_line) if last_line.isascii() else None
    assert TokenCounter(len)(text) == len(text) - (len(word[0]) - 1 if word and len(word[0]) <= 40 else 0)


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
        assert counter(text) == TokenCounter(count)(text)
        assert counter(text + "\n") == sum(map(count, (text + "\n").splitlines(keepends=True)))


def test_only_new_lines_and_finished_words_are_tokenized() -> None:
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return len(text.split())

    counter = TokenCounter(count)
    assert counter("one two\nthree\n") == 3
    assert counter("one two\nthree\nfour five six") == 6
    assert counted == ["one two\n", "three\n", "four", " five"]
    counted.clear()
    assert counter("one two\nthree\nfour five sixth") == 6
    assert counted == []


def test_long_lines_are_not_cached() -> None:
    counted: list[int] = []
    counter = TokenCounter(lambda text: counted.append(len(text)) or 1)
    line = "x" * 10_000
    assert counter(line) + counter(line) == 2
    assert counted == [10_000, 10_000]
