from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starcoder_ls.errors import DocumentOutOfSync
from starcoder_ls.lsp.documents.document import Document, Edit, Position
from starcoder_ls.lsp.positions import Encoding

ENCODINGS = st.sampled_from(list(Encoding))
PIECES = st.lists(
    st.sampled_from([*"ab \r\n\f\v\x1c\x85\u2028é\u0301漢😀", "\r\n"]),
    max_size=25,
).map("".join)


def document(text: str, encoding: Encoding = Encoding.UTF_16) -> Document:
    return Document("file:///a.py", "python", 1, text, encoding)


def positions(text: str, encoding: Encoding) -> list[tuple[Position, int]]:
    """All positions of ``text`` with their offsets, counted without the code under test."""
    found = []
    starts = [0, *(match.end() for match in re.finditer("\r\n|\r|\n", text)), None]
    for number, (start, after) in enumerate(pairwise(starts)):
        assert start is not None
        line = re.sub("(\r\n|\r|\n)$", "", text[start:after])
        for n in range(len(line) + 1):
            units = {
                Encoding.UTF_8: len(line[:n].encode()),
                Encoding.UTF_16: len(line[:n].encode("utf-16-le")) // 2,
                Encoding.UTF_32: n,
            }[encoding]
            found.append((Position(number, units), start + n))
    return found


@settings(max_examples=300)
@given(PIECES, ENCODINGS, st.data())
def test_random_edits_equal_a_plain_string(text: str, encoding: Encoding, data: st.DataObject) -> None:
    edited, version = document(text, encoding), 1
    for _ in range(data.draw(st.integers(0, 6))):
        edits = []
        for _ in range(data.draw(st.integers(1, 3))):
            choice = st.sampled_from(positions(text, encoding))
            (start, begin), (end, finish_reason) = sorted(
                (data.draw(choice), data.draw(choice)), key=lambda pair: pair[1]
            )
            inserted = data.draw(PIECES)
            edits.append(Edit(inserted, start, end))
            text = text[:begin] + inserted + text[finish_reason:]
        version += data.draw(st.integers(1, 3))
        edited.change(version, edits)
        assert edited.text == text
        assert edited.version == version
    for position, offset in positions(text, encoding):
        assert edited.offset_at(position) == offset
        assert edited.position_at(offset) == position


def test_a_column_past_the_line_end_means_the_line_end() -> None:
    assert document("ab\r\ncd").offset_at(Position(0, 99)) == 2


def test_the_line_after_the_last_means_the_end_of_the_text() -> None:
    """Neovim says so when it deletes the last line."""
    assert document("ab\ncd").offset_at(Position(2, 0)) == 5


def test_a_line_further_out_does_not_exist() -> None:
    with pytest.raises(DocumentOutOfSync):
        document("ab\ncd").offset_at(Position(3, 0))


def test_between_cr_and_lf_there_is_only_the_line_end() -> None:
    assert document("ab\r\ncd").position_at(3) == Position(0, 2)


@pytest.mark.parametrize(
    "edit",
    [
        Edit("x", Position(7, 0), Position(7, 0)),
        Edit("x", Position(0, 2), Position(0, 1)),
        Edit("x", Position(1, 1), Position(1, 1)),
    ],
    ids=["line that is not there", "end before start", "inside a surrogate pair"],
)
def test_an_edit_that_cannot_be_true_loses_the_document_until_it_is_sent_whole(edit: Edit) -> None:
    lost = document("abc\n😀")
    with pytest.raises(DocumentOutOfSync):
        lost.change(2, [edit])
    with pytest.raises(DocumentOutOfSync):
        lost.change(3, [Edit("y", Position(0, 0), Position(0, 0))])
    assert not lost.is_in_sync
    lost.change(4, [Edit("new")])
    assert lost.is_in_sync
    lost.change(5, [Edit("er", Position(0, 3), Position(0, 3))])
    assert lost.text == "newer"


@pytest.mark.parametrize("version", [5, 4, -1])
def test_a_version_that_does_not_grow_loses_the_document(version: int) -> None:
    lost = document("abc")
    lost.change(5, [])
    with pytest.raises(DocumentOutOfSync):
        lost.change(version, [Edit("x", Position(0, 0), Position(0, 0))])
    assert not lost.is_in_sync


def test_versions_may_skip_numbers() -> None:
    skipping = document("abc")
    skipping.change(40, [Edit("x", Position(0, 0), Position(0, 0))])
    assert skipping.text == "xabc"


def test_a_whole_text_after_a_bad_edit_in_one_notification_puts_it_right() -> None:
    lost = document("abc")
    lost.change(2, [Edit("x", Position(9, 0), Position(9, 0)), Edit("whole")])
    assert lost.text == "whole"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///a%20b/c.py", "/a b/c.py"),
        ("untitled:Untitled-1", ""),
        ("file://[bad/x", ""),
        ("", ""),
    ],
)
def test_only_files_have_a_path(uri: str, path: str) -> None:
    assert Document(uri, "python", 1, "", Encoding.UTF_16).path == path


@pytest.mark.parametrize("wide", ["", "# 😀\n"], ids=["ascii", "with an emoji"])
def test_one_key_in_a_megabyte_takes_about_a_millisecond(wide: str) -> None:
    """The bound is ten times what a 2-core machine needs (0.2 ms), so that only another order of growth fails."""
    lines = wide + "    value = compute(1)\n" * 45_000
    typed = document(lines)
    times = []
    for number in range(30):
        position = Position(20_000 + number % 3, 4)
        begin = time.perf_counter()
        typed.change(2 + number, [Edit("x", position, position)])
        times.append(time.perf_counter() - begin)
    assert sorted(times)[15] < 0.005 if wide else sorted(times)[15] < 0.002
