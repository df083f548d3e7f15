from __future__ import annotations

from starcoder_ls.text_tokens.prefix_index import REPLACEMENT_CHARACTER, PrefixIndex

TOKENS = ["a", "ab", "abc", "abd", "b", "", f"ab{REPLACEMENT_CHARACTER}", "ac"]


def test_compatible_tokens_begin_with_the_text_or_the_text_with_them() -> None:
    index = PrefixIndex((text, id_) for id_, text in enumerate(TOKENS))
    found = {text: sorted(index.find_compatible(text)) for text in ("ab", "abcd", "x", "a")}
    assert found == {"ab": [0, 1, 2, 3], "abcd": [0, 1, 2], "x": [], "a": [0, 1, 2, 3, 7]}
