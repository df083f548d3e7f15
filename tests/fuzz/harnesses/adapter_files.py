"""Files of a PEFT adapter: its configuration, and the header of its weights.

An adapter is accepted or refused with one sentence. What is accepted has checked values only, with which PEFT's own
configuration class can be made.
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

from fuzz.harnesses.checkpoint_files import check_message, header_of, write_weights
from fuzz.input_bytes import InputReader, join_fields, split_fields
from starcoder_ls.engine.adapters.adapter_method import PeftLayerMethod
from starcoder_ls.engine.adapters.files import WEIGHTS_FILE, check_adapter_folder, name_in_file
from starcoder_ls.engine.adapters.registry import METHODS
from starcoder_ls.errors import AdapterInvalid

MAX_BYTES = 1024

_LORA = b'{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["c_attn", "a.b"], "task_type": null}'
_BASES: tuple[dict[str, Any], ...] = (
    json.loads(_LORA),
    {"peft_type": "IA3", "target_modules": ["k"], "feedforward_modules": ["k"]},
    {"peft_type": "BOTTLENECK", "bottleneck_size": 4, "non_linearity": "tanh", "target_modules": ["a"]},
    {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 5},
    {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 5, "prefix_projection": True, "encoder_hidden_size": 8},
    {"peft_type": "P_TUNING", "num_virtual_tokens": 5, "encoder_hidden_size": 8, "encoder_num_layers": 2},
)
_KEYS = sorted({key for method in METHODS.values() for key in (*method.config_checks, *method.training_keys)})
_KEYS += ["bias", "use_dora", "rank_pattern", "task_type", "modules_to_save", "x_config", "base_model_name_or_path"]
_HEADER = json.dumps(header_of({"base_model.model.h.0.c_attn.lora_A.weight": [8, 4]})).encode()
SEEDS = (
    join_fields(b"\0\0", _LORA, _HEADER),
    join_fields(b"\0\0", _LORA.replace(b'"r": 8', b'"use_dora": false, "rank_pattern": {}, "r": 1e3'), _HEADER),
    join_fields(b"\0\0", b'{"peft_type": "IA3", "target_modules": ["k"], "feedforward_modules": ["k"]}', _HEADER),
    join_fields(b"\0\0", b'{"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 5, "prefix_projection": true}', b"{}"),
    join_fields(b"\0\0", b'{"peft_type": "P_TUNING", "encoder_hidden_size": 8, "encoder_num_layers": 2}', b"{}"),
    join_fields(b"\0\0", b'{"peft_type": "BOTTLENECK", "bottleneck_size": 4, "non_linearity": "tanh"}', b"{}"),
    join_fields(bytes((0, 0, 2, 1, 3, 6)), b"", b""),
    join_fields(bytes((0, 0, 5, 2, 9, 17, 30, 20)), b"", b""),
    join_fields(b"\1\1", b'{"peft_type": "\\u001b[31m", "x": [[[]]]}', b"null"),
    join_fields(
        b"\0\0", b'{"peft_type": "PROMPT_TUNING", "num_virtual_tokens": NaN, "base_model_name_or_path": 1}', b""
    ),
)

_FOLDER = tempfile.TemporaryDirectory(prefix="starcoder-fuzz-")
_PATH = Path(_FOLDER.name)


def check(data: bytes) -> None:
    options, config, header = split_fields(data, 3)
    reader = InputReader(options)
    modes = reader.integer(4), reader.integer(8)
    config = config or json.dumps(reader.edit(reader.choice(_BASES), _KEYS)).encode()
    (_PATH / "adapter_config.json").write_bytes(config)
    write_weights(_PATH / WEIGHTS_FILE, header or _HEADER, *modes)
    try:
        files = check_adapter_folder(_PATH)
    except AdapterInvalid as error:
        check_message(str(error))
        return
    method, values = files.config.method, files.config.values
    assert values.keys() == method.config_checks.keys()
    for value in values.values():
        assert not isinstance(value, float) or math.isfinite(value)
    if isinstance(method, PeftLayerMethod):
        method.create_config(values)
    declared = json.loads(config)
    assert declared["peft_type"] == method.peft_type
    for name in json.loads(header) if header else ():
        assert name_in_file(name_in_file(name)) == name_in_file(name)
