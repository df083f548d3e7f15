"""Whether an adapter's tensors belong to its method, and both to this base.

Decides what refuses an adapter before any of it is used: each tensor must be one the method has, no more and no fewer,
of the right shape and finite. Refuses to know how layers are built.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence

import torch

from starcoder_ls.engine.adapters import fingerprint, peft_compat, virtual_tokens
from starcoder_ls.engine.adapters.files import Files
from starcoder_ls.engine.adapters.methods.bottleneck import KIND
from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.errors import AdapterInvalid

_log = logging.getLogger(__name__)

_PATH = r"base_model\.model\.[A-Za-z0-9_.]+\."
_OWN = {
    "LORA": re.compile(_PATH + r"lora_[AB]\.weight"),
    "IA3": re.compile(_PATH + r"ia3_l"),
    KIND: re.compile(_PATH + r"(adapter_(down|up)\.weight|adapter_scaling)"),
}
_PROMPT = re.compile(virtual_tokens.KEY)


def require_own_weights(files: Files, tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise AdapterInvalid for a tensor that is not the method's own, such as a base's weight, or is not finite."""
    pattern = _OWN.get(files.declared.kind, _PROMPT)
    for name, tensor in tensors.items():
        if not pattern.fullmatch(name):
            raise AdapterInvalid(
                f"{files.weights} holds {name}, which is no weight of a {files.declared.kind} adapter and could "
                "overwrite the base. Do not use it."
            )
        if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            raise AdapterInvalid(f"{files.weights} holds {name}, which is not finite. Download it again.")


def require_exact(expected: Mapping[str, tuple[int, ...]], tensors: Mapping[str, torch.Tensor], misfit: str) -> None:
    """Raise AdapterInvalid unless ``tensors`` are exactly the expected ones."""
    missing, extra = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    if missing or extra:
        raise AdapterInvalid(
            f"{misfit}: {len(missing)} tensors are missing and {len(extra)} are too many, such as "
            f"{min(missing | extra)}. Use the adapter with its own base, or download it again."
        )
    for name, shape in expected.items():
        found = tuple(tensors[name].shape)
        if found != shape:
            raise AdapterInvalid(f"{misfit}: {name} is {found} and must be {shape}. Use the adapter with its own base.")


def require_same_base(files: Files, checkpoint: Checkpoint, model_name: str) -> None:
    """Raise AdapterInvalid where the adapter says by contents that its base is another; a name is only a hint."""
    wanted = files.base_fingerprint
    if wanted and wanted != (found := fingerprint.of(checkpoint)):
        raise AdapterInvalid(
            f"The adapter {files.folder} was trained on {files.declared.base or 'a base'} with the fingerprint "
            f"{wanted}, but {model_name} has {found}. Use it with the base it was trained on, or train it again."
        )
    if not wanted and (doubt := name_doubt(files, model_name)):
        _log.warning("%s", doubt)


def name_doubt(files: Files, model_name: str) -> str:
    """A sentence where the adapter names another base than this; it fits in shape, and may be meant so."""
    said = files.declared.base
    if not said or _last(said) == _last(model_name):
        return ""
    return f"{files.folder} names {said} as its base; the model here is {model_name}."


def misfit(files: Files, checkpoint: Checkpoint, model_name: str) -> str:
    """How a sentence begins that says why the two do not go together."""
    base = files.declared.base or "an unnamed base"
    config = checkpoint.config
    layers = config.get("n_layer") or config.get("num_hidden_layers")
    width = config.get("n_embd") or config.get("hidden_size")
    return f"The adapter {files.folder}, trained for {base}, does not fit {model_name} ({layers} layers, width {width})"


def require_linear(sites: Sequence[peft_compat.Site], misfit: str) -> None:
    """Raise AdapterInvalid where the adapter changes the vocabulary, which every adapter here shares."""
    for site in sites:
        if not hasattr(site.original, "in_features") or site.path.endswith("lm_head"):
            raise AdapterInvalid(
                f"{misfit}: it changes {site.path}, and this server runs adapters of the layers within blocks only. "
                "Train it without that module."
            )


def require_combination(files: Files, quantization: str, dtype: torch.dtype) -> None:
    """Raise AdapterInvalid for what PEFT and the quantization library do not do together (docs/adapters.md)."""
    if files.declared.kind == "IA3" and quantization in ("int8", "nf4") and dtype != torch.float32:
        raise AdapterInvalid(
            f"(IA)³ on a base quantized by bitsandbytes needs float32 activations, and `model.dtype` is "
            f"{str(dtype).removeprefix('torch.')} here. Set `model.dtype` to float32, or use torchao-int8."
        )


def _last(name: str) -> str:
    return name.rstrip("/\\").replace("\\", "/").rpartition("/")[2].lower()
