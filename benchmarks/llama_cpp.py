"""llama.cpp as a peer: found, fed with one of our checkpoints, and timed.

Build it from the source that llama-cpp-python ships: `pip download --no-binary :all: --no-deps llama-cpp-python`, unpack,
then in `vendor/llama.cpp`: `cmake -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DLLAMA_CURL=OFF -DGGML_NATIVE=ON` and
`cmake --build build --target llama-server llama-bench`. Name the folder of the programs in STARCODER_LS_LLAMA.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file as load_torch

PLACES = (os.environ.get("STARCODER_LS_LLAMA", ""), str(Path(__file__).parents[1] / ".cache/llama/build/bin"))
TYPES = ("f32", "f16", "q8_0")

_NAMES = {
    "ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
}  # fmt: skip


def program(name: str) -> Path | None:
    """`llama-server` or `llama-bench`, if it is here."""
    found = (Path(place) / name for place in PLACES if place)
    return next((path for path in found if path.is_file()), None)


def converted(checkpoint: Path, file: Path, kind: str) -> Path:
    """A GPTBigCode checkpoint as GGUF in one of TYPES; norms, biases and positions stay float32."""
    import gguf

    config = json.loads((checkpoint / "config.json").read_text())
    writer = gguf.GGUFWriter(file, "starcoder")
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_feed_forward_length(config.get("n_inner") or 4 * config["n_embd"])
    writer.add_block_count(config["n_layer"])
    writer.add_head_count(config["n_head"])
    writer.add_head_count_kv(1)
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    _add_vocabulary(writer, json.loads((checkpoint / "tokenizer.json").read_text()), config)
    for name, tensor in load_torch(checkpoint / "model.safetensors").items():
        if name == "lm_head.weight":
            continue
        values = tensor.float().numpy()
        if values.ndim == 1 or name.endswith("wpe.weight") or kind == "f32":
            writer.add_tensor(_renamed(name), values)
        elif kind == "f16":
            writer.add_tensor(_renamed(name), values.astype(np.float16))
        else:
            quantized = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(_renamed(name), quantized, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _renamed(name: str) -> str:
    path = name.removeprefix("transformer.")
    top = {"wte.weight": "token_embd.weight", "wpe.weight": "position_embd.weight"}
    if path in top:
        return top[path]
    if path.startswith("ln_f."):
        return f"output_norm.{path.rpartition('.')[2]}"
    _, number, rest = path.split(".", 2)
    inner, _, kind = rest.rpartition(".")
    return f"blk.{number}.{_NAMES[inner]}.{kind}"


def _add_vocabulary(writer: Any, tokenizer: dict[str, Any], config: dict[str, Any]) -> None:
    import gguf

    ids = dict(tokenizer["model"]["vocab"]) | {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    special = {token["content"] for token in tokenizer["added_tokens"]}
    by_id = {id_: text for text, id_ in ids.items()}
    tokens = [by_id.get(id_, f"[UNUSED{id_}]") for id_ in range(config["vocab_size"])]
    kinds = [gguf.TokenType.CONTROL if text in special else gguf.TokenType.NORMAL for text in tokens]
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("starcoder")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    for name, key in (("<fim_prefix>", "fim_pre"), ("<fim_suffix>", "fim_suf"), ("<fim_middle>", "fim_mid")):
        if name in ids:
            writer.add_uint32(f"tokenizer.ggml.{key}_token_id", ids[name])


def step_ms(file: Path, threads: int, prompt_tokens: int = 512, new_tokens: int = 24) -> tuple[float, float]:
    """(milliseconds of one decode step behind ``prompt_tokens``, tokens read per second), by llama-bench's median."""
    bench = program("llama-bench")
    assert bench is not None
    command = [
        str(bench), "-m", str(file), "-t", str(threads), "-p", "256", "-n", str(new_tokens), "-d", str(prompt_tokens),
        "-r", "3", "-o", "json", "-ngl", "0",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout)
    decode = next(row for row in rows if row["n_gen"])
    read = next(row for row in rows if row["n_prompt"])
    return 1000 / float(np.median(decode["samples_ts"])), float(np.median(read["samples_ts"]))
