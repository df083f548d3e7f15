"""Models for the GPU benchmark: the shapes of StarCoderBase with random weights that are made on the device."""

from __future__ import annotations

import gc
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers

import starcoder_ls
from starcoder_ls.engine.assembly import assemble, load
from starcoder_ls.engine.cuda_graphs.registry import GraphRegistry
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.loading import quantization
from starcoder_ls.engine.loading.checkpoint import read_checkpoint
from starcoder_ls.engine.loading.load_model import freeze
from starcoder_ls.engine.loading.placement import Placement
from starcoder_ls.settings import Model
from starcoder_ls.text_tokens.tokenizer import Tokenizer

BUNDLED = Path(starcoder_ls.__file__).parent / "bundled"
SHAPES = {
    "tiny": {"n_layer": 2, "n_embd": 128, "n_head": 4, "n_inner": 256, "n_positions": 1024, "vocab_size": 8192},
    "1B": {"n_layer": 24, "n_embd": 2048, "n_head": 16, "n_inner": 8192, "n_positions": 8192},
    "3B": {"n_layer": 36, "n_embd": 2816, "n_head": 22, "n_inner": 11264, "n_positions": 8192},
    "7B": {"n_layer": 42, "n_embd": 4096, "n_head": 32, "n_inner": 16384, "n_positions": 8192},
    "15B": {"n_layer": 40, "n_embd": 6144, "n_head": 48, "n_inner": 24576, "n_positions": 8192},
}
QUANTIZATIONS = ("int8", "nf4", "torchao-int8", "torchao-int4")


WEIGHT_SPREAD = 1.6
"""Standard deviation of the weights times the square root of the width.

A graph is accepted if its logits differ by less than 0.3 of their spread. At 42 layers of width 512 in bfloat16, a
right graph differs by 0.07, 0.07 and 0.12 at 0.45 (transformers' default), 1.28 and 2.3; one whose mask is off by one
by 0.49, 0.74 and 2.0.
"""


def model_config(shape: str) -> transformers.GPTBigCodeConfig:
    sizes = {"vocab_size": 49_152} | SHAPES[shape]
    return transformers.GPTBigCodeConfig(
        multi_query=True, activation_function="gelu_pytorch_tanh", bos_token_id=0, eos_token_id=0, pad_token_id=0,
        attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0, attn_implementation="sdpa",
        initializer_range=WEIGHT_SPREAD / sizes["n_embd"] ** 0.5, **sizes,
    )  # fmt: skip


def model_bytes(shape: str) -> int:
    """Memory of the weights in 16 bits."""
    sizes = {"vocab_size": 49_152} | SHAPES[shape]
    width, inner = sizes["n_embd"], sizes["n_inner"]
    block = width * (2 * width + 2 * width // sizes["n_head"] + 2 * inner)
    return 2 * (sizes["n_layer"] * block + (sizes["vocab_size"] + sizes["n_positions"]) * width)


def build_model(shape: str, device: torch.device, dtype: torch.dtype) -> Any:
    """Return a transformers model whose random weights are drawn on ``device``."""
    torch.manual_seed(0)
    default_dtype = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            return transformers.GPTBigCodeForCausalLM(model_config(shape))
    finally:
        torch.set_default_dtype(default_dtype)


def load_random(shape: str, device: torch.device, is_int4: bool = False) -> LoadedModel:
    """Return a random model as the engine assembles one, with ``is_int4`` quantized by torchao.

    It has no end tokens: random weights would choose them.
    """
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = build_model(shape, device, dtype)
    freeze(model)
    if is_int4:
        quantize_int4(model, device)
    config = model_config(shape).to_dict()
    sizes = {"context_tokens": config["n_positions"], "vocabulary_size": config["vocab_size"]}
    folder = Path(shape)  # not that of the bundled model, whose logits are stored beside it
    checkpoint = replace(read_checkpoint(BUNDLED), folder=folder, config=config, end_ids=frozenset(), **sizes)
    settings = Model(name=shape, device=device.type, document_ngrams="off")  # type: ignore[arg-type]
    placement = Placement(device.type, dtype, None, quantization="torchao-int4" if is_int4 else "none")
    loaded = assemble(model, Tokenizer.from_folder(BUNDLED), checkpoint, placement, settings, lambda *_: None)
    return use_graphs(loaded, device)


def quantize_int4(model: Any, device: torch.device) -> None:
    """Quantize the linear layers of the blocks, as ``model.quantization`` does while it reads a checkpoint.

    On a CPU, for a dry run, torchao has only a prototype.
    """
    from torchao.quantization import quantize_

    if device.type == "cuda":
        config = quantization.create_int4_config()
    else:
        from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

        config = PrototypeInt4WeightOnlyConfig(group_size=quantization.GROUP_SIZE, set_inductor_config=False)

    def is_in_block(module: Any, name: str) -> bool:
        return isinstance(module, torch.nn.Linear) and name.startswith("transformer.h.")

    with torch.inference_mode():
        quantize_(model, config, is_in_block)


def load_quantized(shape: str, kind: str, device: torch.device, folder: Path) -> LoadedModel:
    """Save a random model in bfloat16 in ``folder``, unless it is there, and load it as a user's checkpoint."""
    if not (folder / "config.json").is_file():
        model = build_model(shape, device, torch.bfloat16)
        model.save_pretrained(folder)
        (folder / "tokenizer.json").write_bytes((BUNDLED / "tokenizer.json").read_bytes())
        del model
        free_memory()
    settings = Model(name=str(folder), device=device.type, quantization=kind, document_ngrams="off")  # type: ignore[arg-type]
    loaded = load(settings, lambda *_: None)
    loaded.checkpoint = replace(loaded.checkpoint, end_ids=frozenset())
    return use_graphs(loaded, device)


def use_graphs(loaded: LoadedModel, device: torch.device) -> LoadedModel:
    """Disable drafts and, on a CPU, use the tests' stand-in for CUDA graphs, so that the whole script can run."""
    runner = loaded.runner
    if device.type == "cpu":
        sys.path.append(str(Path(__file__).parents[2] / "tests" / "support"))
        from tape import Tape

        runner.cpu_pass = runner.compiled_pass = None
        runner.graphs = GraphRegistry(runner.model, loaded.adapters, loaded.context_tokens, Tape, lambda: 1 << 31)
    runner.pass_costs = ()
    return loaded


def free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
