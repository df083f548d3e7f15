"""How functions of this folder are compiled, and where what was compiled is kept.

Decides which liberties the compiler has: it may change the order of a sum within one row, never by what else a pass
computes. Refuses to know what is computed.
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
import platformdirs
import torch

_log = logging.getLogger(__name__)

_LIBERTIES = {"reassoc", "contract", "nsz", "arcp"}
_FOLDER = "STARCODER_LS_KERNELS"

Function = TypeVar("Function", bound=Callable[..., Any])


def _folder() -> Path:
    """Of these very sources: numba looks at the file of a function alone, not at what the function calls."""
    digest = hashlib.sha256(f"{numba.__version__} {platform.machine()}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    root = os.environ.get(_FOLDER) or Path(platformdirs.user_cache_dir("starcoder-ls", appauthor=False)) / "kernels"
    return Path(root) / digest.hexdigest()[:16]


def needs_compilation() -> bool:
    """The whole pass is still to be compiled: some ten seconds' work."""
    return not any(_KEPT_IN.glob("forward.forward*.nbi"))


def _is_kept() -> bool:
    """Whether what is compiled can be kept; where it cannot, each start compiles anew."""
    try:
        _KEPT_IN.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=_KEPT_IN):
            pass
    except OSError as error:
        _log.warning("Compiled code cannot be kept, so that each start takes some ten seconds longer: %s", error)
        return False
    numba.config.CACHE_DIR = str(_KEPT_IN)
    return True


def _begin_threads() -> None:
    """numba's threads may be OpenMP's, and then starting them changes how many torch believes it was given."""
    wanted = torch.get_num_threads()
    numba.set_num_threads(1)
    torch.set_num_threads(wanted)


_KEPT_IN = _folder()
_IS_KEPT = _is_kept()
_begin_threads()


def jit(function: Function) -> Function:
    """``function`` as code of this processor, compiled when it is first called; it runs without the interpreter."""
    wrap = numba.njit(nogil=True, cache=_IS_KEPT, error_model="numpy", fastmath=_LIBERTIES)
    return cast("Function", wrap(function))


def parallel_jit(function: Function) -> Function:
    """The same, its ``prange`` loops shared out among threads."""
    wrap = numba.njit(nogil=True, cache=_IS_KEPT, error_model="numpy", fastmath=_LIBERTIES, parallel=True)
    return cast("Function", wrap(function))


_sharing = threading.Lock()
_is_alone = contextlib.nullcontext(1)


@contextlib.contextmanager
def _shared_out(wanted: int) -> Iterator[int]:
    with _sharing:  # one of numba's ways to share work out breaks where two threads do it at once
        threads = min(wanted, numba.config.NUMBA_NUM_THREADS)
        if threads != numba.get_num_threads():
            numba.set_num_threads(threads)
        yield threads


def parallel_threads(threads: int) -> contextlib.AbstractContextManager[int]:
    """While ``shared`` functions run on so many threads; the answer is how many there are."""
    return _is_alone if threads == 1 else _shared_out(threads)
