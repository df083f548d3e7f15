import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.completion.output import auto_closers


@pytest.mark.parametrize(
    ("text", "found"),
    [(")", ")"), ("):\nnext", "):"), ("') \nnext", "')"), (", x)", ""), (") + 1", ""), ("\n)", ""), ("", "")],
)
def test_only_closers_to_the_end_of_the_line_count(text: str, found: str) -> None:
    assert auto_closers.right_of(text) == found


@pytest.mark.parametrize(
    ("said", "right", "taken"),
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
def test_suggestion_takes_the_closers_that_it_has_itself(said: str, right: str, taken: int) -> None:
    assert auto_closers.taken(said, right) == taken


@given(st.text("ab()[]'\"\\\n,: ", max_size=30), st.text(")]'\":", max_size=4))
def test_never_more_closers_are_taken_than_there_are(said: str, right: str) -> None:
    assert 0 <= auto_closers.taken(said, right) <= len(right)
