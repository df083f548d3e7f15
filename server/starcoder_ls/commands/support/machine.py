"""What a model can use on this machine: device, free memory, free disk, and how fast memory is read.

torch is imported only where there may be a GPU, because that takes seconds.
"""

from __future__ import annotations

import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from starcoder_ls.engine.loading.hub_download import free_disk_bytes

_GPU_DEVICES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, and NVIDIA in WSL
_PROBE_BYTES = 128 << 20
"""More than the caches of most processors."""

_PROBE_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Machine:
    """``device`` is cuda, mps or cpu. Bytes, and bytes per second; 0 if the bandwidth is unknown."""

    device: str
    name: str
    free_bytes: float
    free_disk_bytes: float
    bandwidth: float


def inspect_machine(downloads: Path) -> Machine:
    """The machine, with the free disk of the folder that has the downloaded models.

    Takes a fraction of a second or, with a GPU, the time to import torch.
    """
    disk = free_disk_bytes(downloads)
    if _may_have_gpu():
        import torch

        if torch.cuda.is_available():
            free = torch.cuda.mem_get_info()[0]
            return Machine("cuda", torch.cuda.get_device_name(), free, disk, _device_bandwidth())
        if torch.backends.mps.is_available():
            free = psutil.virtual_memory().available
            return Machine("mps", "Apple GPU with shared memory", free, disk, 0.0)
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    name = f"{cores} cores, no GPU"
    return Machine("cpu", name, psutil.virtual_memory().available, disk, _memory_bandwidth(cores))


def _may_have_gpu() -> bool:
    return (
        sys.platform == "darwin"
        or shutil.which("nvidia-smi") is not None
        or any(Path(device).exists() for device in _GPU_DEVICES)
    )


def _memory_bandwidth(threads: int) -> float:
    """Bytes per second that ``threads`` threads read while they add numbers, in the best of a few rounds.

    Measured in processor time, so that other programs on the processor change it little.
    """
    numbers = np.ones(_PROBE_BYTES // 8, dtype=np.int64)
    parts = np.array_split(numbers, threads)
    with ThreadPoolExecutor(threads) as pool:
        return max(sum(pool.map(_read_rate, parts)) for _ in range(_PROBE_ROUNDS))


def _read_rate(numbers: np.ndarray) -> float:
    started = time.thread_time()
    np.add.reduce(numbers)
    return numbers.nbytes / max(time.thread_time() - started, 1e-6)


def _device_bandwidth() -> float:
    """Bytes per second that the GPU reads while it adds numbers."""
    import torch

    numbers = torch.ones(_PROBE_BYTES, dtype=torch.float32, device="cuda")  # four bytes each
    best = float("inf")
    for _ in range(_PROBE_ROUNDS):
        torch.cuda.synchronize()
        started = time.perf_counter()
        numbers.sum()
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return numbers.nbytes / best
