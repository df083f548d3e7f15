"""An adapter folder in the format of bigcode/astraios-7b-parallel explains code over stdio and at the command line.

Config, keys and number of layers are the published ones, in a pickle; only the base model is narrower. The expected
text is computed from Astraios' formula with the transformers model, without our engine.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from click.testing import Result
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from typer.testing import CliRunner

import checkpoints
from actions import execute_command, lsp_range
from harness import wait_until_ready
from starcoder_ls.cli.application import application
from starcoder_ls.lsp import client
from starcoder_ls.user_folders import cache_folder

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

# Every key of the published file, in its order and with its value.
CONFIG = {
    "adapter_dropout": 0.0, "auto_mapping": None, "base_model_name_or_path": "bigcode/starcoderbase-7b", "bias": "none",
    "bottleneck_size": BOTTLENECK, "inference_mode": True, "init_weights": "bert", "modules_to_save": None,
    "non_linearity": "tanh", "peft_type": "BOTTLENECK", "revision": None, "scaling": 1.0,
    "target_modules": ["c_attn", "q_attn"], "task_type": "CAUSAL_LM", "use_adapterp": False,
    "use_parallel_adapter": True,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The folders of base model and adapter, and environment variables for settings that name both."""

    base: Path
    adapter: Path
    environment: dict[str, str]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    folder = tmp_path_factory.mktemp("published")
    base, adapter, settings = folder / "starcoderbase-7b", folder / "astraios-7b-parallel", folder / "settings.toml"
    checkpoints.gpt_bigcode(base, n_layer=LAYERS, n_head=HEADS, n_embd=WIDTH, n_inner=4 * WIDTH)
    restrict_to_words(base)
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps(CONFIG, indent=2), encoding="utf-8")
    torch.save(weights(), adapter / "adapter_model.bin")
    settings.write_text(
        f'[model]\nname = {json.dumps(str(base))}\ndevice = "cpu"\ndtype = "float32"\n'
        f"[adapters.astraios]\npath = {json.dumps(str(adapter))}\n"
        f"[actions.explain]\nmax_new_tokens = {NEW_TOKENS}\ntemperature = 0.0\n"
    )
    cache = {"XDG_CACHE_HOME": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    cache["STARCODER_LS_KERNELS"] = str(
        cache_folder("kernels")
    )  # those of this machine: compiling them takes longer than the test
    return Checkpoints(base, adapter, {**os.environ, **cache, "STARCODER_LS_SETTINGS": str(settings)})


def restrict_to_words(base: Path) -> None:
    """Make the random model choose only tokens of a blank and letters, which are shown unchanged."""
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


def reference(published: Checkpoints, *, is_adapted: bool) -> str:
    """The greedy answer, with a forward pass over the whole text for each token: c_attn(x) + up(tanh(down(x)))."""
    model = transformers.GPTBigCodeForCausalLM.from_pretrained(published.base, dtype=torch.float32).eval()
    tensors = weights()
    for layer, block in enumerate(model.transformer.h):
        path = f"base_model.model.transformer.h.{layer}.attn.c_attn"
        down, up = tensors[f"{path}.adapter_down.weight"], tensors[f"{path}.adapter_up.weight"]

        def add_bottleneck(
            _: Any, given: Any, out: Any, down: torch.Tensor = down, up: torch.Tensor = up
        ) -> torch.Tensor:
            return out + torch.tanh(given[0] @ down.T) @ up.T

        if is_adapted:
            block.attn.c_attn.register_forward_hook(add_bottleneck)
    tokenizer = Tokenizer.from_file(str(published.base / "tokenizer.json"))
    ids = tokenizer.encode(QUESTION).ids
    prompt_tokens = len(ids)
    with torch.inference_mode():
        for _ in range(NEW_TOKENS):
            ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return str(tokenizer.decode(ids[prompt_tokens:])).strip()


@pytest.fixture(scope="module")
def expected(published: Checkpoints) -> str:
    text = reference(published, is_adapted=True)
    assert len(set(text.split())) > 5
    assert text != reference(published, is_adapted=False)
    return text


def test_server_loads_published_adapter_and_explains_with_it(published: Checkpoints, expected: str) -> None:
    async def session() -> tuple[list[Any], dict[str, Any], list[str], int | None]:
        server = (*CLI, "serve", "--stdio", "--no-share")
        async with client.start(server, stderr=subprocess.DEVNULL, env=published.environment) as editor:
            await editor.initialize()
            await asyncio.wait_for(wait_until_ready(editor), 120)
            editor.open(URI, CODE)
            listed = await execute_command(editor, "starcoder.listAdapters")
            argument = {"uri": URI, "range": lsp_range(0, 2), "token": "t"}
            explained = await execute_command(editor, "starcoder.explain", argument)
            progress = [params["value"] for name, params in editor.notifications if name == "$/progress"]
            return listed, explained, [json.dumps(value) for value in progress], await editor.shutdown()

    listed, explained, progress, exit_code = asyncio.run(session())
    assert [(adapter["name"], adapter["method"], adapter["memoryBytes"]) for adapter in listed] == [
        ("astraios", "BOTTLENECK", ADAPTER_BYTES)
    ]
    assert expected in explained["text"]
    assert any(expected[:20] in value for value in progress)
    assert exit_code == 0


@pytest.fixture
def run_command(published: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command line in this process, which has imported torch already."""
    for name, value in published.environment.items():
        monkeypatch.setenv(name, value)
    return functools.partial(CliRunner().invoke, application)


def test_explain_command_prints_the_same_text(run_command: Callable[..., Result], expected: str) -> None:
    done = run_command(["explain", "-:1-2", "--language", "python", "--json"], input=CODE)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["text"].strip() == expected


def test_adapters_check_command_accepts_published_adapter(
    run_command: Callable[..., Result], published: Checkpoints
) -> None:
    done = run_command(["adapters", "check", str(published.adapter)])
    assert done.exit_code == 0, done.stderr
    assert "BOTTLENECK" in done.stdout
