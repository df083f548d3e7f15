"""Files of a checkpoint: config.json, the weight index and safetensors headers, without loading any weight.

A checkpoint is accepted or refused with one sentence; what is accepted has sizes within the limits, and the safetensors
library reads the same tensors. Nothing of a checkpoint is run here: chat templates have a harness of their own.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError, safe_open

from fuzz.input_bytes import ODD_VALUES, InputReader, join_fields, split_fields
from starcoder_ls.engine.loading import checkpoint_sizes, safetensors_files
from starcoder_ls.engine.loading.checkpoint import ARCHITECTURES, Checkpoint, read_checkpoint
from starcoder_ls.engine.loading.checkpoint_sizes import MODEL_TYPES
from starcoder_ls.engine.loading.safetensors_files import read_header
from starcoder_ls.errors import ModelError, ModelInvalid

MAX_BYTES = 1536
MAX_MESSAGE_CHARS = 1500

CONFIG = {
    "architectures": ["GPTBigCodeForCausalLM"], "model_type": "gpt_bigcode", "n_layer": 1, "n_embd": 4, "n_head": 2,
    "n_inner": 8, "n_positions": 8, "vocab_size": 6, "multi_query": True, "eos_token_id": 0,
}  # fmt: skip
_SHAPES = {"transformer.wte.weight": [6, 4], "transformer.h.0.attn.c_attn.weight": [8, 4], "x": [60, 4]}


def header_of(shapes: dict[str, list[int]]) -> dict[str, object]:
    """A valid header of float16 tensors."""
    header, end = {}, 0
    for name, (rows, columns) in shapes.items():
        header[name] = {"dtype": "F16", "shape": [rows, columns], "data_offsets": [end, end + 2 * rows * columns]}
        end += 2 * rows * columns
    return header


_KEYS = (
    *CONFIG, "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "dtype",
    "intermediate_size", "max_position_embeddings", "quantization_config", "auto_map", "rope_scaling", "chat_template",
)  # fmt: skip
_ARCHITECTURES = ([name] for name in sorted(ARCHITECTURES))
_VALUES = (*ODD_VALUES, *MODEL_TYPES, *_ARCHITECTURES)
_HEADER = json.dumps(header_of(_SHAPES)).encode()
_CONFIG = json.dumps(CONFIG).encode()
_GENERATION = b'{"eos_token_id": [0, 5]}'
SEEDS = (
    join_fields(b"\0\0\0", _CONFIG, _HEADER, _GENERATION),
    join_fields(b"\0\1\1", _CONFIG.replace(b'"gpt_bigcode"', b"null"), _HEADER, b"{}"),
    join_fields(b"\1\0\0", b'{"architectures": null, "n_layer": "3", "n_head": 0}', _HEADER, b"[]"),
    join_fields(b"\0\0\0", b"[" * 300, b'{"x": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}', b""),
    join_fields(b"\0\2\0", b'{"model_type": "llama", "num_hidden_layers": 1e3, "head_dim": true}', b'{"x": 1}'),
    join_fields(b"\2\0\0", _CONFIG, b'{"weight_map": {"a": "model.safetensors", "b": "../x", "c": "\\u001b[31m"}}'),
    join_fields(bytes((0, 0, 0, 2, 3, 6, 5, 11, 1, 0, 1, 4)), b"", b""),
    join_fields(bytes((0, 0, 0, 1, 1, 38, 3, 0, 2, 5, 1, 9, 2, 36)), b"", b""),
    join_fields(b"\0\0\4", b'{"chat_template": "{{ x.__class__ }}", "auto_map": {"a": "b.py"}}', _HEADER),
)

_FOLDER = tempfile.TemporaryDirectory(prefix="starcoder-fuzz-")
_PATH = Path(_FOLDER.name)
(_PATH / "tokenizer.json").write_bytes(b"{}")


def check(data: bytes) -> None:
    options, config, header, generation = split_fields(data, 4)
    reader = InputReader(options)
    modes = reader.integer(3), reader.integer(4), reader.integer(8)
    config = config or json.dumps(reader.edit(CONFIG, _KEYS, _VALUES)).encode()
    header = header or build_header(reader)
    is_sharded = modes[0] == 2
    write_weights(_PATH / "model.safetensors", _HEADER if is_sharded else header, *modes[1:])
    (_PATH / "config.json").write_bytes(config)
    (_PATH / "generation_config.json").write_bytes(generation or b"{}")
    index = _PATH / "model.safetensors.index.json"
    index.unlink(missing_ok=True)
    if is_sharded:
        index.write_bytes(header)
    check_header(_PATH / "model.safetensors")
    try:
        checkpoint = read_checkpoint(_PATH)
    except ModelError as error:
        check_message(str(error))
        return
    check_sizes(checkpoint)


def build_header(reader: InputReader) -> bytes:
    """A header of which up to two entries have odd values."""
    header = header_of(_SHAPES)
    for _ in range(reader.integer(3)):
        name = reader.choice(tuple(header))
        header[name] = reader.edit(
            cast(Any, header[name]), ("dtype", "shape", "data_offsets"), (*ODD_VALUES, "F32", "BOOL")
        )
    return json.dumps(header).encode()


def write_weights(file: Path, header: bytes, mode: int, difference: int) -> None:
    """A safetensors file with ``header`` and data of the size that it states; other sizes if ``mode`` is not 0."""
    try:
        ends = [entry["data_offsets"][1] for entry in json.loads(header).values() if "data_offsets" in entry]
        size = max(ends, default=0)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
        size = 0
    size = size if type(size) is int and 0 <= size < 1 << 14 else 64
    length = len(header) + (difference if mode == 1 else 0)
    stated = length if mode != 3 else 1 << (8 * difference)
    file.write_bytes(stated.to_bytes(9, "little")[:8] + header + b"\0" * (size + (difference if mode == 2 else 0)))


def check_header(file: Path) -> None:
    """What is accepted, the safetensors library reads as well, with the same names and shapes."""
    try:
        entries = read_header(file)
    except ModelInvalid as error:
        check_message(str(error))
        return
    assert len(entries) <= safetensors_files.MAX_TENSORS
    size = file.stat().st_size
    for entry in entries.values():
        assert 0 <= entry.start <= entry.end <= size
        assert len(entry.shape) <= safetensors_files.MAX_DIMENSIONS
    try:
        with safe_open(file, framework="np") as tensors:
            shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    except SafetensorError:
        return  # the library is stricter about metadata and dtypes; loading reports it
    assert shapes == {name: entry.shape for name, entry in entries.items()}


def check_sizes(checkpoint: Checkpoint) -> None:
    assert 1 <= checkpoint.context_tokens <= checkpoint_sizes.MAX_CONTEXT_TOKENS
    assert 1 <= checkpoint.vocabulary_size <= checkpoint_sizes.MAX_VOCABULARY
    assert all(0 <= id_ < checkpoint.vocabulary_size for id_ in checkpoint.end_ids)
    assert "auto_map" not in checkpoint.config
    sizes = checkpoint_sizes.read_sizes(_PATH, checkpoint.architecture, checkpoint.config, checkpoint.weights)
    needed = sizes.matrix_values(checkpoint.architecture)
    assert needed <= checkpoint_sizes.MAX_MISSING_FACTOR * checkpoint.weights.values
    assert checkpoint.weights.bytes <= (_PATH / "model.safetensors").stat().st_size


def check_message(message: str) -> None:
    assert message.isprintable(), ascii(message)
    assert len(message) <= MAX_MESSAGE_CHARS, f"a message of {len(message)} characters"
