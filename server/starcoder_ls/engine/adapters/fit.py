"""Checks whether an adapter's tensors are those of its method, and whether the adapter fits the base model.

An adapter is refused before any of it is used, unless each of its tensors is one that the method has for this base, no
more and no fewer, of the right shape and finite.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import torch

from starcoder_ls.engine.adapters import base_names, fingerprint
from starcoder_ls.engine.adapters.files import AdapterFiles
from starcoder_ls.engine.adapters.target_module import TargetModule
from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.errors import AdapterInvalid
from starcoder_ls.json_files import printable

_ALLOW = "set `allow_other_base` to true in its `[adapters.NAME]`"

_log = logging.getLogger(__name__)


def require_method_tensors(files: AdapterFiles, tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise AdapterInvalid if a tensor is not one of the method's, such as a weight of the base, or is not finite."""
    method = files.config.method
    for name, tensor in tensors.items():
        if not method.tensor_names.fullmatch(name):
            raise AdapterInvalid(
                f"{files.weights} contains {printable(name, 120)}, which is not a tensor of a "
                f"{method.peft_type} adapter and could overwrite the base. Do not use it."
            )
        if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            raise AdapterInvalid(
                f"{files.weights} contains {printable(name, 120)}, which is not finite. Download it again."
            )


def require_same_fingerprint(files: AdapterFiles, checkpoint: Checkpoint, model_name: str) -> None:
    """Raise AdapterInvalid if the adapter has the fingerprint of another base."""
    expected = files.base_fingerprint
    if expected and expected != (actual := fingerprint.compute_fingerprint(checkpoint)):
        raise AdapterInvalid(
            f"The adapter {files.folder} was trained on {_base_name(files)} with the fingerprint "
            f"{printable(expected)}, but {model_name} has {actual}. Use it with the base it was trained on, train it "
            f"again, or {_ALLOW}."
        )


def require_same_base(files: AdapterFiles, checkpoint: Checkpoint, model_name: str) -> None:
    """Raise AdapterInvalid if the adapter names another base; log a warning if that is only possible.

    Adapters with a fingerprint are checked by that alone.
    """
    if files.base_fingerprint:
        return
    if base_names.is_other_base(files.config.base_name, model_name, checkpoint):
        raise AdapterInvalid(
            f"The adapter {files.folder} was made for {_base_name(files)}, and the model here is {model_name}: it "
            f"would give wrong answers. Use it with its own base, or {_ALLOW}."
        )
    if warning := base_name_warning(files, model_name):
        _log.warning("%s", warning)


def base_name_warning(files: AdapterFiles, model_name: str) -> str:
    """A sentence if the adapter names another base than ``model_name``, else ""."""
    if base_names.is_same_name(files.config.base_name, model_name):
        return ""
    return f"{files.folder} names {_base_name(files)} as its base; the model here is {model_name}."


def require_base_supported(files: AdapterFiles, quantization: str, dtype: torch.dtype) -> None:
    """Raise AdapterInvalid if the method does not run on a base of this quantization and type of activations."""
    if conflict := files.config.method.find_base_conflict(quantization, dtype):
        raise AdapterInvalid(conflict)


def describe_mismatch(files: AdapterFiles, checkpoint: Checkpoint, model_name: str) -> str:
    """The first part of the message that says why adapter and base do not fit; the reason follows after a colon."""
    base_name = _base_name(files)
    config = checkpoint.config
    layers = config.get("n_layer") or config.get("num_hidden_layers")
    width = config.get("n_embd") or config.get("hidden_size")
    return (
        f"The adapter {files.folder}, trained for {base_name}, does not fit {model_name} "
        f"({layers} layers, width {width})"
    )


def require_linear_targets(targets: Sequence[TargetModule], mismatch: str) -> None:
    """Raise AdapterInvalid if the adapter changes embeddings or the output layer, which all adapters share."""
    for target in targets:
        if not hasattr(target.base_layer, "in_features") or target.path.endswith("lm_head"):
            raise AdapterInvalid(
                f"{mismatch}: it changes {target.path}, and this server supports only adapters of the linear layers "
                "within blocks. Train it without that module."
            )


def require_exact_tensors(
    expected_shapes: Mapping[str, tuple[int, ...]], tensors: Mapping[str, torch.Tensor], mismatch: str
) -> None:
    """Raise AdapterInvalid unless ``tensors`` have exactly the expected names and shapes."""
    missing, extra = expected_shapes.keys() - tensors.keys(), tensors.keys() - expected_shapes.keys()
    if missing or extra:
        raise AdapterInvalid(
            f"{mismatch}: {len(missing)} tensors are missing and {len(extra)} are unexpected, such as "
            f"{printable(min(missing | extra), 120)}. Use the adapter with its own base, or download it again."
        )
    for name, expected in expected_shapes.items():
        actual = tuple(tensors[name].shape)
        if actual != expected:
            raise AdapterInvalid(
                f"{mismatch}: {name} has the shape {actual} and must have {expected}. Use the adapter with its own "
                "base."
            )


def _base_name(files: AdapterFiles) -> str:
    return printable(files.config.base_name, 300) or "an unnamed base"
