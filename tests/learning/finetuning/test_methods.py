"""Every method on every architecture: what is trained, and that the engine computes the same with the saved files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import checkpoints
from starcoder_ls.engine.adapters.fingerprint import compute_fingerprint
from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapters, prepare_adapter
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.loading.checkpoint import read_checkpoint
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.engine.model_shape import layer_count
from starcoder_ls.learning.finetuning.methods import METHODS, build_trainable
from starcoder_ls.learning.finetuning.trainable import BaseIdentity, Trainable
from starcoder_ls.settings import Adapter
from training_fixtures import load_base

BASES = ("starcoder", "wide_starcoder2", "llama", "qwen2")
ADAPTERS = tuple(name for name in METHODS if name != "full")
IDS = torch.arange(20, 45)[None]


@pytest.fixture(scope="module")
def wide_starcoder2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A window longer than the rows: the cache of ``served_logits`` has none."""
    return checkpoints.starcoder2(tmp_path_factory.mktemp("models") / "starcoder2", sliding_window=256)


@pytest.fixture(params=[(base, method) for base in BASES for method in ADAPTERS], ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[Path, str]:
    base, method = request.param
    return request.getfixturevalue(base), method


def logits(trainable: Trainable) -> torch.Tensor:
    """[1, time, vocabulary]"""
    with torch.no_grad():
        result: torch.Tensor = trainable.model.get_output_embeddings()(trainable.hidden(IDS))
    return result


def served_logits(folder: Path, adapter_folder: Path) -> torch.Tensor:
    """Logits of the engine with the adapter.  # [1, time, vocabulary]"""
    model, checkpoint, _ = load_base(folder)
    adapters = ResidentAdapters(model, checkpoint)
    resident = adapters.add("own", prepare_adapter(Adapter(path=str(adapter_folder)), True, ignore_progress))
    adapters.activate(resident)
    cache = KvCache(layer_count(model.config), 64)
    if resident.virtual_tokens is not None:
        resident.virtual_tokens.write(model, cache)
    with torch.inference_mode():
        result: torch.Tensor = model(input_ids=IDS, past_key_values=cache, use_cache=True).logits
    return result


def test_engine_computes_the_same_with_the_saved_adapter(case: tuple[Path, str], tmp_path: Path) -> None:
    folder, method = case
    model, checkpoint, _ = load_base(folder)
    trainable = build_trainable(method, model, checkpoint, 4, torch.float32)
    _require_gradients_of_its_own_weights(trainable)
    with torch.no_grad():
        before = load_base(folder)[0](input_ids=IDS).logits
        if not trainable.virtual_tokens:
            assert torch.allclose(logits(trainable), before, atol=1e-5), "a new adapter changes nothing"
        generator = torch.Generator().manual_seed(0)
        for weight in trainable.named_weights().values():
            weight += torch.randn(weight.shape, generator=generator) * 0.2
    trainable.save(tmp_path, BaseIdentity("base", compute_fingerprint(read_checkpoint(folder))))
    trained = logits(trainable)
    assert (trained - before).abs().max() > 0.1
    assert torch.allclose(served_logits(folder, tmp_path), trained, atol=1e-3)


def _require_gradients_of_its_own_weights(trainable: Trainable) -> None:
    trainable.hidden(IDS).square().sum().backward()  # type: ignore[no-untyped-call]
    weights = trainable.named_weights().values()
    assert all(weight.dtype == torch.float32 for weight in weights)
    assert any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in weights)
    own = {id(weight) for weight in weights}
    assert all(weight.grad is None for weight in trainable.model.parameters() if id(weight) not in own)


def test_learning_rates_fall_with_the_width_within_bounds() -> None:
    lora = METHODS["lora"]
    assert lora.rate_for(256) == lora.rate_for(64) == 4e-3
    assert 2e-4 <= lora.rate_for(4096) < 3e-4
    assert lora.rate_for(10**6) == pytest.approx(2e-4)
