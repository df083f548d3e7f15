import math
import re
from xml.etree import ElementTree

from starcoder_ls.learning.finetuning.training_report import render_report
from training_records import TRAINING


def log(steps: int) -> list[dict[str, object]]:
    return [
        {
            "step": step,
            "training": {"loss": 3 - step / 50, "middle_loss": math.nan if step == 2 else 3.2 - step / 50},
            "validation": {"loss": 2.9, "middle_loss": 3.0} if step % 5 == 0 else None,
        }
        for step in range(1, steps + 1)
    ]


def test_page_has_both_curves_and_requests_nothing() -> None:
    page = render_report("own <b>", TRAINING, log(20))
    assert page.count("<polyline") == 4
    assert "nan" not in page
    assert "own &lt;b&gt;" in page
    assert not re.search(r"<script|src=|href=|url\(", page)
    for svg in re.findall(r"<svg.*?</svg>", page):
        ElementTree.fromstring(svg)


def test_page_of_a_run_without_steps_says_so() -> None:
    assert "No step was made" in render_report("own", TRAINING, [])


def test_page_of_an_edit_adapter_shows_the_loss_of_answers() -> None:
    page = render_report("own", TRAINING | {"objective": "edits"}, log(20))
    assert page.count("<svg") == 1
    assert "held-out loss of answers" in page
    assert "in the edits," in page
