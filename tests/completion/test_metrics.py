import json

from starcoder_ls.completion.metrics import Metrics, percentiles
from starcoder_ls.completion.suggestion import Source
from starcoder_ls.generation import Timings


def test_generated_tokens_that_are_never_served_are_wasted() -> None:
    metrics = Metrics()
    metrics.record_generation(10, is_prefetched=False)
    metrics.record_generation(6, is_prefetched=True)
    metrics.record_served_tokens(10)
    assert metrics.summary()["tokens"] == {"read": 0, "reused": 0, "made": 16, "made_ahead": 6, "wasted": 6}


def test_answers_are_counted_by_source() -> None:
    metrics = Metrics()
    timings = Timings(prompt_tokens=100, reused_tokens=96, decode_steps=7)
    metrics.record_answer(Source.MODEL, 80.0, timings, is_empty=False)
    metrics.record_answer(Source.MEMORY, 0.2, Timings(), is_empty=False)
    metrics.record_answer(Source.PREFETCHED, 0.2, Timings(), is_empty=True)
    summary = metrics.summary()
    assert summary["answers"] == {"model": 1, "resumed": 0, "memory": 1, "ahead": 1}
    assert (summary["without_model_percent"], summary["empty"]) == (66.7, 1)
    assert summary["model_ms"]["p50"] == 80.0
    assert summary["tokens"]["read"] == 4
    assert summary["last"]["source"] == "ahead"
    json.dumps(summary)


def test_summary_without_answers_has_no_percentiles() -> None:
    assert Metrics().summary()["ms"] == {}
    assert percentiles([1.0, 2.0, 3.0]) == {"p50": 2.0, "p95": 3.0, "p99": 3.0}
