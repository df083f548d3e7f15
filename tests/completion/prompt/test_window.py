from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.completion.output.auto_closers import closers_at
from starcoder_ls.completion.prompt import window


def count_tokens(text: str) -> int:
    """A tokenizer whose tokens have three characters each."""
    return -(-len(text) // 3)


def fit(text: str, offset: int, tokens: int = 100, count: Callable[[str], int] = count_tokens) -> window.Window:
    return window.fit_window(text, offset, closers_at(text, offset), tokens, 0.25, count)


def test_window_holds_a_small_document_whole() -> None:
    text = "a = 1\nb = 2\nc = 3\n"
    view = fit(text, 8)
    assert (view.prefix, view.suffix) == (text[:8], text[8:])


def test_window_starts_and_ends_at_line_ends() -> None:
    text = "".join(f"line number {i}\n" for i in range(200))
    view = fit(text, len(text) // 2)
    assert text[view.start - 1] == "\n"
    assert text[view.end] == "\n"


def test_start_stays_while_user_types() -> None:
    text = "".join(f"line number {i}\n" for i in range(200))
    starts = {fit(text + "x" * n, len(text) + n).start for n in range(40)}
    assert len(starts) <= 2  # 40 characters are half a step


def test_suffix_stays_while_user_types_before_it() -> None:
    below = "".join(f"below {i}\n" for i in range(50))
    above = "".join(f"above {i}\n" for i in range(50))
    suffixes = {fit(above + "x" * n + below, len(above) + n).suffix for n in range(30)}
    assert len(suffixes) == 1


def test_prefix_uses_spare_budget_of_the_suffix() -> None:
    text = "".join(f"line number {i}\n" for i in range(200))
    assert count_tokens(fit(text, len(text)).prefix) > 70


def test_suffix_uses_spare_budget_of_the_prefix() -> None:
    text = "".join(f"line number {i}\n" for i in range(200))
    assert count_tokens(fit(text, 0).suffix) > 70


@given(
    st.text(alphabet=st.sampled_from("ab \n\té😀"), max_size=600),
    st.integers(0, 600),
    st.integers(1, 120),
    st.integers(1, 5),
)
def test_window_fits_the_budget_and_touches_the_cursor(text: str, position: int, tokens: int, chars: int) -> None:
    offset = min(position, len(text))

    def count(part: str) -> int:
        return -(-len(part.encode()) // chars)

    view = fit(text, offset, tokens, count)
    assert count(view.prefix) + count(view.suffix) <= tokens
    assert view.prefix == text[view.start : offset]
    assert closers_at(text, offset) + view.suffix == text[offset : view.end]


@given(st.integers(0, 3000), st.sampled_from(["中文注释", "привет ", "😀", "a = 1 "]), st.floats(1.0, 4.0))
def test_prefix_of_dense_text_is_not_empty(position: int, repeated: str, tokens_per_char: float) -> None:
    text = "\n".join(repeated * 8 for _ in range(120))
    offset = min(position, len(text))

    def count(part: str) -> int:
        return int(len(part) * tokens_per_char)

    view = fit(text, offset, 400, count)
    assert count(view.prefix) <= 400
    assert view.start == 0 or count(view.prefix) >= 100


@given(st.integers(0, 400), st.integers(1, 60), st.sampled_from(["", ")", "')", "):"]))
def test_typing_moves_start_and_suffix_at_most_once(lines: int, keys: int, right: str) -> None:
    above = "".join(f"above {i}\n" for i in range(lines))
    below = right + "\n" + "".join(f"below {i}\n" for i in range(60))
    views = [fit(above + "x" * n + below, len(above) + n, tokens=400) for n in range(keys)]
    assert len({(view.start, view.suffix) for view in views}) <= 2


@given(st.integers(0, 200), st.sampled_from([")", "]", "')", "):", '"""']))
def test_closer_inserted_by_the_editor_does_not_move_the_window(lines: int, right: str) -> None:
    above = "".join(f"above {i}\n" for i in range(lines)) + "x = f("
    below = "\n" + "".join(f"below {i}\n" for i in range(60))
    with_closer, without = fit(above + right + below, len(above)), fit(above + below, len(above))
    assert (with_closer.start, with_closer.suffix) == (without.start, without.suffix)


def test_budget_moves_from_prefix_to_suffix_in_large_steps() -> None:
    below = "".join(f"below {i}\n" for i in range(200))
    suffixes = {fit("x" * n + below, n).suffix for n in range(150)}
    assert len(suffixes) <= 3
