"""The captured pass fused by inductor, torch's compiler: its kernels write fewer intermediate results to memory.

Decides what is compiled (passes over one row, for the base and the adapters that are loaded), when (before the first
request, never during a capture), and where the compiled code is kept between starts.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import platformdirs
import torch

from starcoder_ls.engine.cuda_graphs import static_pass
from starcoder_ls.engine.cuda_graphs.buckets import Bucket
from starcoder_ls.engine.cuda_graphs.static_pass import PassTensors
from starcoder_ls.engine.device_errors import has_device_failed
from starcoder_ls.engine.kv_cache.prefix_cache import AdapterKey
from starcoder_ls.errors import DeviceFailed

_log = logging.getLogger(__name__)

SEVERAL_TOKENS = 8
"""New tokens of the pass that is compiled for all passes over more than one token."""

MAX_VARIANTS = 64
"""Compiled variants of the pass: two for the base and two for each adapter. torch's own limit is 8."""

_CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"

Compute = Callable[[Any, PassTensors], None]


def cache_folder() -> Path:
    """Where inductor keeps compiled code: the folder that the environment names, else one in the user's cache."""
    user_cache = Path(platformdirs.user_cache_dir("starcoder-ls", appauthor=False)) / "inductor"
    return Path(os.environ.get(_CACHE_VARIABLE) or user_cache)


class FusedPass:
    """``compute_pass`` compiled for passes over one row. One compiled function serves every length of the cache."""

    def __init__(self, backend: str | Callable[..., Any] = "inductor") -> None:
        os.environ[_CACHE_VARIABLE] = str(cache_folder())  # read when the first kernel is compiled
        self._compiled: Compute = torch.compile(static_pass.compute_pass, fullgraph=True, backend=backend)
        self._adapter_keys: set[AdapterKey] = set()
        self._failure = ""

    @property
    def message(self) -> str:
        """A sentence for the user: whether the pass is fused, and why not."""
        if self._failure:
            return f"`model.compile` has no effect, since the pass could not be fused: {self._failure}."
        return "Short passes are fused by inductor."

    def compile(
        self, adapter_key: AdapterKey, model: Any, kv_tokens: int, tensors_of: Callable[[Bucket], PassTensors]
    ) -> None:
        """Compile the pass through the layers that are active now, which are those of ``adapter_key``.

        ``tensors_of`` returns the tensors of a bucket; ``kv_tokens`` is one that they can have. Whatever the compiler
        raises is noted and the pass not used. Raises DeviceFailed.
        """
        if self._failure or adapter_key in self._adapter_keys:
            return
        try:
            with _compiler_limits():
                for new_tokens in (1, SEVERAL_TOKENS):
                    tensors = tensors_of(Bucket(1, new_tokens, kv_tokens))
                    _mark_dynamic(tensors, new_tokens)
                    self._compiled(model, tensors)
        except Exception as error:
            if has_device_failed(error):
                raise DeviceFailed("The device has failed while a pass was compiled. The model is reloaded.") from error
            cause = getattr(error, "inner_exception", error)  # torch wraps what its compiler raises
            self.fail(f"{type(cause).__name__}: {cause}")
        else:
            self._adapter_keys.add(adapter_key)

    def find(self, adapter_key: AdapterKey, bucket: Bucket) -> Compute | None:
        """The compiled pass for such a graph; None if there is none."""
        if self._failure or bucket.rows > 1 or adapter_key not in self._adapter_keys:
            return None
        return self._run

    def fail(self, reason: str) -> None:
        """Use the pass that is not fused from here on."""
        self._failure = reason.strip().partition("\n")[0].rstrip(".")
        _log.warning("the pass fused by inductor is not used: %s", reason)

    def _run(self, model: Any, tensors: PassTensors) -> None:
        """Run the compiled pass. Raises RuntimeError if it would have to be compiled again."""
        with torch.compiler.set_stance("fail_on_recompile"):
            self._compiled(model, tensors)


def _mark_dynamic(tensors: PassTensors, new_tokens: int) -> None:
    """Let the compiled code serve any length of cache and, above one, any number of new tokens."""
    mark = torch._dynamo.mark_dynamic
    mark(tensors.kv_positions, 0)
    for storage in (storage for pair in tensors.storages for storage in pair):
        mark(storage, 2)
    if new_tokens > 1:
        mark(tensors.inputs, 1)
        for tensor in (tensors.offsets, tensors.logits, tensors.likeliest):
            mark(tensor, 0)


@contextlib.contextmanager
def _compiler_limits() -> Iterator[None]:
    """More variants than torch allows, and none for a length that occurs a second time: lengths are dynamic already."""
    limits: dict[str, Any] = {"recompile_limit": MAX_VARIANTS, "accumulated_recompile_limit": 4 * MAX_VARIANTS}
    limits["automatic_dynamic_shapes"] = False
    with torch._dynamo.config.patch(limits):
        yield
