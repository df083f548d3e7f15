"""Small checkpoints of random weights, in the file layout of the Hugging Face Hub.

Weights have a standard deviation of 0.3: with transformers' default of 0.02 a random model generates one constant
token, and no test could notice errors in its cache or positions.
"""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

STARCODER = (
    "<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<filename>", "<gh_stars>",
    "<issue_start>", "<issue_comment>", "<issue_closed>", "<jupyter_start>", "<jupyter_text>", "<jupyter_code>",
    "<jupyter_output>", "<empty_output>", "<commit_before>", "<commit_msg>", "<commit_after>", "<reponame>",
)  # fmt: skip
STARCODER2 = (
    "<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<repo_name>", "<file_sep>",
)  # fmt: skip
SANTACODER = ("<|endoftext|>", "<fim-prefix>", "<fim-middle>", "<fim-suffix>", "<fim-pad>")
LLAMA = ("<unk>", "<s>", "</s>", "▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>")

WEIGHT_STD = 0.3
VOCABULARY_SIZE = 640


@cache
def byte_level_tokenizer(specials: Sequence[str] = STARCODER, size: int = VOCABULARY_SIZE) -> str:
    """Return tokenizer.json of a byte-level BPE like StarCoder's: single digits, then the words of GPT-2."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    source = Path(textwrap.__file__).read_text(encoding="utf-8")
    tokenizer.train_from_iterator(source.splitlines(keepends=True), trainer)
    return tokenizer.to_str()


@cache
def llama_tokenizer(specials: Sequence[str] = LLAMA) -> str:
    """Return tokenizer.json of a BPE like Code Llama's: ▁ for each space, bytes for characters without a token."""
    from tokenizers import normalizers

    tokens = [*specials, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *map(chr, range(33, 127))]
    tokens += ["▁d", "▁de", "▁def", "▁r", "▁re"]
    merges = [("▁", "d"), ("▁d", "e"), ("▁de", "f"), ("▁", "r"), ("▁r", "e")]
    vocabulary = {token: id_ for id_, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in specials])
    return tokenizer.to_str()


def gpt_bigcode(
    folder: Path, *, seed: int = 0, tokenizer: str | None = None, weight_std: float = WEIGHT_STD, **changes: Any
) -> Path:
    """Save a small StarCoder: two layers, multi-query attention."""
    sizes = {"n_layer": 2, "n_embd": 48, "n_head": 4, "n_inner": 96, "n_positions": 256}
    sizes |= {"vocab_size": VOCABULARY_SIZE, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    dropout = {"attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0}
    config = transformers.GPTBigCodeConfig(
        multi_query=True, activation_function="gelu_pytorch_tanh", **(sizes | dropout | changes)
    )
    return _save_checkpoint(folder, config, seed, tokenizer or byte_level_tokenizer(), weight_std)


def starcoder2(folder: Path, *, seed: int = 0, weight_std: float = WEIGHT_STD, **changes: Any) -> Path:
    """Save a small StarCoder2, whose window of 16 tokens is shorter than the prompts of the tests."""
    sizes = {"num_hidden_layers": 2, "hidden_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2}
    sizes |= {
        "intermediate_size": 96,
        "max_position_embeddings": 256,
        "sliding_window": 16,
        "vocab_size": VOCABULARY_SIZE,
    }
    config = transformers.Starcoder2Config(bos_token_id=0, eos_token_id=0, **(sizes | changes))
    return _save_checkpoint(folder, config, seed, byte_level_tokenizer(STARCODER2), weight_std)


def llama(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """Save a small Code Llama."""
    sizes = {"num_hidden_layers": 2, "hidden_size": 48, "num_attention_heads": 4, "num_key_value_heads": 4}
    sizes |= {"intermediate_size": 96, "max_position_embeddings": 256, "vocab_size": VOCABULARY_SIZE}
    config = transformers.LlamaConfig(bos_token_id=1, eos_token_id=2, **(sizes | changes))
    return _save_checkpoint(folder, config, seed, llama_tokenizer())


def qwen2(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """Save a small Qwen2.5-Coder with StarCoder's tokenizer."""
    sizes = {"num_hidden_layers": 2, "hidden_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2}
    sizes |= {"intermediate_size": 96, "max_position_embeddings": 256, "vocab_size": VOCABULARY_SIZE}
    config = transformers.Qwen2Config(bos_token_id=0, eos_token_id=0, **(sizes | changes))
    return _save_checkpoint(folder, config, seed, byte_level_tokenizer())


def santacoder(folder: Path, *, seed: int = 0) -> Path:
    """Save a small SantaCoder in the gpt_bigcode architecture; the names of its special tokens have hyphens."""
    return gpt_bigcode(folder, seed=seed, tokenizer=byte_level_tokenizer(SANTACODER))


def starcoderbase_1b(folder: Path, tokenizer: Path, layers: int = 24) -> Path:
    """Save a checkpoint with the dimensions of StarCoderBase-1B in bfloat16 and two shards: 2.3 GB with all 24 layers.

    One block of random weights is repeated. Its end token is one that the model never generates.
    """
    config = transformers.GPTBigCodeConfig(
        n_layer=layers, n_embd=2048, n_head=16, n_inner=8192, n_positions=8192, vocab_size=49152, multi_query=True,
        activation_function="gelu_pytorch_tanh", bos_token_id=0, eos_token_id=49151,
        architectures=["GPTBigCodeForCausalLM"],
    )  # fmt: skip
    config.save_pretrained(folder)
    with torch.device("meta"):
        shapes = {name: weight.shape for name, weight in transformers.GPTBigCodeForCausalLM(config).named_parameters()}
    shapes.pop("lm_head.weight", None)  # tied
    block = torch.randn(1 << 16, generator=torch.Generator().manual_seed(0)).mul_(0.02).bfloat16()
    names = list(shapes)
    weight_map = {}
    for number, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), start=1):
        file = f"model-{number:05}-of-00002.safetensors"
        save_file({name: _repeat(block, shapes[name]) for name in part}, folder / file, {"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    shutil.copy(tokenizer, folder / "tokenizer.json")
    return folder


def _repeat(block: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    return block.repeat(-(-shape.numel() // block.numel()))[: shape.numel()].reshape(shape).contiguous()


def copy_checkpoint(checkpoint: Path, folder: Path) -> Path:
    """Copy a checkpoint that a test will modify."""
    shutil.copytree(checkpoint, folder)
    return folder


def edit_config(folder: Path, **changes: Any) -> None:
    """Change keys of config.json; None removes a key."""
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not None}), encoding="utf-8")


def randomize_weights(model: torch.nn.Module, seed: int, weight_std: float = WEIGHT_STD) -> None:
    """Draw every weight: matrices with mean 0, scales of norms with mean 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator) * weight_std
            is_norm_scale = weight.dim() == 1 and name.endswith("weight")
            weight.copy_(noise + 1 if is_norm_scale else noise)


def _save_checkpoint(folder: Path, config: Any, seed: int, tokenizer: str, weight_std: float = WEIGHT_STD) -> Path:
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    randomize_weights(model, seed, weight_std)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    return folder
