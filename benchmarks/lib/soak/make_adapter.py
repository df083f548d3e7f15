"""Save a small LoRA adapter of the bundled model with PEFT; a program of its own, because it loads torch.

python make_adapter.py FOLDER SEED
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

import starcoder_ls

WEIGHT_STD = 0.02
"""So small that the suggestions are still sensible."""


def save_adapter(folder: Path, seed: int) -> None:
    bundled = Path(starcoder_ls.__file__).parent / "bundled"
    model = AutoModelForCausalLM.from_pretrained(bundled, dtype=torch.float32)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["c_attn"], task_type="CAUSAL_LM")
    adapted, generator = get_peft_model(model, config), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.copy_(torch.randn(weight.shape, generator=generator) * WEIGHT_STD)
    adapted.save_pretrained(folder)


if __name__ == "__main__":
    save_adapter(Path(sys.argv[1]), int(sys.argv[2]))
