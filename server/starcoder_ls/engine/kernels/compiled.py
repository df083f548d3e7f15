"""How functions of this folder are compiled, and where what was compiled is kept.

Decides which liberties the compiler has: it may change the order of a sum within one row, never by what else a pass
computes. Refuses to know what is computed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import platformdirs

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


def _is_kept() -> bool:
    """Whether what is compiled can be kept; where it cannot, each start compiles anew."""
    folder = _folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        _log.info("compiled code is not kept: %s", error)
        return False
    numba.config.CACHE_DIR = str(folder)
    return True


_IS_KEPT = _is_kept()


def compiled(function: Function) -> Function:
    """``function`` as code of this processor, compiled when it is first called; it runs without the interpreter."""
    wrap = numba.njit(nogil=True, cache=_IS_KEPT, error_model="numpy", fastmath=_LIBERTIES)
    return cast("Function", wrap(function))


def shared(function: Function) -> Function:
    """The same, its ``prange`` loops shared out among threads."""
    wrap = numba.njit(nogil=True, cache=_IS_KEPT, error_model="numpy", fastmath=_LIBERTIES, parallel=True)
    return cast("Function", wrap(function))
