from __future__ import annotations

from pathlib import Path

import checkpoints
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.generation import Phase
from starcoder_ls.settings import Model


def test_ready_status_describes_the_model(starcoder: Path) -> None:
    loaded = load(Model(name=str(starcoder), device="cpu", dtype="bfloat16"), ignore_progress)
    status = loaded.ready_status("mine")
    assert (status.model, status.architecture) == ("mine", "GPTBigCodeForCausalLM")
    assert (status.phase, status.device, status.dtype) == (Phase.READY, "cpu", "bfloat16")
    assert status.context_tokens == loaded.context_tokens == 256
    assert status.special_tokens == set(checkpoints.STARCODER)
    assert status.memory_bytes == loaded.bytes == loaded.runner.weight_bytes
