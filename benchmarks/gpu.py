"""The engine on a GPU, at the sizes of StarCoderBase with random weights that are made on the device.

    PYTHONPATH=server python benchmarks/gpu.py --shapes 1B 7B --into gpu.json

Every ratio is between things measured in this run. A part that fails or takes too long is said and left out; the file
is written after each part. Needs no editor's libraries and no files; `--device cpu --shapes tiny` tries the script.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import platform
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import transformers

import gpu_parts
import starcoder_ls
from starcoder_ls.engine.assembly import assemble, load
from starcoder_ls.engine.cuda_graphs.registry import GraphRegistry
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.loading.checkpoint import read_checkpoint
from starcoder_ls.engine.loading.load_model import freeze
from starcoder_ls.engine.loading.placement import Placement
from starcoder_ls.settings import Model
from starcoder_ls.text_tokens.tokenizer import Tokenizer

BUNDLED = Path(starcoder_ls.__file__).parent / "bundled"
SHAPES = {
    "tiny": {"n_layer": 2, "n_embd": 128, "n_head": 4, "n_inner": 256, "n_positions": 1024, "vocab_size": 8192},
    "1B": {"n_layer": 24, "n_embd": 2048, "n_head": 16, "n_inner": 8192, "n_positions": 8192},
    "3B": {"n_layer": 36, "n_embd": 2816, "n_head": 22, "n_inner": 11264, "n_positions": 8192},
    "7B": {"n_layer": 42, "n_embd": 4096, "n_head": 32, "n_inner": 16384, "n_positions": 8192},
    "15B": {"n_layer": 40, "n_embd": 6144, "n_head": 48, "n_inner": 24576, "n_positions": 8192},
}
KINDS = ("int8", "nf4", "torchao-int8", "torchao-int4")


class TooLong(Exception):
    """A part had its time."""


@dataclass
class Run:
    """What is measured, until when, and what came of it."""

    device: torch.device
    is_quick: bool
    end_s: float
    part_s: float
    into: Path | None
    found: dict[str, Any] = field(default_factory=dict)

    def part(self, shape: str, name: str, measure: Callable[[], gpu_parts.Table]) -> None:
        """Print the table of a part and keep it, or say why there is none."""
        left_s = self.end_s - time.monotonic()
        if left_s < 5:
            self.say(f"\n{shape}, {name}: left out, the time is up")
            return
        began_s = time.monotonic()
        kept = self.found.setdefault(shape, {}).setdefault(name, {})
        try:
            with limited(min(left_s, self.part_s)):
                table = measure()
            kept |= {"header": table.header, "rows": table.rows, "took_s": round(time.monotonic() - began_s, 1)}
            self.say(f"\n### {shape}, {name} ({kept['took_s']} s)\n\n{table.markdown()}")
        except Exception as error:  # noqa: BLE001 - the other parts are still of use
            kept["failed"] = f"{type(error).__name__}: {error}".partition("\n")[0]
            self.say(f"\n{shape}, {name}: no result. {kept['failed']}\n{last_frames(error)}")
        self.save()

    def save(self) -> None:
        if self.into is not None:
            self.into.parent.mkdir(parents=True, exist_ok=True)
            self.into.write_text(json.dumps(self.found, indent=1), encoding="utf-8")

    def say(self, text: str) -> None:
        print(text, flush=True)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises TooLong within, between two operations of Python."""

    def ring(_signal: int, _frame: Any) -> None:
        raise TooLong(f"it took more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def last_frames(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return "".join(f"  {Path(frame.filename).name}:{frame.lineno} {frame.name}\n" for frame in frames)


def config_of(shape: str) -> transformers.GPTBigCodeConfig:
    return transformers.GPTBigCodeConfig(
        multi_query=True, activation_function="gelu_pytorch_tanh", bos_token_id=0, eos_token_id=0, pad_token_id=0,
        attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0, attn_implementation="sdpa",
        **({"vocab_size": 49_152} | SHAPES[shape]),
    )  # fmt: skip


def made(shape: str, device: torch.device, dtype: torch.dtype) -> Any:
    """The model, its numbers drawn where they stay."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            return transformers.GPTBigCodeForCausalLM(config_of(shape))
    finally:
        torch.set_default_dtype(before)


def resident(shape: str, run: Run) -> LoadedModel:
    """As the engine has it once it is loaded; never at its end, since random weights would say so at once."""
    dtype = torch.bfloat16 if run.device.type == "cuda" else torch.float32
    model = made(shape, run.device, dtype)
    config = config_of(shape).to_dict()
    checkpoint = replace(
        read_checkpoint(BUNDLED), config=config, context_tokens=config["n_positions"],
        vocabulary_size=config["vocab_size"], end_ids=frozenset(),
    )  # fmt: skip
    wanted = Model(name=shape, device=run.device.type, document_ngrams="off")  # type: ignore[arg-type]
    placement = Placement(run.device.type, dtype, None)
    freeze(model)
    loaded = assemble(model, Tokenizer.from_folder(BUNDLED), checkpoint, placement, wanted, lambda *_: None)
    return with_graphs(loaded, run)


def with_graphs(loaded: LoadedModel, run: Run) -> LoadedModel:
    """On a CPU the operations are done again one by one, so that all of the script has something to run."""
    if run.device.type == "cpu":
        sys.path.append(str(Path(__file__).parents[1] / "tests"))
        from tape import Tape

        loaded.runner.cpu_pass = loaded.runner.compiled_pass = None
        loaded.runner.graphs = GraphRegistry(
            loaded.runner.model, loaded.adapters, loaded.context_tokens, Tape, lambda: 1 << 31
        )
    loaded.runner.pass_costs = ()
    return loaded


def quantized(shape: str, kind: str, run: Run, folder: Path) -> LoadedModel:
    """Saved in bfloat16, and loaded as a user's checkpoint is."""
    if not (folder / "config.json").is_file():
        model = made(shape, run.device, torch.bfloat16)
        model.save_pretrained(folder)
        (folder / "tokenizer.json").write_bytes((BUNDLED / "tokenizer.json").read_bytes())
        del model
        freed()
    wanted = Model(name=str(folder), device=run.device.type, quantization=kind, document_ngrams="off")  # type: ignore[arg-type]
    loaded = load(wanted, lambda *_: None)
    loaded.checkpoint = replace(loaded.checkpoint, end_ids=frozenset())
    return with_graphs(loaded, run)


def freed() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def machine(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    libraries = f"torch {torch.__version__}, transformers {transformers.__version__}"
    return f"{name}, Python {platform.python_version()}, {libraries}"


def measure_shape(shape: str, run: Run, given: argparse.Namespace) -> None:
    built: list[LoadedModel] = []

    def build() -> gpu_parts.Table:
        began_s = time.monotonic()
        built.append(resident(shape, run))
        gpu_parts.wait(run.device)
        took_s = time.monotonic() - began_s
        return gpu_parts.Table(["weights, GB", "made ready in s"], [[built[0].bytes / 1e9, took_s]])

    run.part(shape, "model", build)
    if not built:
        return
    loaded = built.pop()
    bench = gpu_parts.Bench(loaded, run.device, run.is_quick, run.found.get("copy_gb_per_s", 0.0))
    parts: dict[str, Callable[[], gpu_parts.Table]] = {
        "graphs": bench.graphs,
        "decode": bench.decode,
        "verify": bench.verify,
        "attention": bench.attention,
        "speculation": bench.speculation,
        "editors": bench.editors,
        "adapters": bench.adapters,
        "cancel": bench.cancel,
        "generate": bench.generate,
    }
    if given.compile:
        parts |= {"generate, compiled": bench.generate_compiled, "compiled graphs": bench.compiled}
    for name, measure in parts.items():
        if not given.parts or name in given.parts:
            run.part(shape, name, measure)
    run.found[shape]["goals"] = bench.goals
    del bench, loaded, parts
    freed()


def measure_quantized(shape: str, kind: str, run: Run) -> None:
    def measure() -> gpu_parts.Table:
        loaded = quantized(shape, kind, run, Path(f".cache/gpu-{shape}"))
        return gpu_parts.Bench(loaded, run.device, run.is_quick, run.found.get("copy_gb_per_s", 0.0)).decode()

    run.part(shape, f"decode, {kind}", measure)
    freed()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    arguments.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=["1B", "7B"])
    arguments.add_argument("--parts", nargs="+", default=[], help="only these")
    arguments.add_argument("--quantized", nargs="*", choices=KINDS, default=[], help="decode these as well, at the end")
    arguments.add_argument("--quantized-shape", choices=list(SHAPES), default="7B", help="saved in .cache first")
    arguments.add_argument("--compile", action="store_true", help="also what torch.compile makes of it: minutes")
    arguments.add_argument("--quick", action="store_true", help="fewer tries")
    arguments.add_argument("--minutes", type=float, default=9.0, help="of all parts together")
    arguments.add_argument("--part-minutes", type=float, default=2.0, help="of each part")
    arguments.add_argument("--into", type=Path, help="a JSON file")
    given = arguments.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.basicConfig(level=logging.WARNING)
    device = torch.device(given.device, 0) if given.device == "cuda" else torch.device("cpu")
    run = Run(device, given.quick, time.monotonic() + given.minutes * 60, given.part_minutes * 60, given.into)
    run.say(machine(device))
    run.found["machine"] = machine(device)
    run.part("memory", "bandwidth", lambda: gpu_parts.bandwidth(device, run.found))
    for shape in given.shapes:
        measure_shape(shape, run, given)
    for kind in given.quantized:
        measure_quantized(given.quantized_shape, kind, run)
    run.say("\n### Against the goals\n")
    for shape in given.shapes:
        for goal, value in run.found.get(shape, {}).get("goals", {}).items():
            run.say(f"- {shape}, {goal}: {value:.2f}")
    run.save()


if __name__ == "__main__":
    main()
