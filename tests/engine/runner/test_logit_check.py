from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import checkpoints
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.loading.checkpoint import read_checkpoint
from starcoder_ls.engine.loading.integrity import EXPECTED_LOGITS_FILE
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.engine.runner import logit_check
from starcoder_ls.errors import ModelInvalid
from starcoder_ls.settings import Model


@pytest.fixture
def folder(starcoder: Path, tmp_path: Path) -> Path:
    return checkpoints.copy_checkpoint(starcoder, tmp_path / "copy")


def load_on_cpu(folder: Path) -> LoadedModel:
    return load(Model(name=str(folder), device="cpu", dtype="float32"), ignore_progress)


def check(loaded: LoadedModel, folder: Path) -> None:
    logit_check.require_expected_logits(loaded.runner, loaded.tokenizer, read_checkpoint(folder), "float32")


def test_stored_logits_are_those_of_the_model_and_no_other(folder: Path, tmp_path: Path) -> None:
    loaded = load_on_cpu(folder)
    logit_check.save_expected_logits(loaded.runner, loaded.tokenizer, folder)
    check(loaded, folder)
    other = load_on_cpu(checkpoints.gpt_bigcode(tmp_path / "other", seed=7))
    with pytest.raises(ModelInvalid, match=r"logits differ by .* from those stored with it"):
        check(other, folder)


def test_a_model_without_stored_logits_runs_few_tokens(folder: Path) -> None:
    loaded = load_on_cpu(folder)
    counts: list[int] = []
    embeddings = loaded.runner.model.get_input_embeddings()
    embeddings.register_forward_hook(lambda _module, arguments, _result: counts.append(arguments[0].shape[-1]))
    check(loaded, folder)
    logit_check.save_expected_logits(loaded.runner, loaded.tokenizer, folder)
    check(loaded, folder)
    assert len(counts) == 3
    assert counts[0] == logit_check.MAX_UNCOMPARED_TOKENS < counts[1] == counts[2] <= logit_check.MAX_PROBE_TOKENS


def test_constant_logits_are_refused(folder: Path) -> None:
    loaded = load_on_cpu(folder)
    with torch.no_grad():
        loaded.runner.model.get_input_embeddings().weight.zero_()
    with pytest.raises(ModelInvalid, match="gives every token the same probability"):
        check(loaded, folder)


def test_logits_that_are_not_finite_are_refused(folder: Path) -> None:
    loaded = load_on_cpu(folder)
    with torch.no_grad():
        loaded.runner.model.transformer.ln_f.bias.fill_(float("nan"))
    with pytest.raises(ModelInvalid, match="its logits are not finite"):
        check(loaded, folder)


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"ids": [1], "tokens": [2], "logits": [1.0, 2.0]},
        {"ids": [1], "tokens": [10**9], "logits": [1.0]},
        {"ids": [1] * 1000, "tokens": [2], "logits": [1.0]},
        {"ids": "1", "tokens": [2], "logits": [1.0]},
        {"ids": [1], "tokens": [2], "logits": ["1"]},
    ],
)
def test_invalid_file_of_expected_logits_is_refused(stored: dict[str, Any], folder: Path) -> None:
    (folder / EXPECTED_LOGITS_FILE).write_text(json.dumps(stored))
    with pytest.raises(ModelInvalid, match="does not contain logits of this model"):
        logit_check._read_stored(read_checkpoint(folder))
