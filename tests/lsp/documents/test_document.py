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
TEXTS = st.lists(
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


@settings(max_examples=150)
@given(TEXTS, ENCODINGS, st.data())
def test_random_edits_match_a_plain_string(text: str, encoding: Encoding, data: st.DataObject) -> None:
    edited, version = document(text, encoding), 1
    for _ in range(data.draw(st.integers(0, 6))):
        edits = []
        for _ in range(data.draw(st.integers(1, 3))):
            choice = st.sampled_from(positions(text, encoding))
            (start, begin), (end, finish) = sorted((data.draw(choice), data.draw(choice)), key=lambda pair: pair[1])
            inserted = data.draw(TEXTS)
            edits.append(Edit(inserted, start, end))
            text = text[:begin] + inserted + text[finish:]
        version += data.draw(st.integers(1, 3))
        edited.change(version, edits)
        assert edited.text == text
        assert edited.version == version
    for position, offset in positions(text, encoding):
        assert edited.offset_at(position) == offset
        assert edited.position_at(offset) == position


def test_column_past_the_line_end_means_the_line_end() -> None:
    assert document("ab\r\ncd").offset_at(Position(0, 99)) == 2


def test_line_after_the_last_means_the_end_of_the_text() -> None:
    """Neovim sends this position when it deletes the last line."""
    assert document("ab\ncd").offset_at(Position(2, 0)) == 5


def test_line_beyond_the_end_is_out_of_sync() -> None:
    with pytest.raises(DocumentOutOfSync):
        document("ab\ncd").offset_at(Position(3, 0))


def test_offset_between_cr_and_lf_is_the_line_end() -> None:
    assert document("ab\r\ncd").position_at(3) == Position(0, 2)


@pytest.mark.parametrize(
    "edit",
    [
        Edit("x", Position(0, 2), Position(0, 1)),
        Edit("x", Position(1, 1), Position(1, 1)),
    ],
    ids=["end before start", "inside a surrogate pair"],
)
def test_invalid_edit_is_out_of_sync_until_the_whole_text_arrives(edit: Edit) -> None:
    edited_document = document("abc\n😀")
    with pytest.raises(DocumentOutOfSync):
        edited_document.change(2, [edit])
    with pytest.raises(DocumentOutOfSync):
        edited_document.change(3, [Edit("y", Position(0, 0), Position(0, 0))])
    assert not edited_document.is_in_sync
    edited_document.change(4, [Edit("new")])
    assert edited_document.is_in_sync
    edited_document.change(5, [Edit("er", Position(0, 3), Position(0, 3))])
    assert edited_document.text == "newer"


@pytest.mark.parametrize("version", [5, 4, -1])
def test_version_that_does_not_increase_is_out_of_sync(version: int) -> None:
    edited_document = document("abc")
    edited_document.change(5, [])
    with pytest.raises(DocumentOutOfSync):
        edited_document.change(version, [Edit("x", Position(0, 0), Position(0, 0))])
    assert not edited_document.is_in_sync


@pytest.mark.parametrize("end", [Position(2, 0), Position(9, 5), Position(1, 99)])
def test_edit_behind_the_end_is_clamped_to_it(end: Position) -> None:
    edited_document = document("ab\ncd")
    edited_document.change(2, [Edit("x", Position(1, 1), end), Edit("y", end, end)])
    assert edited_document.text == "ab\ncxy"


def test_change_without_version_counts_and_the_next_version_fits() -> None:
    edited_document = document("abc")
    edited_document.change(None, [Edit("x")])
    assert edited_document.version == 2
    edited_document.change(2, [Edit("y")])
    assert edited_document.text == "y"


def test_gaps_between_versions_are_allowed() -> None:
    edited_document = document("abc")
    edited_document.change(40, [Edit("x", Position(0, 0), Position(0, 0))])
    assert edited_document.text == "xabc"


def test_whole_text_after_an_invalid_edit_restores_sync() -> None:
    edited_document = document("abc")
    edited_document.change(2, [Edit("x", Position(0, 2), Position(0, 1)), Edit("whole")])
    assert edited_document.text == "whole"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///a%20b/c.py", "/a b/c.py"),
        ("untitled:Untitled-1", ""),
        ("file://[bad/x", ""),
        ("", ""),
    ],
)
def test_only_file_uris_have_a_path(uri: str, path: str) -> None:
    assert Document(uri, "python", 1, "", Encoding.UTF_16).path == path


@pytest.mark.perf
@pytest.mark.parametrize("wide", ["", "# 😀\n"], ids=["ascii", "with an emoji"])
def test_key_stroke_in_a_megabyte_takes_about_a_millisecond(wide: str) -> None:
    """The bound is ten times what a 2-core machine needs (0.2 ms), so that only another order of growth fails."""
    lines = wide + "    value = compute(1)\n" * 45_000
    edited_document = document(lines)
    times = []
    for number in range(30):
        position = Position(20_000 + number % 3, 4)
        begin = time.perf_counter()
        edited_document.change(2 + number, [Edit("x", position, position)])
        times.append(time.perf_counter() - begin)
    assert sorted(times)[15] < 0.005 if wide else sorted(times)[15] < 0.002
