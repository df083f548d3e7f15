from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from starcoder_ls.context.source_files import Source
from starcoder_ls.learning import base_training, corpus, tokenizer_training

CONFIG = base_training.TrainingConfig(
    layers=2, width=64, heads=1, positions=128, total_tokens=16_384, batch_tokens=512, row_tokens=64,
    warmup_tokens=1024, full_length_share=0.25,
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> corpus.Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    files = sorted(Path(corpus.__file__).parent.glob("*.py"))
    texts = [Source("pkg", f"pkg/{p.name}", p.read_text(encoding="utf-8")) for p in files]
    tokenizer = tokenizer_training.train_tokenizer([t.text for t in texts], 512)
    tokenizer_training.save_tokenizer(tokenizer, folder)
    corpus.write_corpus(folder, tokenizer, texts, [])
    return corpus.Corpus(folder)


def create_run(
    folder: Path,
    data: corpus.Corpus,
    config: base_training.TrainingConfig = CONFIG,
    clock: Callable[[], float] = lambda: 0.0,
) -> base_training.TrainingRun:
    return base_training.TrainingRun(folder, config, data, data, "cpu", is_compiled=False, workers=0, clock=clock)


def test_training_lowers_the_loss_and_exports_a_transformers_model(tmp_path: Path, data: corpus.Corpus) -> None:
    training = create_run(tmp_path, data)
    reports = list(training.train(report_every=4))
    assert reports[-1].tokens == CONFIG.total_tokens
    assert reports[-1].loss < reports[0].loss - 1.0
    training.export(tmp_path / "model")
    loaded = AutoModelForCausalLM.from_pretrained(str(tmp_path / "model"), dtype=torch.float32)
    ids = torch.arange(20).unsqueeze(0)
    with torch.no_grad():
        assert torch.allclose(loaded(ids).logits, training.model(ids).logits, atol=2e-2)


def test_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path, data: corpus.Corpus) -> None:
    uninterrupted = create_run(tmp_path / "uninterrupted", data)
    list(uninterrupted.train())
    interrupted = create_run(tmp_path / "interrupted", data)
    for _ in interrupted.train(report_every=1):
        if interrupted.tokens >= CONFIG.total_tokens // 2:
            interrupted.save_checkpoint()
            break
    resumed = create_run(tmp_path / "interrupted", data)
    resumed.load_checkpoint(tmp_path / "interrupted" / "checkpoint.pt")
    list(resumed.train())
    for expected, actual in zip(uninterrupted.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(expected, actual)


def test_rows_have_all_positions_in_the_last_phase() -> None:
    assert CONFIG.row_length(0.0) == 64
    assert CONFIG.row_length(0.8) == 128


class Clock:
    """Time passes with each step of training: ``step_s`` seconds, which change at ``slow_from``."""

    def __init__(self, step_s: float, slow_from: float = float("inf"), slow_step_s: float = 0.0) -> None:
        self.now_s, self.step_s, self.slow_from, self.slow_step_s = 0.0, step_s, slow_from, slow_step_s

    def __call__(self) -> float:
        return self.now_s

    def tick(self) -> None:
        self.now_s += self.step_s if self.now_s < self.slow_from else self.slow_step_s


MINUTE = replace(CONFIG, minutes=1.0, batch_tokens=128, warmup_tokens=256, decay_share=0.4)


def run_by_clock(
    training: base_training.TrainingRun, clock: Clock, stop_after: int | None = None
) -> list[base_training.TrainingReport]:
    reports = []
    for report in training.train(report_every=1):
        reports.append(report)
        clock.tick()
        if len(reports) == stop_after:
            training.save_checkpoint()
            break
    return reports


@pytest.mark.parametrize("clock", [Clock(2.0), Clock(5.0), Clock(1.0, 24.0, 6.0)], ids=["fast", "slow", "slowing"])
def test_learning_rate_has_decayed_after_the_minutes(tmp_path: Path, data: corpus.Corpus, clock: Clock) -> None:
    training = create_run(tmp_path, data, MINUTE, clock)
    factors: list[float] = []
    step = training.optimizer.step
    training.optimizer.step = lambda factor: (factors.append(factor), step(factor))  # type: ignore[assignment, method-assign, func-returns-value]
    run_by_clock(training, clock)
    longest_step = max(clock.step_s, clock.slow_step_s) / 60
    assert max(factors) == 1.0
    assert factors[-1] < longest_step / MINUTE.decay_share + 1e-9, "of the last step, which began before the end"
    assert sorted(factors[-4:], reverse=True) == factors[-4:]
    assert 60 <= clock.now_s < 60 + 2 * longest_step * 60
    assert training.tokens != CONFIG.total_tokens


def test_run_of_minutes_is_resumed_with_equal_weights(tmp_path: Path, data: corpus.Corpus) -> None:
    """Stopped after any step, in the plateau and in the decay; the minutes before each stop count."""
    clock = Clock(4.0)
    uninterrupted = create_run(tmp_path / "uninterrupted", data, MINUTE, clock)
    run_by_clock(uninterrupted, clock)
    folder = tmp_path / "interrupted"
    for stop_after in (3, 9, None):
        clock = Clock(4.0)
        clock.now_s = 1000.0  # another process
        resumed = create_run(folder, data, MINUTE, clock)
        if (folder / "checkpoint.pt").is_file():
            resumed.load_checkpoint(folder / "checkpoint.pt")
        run_by_clock(resumed, clock, stop_after)
    assert resumed.tokens == uninterrupted.tokens
    for expected, actual in zip(uninterrupted.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(expected, actual)


def test_minutes_of_another_run_do_not_count(tmp_path: Path, data: corpus.Corpus) -> None:
    clock = Clock(4.0)
    run_by_clock(create_run(tmp_path, data, MINUTE, clock), clock, 3)
    assert base_training.read_batch_tokens(tmp_path) == MINUTE.batch_tokens
    assert base_training.read_batch_tokens(tmp_path / "other") is None
    continued = create_run(tmp_path / "other", data, MINUTE, clock)
    continued.load_checkpoint(tmp_path / "checkpoint.pt", is_own=False)
    assert (continued.fraction, continued.tokens) == (0.0, 3 * MINUTE.batch_tokens)
