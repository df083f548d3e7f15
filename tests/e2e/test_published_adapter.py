"""A folder in the exact shape of bigcode/astraios-7b-parallel explains over stdio and at the command line.

Config, keys and number of layers are the published ones, in a pickle; only the base is narrower. What must be said is
computed here from Astraios' formula and transformers' own model, without any of our engine.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

import checkpoints
from actions import run, span
from harness import wait_until_ready
from starcoder_ls.lsp import client

pytestmark = pytest.mark.slow

CLI = (sys.executable, "-m", "starcoder_ls")
URI = "file:///project/sum.py"
CODE = "def add(a, b):\n    return a - b\n"
QUESTION = f"Question: Explain what this Python code does.\n{CODE.strip()}\n\nAnswer:"
NEW_TOKENS = 20

LAYERS, HEADS, BOTTLENECK = 42, 32, 256  # those of the 7B
WIDTH = 128  # 4,096 there
OUT = WIDTH + 2 * WIDTH // HEADS  # queries, and one head of keys and values
ADAPTER_BYTES = 4 * LAYERS * BOTTLENECK * (WIDTH + OUT)

# Every key of the published file, in its order; values as they stand there.
CONFIG = {
    "adapter_dropout": 0.0, "auto_mapping": None, "base_model_name_or_path": "bigcode/starcoderbase-7b", "bias": "none",
    "bottleneck_size": BOTTLENECK, "inference_mode": True, "init_weights": "bert", "modules_to_save": None,
    "non_linearity": "tanh", "peft_type": "BOTTLENECK", "revision": None, "scaling": 1.0,
    "target_modules": ["c_attn", "q_attn"], "task_type": "CAUSAL_LM", "use_adapterp": False,
    "use_parallel_adapter": True,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Made:
    """Both folders, and the settings that name them: one line for the adapter."""

    base: Path
    adapter: Path
    environment: dict[str, str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("published")
    base, adapter, settings = folder / "starcoderbase-7b", folder / "astraios-7b-parallel", folder / "settings.toml"
    checkpoints.gpt_bigcode(base, n_layer=LAYERS, n_head=HEADS, n_embd=WIDTH, n_inner=4 * WIDTH)
    speaking_words(base)
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps(CONFIG, indent=2), encoding="utf-8")
    torch.save(weights(), adapter / "adapter_model.bin")
    settings.write_text(
        f'[model]\nname = {json.dumps(str(base))}\ndevice = "cpu"\ndtype = "float32"\n'
        f"[adapters.astraios]\npath = {json.dumps(str(adapter))}\n"
        f"[actions.explain]\nmax_new_tokens = {NEW_TOKENS}\ntemperature = 0.0\n"
    )
    cache = {"XDG_CACHE_HOME": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    return Made(base, adapter, {**os.environ, **cache, "STARCODER_LS_SETTINGS": str(settings)})


def speaking_words(base: Path) -> None:
    """Let the random model choose among tokens that are a blank and letters: what it says is then shown as it is."""
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    is_word = [re.fullmatch(r" [a-z]+", tokenizer.decode([i])) is not None for i in range(checkpoints.VOCABULARY_SIZE)]
    tensors = load_file(base / "model.safetensors")
    tensors["transformer.wte.weight"][:, 0] = torch.tensor(is_word) * 4.0 - 2.0
    tensors["transformer.ln_f.weight"][0], tensors["transformer.ln_f.bias"][0] = 0.0, 100.0
    save_file(tensors, base / "model.safetensors", {"format": "pt"})


def weights() -> OrderedDict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    tensors = OrderedDict()
    for layer in range(LAYERS):
        path = f"base_model.model.transformer.h.{layer}.attn.c_attn"
        tensors[f"{path}.adapter_down.weight"] = torch.randn(BOTTLENECK, WIDTH, generator=generator) * 0.1
        tensors[f"{path}.adapter_up.weight"] = torch.randn(OUT, BOTTLENECK, generator=generator) * 0.1
    return tensors


def reference(made: Made, *, is_adapted: bool) -> str:
    """Greedy, the whole text read anew for each token: c_attn(x) + up(tanh(down(x)))."""
    model = transformers.GPTBigCodeForCausalLM.from_pretrained(made.base, dtype=torch.float32).eval()
    tensors = weights()
    for layer, block in enumerate(model.transformer.h):
        path = f"base_model.model.transformer.h.{layer}.attn.c_attn"
        down, up = tensors[f"{path}.adapter_down.weight"], tensors[f"{path}.adapter_up.weight"]

        def beside(_: Any, given: Any, out: Any, down: torch.Tensor = down, up: torch.Tensor = up) -> torch.Tensor:
            return out + torch.tanh(given[0] @ down.T) @ up.T

        if is_adapted:
            block.attn.c_attn.register_forward_hook(beside)
    tokenizer = Tokenizer.from_file(str(made.base / "tokenizer.json"))
    ids = tokenizer.encode(QUESTION).ids
    asked = len(ids)
    with torch.inference_mode():
        for _ in range(NEW_TOKENS):
            ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return str(tokenizer.decode(ids[asked:])).strip()


@pytest.fixture(scope="module")
def expected(made: Made) -> str:
    said = reference(made, is_adapted=True)
    assert len(set(said.split())) > 5
    assert said != reference(made, is_adapted=False)
    return said


def test_one_setting_loads_it_and_it_explains_over_stdio(made: Made, expected: str) -> None:
    async def session() -> tuple[list[Any], dict[str, Any], list[str], int | None]:
        server = (*CLI, "serve", "--stdio", "--no-share")
        async with client.start(server, stderr=subprocess.DEVNULL, env=made.environment) as editor:
            await editor.initialize()
            await asyncio.wait_for(wait_until_ready(editor), 120)
            editor.open(URI, CODE)
            listed = await run(editor, "starcoder.listAdapters")
            asked = {"uri": URI, "range": span(0, 2), "token": "t"}
            explained = await run(editor, "starcoder.explain", asked)
            told = [params["value"] for name, params in editor.notifications if name == "$/progress"]
            return listed, explained, [json.dumps(value) for value in told], await editor.shutdown()

    listed, explained, told, exit_code = asyncio.run(session())
    assert [(one["name"], one["method"], one["memoryBytes"]) for one in listed] == [
        ("astraios", "BOTTLENECK", ADAPTER_BYTES)
    ]
    assert expected in explained["text"]
    assert any(expected[:20] in value for value in told)
    assert exit_code == 0


def test_the_command_line_says_the_same(made: Made, expected: str) -> None:
    done = subprocess.run(
        [*CLI, "explain", "-:1-2", "--language", "python", "--json"],
        input=CODE, capture_output=True, text=True, env=made.environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text"].strip() == expected


def test_the_command_line_finds_that_it_fits(made: Made) -> None:
    check = [*CLI, "adapters", "check", str(made.adapter)]
    done = subprocess.run(check, capture_output=True, text=True, env=made.environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "BOTTLENECK" in done.stdout
