from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.http_api.stop_texts import StopTexts

LETTERS = st.text("ab", max_size=12)


@given(st.lists(LETTERS, max_size=8), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_text_ends_before_the_first_stop_text_however_it_is_divided(pieces: list[str], stops: list[str]) -> None:
    stop_texts, whole = StopTexts(stops), "".join(pieces)
    sent = "".join(stop_texts.feed(piece) for piece in pieces) + stop_texts.finish()
    assert sent == whole[: min([whole.find(stop) for stop in stops if stop in whole], default=len(whole))]
    assert stop_texts.is_reached == any(stop in whole for stop in stops)


def test_only_what_may_begin_a_stop_text_is_kept_back() -> None:
    stop_texts = StopTexts(["\n\n"])
    assert [stop_texts.feed(piece) for piece in ("a\n", "b", "\n", "\nc", "d")] == ["a", "\nb", "", "", ""]
