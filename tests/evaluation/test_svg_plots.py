from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from starcoder_ls.evaluation import score, svg_plots
from starcoder_ls.evaluation.score import Estimate
from starcoder_ls.evaluation.svg_plots import Bar


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # fails if it is not XML


def text_labels(svg: str) -> list[str]:
    return ["".join(element.itertext()) for element in parse(svg).iter("text")]


def test_bar_length_is_proportional_to_its_share() -> None:
    rows = [
        Bar("none", Estimate(0, 0, 0.1)),
        Bar("half", Estimate(0.5, 0.4, 0.6), "12 holes"),
        Bar("all", Estimate(1, 0.9, 1)),
    ]
    svg = svg_plots.bar_chart("Shares", rows)
    widths = [float(element.get("width", "")) for element in parse(svg).iter("rect")]
    assert widths[0] < 1
    assert widths[1] * 2 == pytest.approx(widths[2], abs=0.2)
    assert {"none", "half", "12 holes", "50.0", "100.0", "0 %", "100 %"} <= set(text_labels(svg))


def test_plots_stay_inside_their_frame() -> None:
    rows = [Bar("far", Estimate(0.9, 0.2, 1.4)), Bar("below", Estimate(0.0, -0.2, 0.1))]
    for svg in (
        svg_plots.bar_chart("x", rows, 0.5),
        svg_plots.cumulative_curve("t", [("all", [0.4, 3.0, 80000.0], "a")], (0.5, 0.99)),
    ):
        right = [float(found) for found in re.findall(r'[HM]([0-9.]+)|x="([0-9.]+)"', svg) for found in found if found]
        assert right
        assert max(right) <= svg_plots.WIDTH
        assert "nan" not in svg
        assert "inf" not in svg


def test_text_is_escaped() -> None:
    svg = svg_plots.bar_chart("a <b> & c", [Bar("<script>", Estimate(0.5, 0.4, 0.6), 'note "&"')])
    assert "<script>" not in svg
    assert {"<script>", 'note "&"'} <= set(text_labels(svg))
    assert parse(svg).get("aria-label") == "a <b> & c"


def test_curve_rises_to_one_and_marks_its_quantiles() -> None:
    values = [float(ms) for ms in range(10, 1010, 10)]
    svg = svg_plots.cumulative_curve("Time", [("all", values, "a")], (0.5, 0.95))
    assert {"p50 500 ms", "p95 950 ms", "100 %", "0 %"} <= set(text_labels(svg))
    path = next(element.get("d", "") for element in parse(svg).iter("path"))
    assert path.count("V") == len(values)
    heights = [float(found) for found in re.findall(r"V([0-9.]+)", path)]
    assert heights == sorted(heights, reverse=True)


@pytest.mark.parametrize("values", [[], [0.0], [5.0], [5.0, 5.0, 5.0]])
def test_curve_of_few_values_is_a_plot_or_empty(values: list[float]) -> None:
    svg = svg_plots.cumulative_curve("Time", [("all", values, "a")], (0.5,))
    assert svg == "" if not any(values) else parse(svg) is not None


@pytest.mark.parametrize("high", [0.01, 0.12, 0.3, 0.55, 0.97, 1.0])
def test_axis_ends_beyond_every_interval(high: float) -> None:
    end = svg_plots.axis_end([Estimate(0.0, 0.0, high), score.estimate_proportion([False] * 1000)])
    assert high <= end <= 1.0
    assert end == 1.0 or end <= 4 * high + 0.05


def test_stacked_bars_are_full_and_labelled() -> None:
    names = (("right", "good"), ("wrong", "bad"), ("nothing", "b"))
    svg = svg_plots.stacked_bars("Outcomes", [("line", [0.5, 0.25, 0.25]), ("block", [0.0, 1.0, 0.0])], names)
    parts = [element for element in parse(svg).iter("rect") if list(element)]
    widths = [float(part.get("width", "")) for part in parts]
    assert widths[0] == pytest.approx(2 * widths[1], abs=2)
    assert widths[3] == widths[5] == 0
    assert widths[4] == pytest.approx(sum(widths[:3]), abs=3)
    assert {"line", "block", "right", "wrong", "nothing", "50", "25", "100"} <= set(text_labels(svg))
