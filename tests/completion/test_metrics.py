import json

from starcoder_ls.completion.metrics import Metrics, percentiles
from starcoder_ls.completion.suggest import Source
from starcoder_ls.generation import Timings


def test_what_was_made_and_never_used_is_wasted() -> None:
    metrics = Metrics()
    metrics.made(10, is_ahead=False)
    metrics.made(6, is_ahead=True)
    metrics.used(10)
    assert metrics.summary()["tokens"] == {"read": 0, "reused": 0, "made": 16, "made_ahead": 6, "wasted": 6}


def test_answers_are_counted_by_where_they_came_from() -> None:
    metrics = Metrics()
    metrics.answered(Source.MODEL, 80.0, Timings(prompt_tokens=100, reused_tokens=96, decode_steps=7), is_empty=False)
    metrics.answered(Source.MEMORY, 0.2, Timings(), is_empty=False)
    metrics.answered(Source.AHEAD, 0.2, Timings(), is_empty=True)
    summary = metrics.summary()
    assert summary["answers"] == {"model": 1, "resumed": 0, "memory": 1, "ahead": 1}
    assert (summary["without_model_percent"], summary["empty"]) == (66.7, 1)
    assert summary["model_ms"]["p50"] == 80.0
    assert summary["tokens"]["read"] == 4
    assert summary["last"]["source"] == "ahead"
    json.dumps(summary)


def test_nothing_asked_yet_is_a_summary_too() -> None:
    assert Metrics().summary()["ms"] == {}
    assert percentiles([1.0, 2.0, 3.0]) == {"p50": 2.0, "p95": 3.0, "p99": 3.0}
