"""llama.cpp as a peer: finds its server program, converts checkpoints to GGUF, runs a server process.

Build it once (6 to 11 minutes on 2 cores; needs a C++ compiler, cmake and ninja), from the project's folder:

    pip download --no-deps --no-binary :all: --dest .cache/llama llama-cpp-python==0.3.36
    tar -xf .cache/llama/llama_cpp_python-0.3.36.tar.gz -C .cache/llama
    cmake -S .cache/llama/llama_cpp_python-0.3.36/vendor/llama.cpp -B .cache/llama/build -G Ninja \\
        -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF -DBUILD_SHARED_LIBS=OFF
    cmake --build .cache/llama/build --target llama-server
    pip install gguf

Or set STARCODER_LS_LLAMA to a folder that holds `llama-server`.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open

Kind = Literal["f32", "f16", "q8_0"]
KINDS: tuple[Kind, ...] = ("f32", "f16", "q8_0")
BUILD_FOLDER = Path(__file__).parents[2] / ".cache" / "llama" / "build" / "bin"
START_TIMEOUT_S = 60.0

# From the names of GPTBigCode's tensors to those of llama.cpp: inside a block, outside, and FIM tokens.
_BLOCK_TENSORS = {
    "ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
}  # fmt: skip
_OTHER_TENSORS = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"}
_FIM = {"pre": "<fim_prefix>", "suf": "<fim_suffix>", "mid": "<fim_middle>", "pad": "<fim_pad>"}
_NORMAL, _CONTROL, _UNUSED = 1, 3, 5


def find_server() -> Path | None:
    """The program llama-server, or None if it is not on this machine."""
    if folder := os.environ.get("STARCODER_LS_LLAMA"):
        found = Path(folder) / "llama-server"
        return found if found.is_file() else None
    if (BUILD_FOLDER / "llama-server").is_file():
        return BUILD_FOLDER / "llama-server"
    on_path = shutil.which("llama-server")
    return Path(on_path) if on_path else None


def convert(checkpoint: Path, target: Path, kind: Kind) -> Path:
    """Convert the GPTBigCode checkpoint in the folder ``checkpoint`` to the GGUF file ``target``, unless that exists.

    Vectors and position embeddings are in float32 and matrices in ``kind``, as llama.cpp's converter and llama-quantize
    write them.
    """
    import gguf

    if target.is_file():
        return target
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    if config["architectures"] != ["GPTBigCodeForCausalLM"] or not config.get("multi_query", True):
        raise SystemExit(f"{checkpoint} is no GPTBigCode model with one key-value head; others cannot be converted.")
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".unfinished")
    writer = gguf.GGUFWriter(unfinished, "starcoder")
    _write_sizes(writer, config, kind)
    _write_vocabulary(writer, json.loads((checkpoint / "tokenizer.json").read_text(encoding="utf-8")), config)
    for name, weight in weights(checkpoint):
        values = weight.float().numpy()
        if weight.dim() == 1 or name.startswith("position_embd") or kind == "f32":
            writer.add_tensor(name, values)
        elif kind == "f16":
            writer.add_tensor(name, values.astype("float16"))
        else:
            packed = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return unfinished.replace(target)


def _write_sizes(writer: Any, config: Mapping[str, Any], kind: Kind) -> None:
    import gguf

    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_feed_forward_length(config.get("n_inner") or 4 * config["n_embd"])
    writer.add_block_count(config["n_layer"])
    writer.add_head_count(config["n_head"])
    writer.add_head_count_kv(1)
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    types = gguf.LlamaFileType
    writer.add_file_type({"f32": types.ALL_F32, "f16": types.MOSTLY_F16, "q8_0": types.MOSTLY_Q8_0}[kind])


def _write_vocabulary(writer: Any, tokenizer: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Byte-level BPE with StarCoder's pre-tokenizer. Ids without a token get placeholder names."""
    ids = dict(tokenizer["model"]["vocab"])
    special = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    ids |= special
    tokens = [f"[unused {id_}]" for id_ in range(config["vocab_size"])]
    kinds = [_UNUSED] * len(tokens)
    for token, id_ in ids.items():
        tokens[id_] = token
        kinds[id_] = _CONTROL if token in special else _NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("starcoder")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    pairs = tokenizer["model"]["merges"]
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in pairs])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)
    for name, literal in _FIM.items():
        if literal in special:
            writer.add_uint32(f"tokenizer.ggml.fim_{name}_token_id", special[literal])


def weights(checkpoint: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors to write, with their names in llama.cpp."""
    for file in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            for key in opened.keys():  # noqa: SIM118 - it is no mapping
                if key == "lm_head.weight":
                    continue  # tied: llama.cpp uses the embedding
                name, _, part = key.removeprefix("transformer.").rpartition(".")
                if name in _OTHER_TENSORS:
                    yield f"{_OTHER_TENSORS[name]}.{part}", opened.get_tensor(key)
                elif name.startswith("h."):
                    _, number, inner = name.split(".", 2)
                    if inner in _BLOCK_TENSORS:
                        yield f"blk.{number}.{_BLOCK_TENSORS[inner]}.{part}", opened.get_tensor(key)


@dataclass(frozen=True, slots=True)
class Server:
    """A running llama-server: its ``url`` and the id of its process."""

    url: str
    process: int

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send ``body`` as JSON; the parsed JSON response."""
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.load(answer)

    def step_ms(self, prompt: list[int], tokens: int) -> float:
        """Milliseconds per generated token, greedy, as the server reports them; without the time to read the prompt."""
        answer = self.post(
            "/completion",
            {"prompt": prompt, "n_predict": tokens, "temperature": 0.0, "samplers": ["top_k"], "top_k": 1,
             "ignore_eos": True, "cache_prompt": True},
        )  # fmt: skip
        return float(answer["timings"]["predicted_per_token_ms"])


@contextmanager
def running(gguf_file: Path, threads: int = 2, context_tokens: int = 2048, *options: str) -> Iterator[Server]:
    """Run llama-server with ``gguf_file`` and one slot. Raises SystemExit if there is no llama-server or it fails."""
    program = find_server()
    if program is None:
        raise SystemExit(f"llama-server was not found. {__doc__}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        str(program), "--model", str(gguf_file), "--host", "127.0.0.1", "--port", str(port), "--threads", str(threads),
        "--threads-batch", str(threads), "--ctx-size", str(context_tokens), "--parallel", "1", "--no-webui", *options,
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = Server(f"http://127.0.0.1:{port}", process.pid)
    try:
        _wait_until_ready(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_ready(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise SystemExit(f"llama-server exited with {process.returncode} before it was ready.")
        try:
            with urllib.request.urlopen(server.url + "/health", timeout=2):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
    raise SystemExit(f"llama-server was not ready within {START_TIMEOUT_S:.0f} s.")
