"""A new bottleneck adapter for training: its configuration, its layers in a model, and its files.

Files are in Astraios' format, as safetensors, with the fingerprint of the base in the metadata.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from starcoder_ls.engine.adapters import peft_compat
from starcoder_ls.engine.adapters.config import CONFIG_FILE
from starcoder_ls.engine.adapters.files import FINGERPRINT_KEY, WEIGHTS_FILE
from starcoder_ls.engine.adapters.methods.bottleneck import PEFT_TYPE, BottleneckConfig, BottleneckLayer
from starcoder_ls.engine.loading import integrity

# The keys of Astraios' published adapter_config.json files.
_SAVED_KEYS = frozenset(
    {"adapter_dropout", "bias", "bottleneck_size", "init_weights", "modules_to_save", "non_linearity", "scaling"}
    | {"revision", "target_modules", "task_type", "use_adapterp", "use_parallel_adapter"}
)


def parallel_config(bottleneck_size: int, target_modules: list[str], non_linearity: str = "tanh") -> BottleneckConfig:
    """A Parallel adapter that changes nothing until it is trained: its second matrix starts at zero."""
    return BottleneckConfig(
        target_modules=target_modules,
        bottleneck_size=bottleneck_size,
        non_linearity=non_linearity,
        use_parallel_adapter=True,
        init_weights="mam_adapter",
        task_type="CAUSAL_LM",
    )


def add_adapter(model: torch.nn.Module, config: BottleneckConfig) -> list[torch.nn.Parameter]:
    """Put a new active adapter into ``model`` and return its weights, the only ones of the model with a gradient.

    Raises ValueError if ``target_modules`` match nothing in the model.
    """
    config.inference_mode = False
    targets = peft_compat.inject_layers(config, model)
    weights = [weight for target in targets for weight in target.weights().values()]
    model.requires_grad_(False)
    for weight in weights:
        weight.requires_grad_(True)
    return weights


def save_adapter(
    model: torch.nn.Module, config: BottleneckConfig, folder: Path, base_name: str, base_fingerprint: str
) -> None:
    """Write the adapter that ``add_adapter`` put into ``model``.

    ``base_fingerprint`` is ``compute_fingerprint`` of the base's checkpoint; the adapter is later refused on any other.
    """
    folder.mkdir(parents=True, exist_ok=True)
    saved = {key: value for key, value in config.to_dict().items() if key in _SAVED_KEYS}
    saved |= {"peft_type": PEFT_TYPE, "inference_mode": True, "base_model_name_or_path": base_name}
    weights: dict[str, torch.Tensor] = {}
    for path, module in model.named_modules():
        if isinstance(module, BottleneckLayer):
            target = peft_compat.TargetModule(path, model, "", module.base_layer, module)
            weights |= {name: weight.detach().cpu().contiguous() for name, weight in target.weights().items()}
    save_file(weights, folder / WEIGHTS_FILE, {"format": "pt", FINGERPRINT_KEY: base_fingerprint})
    (folder / CONFIG_FILE).write_text(json.dumps(saved, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    integrity.write_manifest(folder, (CONFIG_FILE, WEIGHTS_FILE))
