"""One decode step against llama.cpp and transformers on the same weights, and the gain of prompt-lookup decoding.

    python benchmarks/run/decode.py [--threads 1] [--shapes bundled 164M 1B] [--part steps|drafts|both]

All contestants take turns in random order; ratios are medians over the rounds. With one thread, CPU time is compared,
which other programs do not change. The shape 1B needs 14 GB. Linux only.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import transformers
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # for lib and peers

from lib.cpu_time import Cost, CostTimer, cpu_ms
from lib.random_models import BUNDLED, CACHE, SHAPES, checkpoint_folder, load_without_end
from peers import llama_cpp
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.generation.request_generation import GenerationState, generate_alone
from starcoder_ls.generation import Request, SpecialToken, Timings
from starcoder_ls.text_tokens.tokenizer import Tokenizer

PROMPT_TOKENS, NEW_TOKENS, ROUNDS = 512, 24, 15
DRAFTED_TOKENS = 32
REQUESTS = {"bundled": 60, "164M": 20, "1B": 5}
HELD_OUT_MODULES = ("rich.console", "typer.main", "click.core", "tqdm.std", "packaging.specifiers")
BYTES_PER_WEIGHT = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32}


@dataclass(frozen=True, slots=True)
class Contestant:
    """``decode`` decodes ``NEW_TOKENS`` tokens after the prompt."""

    name: str
    bytes_per_token: int
    decode: Callable[[], Cost]


def read_module_source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")


def measure_read_gb_per_s() -> float:
    """Return the bandwidth of a plain sum over 512 MB, the best of eight."""
    values = torch.ones(1 << 27)
    best_s = float("inf")
    for _ in range(8):
        started_s = time.perf_counter()
        values.sum()
        best_s = min(best_s, time.perf_counter() - started_s)
    return values.nbytes / best_s / 1e9


def our_contestant(folder: Path, prompt: str, **settings: str) -> Contestant:
    loaded = load_without_end(folder, **settings)
    loaded.runner.pass_costs = ()
    state, request = GenerationState.empty(loaded), Request((prompt,), NEW_TOKENS)

    def decode() -> Cost:
        steps = generate_alone(request, state, lambda: None)
        while not next(steps):  # prefill and the first token
            pass
        timer = CostTimer.start()
        for _ in steps:
            pass
        return timer.cost_per_token(NEW_TOKENS - 1)

    model = loaded.runner.model
    bytes_per_token = loaded.bytes - model.transformer.wpe.weight.nbytes
    if model.get_output_embeddings().weight.numel() == 0:  # packed: the input embedding is a separate table
        bytes_per_token -= model.transformer.wte.weight.nbytes
    return Contestant(f"ours, {loaded.ready_status('').dtype}", bytes_per_token, decode)


def transformers_contestant(folder: Path, ids: list[int]) -> Contestant:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompt = torch.tensor([ids])

    def generate(tokens: int) -> Cost:
        timer = CostTimer.start()
        model.generate(prompt, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0)
        return timer.cost_per_token(NEW_TOKENS)

    def decode() -> Cost:
        prefill, total = generate(1), generate(NEW_TOKENS + 1)
        return Cost(total.wall_ms - prefill.wall_ms, total.cpu_ms - prefill.cpu_ms)

    weights = sum(parameter.nbytes for parameter in model.parameters()) - model.transformer.wpe.weight.nbytes
    return Contestant("transformers generate, float32", weights, decode)


def llama_cpp_contestant(
    folder: Path, kind: llama_cpp.Kind, ids: list[int], threads: int, stack: ExitStack
) -> Contestant:
    file = llama_cpp.convert(folder, CACHE / f"{folder.name}-{kind}.gguf", kind)
    server = stack.enter_context(llama_cpp.running(file, threads))
    weights = sum(weight.numel() for name, weight in llama_cpp.weights(folder) if not name.startswith("position_embd"))

    def decode() -> Cost:
        # The last token of the prompt is evaluated again, so there are as many passes as tokens.
        started_cpu_ms = cpu_ms(server.process)
        wall_ms = server.step_ms(ids, NEW_TOKENS)
        return Cost(wall_ms, (cpu_ms(server.process) - started_cpu_ms) / NEW_TOKENS)

    return Contestant(f"llama.cpp {kind}", int(weights * BYTES_PER_WEIGHT[kind]), decode)


def measure_steps(folder: Path, threads: int, console: Console) -> None:
    """Print the table of all contestants on one checkpoint."""
    with ExitStack() as stack:
        tokenizer = Tokenizer.from_folder(folder)
        ids = tokenizer.encode([read_module_source(HELD_OUT_MODULES[0])])[:PROMPT_TOKENS]
        prompt = tokenizer.decode(ids)
        contestants = [our_contestant(folder, prompt), our_contestant(folder, prompt, quantization="int8")]
        contestants += [our_contestant(folder, prompt, dtype="float32"), transformers_contestant(folder, ids)]
        if llama_cpp.find_server() is not None:
            contestants += [llama_cpp_contestant(folder, kind, ids, threads, stack) for kind in llama_cpp.KINDS]
        for contestant in contestants:
            contestant.decode()  # prefills the prompt
        rounds = []
        for _ in range(ROUNDS):
            random.shuffle(contestants)
            rounds.append({contestant.name: contestant.decode() for contestant in contestants})
    console.print(build_table(contestants, rounds, f"{folder.name}, {threads} thread(s)"))


def build_table(contestants: list[Contestant], rounds: list[dict[str, Cost]], title: str) -> Table:
    """Return medians over the rounds, and ratios of CPU time within a round."""
    gb_per_s = measure_read_gb_per_s()
    table = Table(
        "", "CPU ms per token", "by the clock", "bandwidth / a sum's", *(f"/ {kind}" for kind in llama_cpp.KINDS),
        title=f"{title}, {PROMPT_TOKENS} tokens of prompt, {len(rounds)} rounds; a sum reads {gb_per_s:.1f} GB/s",
    )  # fmt: skip
    peers = [name for kind in llama_cpp.KINDS if (name := f"llama.cpp {kind}") in rounds[0]]
    for contestant in sorted(contestants, key=lambda contestant: contestant.name):
        name = contestant.name
        median_cpu_ms = statistics.median(costs[name].cpu_ms for costs in rounds)
        median_wall_ms = statistics.median(costs[name].wall_ms for costs in rounds)
        ratios = [statistics.median(costs[name].cpu_ms / costs[peer].cpu_ms for costs in rounds) for peer in peers]
        fraction = contestant.bytes_per_token / (median_cpu_ms / 1000) / (gb_per_s * 1e9)
        cells = (f"{median_cpu_ms:.2f}", f"{median_wall_ms:.2f}", f"{fraction:.0%}")
        table.add_row(name, *cells, *(f"{ratio:.2f}" for ratio in ratios))
    return table


class ForcedText:
    """Makes a model generate the tokens of a text at the cost of its own: a perfect model of random weights."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.ids: list[int] = []
        cpu_pass = loaded.runner.compiled_pass or loaded.runner.cpu_pass
        assert cpu_pass is not None
        self._hidden_states, self._end = cpu_pass.hidden_states, 0
        cpu_pass.hidden_states = self._note_position  # type: ignore[method-assign]
        loaded.runner.model.get_output_embeddings().register_forward_hook(self._raise_logits)

    def _note_position(self, inputs: Any) -> list[torch.Tensor]:
        ((ids, cache),) = inputs
        self._end = cache.length + ids.shape[1]
        return self._hidden_states(inputs)

    def _raise_logits(self, _module: Any, _inputs: Any, logits: torch.Tensor) -> None:
        """Make the next token of the text the likeliest after each position.  # logits [n, vocabulary]"""
        for row in range(len(logits)):
            position = self._end - len(logits) + 1 + row
            if position < len(self.ids):
                logits[row, self.ids[position]] += 1e4


def sample_requests(loaded: LoadedModel, count: int) -> Iterator[tuple[Request, list[int]]]:
    """Yield requests at random positions in held-out files, and the ids of prompt and true continuation."""
    rng = random.Random(0)
    for number in range(count):
        source = read_module_source(HELD_OUT_MODULES[number % len(HELD_OUT_MODULES)])
        lines = source.splitlines(keepends=True)
        line = rng.randrange(90, len(lines) - 40)
        prefix, middle = "".join(lines[line - 90 : line]), "".join(lines[line : line + 30])
        suffix = "".join(lines[line + 3 : line + 33])
        fim_prefix, fim_suffix, fim_middle = (SpecialToken(f"<fim_{part}>") for part in ("prefix", "suffix", "middle"))
        parts = (fim_prefix, fim_suffix, suffix, fim_middle, prefix)
        ids = loaded.tokenizer.encode(parts) + loaded.tokenizer.encode([middle])
        yield Request(parts, DRAFTED_TOKENS, prefix_parts=(4,)), ids


def measure_drafts(folder: Path, is_forced: bool, console: Console) -> None:
    """Print the cost of answers with drafts and without, in turn."""
    loaded = load_without_end(folder)
    costs = loaded.runner.pass_costs
    forced_text = ForcedText(loaded) if is_forced else None
    state = GenerationState.empty(loaded)
    elapsed_cpu_ms: dict[str, list[float]] = {"plain": [], "drafted": []}
    timings: list[Timings] = []
    for request, ids in sample_requests(loaded, REQUESTS[folder.name]):
        if forced_text is not None:
            forced_text.ids = ids
        for kind in random.sample(sorted(elapsed_cpu_ms), 2):
            state.draft_history.clear_answers()  # the other kind's answer would be a perfect draft
            loaded.runner.pass_costs = costs if kind == "drafted" else ()
            steps = generate_alone(request, state, lambda: None)
            while not next(steps):  # prefill and the first token
                pass
            started_cpu_ms = cpu_ms()
            last = [chunk for chunks in steps for chunk in chunks][-1]
            elapsed_cpu_ms[kind].append(cpu_ms() - started_cpu_ms)
            if kind == "drafted" and last.timings is not None:
                timings.append(last.timings)
    console.print(format_drafts(folder.name, is_forced, elapsed_cpu_ms, timings, costs))


def format_drafts(
    name: str,
    is_forced: bool,
    elapsed_cpu_ms: dict[str, list[float]],
    timings: list[Timings],
    costs: tuple[float, ...],
) -> str:
    plain, drafted = elapsed_cpu_ms["plain"], elapsed_cpu_ms["drafted"]
    ratios = [one / other for one, other in zip(plain, drafted, strict=True)]
    files = len(HELD_OUT_MODULES)
    worst_file = min(statistics.median(ratios[file::files]) for file in range(files))
    passes, drafts = sum(timing.decode_steps for timing in timings), sum(timing.draft_tokens for timing in timings)
    accepted = sum(timing.accepted_tokens for timing in timings)
    pass_ms = ", ".join(f"{costs[tokens - 1]:.1f}" for tokens in (1, 2, 4, 8))
    return (
        f"drafts, {name}{', forced to the text of the files' if is_forced else ''}: {len(ratios)} answers of "
        f"{DRAFTED_TOKENS} tokens. CPU time, plain / drafted: all {sum(plain) / sum(drafted):.2f}, "
        f"median {statistics.median(ratios):.2f}, worst tenth {sorted(ratios)[len(ratios) // 10]:.2f}, worst file "
        f"{worst_file:.2f}. Tokens per pass {len(timings) * (DRAFTED_TOKENS - 1) / passes:.2f}, {accepted} of {drafts} "
        f"draft tokens accepted. A pass over 1, 2, 4, 8 tokens: {pass_ms} ms."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shapes", nargs="+", choices=["bundled", *SHAPES], default=["bundled", "164M"])
    parser.add_argument("--part", choices=["steps", "drafts", "both"], default="both")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    console = Console(width=160)
    for shape in options.shapes:
        folder = checkpoint_folder(shape)
        if options.part != "drafts":
            measure_steps(folder, options.threads, console)
            gc.collect()
        if options.part != "steps":
            measure_drafts(folder, is_forced=folder != BUNDLED, console=console)
            gc.collect()


if __name__ == "__main__":
    main()
