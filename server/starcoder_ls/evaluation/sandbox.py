"""Runs untrusted programs in a child process with limits on time, memory and file sizes.

The child has no network if the kernel allows this user to take it away. This protects against mistakes of a model, not
against an attacker.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import subprocess
import sys
import tempfile

_MEMORY_BYTES = 1 << 30
_FILE_BYTES = 1 << 20
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # sched.h: CLONE_NEWUSER, CLONE_NEWNET

# Runs inside the child. The token that it writes at the end is unknown to the program: exiting early does not pass.
_CHILD = f"""
import ctypes, os, resource, sys
memory, size, seconds, token = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.stdin.readline().strip()
libc = ctypes.CDLL(None)
if hasattr(libc, "unshare"):
    libc.unshare({_NEW_USER | _NEW_NETWORK})
resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
program, out = sys.stdin.read(), os.dup(1)
sys.stdin = open(os.devnull)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
try:
    exec(compile(program, "program.py", "exec"), {{"__name__": "__main__"}})
except BaseException as error:
    os.write(out, type(error).__name__.encode())
    os._exit(1)
os.write(out, token.encode())
os._exit(0)
"""


def passes(program: str, timeout_s: float = 3.0) -> bool:
    """Whether ``program`` runs to its end without an exception within the limits.

    3 seconds are HumanEval-Infilling's own limit (openai/human-eval-infilling, evaluation.py).
    """
    token = secrets.token_hex(16)
    arguments = [str(_MEMORY_BYTES), str(_FILE_BYTES), str(int(timeout_s) + 1)]
    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.Popen(
            [sys.executable, "-I", "-c", _CHILD, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={"PATH": os.defpath, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        try:
            output, _ = child.communicate(f"{token}\n{program}".encode("utf-8", "replace"), timeout=timeout_s)
        except subprocess.TimeoutExpired:
            output = b""
        finally:
            _kill(child)
    return output == token.encode()


def can_isolate_network() -> bool:
    """Whether programs run without a network here; tried with a child process."""
    code = f"import ctypes,sys; sys.exit(0 if ctypes.CDLL(None).unshare({_NEW_USER | _NEW_NETWORK}) == 0 else 1)"
    if not hasattr(ctypes.CDLL(None), "unshare"):
        return False
    return subprocess.run([sys.executable, "-I", "-c", code], check=False, stderr=subprocess.DEVNULL).returncode == 0


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kills the child and the processes that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, 9)
    child.communicate()
