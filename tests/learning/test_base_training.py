from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from starcoder_ls.learning import base_training, corpus, tokenizer_training
from starcoder_ls.learning.sources import Source

PLAN = base_training.Plan(
    layers=2, width=64, heads=1, positions=128, total_tokens=16_384, batch_tokens=512, row_tokens=64,
    warmup_tokens=1024, full_length_share=0.25,
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> corpus.Corpus:
    place = tmp_path_factory.mktemp("corpus")
    files = sorted(Path(corpus.__file__).parent.glob("*.py"))
    texts = [Source("pkg", f"pkg/{p.name}", p.read_text(encoding="utf-8")) for p in files]
    tokenizer = tokenizer_training.trained([t.text for t in texts], 512)
    tokenizer_training.save(tokenizer, place)
    corpus.write(place, tokenizer, texts, [])
    return corpus.Corpus(place)


def run(folder: Path, data: corpus.Corpus) -> base_training.Run:
    return base_training.Run(folder, PLAN, data, data, "cpu", is_compiled=False, workers=0)


def test_loss_falls_and_the_model_loads_like_any_other(tmp_path: Path, data: corpus.Corpus) -> None:
    training = run(tmp_path, data)
    reports = list(training.steps(report_every=4))
    assert reports[-1].tokens == PLAN.total_tokens
    assert reports[-1].loss < reports[0].loss - 1.0
    training.export(tmp_path / "model")
    loaded = AutoModelForCausalLM.from_pretrained(str(tmp_path / "model"), dtype=torch.float32)
    ids = torch.arange(20).unsqueeze(0)
    with torch.no_grad():
        assert torch.allclose(loaded(ids).logits, training.model(ids).logits, atol=2e-2)


def test_run_that_was_cut_ends_with_the_same_weights(tmp_path: Path, data: corpus.Corpus) -> None:
    whole = run(tmp_path / "whole", data)
    list(whole.steps())
    cut = run(tmp_path / "cut", data)
    for _ in cut.steps(report_every=1):
        if cut.tokens >= PLAN.total_tokens // 2:
            cut.save()
            break
    resumed = run(tmp_path / "cut", data)
    resumed.restore(tmp_path / "cut" / "checkpoint.pt")
    list(resumed.steps())
    for one, two in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, two)


def test_last_phase_reads_rows_of_all_positions() -> None:
    assert PLAN.row_length(0) == 64
    assert PLAN.row_length(int(PLAN.total_tokens * 0.8)) == 128
