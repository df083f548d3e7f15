from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from starcoder_ls.engine.adapters.files import WEIGHTS_FILE
from starcoder_ls.learning.finetuning.trainable import BaseIdentity
from starcoder_ls.learning.finetuning.virtual_token_training import PrefixTuning, PromptTuning, PTuning
from training_fixtures import load_base

IDS = torch.arange(20, 32)[None]


def test_network_of_p_tuning_is_trained_and_its_output_is_saved(starcoder: Path, tmp_path: Path) -> None:
    trainable = PTuning(load_base(starcoder)[0], 3)
    assert len(trainable.named_weights()) == 5
    trainable.hidden(IDS).sum().backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None for weight in trainable.named_weights().values())
    trainable.save(tmp_path, BaseIdentity("base", "0"))
    saved = load_file(tmp_path / WEIGHTS_FILE)
    assert saved.keys() == {"prompt_embeddings"}
    assert torch.equal(saved["prompt_embeddings"], trainable.states())


def test_prompt_begins_with_embeddings_of_tokens(starcoder: Path) -> None:
    model = load_base(starcoder)[0]
    table = model.get_input_embeddings().weight
    for state in PromptTuning(model, 4).states():
        assert (table == state).all(dim=1).any()


def test_rows_of_a_batch_do_not_affect_each_other(llama: Path) -> None:
    for build in (PromptTuning, PrefixTuning):
        trainable = build(load_base(llama)[0], 3)
        with torch.no_grad():
            both = trainable.hidden(torch.cat((IDS, IDS + 30)))
            assert torch.allclose(both[:1], trainable.hidden(IDS), atol=1e-4)
        assert both.shape == (2, 12, 48)
