import pytest

from starcoder_ls.evaluation import boundaries, holes
from starcoder_ls.evaluation.holes import Hole, Kind
from starcoder_ls.learning.sources import Source

CODE = """class Shop:
    # a comment that no hole begins in
    def __init__(self, name, price):
        self.name = name
        self.price = price

    def label(self):
        return f"{self.name}: {self.price}"
"""
SOURCES = [Source("shop", "shop/shop.py", CODE)]


@pytest.mark.parametrize("kind", holes.BY_TEXT)
def test_hole_and_document_make_the_file_again(kind: Kind) -> None:
    drawn = holes.drawn(SOURCES, kind, 30, 0)
    assert len(drawn) == 30
    for hole in drawn:
        assert hole.text[: hole.start] + hole.middle + hole.text[hole.start :] == CODE
        assert hole.middle.strip()


def test_seed_draws_the_same_holes_again_and_another_seed_others() -> None:
    assert holes.drawn(SOURCES, Kind.REST, 20, 1) == holes.drawn(SOURCES, Kind.REST, 20, 1)
    assert holes.drawn(SOURCES, Kind.REST, 20, 1) != holes.drawn(SOURCES, Kind.REST, 20, 2)


def test_each_kind_is_cut_where_it_says() -> None:
    for hole in holes.drawn(SOURCES, Kind.LINE, 30, 0):
        assert CODE[hole.end] == "\n"
        assert CODE[: hole.start].rpartition("\n")[2].strip() == ""
        assert not hole.middle.startswith((" ", "#"))
    for hole in holes.drawn(SOURCES, Kind.REST, 30, 0):
        assert CODE[hole.end] == "\n"
        assert CODE[: hole.start].rpartition("\n")[2].strip()
    assert all("\n" in hole.middle for hole in holes.drawn(SOURCES, Kind.LINES, 30, 0))


def test_dumb_completer_goes_on_as_an_earlier_line_did() -> None:
    text = "a.name = name\na.size = size\n\nb.name = name\nb.size = size\n"
    start = text.rindex("b.size") + len("a.si")
    assert holes.copied_line(Hole(Kind.REST, Source("p", "p.py", text), start, len(text) - 1)) == "a.size = size"


def test_dumb_completer_copies_the_rest_of_a_line_that_began_alike() -> None:
    text = "import os\nimport sys\nvalue = compute(3)\nother = 1\nvalue = compute(3)\n"
    at = text.rindex("compute")
    assert holes.copied_line(Hole(Kind.REST, Source("p", "p.py", text), at, len(text) - 1)) == "compute(3)"


def by_syntax(kind: Kind, count: int = 20, seed: int = 0, code: str = CODE) -> list[Hole]:
    def source_of(path: str) -> tuple[Source, boundaries.Boundaries] | None:
        return None if path == "gone.py" else (Source("shop", path, code), boundaries.of(code, "python"))

    return holes.drawn_by_syntax(["a.py", "b.py", "gone.py"], kind, count, seed, source_of)


@pytest.mark.parametrize("kind", holes.BY_SYNTAX)
def test_holes_by_syntax_are_different_and_drawn_by_the_seed(kind: Kind) -> None:
    drawn = by_syntax(kind, 4)
    assert len({(hole.source.path, hole.start, hole.end) for hole in drawn}) == len(drawn) >= 2
    assert drawn == by_syntax(kind, 4)
    assert {hole.source.path for hole in by_syntax(kind)} == {"a.py", "b.py"}
    for hole in drawn:
        assert hole.text[: hole.start] + hole.middle + hole.text[hole.start :] == CODE
        assert "comment" not in hole.middle


def test_another_seed_draws_other_holes() -> None:
    assert by_syntax(Kind.SPAN, 8, 1) != by_syntax(Kind.SPAN, 8, 2)


def test_holes_by_syntax_end_where_there_are_no_more() -> None:
    assert len(by_syntax(Kind.BLOCK)) == 4
    assert len(by_syntax(Kind.LINE, 100)) == 12
    assert by_syntax(Kind.BLOCK, code="value = 1\n") == []


def test_a_block_is_a_body_and_the_rest_of_a_line_begins_inside_it() -> None:
    assert {hole.middle for hole in by_syntax(Kind.BLOCK)} == {
        "self.name = name\n        self.price = price",
        CODE[CODE.index("def __init__") : -1],
    }
    for hole in by_syntax(Kind.REST):
        assert CODE[: hole.start].rpartition("\n")[2].strip()
        assert CODE[hole.end] == "\n"
