from __future__ import annotations

import pytest
from transformers.utils import logging as transformers_logging

from starcoder_ls.engine.loading import progress


def test_nested_ranges_are_scaled() -> None:
    seen: list[tuple[float, str]] = []
    outer = progress.scale_progress(lambda fraction, message: seen.append((fraction, message)), 0.5, 1.0)
    inner = progress.scale_progress(outer, 0.0, 0.5)
    inner(0.0, "a")
    inner(1.0, "b")
    assert seen == [(0.5, "a"), (0.75, "b")]


def test_transformers_progress_bar_calls_the_callback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "MIN_INTERVAL_S", 0.0)
    seen: list[float] = []
    with progress.report_weight_loading(lambda fraction, _message: seen.append(fraction), "Loading."):
        assert list(transformers_logging.tqdm(range(4), desc="Loading weights")) == [0, 1, 2, 3]
        with transformers_logging.tqdm(total=3) as bar:
            bar.update(1)
    assert seen == [0.0, 0.25, 0.5, 0.75]
    assert capfd.readouterr() == ("", "")


def test_exception_of_the_callback_ends_the_loading() -> None:
    def interrupt(_fraction: float, _message: str) -> None:
        raise InterruptedError

    with progress.report_weight_loading(interrupt, ""), pytest.raises(InterruptedError):
        list(transformers_logging.tqdm([1]))


def test_hook_is_removed_after_loading() -> None:
    before = transformers_logging.set_tqdm_hook(None)
    with progress.report_weight_loading(progress.ignore_progress, ""):
        pass
    assert transformers_logging.set_tqdm_hook(before) is None
