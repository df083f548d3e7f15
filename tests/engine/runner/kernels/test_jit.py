"""The cache of compiled kernels."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest
import torch
import transformers
from numba.core.dispatcher import Dispatcher

import checkpoints
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.engine.runner import compiled_pass, packed_linear
from starcoder_ls.settings import Model

pytestmark = pytest.mark.skipif(not packed_linear.is_possible(), reason="no kernels of our own on this processor")


def test_each_cached_kernel_is_compiled_for_one_list_of_types(tmp_path: Path) -> None:
    """numba numbers the code for further types, and two processes that start at once can use one number for two."""
    from starcoder_ls.engine.runner import kernels

    for dtype in (torch.float16, torch.bfloat16):
        folder = checkpoints.gpt_bigcode(tmp_path / str(dtype), n_embd=128, n_head=2, n_inner=512)
        transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).save_pretrained(folder)
        loaded = load(Model(name=str(folder), device="cpu"), ignore_progress)
        assert loaded.runner.compiled_pass is not None
    functions = {
        f"{module.name}.{name}": function
        for module in pkgutil.iter_modules(kernels.__path__)
        for name, function in vars(importlib.import_module(f"{kernels.__name__}.{module.name}")).items()
        if isinstance(function, Dispatcher)
    }
    assert len(functions) > 20
    assert {name: function.signatures for name, function in functions.items() if len(function.signatures) > 1} == {}
    assert not compiled_pass.needs_compilation()
