from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from repositories import repository, run_of
from starcoder_ls.evaluation import html_report
from starcoder_ls.evaluation.results import Run

VOID = {"meta", "br", "link", "img", "line", "rect", "path", "circle"}


class Reader(HTMLParser):
    """Every element that opens also closes, in order; keeps the text and what would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.fetched: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.fetched += [f"{name}={value}" for name, value in attributes if name in ("src", "href", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(run: Run) -> tuple[Reader, str]:
    html, reader = html_report.html(run), Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader, html


@pytest.fixture
def run(tmp_path: Path) -> Run:
    evil = "</pre><script>alert(1)</script>"
    return run_of(repository(tmp_path), lambda hole: evil if hole.start % 2 else hole.middle, 8)


def test_the_page_fetches_nothing_and_runs_nothing(run: Run) -> None:
    reader, html = read(run)
    assert reader.fetched == []
    assert "script" not in reader.seen
    assert not re.search(r"https?://|@import|url\(", html)
    assert "default-src 'none'" in html


def test_code_is_text_on_the_page(run: Run) -> None:
    reader, html = read(run)
    assert "<script>alert" not in html
    assert "</pre><script>alert(1)</script>" in reader.text


def test_the_page_says_what_was_measured(run: Run) -> None:
    reader, _ = read(run)
    for said in ("single-line", "block", "python", "javascript", "p95", "seed 0", "scripted on cpu", "Examples"):
        assert said in reader.text
    right = sum(hole.is_first_line_match for hole in run.holes) / len(run.holes)
    assert f"{100 * right:.1f} %" in reader.text


def test_without_texts_the_page_has_no_code(run: Run) -> None:
    bare = run.model_copy(update={"holes": [hole.model_copy(update={"texts": None}) for hole in run.holes]})
    reader, _ = read(bare)
    assert "Examples" not in reader.text
    assert "self.name" not in reader.text


def test_one_language_has_no_plot_by_language(run: Run) -> None:
    python = run.model_copy(update={"holes": [hole for hole in run.holes if hole.language == "python"]})
    assert "By language" not in read(python)[0].text
    assert "By language" in read(run)[0].text


def test_a_single_hole_makes_a_page(run: Run) -> None:
    reader, _ = read(run.model_copy(update={"holes": run.holes[:1]}))
    assert "1 holes in 1 file" not in reader.text
    assert "1 hole in 1 file" in reader.text


def test_outcomes_of_a_kind_add_up_to_all_its_holes(run: Run) -> None:
    _, html = read(run)
    said = re.findall(r"<title>all, (exact|first line right|something else|nothing): ([0-9.]+) %</title>", html)
    assert [name for name, _ in said] == ["exact", "first line right", "something else", "nothing"]
    assert sum(float(share) for _, share in said) == pytest.approx(100, abs=0.3)
    assert float(said[0][1]) == pytest.approx(100 * sum(hole.is_exact for hole in run.holes) / len(run.holes), abs=0.06)
