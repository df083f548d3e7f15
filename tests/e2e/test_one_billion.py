"""A random checkpoint with the widths of StarCoderBase-1B: loading, completion, cancellation and peak memory.

It has 2 of the 24 layers; the environment variable ``STARCODER_LS_LAYERS`` sets another number.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import checkpoints
from starcoder_ls.engine.runner import packed_linear

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("STARCODER_LS_TEST_DATA", ROOT.parent / "shared" / "data"))
TOKENIZER = DATA / "tokenizers" / "starcoder-tokenizer.json"
LAYERS = int(os.environ.get("STARCODER_LS_LAYERS", "2"))
NEEDED_BYTES = 8 << 30
SPARE_BYTES = 400e6
"""For libraries and activations, at any number of layers; the weights of 2 layers are 0.5 GB."""

pytestmark = pytest.mark.slow

# Runs in its own process, so that the growth of the process is the model's alone. Weights that are loaded in their own
# type stay mapped from their file: resident, but not anonymous, and shared by every process that maps the file.
SCRIPT = """
import asyncio, json, sys, threading, time
from contextlib import aclosing
import torch
from starcoder_ls.engine import local_engine
from starcoder_ls.engine.runner.model_runner import ModelRunner
from starcoder_ls.generation import Phase, Request, SpecialToken
from starcoder_ls.settings import Model

def memory_bytes(kind="Anonymous"):
    with open("/proc/self/smaps_rollup") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(kind + ":"))

anonymous_before, resident_before = memory_bytes(), memory_bytes("Rss")
found = {"peak": 0}
is_finished = threading.Event()
def watch_memory():
    while not is_finished.wait(0.1):
        found["peak"] = max(found["peak"], memory_bytes() - anonymous_before)
watcher = threading.Thread(target=watch_memory)
watcher.start()

pass_times = []
run_batch = ModelRunner.run_batch
def timed_run_batch(*arguments):
    pass_times.append(time.monotonic())
    return run_batch(*arguments)
ModelRunner.run_batch = timed_run_batch

load_start = time.monotonic()
engine = local_engine.LocalEngine(Model(name=sys.argv[1], device="cpu", offline=True))
engine.start()
while engine.status().phase not in (Phase.READY, Phase.FAILED):
    time.sleep(0.02)
found["message"] = engine.status().message
found["load_s"] = time.monotonic() - load_start
found["dtype"] = engine.status().dtype

prompt = (SpecialToken("<fim_prefix>"), open(torch.__file__).read()[:600], SpecialToken("<fim_suffix>"), "\\n",
          SpecialToken("<fim_middle>"))

async def complete_and_cancel():
    chunks = [chunk async for chunk in engine.stream(Request(parts=prompt, max_new_tokens=8))]
    found["tokens"] = sum(len(chunk.token_ids) for chunk in chunks)
    timings = chunks[-1].timings
    found.update(prompt_tokens=timings.prompt_tokens, prefill_ms=timings.prefill_ms,
                 step_ms=timings.ms_per_token)
    async with aclosing(engine.stream(Request(parts=prompt, max_new_tokens=500))) as stream:
        async for _ in stream:
            break
    return time.monotonic()

cancel_time = asyncio.run(complete_and_cancel())
while engine.status().phase is Phase.WORKING:
    time.sleep(0.005)
found["cancel_ms"] = (time.monotonic() - cancel_time) * 1000
found["passes_after_cancel"] = sum(pass_time > cancel_time for pass_time in pass_times)
found["engine_bytes"] = engine.status().memory_bytes
found["anonymous"] = memory_bytes() - anonymous_before
found["resident"] = memory_bytes("Rss") - resident_before
is_finished.set()
watcher.join()
engine.close()
print(json.dumps(found))
"""


@pytest.fixture
def one_billion(tmp_path: Path) -> Iterator[Path]:
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("anonymous memory is read from Linux' /proc")
    if not TOKENIZER.is_file():
        pytest.skip(f"{TOKENIZER} is missing; set STARCODER_LS_TEST_DATA")
    if min(psutil.virtual_memory().available, shutil.disk_usage(tmp_path).free) < NEEDED_BYTES:
        pytest.skip("needs 8 GB of memory and of disk")
    folder = checkpoints.starcoderbase_1b(tmp_path / "starcoderbase-1b", TOKENIZER, LAYERS)
    yield folder
    shutil.rmtree(folder)


def test_large_weights_load_once_complete_and_cancel(one_billion: Path) -> None:
    # The script imports torch before the engine does, so what the engine would set is set here.
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT / "server")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(one_billion)],
        capture_output=True, text=True, check=False, env=environment, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(found)  # noqa: T201 - the figures, with -s
    assert found["message"] == ""
    assert found["tokens"] == 8
    assert found["passes_after_cancel"] <= 1
    assert found["engine_bytes"] > 0.2e9 + 0.083e9 * LAYERS
    assert found["anonymous"] < found["engine_bytes"] + SPARE_BYTES
    assert found["peak"] < found["engine_bytes"] + SPARE_BYTES, (
        "no second copy of the weights, not even while they load"
    )
    assert found["dtype"] == "bfloat16"
    if not packed_linear.is_possible():  # then the weights stay where their file is mapped
        assert found["peak"] < SPARE_BYTES
        assert found["resident"] < found["engine_bytes"] + SPARE_BYTES
