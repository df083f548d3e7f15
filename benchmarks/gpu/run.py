"""The engine on a GPU, in the shapes of StarCoderBase with random weights.

    python benchmarks/gpu/run.py --into gpu.json

All compared times are measured in the same run. A part that fails or exceeds its time is reported and skipped; the
results, and a picture of the goals, are saved after each part. No checkpoint is needed. docs/gpu.md says how to run it
on a machine without a network; `--device cpu --shapes tiny --quick` tests it on one without a GPU.
"""

from __future__ import annotations

import wheels

if __name__ == "__main__":
    wheels.add_missing()
    import suite

    suite.main()
