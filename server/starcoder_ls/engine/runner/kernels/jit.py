"""How the functions of this folder are compiled, and where their machine code is cached.

Decides what the compiler may change: a multiplication and an addition can become one fused instruction. The order of
sums is in the sources.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import platform
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numba.extending
import torch

from starcoder_ls.user_folders import cache_folder

_log = logging.getLogger(__name__)

_FASTMATH_FLAGS = {"contract", "nsz"}
_CACHE_VARIABLE = "STARCODER_LS_KERNELS"
"""Environment variable that names another folder for the cache."""

Function = TypeVar("Function", bound=Callable[..., Any])


def _cache_folder() -> Path:
    """Return the folder for these very sources: numba's cache checks a function's own file and not those it calls."""
    digest = hashlib.sha256(f"{numba.__version__} {platform.machine()}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    user_cache = cache_folder("kernels")
    return Path(os.environ.get(_CACHE_VARIABLE) or user_cache) / digest.hexdigest()[:16]


def needs_compilation() -> bool:
    """Whether the forward pass is not in the cache yet; compiling it takes about ten seconds."""
    return not any(_CACHE_FOLDER.glob("*/forward.forward*.nbi"))  # numba: a folder for each installation, a function


def _set_up_cache() -> bool:
    """Make numba use the folder; False if it is not writable, so that each start compiles again."""
    try:
        _CACHE_FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=_CACHE_FOLDER):
            pass
    except OSError as error:
        reason = f"{_CACHE_FOLDER} cannot be written ({error.strerror})"
        _log.warning("%s, so kernels are compiled at each start, which takes about ten seconds.", reason)
        return False
    numba.config.CACHE_DIR = str(_CACHE_FOLDER)
    return True


def _start_threads() -> None:
    """Start numba's threads. They may be OpenMP's, and then starting them changes torch's number of threads."""
    torch_threads = torch.get_num_threads()
    numba.set_num_threads(1)
    torch.set_num_threads(torch_threads)


_CACHE_FOLDER = _cache_folder()
_IS_CACHED = _set_up_cache()
_start_threads()


def jit(function: Function) -> Function:
    """Compile ``function`` for this processor when it is first called. It runs without the GIL.

    It must always be called with the same types: of two processes that start at once, each may store the code for its
    own types under the number that the other's index has, and numba does not notice.
    """
    decorate = numba.njit(nogil=True, cache=_IS_CACHED, error_model="numpy", fastmath=_FASTMATH_FLAGS)
    return cast("Function", decorate(function))


def parallel_jit(function: Function) -> Function:
    """As ``jit``, with ``prange`` loops distributed over threads. Call it within ``parallel_threads``."""
    decorate = numba.njit(nogil=True, cache=_IS_CACHED, error_model="numpy", fastmath=_FASTMATH_FLAGS, parallel=True)
    return cast("Function", decorate(function))


def compiled_into_callers(function: Function) -> Function:
    """For a function that compiled functions call with several types: it is part of their code and not cached."""
    decorate = numba.extending.register_jitable(error_model="numpy", fastmath=_FASTMATH_FLAGS)
    return cast("Function", decorate(function))


_parallel_lock = threading.Lock()
_single_thread = contextlib.nullcontext(1)


@contextlib.contextmanager
def _set_threads(max_threads: int) -> Iterator[int]:
    with _parallel_lock:  # numba's workqueue threading layer crashes if two threads use it at once
        threads = min(max_threads, numba.config.NUMBA_NUM_THREADS)
        if threads != numba.get_num_threads():
            numba.set_num_threads(threads)
        yield threads


def parallel_threads(max_threads: int) -> contextlib.AbstractContextManager[int]:
    """Context in which ``parallel_jit`` functions run on up to ``max_threads`` threads; yields their number.

    One Python thread at a time can be inside, unless ``max_threads`` is 1.
    """
    return _single_thread if max_threads == 1 else _set_threads(max_threads)
