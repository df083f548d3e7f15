"""Programs that nobody has read, run in a child process with limits.

Decides what a child may use: seconds, memory, file sizes, no network where the kernel lets us take it away. No sandbox
against an attacker. Refuses to know what the programs are for.
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

# Runs inside the child. What it writes at the end is secret to the program: one that leaves early has not passed.
_CHILD = f"""
import ctypes, os, resource, sys
memory, size, seconds, word = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.stdin.readline().strip()
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
os.write(out, word.encode())
os._exit(0)
"""


def passes(program: str, timeout_s: float = 3.0) -> bool:
    """Whether ``program`` runs to its end without an exception within the limits.

    3 seconds are HumanEval-Infilling's own limit (openai/human-eval-infilling, evaluation.py).
    """
    word = secrets.token_hex(16)
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
            said, _ = child.communicate(f"{word}\n{program}".encode("utf-8", "replace"), timeout=timeout_s)
        except subprocess.TimeoutExpired:
            said = b""
        finally:
            _end(child)
    return said == word.encode()


def has_own_network() -> bool:
    """Whether children are cut off from the network here; a child of ours tries."""
    code = f"import ctypes,sys; sys.exit(0 if ctypes.CDLL(None).unshare({_NEW_USER | _NEW_NETWORK}) == 0 else 1)"
    if not hasattr(ctypes.CDLL(None), "unshare"):
        return False
    return subprocess.run([sys.executable, "-I", "-c", code], check=False, stderr=subprocess.DEVNULL).returncode == 0


def _end(child: subprocess.Popen[bytes]) -> None:
    """The child and whatever it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, 9)
    child.communicate()
