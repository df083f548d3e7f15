import pytest

from starcoder_ls.evaluation import holes
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
