"""Converts the pickled weights of an adapter to safetensors in a child process with limits on memory and time.

torch builds only tensors and plain containers from a pickle (``weights_only``); the limits are against sizes that the
pickle merely states. ``convert`` starts this module as a program; this process never unpickles.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from starcoder_ls.errors import AdapterInvalid

MAX_FILE_BYTES = 2 << 30
"""Larger pickles are refused. The largest of Astraios has 0.2 GB."""

TIME_LIMIT_S = 300.0
_CPU_LIMIT_S = 120
_SPARE_BYTES = 256 << 20
"""Memory that the child may allocate beyond its libraries and three copies of the file."""

_REFUSED = 3
"""Exit code of the child if the pickle does not contain what its message on standard error says."""


def convert(file: Path, out: Path, time_limit_s: float = TIME_LIMIT_S) -> None:
    """Write the tensors of the pickle ``file`` to the safetensors file ``out``.

    Raises AdapterInvalid for anything but a dictionary of named tensors whose data is in the file.
    """
    size = file.stat().st_size
    if size > MAX_FILE_BYTES:
        raise AdapterInvalid(f"{file} has {size / 1e9:.1f} GB, and {MAX_FILE_BYTES / 1e9:.1f} are the limit.")
    # -P: the folder from which an editor starts the server must not provide modules.
    command = [sys.executable, "-P", "-m", __name__, str(file.absolute()), str(out.absolute())]
    try:
        child = subprocess.run(
            command, check=False, capture_output=True, timeout=time_limit_s, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise AdapterInvalid(f"{file} could not be read in {time_limit_s:.0f} s. Download it again.") from error
    if child.returncode == 0:
        return
    if child.returncode == _REFUSED:
        raise AdapterInvalid(f"{file} {child.stderr.decode(errors='replace').strip()}. Download it again.")
    raise AdapterInvalid(
        f"{file} is damaged, needs more memory than its size allows, or contains more than tensors and would run code. "
        "Do not use it, or download it again."
    )


def main(file: Path, out: Path) -> int:
    """The child: returns the exit code. A problem with the contents is written to standard error as a phrase."""
    size = file.stat().st_size
    problem = _find_archive_problem(file, size)
    if problem is None:
        import warnings

        import safetensors.torch  # noqa: F401 - before the limits
        import torch

        torch.set_num_threads(1)
        warnings.simplefilter("ignore")  # torch warns about unusual pickles; the result is checked
        _limit_resources(3 * size + _SPARE_BYTES)
        problem = write_tensors(file, out)
    if problem is not None:
        sys.stderr.write(problem)
        return _REFUSED
    return 0


def write_tensors(file: Path, out: Path) -> str | None:
    """Write the tensors of the pickle to ``out``, or return what is wrong with them, as a phrase.

    Raises what ``torch.load`` raises for anything but tensors and plain containers.
    """
    import torch
    from safetensors.torch import save_file

    tensors = torch.load(file, map_location="cpu", weights_only=True)
    if problem := _find_tensor_problem(tensors, file.stat().st_size):
        return problem
    save_file(
        {str(name): value.detach().clone().contiguous() for name, value in tensors.items()}, out, {"format": "pt"}
    )
    return None


def _limit_resources(more_bytes: int) -> None:
    """Limit this process's memory to what it has and ``more_bytes``, and its processor time; not on Windows."""
    try:
        import resource
    except ImportError:
        return
    import psutil

    memory = psutil.Process().memory_info()
    for kind, used_bytes in (
        (resource.RLIMIT_AS, memory.vms),
        (resource.RLIMIT_DATA, getattr(memory, "data", memory.vms)),
    ):
        _, hard = resource.getrlimit(kind)
        limit = used_bytes + more_bytes
        resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_LIMIT_S, hard))


def _find_archive_problem(file: Path, size: int) -> str | None:
    """torch's archives are not compressed: entries larger than the file would be expanded in memory."""
    if not zipfile.is_zipfile(file):
        return None  # torch's format before 1.6
    with zipfile.ZipFile(file) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > size:
            return "states more data than it contains"
    return None


def _find_tensor_problem(tensors: object, size: int) -> str | None:
    """What is wrong with the contents, as a phrase; None if they are named tensors whose data is in the file.

    A tensor may be an expanded view: one stored number that stands for any number of values.
    """
    import torch

    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        return "contains more than named tensors"
    total = 0
    for value in tensors.values():
        if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
            return "contains tensors that are not plain arrays"
        values_bytes = value.numel() * value.element_size()
        total += values_bytes
        if values_bytes > value.untyped_storage().nbytes() or total > size:
            return f"states tensors of more than {total:,} bytes and has {size:,}"
    return None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
