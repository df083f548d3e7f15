import pytest

from starcoder_ls.context.source_files import Source
from starcoder_ls.evaluation import boundaries, holes
from starcoder_ls.evaluation.holes import Hole, Kind

CODE = """class Shop:
    # a comment that no hole begins in
    def __init__(self, name, price):
        self.name = name
        self.price = price

    def label(self):
        return f"{self.name}: {self.price}"
"""
SOURCES = [Source("shop", "shop/shop.py", CODE)]


@pytest.mark.parametrize("kind", holes.TEXT_KINDS)
def test_hole_and_document_add_up_to_the_file(kind: Kind) -> None:
    drawn = holes.draw_holes(SOURCES, kind, 30, 0)
    assert len(drawn) == 30
    for hole in drawn:
        assert hole.text[: hole.start] + hole.middle + hole.text[hole.start :] == CODE
        assert hole.middle.strip()


def test_seed_determines_the_holes() -> None:
    assert holes.draw_holes(SOURCES, Kind.REST, 20, 1) == holes.draw_holes(SOURCES, Kind.REST, 20, 1)
    assert holes.draw_holes(SOURCES, Kind.REST, 20, 1) != holes.draw_holes(SOURCES, Kind.REST, 20, 2)


def test_holes_begin_and_end_as_their_kind_says() -> None:
    for hole in holes.draw_holes(SOURCES, Kind.LINE, 30, 0):
        assert CODE[hole.end] == "\n"
        assert CODE[: hole.start].rpartition("\n")[2].strip() == ""
        assert not hole.middle.startswith((" ", "#"))
    for hole in holes.draw_holes(SOURCES, Kind.REST, 30, 0):
        assert CODE[hole.end] == "\n"
        assert CODE[: hole.start].rpartition("\n")[2].strip()
    assert all("\n" in hole.middle for hole in holes.draw_holes(SOURCES, Kind.LINES, 30, 0))


def test_copy_baseline_follows_the_most_similar_line() -> None:
    text = "a.name = name\na.size = size\n\nb.name = name\nb.size = size\n"
    start = text.rindex("b.size") + len("a.si")
    assert holes.copy_similar_line(Hole(Kind.REST, Source("p", "p.py", text), start, len(text) - 1)) == "a.size = size"


def test_copy_baseline_completes_a_line_that_begins_alike() -> None:
    text = "import os\nimport sys\nvalue = compute(3)\nother = 1\nvalue = compute(3)\n"
    start = text.rindex("compute")
    assert holes.copy_similar_line(Hole(Kind.REST, Source("p", "p.py", text), start, len(text) - 1)) == "compute(3)"


def draw_by_syntax(kind: Kind, count: int = 20, seed: int = 0, code: str = CODE) -> list[Hole]:
    def read_source(path: str) -> tuple[Source, boundaries.Boundaries] | None:
        return None if path == "gone.py" else (Source("shop", path, code), boundaries.find_boundaries(code, "python"))

    return holes.draw_holes_by_syntax(["a.py", "b.py", "gone.py"], kind, count, seed, read_source)


@pytest.mark.parametrize("kind", holes.SYNTAX_KINDS)
def test_holes_by_syntax_differ_and_follow_the_seed(kind: Kind) -> None:
    drawn = draw_by_syntax(kind, 4)
    assert len({(hole.source.path, hole.start, hole.end) for hole in drawn}) == len(drawn) >= 2
    assert drawn == draw_by_syntax(kind, 4)
    assert {hole.source.path for hole in draw_by_syntax(kind)} == {"a.py", "b.py"}
    for hole in drawn:
        assert hole.text[: hole.start] + hole.middle + hole.text[hole.start :] == CODE
        assert "comment" not in hole.middle


def test_another_seed_draws_other_holes_by_syntax() -> None:
    assert draw_by_syntax(Kind.SPAN, 8, 1) != draw_by_syntax(Kind.SPAN, 8, 2)


def test_other_files_leave_most_holes_as_they_are() -> None:
    """Those that are left out are the last ones of files that both have."""

    def read_source(path: str) -> tuple[Source, boundaries.Boundaries]:
        return Source("shop", path, CODE), boundaries.find_boundaries(CODE, "python")

    paths = [f"{number}.py" for number in range(40)]
    more = sorted([*paths, "added.py", "also.py"])
    before = holes.draw_holes_by_syntax(paths, Kind.LINE, 60, 0, read_source)
    after = holes.draw_holes_by_syntax(more, Kind.LINE, 60, 0, read_source)
    kept = [hole for hole in after if hole in before]
    assert len(kept) >= 50
    assert [hole for hole in after if hole.source.path in paths] == before[: len(kept)]
    assert len({hole.source.path for hole in before}) > 25


def test_drawing_by_syntax_stops_when_no_holes_are_left() -> None:
    assert len(draw_by_syntax(Kind.BLOCK)) == 4
    assert len(draw_by_syntax(Kind.LINE, 100)) == 12
    assert draw_by_syntax(Kind.BLOCK, code="value = 1\n") == []


def test_block_is_a_body_and_rest_begins_inside_a_line() -> None:
    assert {hole.middle for hole in draw_by_syntax(Kind.BLOCK)} == {
        "self.name = name\n        self.price = price",
        CODE[CODE.index("def __init__") : -1],
    }
    for hole in draw_by_syntax(Kind.REST):
        assert CODE[: hole.start].rpartition("\n")[2].strip()
        assert CODE[hole.end] == "\n"
