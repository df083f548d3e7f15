"""How many threads torch uses on a CPU, and how they wait for work. Imports torch only when it is called for."""

from __future__ import annotations

import os


def configure_openmp() -> None:
    """Set how OpenMP's threads wait; called before torch is imported.

    Threads that spin while they wait cost 1,416 ms a step beside a busy process, against 26 with this setting. They may
    spin for some microseconds: 164 million weights on two threads took 9.9 ms a step instead of 11.3, and 10.3 instead
    of 9.0 beside a busy process; ten times as long made that 23.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "300")


def limit(count: int) -> None:
    """Let torch use ``count`` threads in this process from now on."""
    import torch

    torch.set_num_threads(count)
