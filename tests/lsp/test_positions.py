from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.errors import DocumentOutOfSync
from starcoder_ls.lsp.positions import Encoding, negotiate, to_chars, to_units

LINES = st.text(alphabet="ab\té\u0301\u200d\x0c\x85\u2028漢😀👩\ud83d\ude00", max_size=30)
ENCODINGS = st.sampled_from(list(Encoding))


def width(char: str, encoding: Encoding) -> int:
    """From the definition of the encoding, independent of the code under test."""
    if encoding is Encoding.UTF_32:
        return 1
    if encoding is Encoding.UTF_16:
        return 2 if ord(char) > 0xFFFF else 1
    return 1 if ord(char) < 0x80 else 2 if ord(char) < 0x800 else 3 if ord(char) < 0x10000 else 4


@given(LINES, ENCODINGS, st.data())
def test_column_is_the_sum_of_character_widths_and_round_trips(
    line: str, encoding: Encoding, data: st.DataObject
) -> None:
    chars = data.draw(st.integers(0, len(line)))
    units = to_units(line, chars, encoding)
    assert units == sum(width(char, encoding) for char in line[:chars])
    assert to_chars(line, units, encoding) == chars


@given(LINES, ENCODINGS, st.integers(0, 200))
def test_column_inside_a_character_is_rejected(line: str, encoding: Encoding, units: int) -> None:
    columns = [sum(width(char, encoding) for char in line[:n]) for n in range(len(line) + 1)]
    if units >= columns[-1]:
        assert to_chars(line, units, encoding) == len(line)
    elif units in columns:
        assert to_chars(line, units, encoding) == columns.index(units)
    else:
        with pytest.raises(DocumentOutOfSync):
            to_chars(line, units, encoding)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["utf-8", "utf-16", "utf-32"], Encoding.UTF_8),
        (["utf-32"], Encoding.UTF_32),
        (["utf-7", 3, None, "utf-8"], Encoding.UTF_8),
        (["utf-7"], Encoding.UTF_16),
        ([], Encoding.UTF_16),
    ],
)
def test_first_known_encoding_is_chosen_else_utf_16(offered: list[object], chosen: Encoding) -> None:
    assert negotiate(offered) is chosen
