from __future__ import annotations

import pytest
from transformers.utils import logging as transformers_logging

from starcoder_ls.engine.loading import progress


def test_shares_nest() -> None:
    seen: list[tuple[float, str]] = []
    inner = progress.share(progress.share(lambda f, s: seen.append((f, s)), 0.5, 1.0), 0.0, 0.5)
    inner(0.0, "a")
    inner(1.0, "b")
    assert seen == [(0.5, "a"), (0.75, "b")]


def test_bar_of_transformers_becomes_reports(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    seen: list[float] = []
    with progress.weights_reported(lambda fraction, _sentence: seen.append(fraction), "Loading."):
        assert list(transformers_logging.tqdm(range(4), desc="Loading weights")) == [0, 1, 2, 3]
        with transformers_logging.tqdm(total=3) as bar:
            bar.update(1)
    assert seen == [0.0, 0.25, 0.5, 0.75]
    assert capfd.readouterr() == ("", "")


def test_report_may_end_the_load() -> None:
    def closing(_fraction: float, _sentence: str) -> None:
        raise InterruptedError

    with progress.weights_reported(closing, ""), pytest.raises(InterruptedError):
        list(transformers_logging.tqdm([1]))


def test_hook_is_taken_back() -> None:
    before = transformers_logging.set_tqdm_hook(None)
    with progress.weights_reported(lambda *_: None, ""):
        pass
    assert transformers_logging.set_tqdm_hook(before) is None
