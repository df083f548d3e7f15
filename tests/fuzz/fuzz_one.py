"""Runs one harness under atheris: ``python fuzz_one.py HARNESS FOLDER WARM_UP_S ...``, which ``run`` starts.

An input that fails, takes more than a second of processor time or makes the memory grow is written to the folder, with
its reason beside it, and fuzzing goes on. Arguments after the folder are libFuzzer's.
"""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

MAX_INPUT_S = 1.0
MAX_GROWTH_BYTES = 50 << 20
_MIN_WARM_UP_INPUTS = 5_000
_INPUTS_PER_SAMPLE = 512
_MAX_FINDINGS = 20


class Recorder:
    """Calls ``check`` for each input, measures it, and records what is wrong with it, each kind of failure once."""

    def __init__(self, check: Callable[[bytes], None], folder: Path, warm_up_s: float) -> None:
        self._check, self._folder = check, folder
        self._warm_until_s = time.monotonic() + warm_up_s
        self._baseline_bytes = self._growth_bytes = 0
        self._inputs, self._slowest_s = 0, 0.0
        self._reasons: set[str] = set()
        self._written_s = 0.0

    def run(self, data: bytes) -> None:
        start_s = time.process_time()
        try:
            self._check(data)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  (a panic of a Rust library is no Exception)
            last = traceback.extract_tb(error.__traceback__)[-1]
            self._record(f"{type(error).__name__} in {last.name}, line {last.lineno}", data, traceback.format_exc())
        taken_s = time.process_time() - start_s
        self._slowest_s = max(self._slowest_s, taken_s)
        if taken_s > MAX_INPUT_S:
            self._record("slow", data, f"{taken_s:.2f} s with the fuzzer's instrumentation\n")
        self._inputs += 1
        if self._inputs % _INPUTS_PER_SAMPLE == 0:
            self._measure(data)

    def _measure(self, data: bytes) -> None:
        now_s = time.monotonic()
        resident_bytes = psutil.Process().memory_info().rss
        if self._baseline_bytes:
            self._growth_bytes = max(self._growth_bytes, resident_bytes - self._baseline_bytes)
            if self._growth_bytes > MAX_GROWTH_BYTES:
                self._record("growth", data, f"{self._growth_bytes >> 20} MB since the warm-up\n")
        elif self._inputs >= _MIN_WARM_UP_INPUTS and now_s >= self._warm_until_s:
            gc.collect()
            self._baseline_bytes = resident_bytes
        if now_s - self._written_s > 1:
            self._written_s = now_s
            summary = {
                "inputs": self._inputs,
                "growth_bytes": self._growth_bytes if self._baseline_bytes else None,
                "slowest_s": self._slowest_s,
            }
            (self._folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")

    def _record(self, reason: str, data: bytes, details: str) -> None:
        if reason in self._reasons or len(self._reasons) >= _MAX_FINDINGS:
            return
        self._reasons.add(reason)
        name = f"{reason.split(' ')[0].lower()}-{hashlib.sha256(data).hexdigest()[:12]}"
        (self._folder / name).write_bytes(data)
        (self._folder / f"{name}.txt").write_text(f"{reason}\n{details}", encoding="utf-8", errors="backslashreplace")
        print(f"FINDING {name}: {reason}", file=sys.stderr, flush=True)


def main() -> None:
    name, folder, warm_up_s, *arguments = sys.argv[1:]
    import atheris

    from fuzz import registry

    logging.disable(logging.CRITICAL)
    with atheris.instrument_imports(include=list(registry.HARNESSES[name])):
        harness = registry.load(name)
    recorder = Recorder(harness.check, Path(folder), float(warm_up_s))
    atheris.Setup([sys.argv[0], f"-max_len={harness.max_bytes}", *arguments], recorder.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
