from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from starcoder_ls.evaluation import score, svg_plots
from starcoder_ls.evaluation.score import Mean
from starcoder_ls.evaluation.svg_plots import Bar


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # what is no XML fails here


def words(svg: str) -> list[str]:
    return ["".join(one.itertext()) for one in parsed(svg).iter("text")]


def test_bars_end_where_their_shares_say() -> None:
    rows = [Bar("none", Mean(0, 0, 0.1)), Bar("half", Mean(0.5, 0.4, 0.6), "12 holes"), Bar("all", Mean(1, 0.9, 1))]
    svg = svg_plots.bars("Shares", rows)
    widths = [float(one.get("width", "")) for one in parsed(svg).iter("rect")]
    assert widths[0] < 1
    assert widths[1] * 2 == pytest.approx(widths[2], abs=0.2)
    assert {"none", "half", "12 holes", "50.0", "100.0", "0 %", "100 %"} <= set(words(svg))


def test_a_plot_stays_inside_its_frame() -> None:
    rows = [Bar("far", Mean(0.9, 0.2, 1.4)), Bar("below", Mean(0.0, -0.2, 0.1))]
    for svg in (svg_plots.bars("x", rows, 0.5), svg_plots.curve("t", [("all", [0.4, 3.0, 80000.0], "a")], (0.5, 0.99))):
        right = [float(found) for found in re.findall(r'[HM]([0-9.]+)|x="([0-9.]+)"', svg) for found in found if found]
        assert right
        assert max(right) <= svg_plots.WIDTH
        assert "nan" not in svg
        assert "inf" not in svg


def test_what_is_written_is_never_markup() -> None:
    svg = svg_plots.bars("a <b> & c", [Bar("<script>", Mean(0.5, 0.4, 0.6), 'note "&"')])
    assert "<script>" not in svg
    assert {"<script>", 'note "&"'} <= set(words(svg))
    assert parsed(svg).get("aria-label") == "a <b> & c"


def test_curve_rises_to_all_and_marks_its_quantiles() -> None:
    values = [float(ms) for ms in range(10, 1010, 10)]
    svg = svg_plots.curve("Time", [("all", values, "a")], (0.5, 0.95))
    assert {"p50 500 ms", "p95 950 ms", "100 %", "0 %"} <= set(words(svg))
    path = next(one.get("d", "") for one in parsed(svg).iter("path"))
    assert path.count("V") == len(values)
    heights = [float(found) for found in re.findall(r"V([0-9.]+)", path)]
    assert heights == sorted(heights, reverse=True)


@pytest.mark.parametrize("values", [[], [0.0], [5.0], [5.0, 5.0, 5.0]])
def test_few_values_make_a_plot_or_none(values: list[float]) -> None:
    svg = svg_plots.curve("Time", [("all", values, "a")], (0.5,))
    assert svg == "" if not any(values) else parsed(svg) is not None


@pytest.mark.parametrize("high", [0.01, 0.12, 0.3, 0.55, 0.97, 1.0])
def test_an_axis_ends_behind_every_interval(high: float) -> None:
    end = svg_plots.axis_end([Mean(0.0, 0.0, high), score.share([False] * 1000)])
    assert high <= end <= 1.0
    assert end == 1.0 or end <= 4 * high + 0.05


def test_stacks_fill_their_bar_and_name_their_parts() -> None:
    names = (("right", "good"), ("wrong", "bad"), ("nothing", "b"))
    svg = svg_plots.stacks("Outcomes", [("line", [0.5, 0.25, 0.25]), ("block", [0.0, 1.0, 0.0])], names)
    parts = [one for one in parsed(svg).iter("rect") if list(one)]
    widths = [float(one.get("width", "")) for one in parts]
    assert widths[0] == pytest.approx(2 * widths[1], abs=2)
    assert widths[3] == widths[5] == 0
    assert widths[4] == pytest.approx(sum(widths[:3]), abs=3)
    assert {"line", "block", "right", "wrong", "nothing", "50", "25", "100"} <= set(words(svg))
