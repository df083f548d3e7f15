from __future__ import annotations

from pathlib import Path

import pytest
from peft import LoraConfig

import adapter_fixtures
from starcoder_ls.engine.adapters.config import read_config
from starcoder_ls.engine.adapters.resident_adapters import prepare_adapter
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.settings import Adapter, Model


def test_rank_stabilized_lora_is_scaled_by_the_square_root_of_the_rank(starcoder: Path, tmp_path: Path) -> None:
    config = LoraConfig(r=4, lora_alpha=8, use_rslora=True, target_modules=["c_attn"], task_type="CAUSAL_LM")
    folder = adapter_fixtures.save_random_adapter(starcoder, tmp_path / "adapter", config)
    loaded = load(Model(name=str(starcoder), device="cpu", dtype="float32"), ignore_progress)
    adapter = loaded.adapters.add("own", prepare_adapter(Adapter(path=str(folder)), True, ignore_progress))
    assert adapter.targets[0].adapter_layer.scaling == {"resident": 4.0}


@pytest.mark.parametrize("initialization", [True, "gaussian"])
def test_initialization_that_leaves_the_base_alone_is_accepted(initialization: object, tmp_path: Path) -> None:
    config = read_config(adapter_fixtures.write_config(tmp_path, "LORA", init_lora_weights=initialization))
    assert "init_lora_weights" not in config.values
