"""From the settings' Model section to a model in memory that is ready to run.

Decides the order of the checks: files first, then room, then weights, then what came out. Refuses to know requests.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.utils import logging as transformers_logging

from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapters
from starcoder_ls.engine.adapters.resident_adapters import prepare_adapter as prepare
from starcoder_ls.engine.cuda_graphs import registry
from starcoder_ls.engine.generation.ngram_mixing import NgramStrengths
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.loading import hub, int8_check, quantization, weight_check
from starcoder_ls.engine.loading.checkpoint import Checkpoint, read_checkpoint
from starcoder_ls.engine.loading.placement import Placement, place
from starcoder_ls.engine.loading.progress import ProgressCallback as Report
from starcoder_ls.engine.loading.progress import report_weight_loading as weights_reported
from starcoder_ls.engine.loading.progress import scale_progress as share
from starcoder_ls.engine.memory import is_out_of_memory
from starcoder_ls.engine.runner import bigcode_cpu, packed_linear, threads
from starcoder_ls.engine.runner.model_forward import forward, pass_costs, warm_up
from starcoder_ls.errors import ModelError, ModelInvalid, OutOfMemory
from starcoder_ls.generation import Phase, Status
from starcoder_ls.settings import BUNDLED, Adapter, Model
from starcoder_ls.text_tokens.tokenizer import Tokenizer

_log = logging.getLogger(__name__)

# from_pretrained swaps functions of torch and of its own classes while it runs: two at once in one process leave them
# swapped, and every later load of the process lacks its tied weights.
_one_at_a_time = threading.Lock()


@dataclass(slots=True)
class Loaded:
    """A model that runs, and what the engine must know of it."""

    model: Any
    tokenizer: Tokenizer
    checkpoint: Checkpoint
    placement: Placement
    chunk_tokens: int
    adapters: ResidentAdapters
    strengths: NgramStrengths | None = None
    pass_costs: tuple[float, ...] = ()
    base_bytes: int = 0
    message: str = ""

    @property
    def layers(self) -> int:
        return _layers(self.model)

    @property
    def graphs(self) -> registry.GraphRegistry | None:
        """Those that passes are replayed from, where the device has such a thing."""
        found: registry.GraphRegistry | None = self.model.__dict__.get("graphs")
        return found

    @property
    def context_tokens(self) -> int:
        return self.checkpoint.context_tokens

    @property
    def end_ids(self) -> frozenset[int]:
        return self.checkpoint.end_ids

    @property
    def bytes(self) -> int:
        """Weights and buffers, once each, and the adapters."""
        return self.base_bytes + self.adapters.bytes

    def described(self, name: str) -> Status:
        """What the engine says of itself once it is ready."""
        return Status(
            phase=Phase.READY,
            progress=1.0,
            message=self.message,
            model=name,
            architecture=self.checkpoint.architecture,
            device=self.placement.device,
            dtype=self.placement.said,
            context_tokens=self.context_tokens,
            special_tokens=self.tokenizer.special_tokens,
            adapters=self.adapters.statuses(),
            memory_bytes=self.bytes,
        )


def load(wanted: Model, report: Report, adapters: Mapping[str, Adapter] | None = None) -> Loaded:
    """The model that ``wanted`` names, and beside it each of ``adapters`` that fits; ``message`` says which do not.

    Raises ModelError, SettingsError, OutOfMemory; whatever ``report`` raises.
    """
    try:
        with _one_at_a_time:
            return _load(wanted, report, adapters or {})
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"There was no room for {wanted.name} while it loaded. Choose a smaller model, or spread it with "
            "`model.max_memory`."
        ) from error


def _load(wanted: Model, report: Report, adapters: Mapping[str, Adapter]) -> Loaded:
    checkpoint = find(wanted, share(report, 0.0, 0.1))
    tokenizer = Tokenizer.from_folder(checkpoint.folder)
    if tokenizer.vocabulary_size > checkpoint.vocabulary_size:
        raise ModelInvalid(
            f"{checkpoint.folder} has a tokenizer of {tokenizer.vocabulary_size:,} tokens and a model of "
            f"{checkpoint.vocabulary_size:,}. Copy the tokenizer from the checkpoint the model was made from."
        )
    placement = place(wanted, checkpoint)
    model = _weights(checkpoint, placement, share(report, 0.1, 0.85))
    return ready(model, tokenizer, checkpoint, placement, wanted, share(report, 0.85, 1.0), adapters)


def ready(
    model: Any,
    tokenizer: Tokenizer,
    checkpoint: Checkpoint,
    placement: Placement,
    wanted: Model,
    report: Report,
    adapters: Mapping[str, Adapter] | None = None,
) -> Loaded:
    """``model``, whose weights are where ``placement`` says, checked, warmed up and with ``adapters`` beside it.

    Raises ModelInvalid; whatever ``report`` raises.
    """
    model.eval().requires_grad_(False)
    _drop_causal_mask(model)
    weight_check.require_finite(model, checkpoint)
    if placement.is_packed:
        _pack(model, placement, checkpoint, tokenizer)
    else:
        bigcode_cpu.use(model)
    if placement.quantization != "none" and not placement.is_packed:
        quantization.require_answer(
            model, lambda: forward(model, [[0, 1]], KvCache(_layers(model), 2)), placement.quantization, checkpoint
        )
    attached = ResidentAdapters(model, checkpoint, wanted.name, placement.quantization)
    base_bytes = _bytes_of(model)
    threads.mark(model, base_bytes)
    problems = _attach_all(attached, adapters or {}, wanted.offline, share(report, 0.0, 0.3))
    report(0.3, "Compiling for this processor, once." if bigcode_cpu.is_to_be_compiled(model) else "Warming up.")
    layers = _layers(model)
    chunk_tokens = warm_up(model, layers, checkpoint.context_tokens)
    costs = pass_costs(model, layers, checkpoint.context_tokens) if placement.keeps_rows_apart else ()
    if wanted.cuda_graphs == "auto" and placement.max_memory is None:
        registry.use(model, attached, checkpoint.context_tokens)
    strengths = NgramStrengths.of(checkpoint.folder) if wanted.document_ngrams == "auto" else None
    return Loaded(
        model, tokenizer, checkpoint, placement, chunk_tokens, attached, strengths, costs, base_bytes, problems
    )


def _pack(model: torch.nn.Module, placement: Placement, checkpoint: Checkpoint, tokenizer: Tokenizer) -> None:
    """Raises ModelInvalid where the numbers that it has do not go into those that are wanted."""
    if not packed_linear.pack(model):
        raise ModelInvalid(f"{checkpoint.folder} has weights beyond float16. Set `model.dtype` to bfloat16.")
    bigcode_cpu.use(model)
    if placement.quantization == "int8":
        int8_check.round_off(model, _layers(model), tokenizer, checkpoint)


def find(wanted: Model, report: Report) -> Checkpoint:
    """The checkpoint that ``wanted`` names, on this machine and checked."""
    if wanted.name == BUNDLED:
        return read_checkpoint(Path(__file__).parents[2] / BUNDLED)
    return hub.resolve(wanted.name, wanted.revision, hub.CHECKPOINT_FILES, wanted.offline, read_checkpoint, report)


def _attach_all(attached: ResidentAdapters, adapters: Mapping[str, Adapter], offline: bool, report: Report) -> str:
    """What went wrong, for the user: the model and the other adapters are of use without the one that does not fit."""
    problems = []
    for number, (name, adapter) in enumerate(adapters.items()):
        report(number / len(adapters), f"Adding the adapter {name}.")
        try:
            attached.add(name, prepare(adapter, offline, share(report, number / len(adapters), 1.0)))
        except (ModelError, OutOfMemory) as error:
            problems.append(f"The adapter {name} was left out. {error}")
    return " ".join(problems)


def _layers(model: Any) -> int:
    return int(model.config.num_hidden_layers)


def _bytes_of(model: torch.nn.Module) -> int:
    tensors = [*model.parameters(), *model.buffers()]
    plain = sum(quantization.bytes_of(tensor) for tensor in {id(tensor): tensor for tensor in tensors}.values())
    return plain + packed_linear.bytes_of(model)


def unquantized(checkpoint: Checkpoint, dtype: torch.dtype, report: Report) -> Any:
    """The plain transformers model on the CPU, in ``dtype``, to be changed and saved."""
    with _one_at_a_time:
        return _weights(checkpoint, Placement("cpu", dtype, None), report)


def _weights(checkpoint: Checkpoint, placement: Placement, report: Report) -> Any:
    """The transformers model, ready to run. What it keeps on the disk is removed with it, or at exit."""
    offload = tempfile.mkdtemp(prefix="starcoder-ls-") if placement.max_memory else None
    try:
        model, outcome = _read(checkpoint, placement, offload, report)
        weight_check.require_matching_keys(outcome, checkpoint)
    except BaseException:
        shutil.rmtree(offload or "", ignore_errors=True)
        raise
    if offload is not None:
        weakref.finalize(model, shutil.rmtree, offload, ignore_errors=True)
    model.eval().requires_grad_(False)
    _drop_causal_mask(model)
    return model


def _read(checkpoint: Checkpoint, placement: Placement, offload: str | None, report: Report) -> tuple[Any, Any]:
    """The model with its weights where ``placement`` wants them, and what transformers says of the keys.

    transformers 5 builds the model without memory and reads each tensor straight to its device and type.
    """
    model_class = getattr(transformers, checkpoint.architecture)
    config = model_class.config_class.from_dict(dict(checkpoint.config))
    kind, more = placement.quantization, {}
    if kind != "none" and not placement.is_packed:
        more["quantization_config"] = quantization.config_for(kind, placement.device, placement.dtype)
    sentence = f"Loading {checkpoint.weights.bytes / 1e6:,.0f} MB of weights."
    report(0.0, sentence)
    try:
        with weights_reported(report, sentence), _quiet():
            model, outcome = model_class.from_pretrained(
                checkpoint.folder,
                config=config,
                dtype=placement.dtype,
                device_map="auto" if placement.max_memory else {"": placement.device},
                max_memory=placement.max_memory,
                offload_folder=offload,
                attn_implementation="sdpa",
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **more,
            )
    except (ValueError, RuntimeError, KeyError, TypeError, OSError) as error:
        if is_out_of_memory(error):
            raise
        _log.debug("loading %s failed", checkpoint.folder, exc_info=True)
        if more:
            raise quantization.refused(kind, checkpoint, error) from error
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise ModelInvalid(f"{checkpoint.folder} cannot be loaded: {reason}. Download it again.") from error
    return model, outcome


def _drop_causal_mask(model: torch.nn.Module) -> None:
    """GPTBigCode's module still builds a mask of context² bytes (64 MB at 8,192) that its attention no longer reads."""
    mask = model.get_submodule("transformer").__dict__.get("_buffers", {}) if hasattr(model, "transformer") else {}
    if "bias" in mask and "bias" in model.get_submodule("transformer")._non_persistent_buffers_set:
        mask["bias"] = mask["bias"].new_empty(0)


@contextmanager
def _quiet() -> Iterator[None]:
    """transformers' own report on missing keys says in a table what we raise."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
