from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from repositories import repository, run_of
from starcoder_ls.evaluation import html_report
from starcoder_ls.evaluation.results import Run

VOID = {"meta", "br", "link", "img", "line", "rect", "path", "circle"}


class PageParser(HTMLParser):
    """Asserts that elements are closed in order; collects the text and the addresses that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open_tags: list[str] = []
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [f"{name}={value}" for name, value in attributes if name in ("src", "href", "srcset")]
        if tag not in VOID:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open_tags.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parse(run: Run) -> tuple[PageParser, str]:
    html, parser = html_report.render_html(run), PageParser()
    parser.feed(html)
    parser.close()
    assert parser.open_tags == []
    return parser, html


@pytest.fixture
def run(tmp_path: Path) -> Run:
    markup = "</pre><script>alert(1)</script>"
    return run_of(repository(tmp_path), lambda hole: markup if hole.start % 2 else hole.middle, 8)


def test_page_loads_nothing_and_has_no_script(run: Run) -> None:
    parser, html = parse(run)
    assert parser.fetched == []
    assert "script" not in parser.tags
    assert not re.search(r"https?://|@import|url\(", html)
    assert "default-src 'none'" in html


def test_code_is_escaped(run: Run) -> None:
    parser, html = parse(run)
    assert "<script>alert" not in html
    assert "</pre><script>alert(1)</script>" in parser.text


def test_page_names_what_was_measured(run: Run) -> None:
    parser, _ = parse(run)
    for text in ("single-line", "block", "python", "javascript", "p95", "seed 0", "scripted on cpu", "Examples"):
        assert text in parser.text
    right = sum(hole.is_first_line_match for hole in run.holes) / len(run.holes)
    assert f"{100 * right:.1f} %" in parser.text


def test_page_without_texts_has_no_code(run: Run) -> None:
    bare = run.model_copy(update={"holes": [hole.model_copy(update={"texts": None}) for hole in run.holes]})
    parser, _ = parse(bare)
    assert "Examples" not in parser.text
    assert "self.name" not in parser.text


def test_single_language_has_no_section_by_language(run: Run) -> None:
    python = run.model_copy(update={"holes": [hole for hole in run.holes if hole.language == "python"]})
    assert "By language" not in parse(python)[0].text
    assert "By language" in parse(run)[0].text


def test_single_hole_makes_a_page(run: Run) -> None:
    parser, _ = parse(run.model_copy(update={"holes": run.holes[:1]}))
    assert "1 holes in 1 file" not in parser.text
    assert "1 hole in 1 file" in parser.text


def test_outcomes_of_a_group_add_up_to_all_holes(run: Run) -> None:
    _, html = parse(run)
    outcomes = re.findall(r"<title>all, (exact|first line right|other text|no answer): ([0-9.]+) %</title>", html)
    assert [name for name, _ in outcomes] == ["exact", "first line right", "other text", "no answer"]
    assert sum(float(share) for _, share in outcomes) == pytest.approx(100, abs=0.3)
    assert float(outcomes[0][1]) == pytest.approx(
        100 * sum(hole.is_exact for hole in run.holes) / len(run.holes), abs=0.06
    )
