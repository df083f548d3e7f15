from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.completion.prompt import window


def words(text: str) -> int:
    """A token counter: three characters each."""
    return -(-len(text) // 3)


def view(text: str, offset: int, tokens: int = 100) -> window.Window:
    return window.around(text, offset, tokens, 0.25, words)


def test_small_document_is_seen_whole() -> None:
    text = "a = 1\nb = 2\nc = 3\n"
    seen = view(text, 8)
    assert (seen.prefix, seen.suffix) == (text[:8], text[8:])


def test_window_starts_and_ends_at_lines() -> None:
    text = "".join(f"line number {i}\n" for i in range(200))
    seen = view(text, len(text) // 2)
    assert text[seen.start - 1] == "\n"
    assert text[seen.end] == "\n"


def test_start_stays_while_the_user_types() -> None:
    text = "".join(f"line number {i}\n" for i in range(200))
    starts = {view(text + "x" * n, len(text) + n).start for n in range(40)}
    assert len(starts) <= 2  # 40 characters are half a step


def test_suffix_is_the_same_text_while_the_user_types_before_it() -> None:
    below = "".join(f"below {i}\n" for i in range(50))
    above = "".join(f"above {i}\n" for i in range(50))
    suffixes = {view(above + "x" * n + below, len(above) + n).suffix for n in range(30)}
    assert len(suffixes) == 1


def test_room_that_the_suffix_does_not_need_goes_to_the_prefix() -> None:
    text = "".join(f"line number {i}\n" for i in range(200))
    assert words(view(text, len(text)).prefix) > 70


def test_room_that_the_prefix_does_not_need_goes_to_the_suffix() -> None:
    text = "".join(f"line number {i}\n" for i in range(200))
    assert words(view(text, 0).suffix) > 70


@given(
    st.text(alphabet=st.sampled_from("ab \n\té😀"), max_size=600),
    st.integers(0, 600),
    st.integers(1, 120),
    st.integers(1, 5),
)
def test_window_always_fits_and_touches_the_cursor(text: str, at: int, tokens: int, chars: int) -> None:
    offset = min(at, len(text))

    def count(part: str) -> int:
        return -(-len(part.encode()) // chars)

    seen = window.around(text, offset, tokens, 0.25, count)
    assert count(seen.prefix) + count(seen.suffix) <= tokens
    assert seen.prefix == text[seen.start : offset]
    assert seen.closers + seen.suffix == text[offset : seen.end]


@given(st.integers(0, 3000), st.sampled_from(["中文注释", "привет ", "😀", "a = 1 "]), st.floats(1.0, 4.0))
def test_dense_text_leaves_no_prefix_empty(at: int, words_of: str, tokens_per_char: float) -> None:
    text = "\n".join(words_of * 8 for _ in range(120))
    offset = min(at, len(text))

    def count(part: str) -> int:
        return int(len(part) * tokens_per_char)

    seen = window.around(text, offset, 400, 0.25, count)
    assert count(seen.prefix) <= 400
    assert seen.start == 0 or count(seen.prefix) >= 100


@given(st.integers(0, 400), st.integers(1, 60), st.sampled_from(["", ")", "')", "):"]))
def test_typing_a_burst_moves_neither_suffix_nor_start_but_for_one_step(lines: int, keys: int, right: str) -> None:
    above = "".join(f"above {i}\n" for i in range(lines))
    below = right + "\n" + "".join(f"below {i}\n" for i in range(60))
    seen = [view(above + "x" * n + below, len(above) + n, tokens=400) for n in range(keys)]
    assert len({(one.start, one.suffix) for one in seen}) <= 2


@given(st.integers(0, 200), st.sampled_from([")", "]", "')", "):", '"""']))
def test_bracket_that_the_editor_closes_changes_nothing_that_the_model_sees_first(lines: int, right: str) -> None:
    above = "".join(f"above {i}\n" for i in range(lines)) + "x = f("
    below = "\n" + "".join(f"below {i}\n" for i in range(60))
    with_closer, without = view(above + right + below, len(above)), view(above + below, len(above))
    assert (with_closer.start, with_closer.suffix) == (without.start, without.suffix)
    assert (with_closer.closers, without.closers) == (right, "")


def test_short_prefix_gives_its_room_in_large_steps() -> None:
    below = "".join(f"below {i}\n" for i in range(200))
    suffixes = {view("x" * n + below, n).suffix for n in range(150)}
    assert len(suffixes) <= 3
