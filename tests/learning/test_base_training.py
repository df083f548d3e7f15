from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from starcoder_ls.learning import base_training, corpus, tokenizer_training
from starcoder_ls.learning.sources import Source

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


def create_run(folder: Path, data: corpus.Corpus) -> base_training.TrainingRun:
    return base_training.TrainingRun(folder, CONFIG, data, data, "cpu", is_compiled=False, workers=0)


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
    assert CONFIG.row_length(0) == 64
    assert CONFIG.row_length(int(CONFIG.total_tokens * 0.8)) == 128
