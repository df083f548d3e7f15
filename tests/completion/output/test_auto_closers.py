import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.completion.output import auto_closers


@pytest.mark.parametrize(
    ("text", "found"),
    [(")", ")"), ("):\nnext", "):"), ("') \nnext", "')"), (", x)", ""), (") + 1", ""), ("\n)", ""), ("", "")],
)
def test_closers_count_only_up_to_the_line_end(text: str, found: str) -> None:
    assert auto_closers.closers_at(text) == found


@pytest.mark.parametrize(
    ("suggestion", "closers", "replaced"),
    [
        ("a, b", ")", 0),
        ("a) + 1", ")", 1),
        ("g(a)", ")", 0),
        ("g(a)) + 1", ")", 1),
        ("a), z", "))", 1),
        ("hello', name) % 3", "')", 2),
        ("it\\'s", "'", 0),
        ("a, b) -> int:", "):", 2),
        ("a, b) -> int", "):", 1),
        ("\n    a,\n    b,\n) + c", ")", 1),
        ("')' + x", ")", 0),
        ("a] + 1", ")", 0),
        ("a: int, b", "):", 0),
    ],
)
def test_suggestion_replaces_the_closers_that_it_contains(suggestion: str, closers: str, replaced: int) -> None:
    assert auto_closers.count_replaced(suggestion, closers) == replaced


@given(st.text("ab()[]'\"\\\n,: ", max_size=30), st.text(")]'\":", max_size=4))
def test_at_most_all_closers_are_replaced(suggestion: str, closers: str) -> None:
    assert 0 <= auto_closers.count_replaced(suggestion, closers) <= len(closers)
