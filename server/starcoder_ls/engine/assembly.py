"""Assembles a model that can generate: reads a checkpoint, builds its runner, adds its adapters, and warms it up.

The order of the checks is decided here: files first, then memory, then weights, then the logits of the loaded model.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapters, prepare_adapter
from starcoder_ls.engine.cuda_graphs import registry
from starcoder_ls.engine.forward_pass import ForwardPass
from starcoder_ls.engine.generation import compiled_ngrams
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.generation.ngram_mixing import NgramStrengths
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.loading import (
    float16_check,
    fused_norms,
    load_model,
    mapped_weights,
    quantization,
    weight_check,
)
from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.engine.loading.placement import Placement, choose_placement, use_fallback_dtype
from starcoder_ls.engine.loading.progress import ProgressCallback, scale_progress
from starcoder_ls.engine.loading.resolve import resolve_checkpoint
from starcoder_ls.engine.memory import is_out_of_memory, release_memory
from starcoder_ls.engine.runner import logit_check, packed_linear, rounding_check
from starcoder_ls.engine.runner.model_runner import ModelRunner
from starcoder_ls.engine.runner.pass_costs import measure_chunk_tokens, measure_pass_costs
from starcoder_ls.errors import ModelError, ModelInvalid, OutOfMemory
from starcoder_ls.generation import ChatFormat
from starcoder_ls.settings import Adapter, Model
from starcoder_ls.text_tokens.chat_template import read_chat_format
from starcoder_ls.text_tokens.tokenizer import Tokenizer

_NOT_COMPILED = "`model.compile` has no effect here: it needs a CUDA device and `model.cuda_graphs`."


def load(
    settings: Model,
    on_progress: ProgressCallback,
    adapters: Mapping[str, Adapter] | None = None,
    checkpoint: Checkpoint | None = None,
) -> LoadedModel:
    """Load the model that ``settings`` name and each of ``adapters`` that fits it.

    ``checkpoint`` is that of ``settings`` if it has been resolved already.
    Raises ModelError, SettingsError or OutOfMemory, and whatever ``on_progress`` raises.
    """
    try:
        if checkpoint is None:
            checkpoint = resolve_checkpoint(settings, scale_progress(on_progress, 0.0, 0.1))
        tokenizer = Tokenizer.from_folder(checkpoint.folder, checkpoint.vocabulary_size)
        if tokenizer.vocabulary_size > checkpoint.vocabulary_size:
            raise ModelInvalid(
                f"{checkpoint.folder} has a tokenizer of {tokenizer.vocabulary_size:,} tokens and a model of "
                f"{checkpoint.vocabulary_size:,}. Copy the tokenizer from the checkpoint the model was made from."
            )
        placement = choose_placement(settings, checkpoint, packed_linear.is_possible)
        model = load_model.load_weights(checkpoint, placement, scale_progress(on_progress, 0.1, 0.85))
        if placement.fallback_dtype is not None:
            ids = tokenizer.encode((rounding_check.PROBE,))[: checkpoint.context_tokens]
            if not float16_check.has_finite_logits(model, ids):
                del model
                release_memory()
                placement = use_fallback_dtype(placement, checkpoint)
                model = load_model.load_weights(checkpoint, placement, scale_progress(on_progress, 0.1, 0.85))
        return assemble(
            model, tokenizer, checkpoint, placement, settings, scale_progress(on_progress, 0.85, 1.0), adapters
        )
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"There was no room for {settings.name} while it loaded. Choose a smaller model, or spread it with "
            "`model.max_memory`."
        ) from error


def assemble(
    model: Any,
    tokenizer: Tokenizer,
    checkpoint: Checkpoint,
    placement: Placement,
    settings: Model,
    on_progress: ProgressCallback,
    adapters: Mapping[str, Adapter] | None = None,
) -> LoadedModel:
    """Check ``model``, which is frozen and whose weights are where ``placement`` says; add ``adapters``; warm it up.

    Raises ModelInvalid if its weights or logits are not usable, and whatever ``on_progress`` raises.
    """
    chat = _start_reading_chat_format(checkpoint, tokenizer)
    weight_check.require_finite(model, checkpoint)
    if placement.is_packed and not packed_linear.pack(model):
        raise ModelInvalid(f"{checkpoint.folder} has weights beyond float16. Set `model.dtype` to bfloat16.")
    mapped_weights.copy_mapped_weights(model)
    if placement.device != "cpu" and placement.max_memory is None:
        fused_norms.use_fused_norms(model)
    resident = ResidentAdapters(model, checkpoint, settings.name, placement.quantization)
    runner, lost_nats = _build_runner(model, resident, tokenizer, checkpoint, placement)
    drawback = quantization.describe_drawback(placement.quantization, placement.device)
    if lost_nats is not None:
        drawback = quantization.describe_loss(placement.quantization, lost_nats)
        placement = replace(placement, quantization="int8")
    adapters_message = _add_adapters(resident, adapters or {}, settings.offline, scale_progress(on_progress, 0.0, 0.3))
    on_progress(0.3, "Compiling kernels for this processor, once." if runner.will_compile else "Warming up.")
    runner.prepare_adapters()
    logit_check.require_expected_logits(runner, tokenizer, checkpoint, placement.dtype_name)
    runner.chunk_tokens = measure_chunk_tokens(runner, checkpoint.context_tokens)
    if placement.is_batch_invariant:  # else a draft could change an answer
        runner.pass_costs = measure_pass_costs(runner, checkpoint.context_tokens)
    if settings.cuda_graphs == "auto" and placement.max_memory is None and runner.can_batch:
        runner.graphs = registry.create_registry(
            model, resident, checkpoint.context_tokens, is_fused=settings.compile == "on"
        )
    if runner.graphs is not None:
        runner.graphs.compile_fused_pass(lambda: on_progress(0.8, "Compiling the pass, which takes minutes once."))
    strengths = NgramStrengths.from_folder(checkpoint.folder) if settings.document_ngrams == "auto" else None
    if strengths is not None and runner.compiled_pass is not None:
        compiled_ngrams.compile_kernels(checkpoint.vocabulary_size)
    compile_message = _NOT_COMPILED if settings.compile == "on" and runner.graphs is None else ""
    message = " ".join(filter(None, (drawback, compile_message, checkpoint.changes, adapters_message)))
    resident_names = {adapter.name for adapter in resident}
    missing = tuple(name for name in adapters or {} if name not in resident_names)
    return LoadedModel(runner, tokenizer, checkpoint, placement, resident, strengths, message, chat.result(), missing)


def _start_reading_chat_format(checkpoint: Checkpoint, tokenizer: Tokenizer) -> Future[ChatFormat | None]:
    """A thread waits for the child process, which takes 0.1 s, while the model is checked and warmed up."""
    executor = ThreadPoolExecutor(1, "starcoder-ls-chat-format")
    chat = executor.submit(read_chat_format, checkpoint.folder, tokenizer.special_tokens)
    executor.shutdown(wait=False)
    return chat


def _build_runner(
    model: Any, adapters: ResidentAdapters, tokenizer: Tokenizer, checkpoint: Checkpoint, placement: Placement
) -> tuple[ModelRunner, float | None]:
    """Also the nats per token that 4 bits cost, if the model has 8 bits for that reason.

    Raises ModelInvalid if the model is quantized and its logits show that it must not be.
    """
    runner = ModelRunner(model, adapters)
    if placement.quantization == "none":
        return runner, None
    if placement.is_packed and placement.quantization == "int8":
        return rounding_check.round_to_8_bits(runner, tokenizer, checkpoint), None
    if placement.is_packed:
        return rounding_check.round_to_4_bits(runner, tokenizer, checkpoint)
    quantization.require_finite_logits(
        model,
        lambda: runner.run(ForwardPass([[0, 1]], KvCache(runner.layers, 2))).values,
        placement.quantization,
        checkpoint,
    )
    return runner, None


def _add_adapters(
    resident: ResidentAdapters, adapters: Mapping[str, Adapter], offline: bool, on_progress: ProgressCallback
) -> str:
    """Add each adapter that fits; sentences for the user about those that do not, which are left out, and about
    replaced files."""
    sentences = []
    for number, (name, adapter) in enumerate(adapters.items()):
        on_progress(number / len(adapters), f"Adding the adapter {name}.")
        try:
            prepared = prepare_adapter(adapter, offline, scale_progress(on_progress, number / len(adapters), 1.0))
            resident.add(name, prepared)
            sentences.append(prepared.files.changes)
        except (ModelError, OutOfMemory) as error:
            sentences.append(f"The adapter {name} was left out. {error}")
    return " ".join(filter(None, sentences))
