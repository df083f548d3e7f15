"""One decode step against llama.cpp and transformers on the same weights, against the speed of the memory, and drafted.

Everything takes turns, a ratio is the median over the rounds. Shapes: bundled, 164M and, asked for, 1B (needs 14 GB).
With one thread the time that processors worked is compared, which other programs do not change. Linux only.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import os
import random
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import transformers
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # for lib and peers

import starcoder_ls
from peers import llama_cpp
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.generation.request_generation import GenerationState, generate_alone
from starcoder_ls.generation import Request, SpecialToken, Timings
from starcoder_ls.settings import Model
from starcoder_ls.text_tokens.tokenizer import Tokenizer

PROMPT_TOKENS, NEW_TOKENS, ROUNDS = 512, 24, 15
DRAFTED_TOKENS = 32
CURSORS = {"bundled": 60, "164M": 20, "1B": 5}
BUNDLED = Path(starcoder_ls.__file__).parent / "bundled"
CACHE = Path(os.environ.get("STARCODER_LS_BENCH_CACHE", Path(__file__).parents[2] / ".cache" / "decode"))
HELD_OUT = ("rich.console", "typer.main", "click.core", "tqdm.std", "packaging.specifiers")
SHAPES = {
    "164M": {"n_layer": 20, "n_embd": 768, "n_head": 12, "n_inner": 3072, "n_positions": 2048},
    "1B": {"n_layer": 24, "n_embd": 2048, "n_head": 16, "n_inner": 8192, "n_positions": 8192},
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds per token: by the clock, and those that a processor worked."""

    wall_ms: float
    worked_ms: float


@dataclass(frozen=True, slots=True)
class Contestant:
    """``step`` decodes some tokens behind the prompt."""

    name: str
    bytes_per_token: int
    step: Callable[[], Cost]


def worked_ms(process: int | str = "self") -> float:
    """What all threads of a process have worked, to the nanosecond. Other work on the machine is not in it."""
    tasks = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(task.read_text(encoding="ascii").split()[0]) for task in tasks) / 1e6


def cost_since(wall_s: float, worked: float, tokens: int, process: int | str = "self") -> Cost:
    wall_ms = (time.perf_counter() - wall_s) * 1000
    return Cost(wall_ms / tokens, (worked_ms(process) - worked) / tokens)


def shape(name: str) -> Path:
    """A checkpoint of random float16 weights in StarCoder's architecture, with the bundled model's tokenizer."""
    folder = CACHE / name
    if not (folder / "tokenizer.json").is_file():
        config = transformers.GPTBigCodeConfig(
            vocab_size=49_152, multi_query=True, activation_function="gelu_pytorch_tanh", bos_token_id=0,
            eos_token_id=0, **SHAPES[name],
        )  # fmt: skip
        torch.manual_seed(0)
        transformers.GPTBigCodeForCausalLM(config).half().save_pretrained(folder)
        shutil.copy(BUNDLED / "tokenizer.json", folder)
    return folder


def source(module: str) -> str:
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).read_text(encoding="utf-8")


def read_gb_per_s() -> float:
    """What a plain sum over 512 MB reaches: the best of some."""
    values = torch.ones(1 << 27)
    best_s = float("inf")
    for _ in range(8):
        began = time.perf_counter()
        values.sum()
        best_s = min(best_s, time.perf_counter() - began)
    return values.nbytes / best_s / 1e9


def resident(folder: Path, **settings: str) -> LoadedModel:
    """LoadedModel, and never at its end: random weights would say so at once."""
    wanted = Model.model_validate({"name": str(folder), "device": "cpu"} | settings)
    loaded = load(wanted, lambda *_: None)
    loaded.checkpoint = replace(loaded.checkpoint, end_ids=frozenset())
    return loaded


def ours(folder: Path, prompt: str, **settings: str) -> Contestant:
    loaded = resident(folder, **settings)
    loaded.runner.pass_costs = ()
    state, wanted = GenerationState.empty(loaded), Request((prompt,), NEW_TOKENS)

    def step() -> Cost:
        pieces = generate_alone(wanted, state, lambda: None)
        while not next(pieces):  # the prompt, and the token after it
            pass
        since = time.perf_counter(), worked_ms()
        for _ in pieces:
            pass
        return cost_since(*since, NEW_TOKENS - 1)

    read = loaded.bytes - loaded.runner.model.transformer.wpe.weight.nbytes
    if (
        loaded.runner.model.get_output_embeddings().weight.numel() == 0
    ):  # packed: the input embedding is a table of its own
        read -= loaded.runner.model.transformer.wte.weight.nbytes
    return Contestant(f"ours, {loaded.placement.said}", read, step)


def generate(folder: Path, ids: list[int]) -> Contestant:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompt = torch.tensor([ids])

    def answered(tokens: int) -> Cost:
        since = time.perf_counter(), worked_ms()
        model.generate(prompt, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0)
        return cost_since(*since, NEW_TOKENS)

    def step() -> Cost:
        first, all_ = answered(1), answered(NEW_TOKENS + 1)
        return Cost(all_.wall_ms - first.wall_ms, all_.worked_ms - first.worked_ms)

    weights = sum(parameter.nbytes for parameter in model.parameters()) - model.transformer.wpe.weight.nbytes
    return Contestant("transformers generate, float32", weights, step)


def llama(folder: Path, kind: llama_cpp.Kind, ids: list[int], threads: int, stack: ExitStack) -> Contestant:
    file = llama_cpp.convert(folder, CACHE / f"{folder.name}-{kind}.gguf", kind)
    server = stack.enter_context(llama_cpp.running(file, threads))
    values = sum(weight.numel() for name, weight in llama_cpp.weights(folder) if not name.startswith("position_embd"))
    bytes_per_value = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32}[kind]

    def step() -> Cost:
        # The last token of the prompt is read anew, so there are as many passes as tokens.
        worked = worked_ms(server.process)
        wall_ms = server.step_ms(ids, NEW_TOKENS)
        return Cost(wall_ms, (worked_ms(server.process) - worked) / NEW_TOKENS)

    return Contestant(f"llama.cpp {kind}", int(values * bytes_per_value), step)


def steps_of(folder: Path, threads: int, console: Console) -> None:
    """All contestants in turn on one shape."""
    text = source(HELD_OUT[0])
    with ExitStack() as stack:
        tokenizer = Tokenizer.from_folder(folder)
        ids = tokenizer.encode([text])[:PROMPT_TOKENS]
        prompt = tokenizer.decode(ids)
        contestants = [ours(folder, prompt), ours(folder, prompt, quantization="int8")]
        contestants += [ours(folder, prompt, dtype="float32"), generate(folder, ids)]
        if llama_cpp.find_server() is not None:
            contestants += [llama(folder, kind, ids, threads, stack) for kind in llama_cpp.KINDS]
        for contestant in contestants:
            contestant.step()  # reads the prompt
        rounds = []
        for _ in range(ROUNDS):
            random.shuffle(contestants)
            rounds.append({contestant.name: contestant.step() for contestant in contestants})
    console.print(tabled(contestants, rounds, f"{folder.name}, {threads} thread(s)"))


def tabled(contestants: list[Contestant], rounds: list[dict[str, Cost]], title: str) -> Table:
    """Medians over the rounds; ratios of the work within a round."""
    speed = read_gb_per_s()
    table = Table(
        "", "ms per token, worked", "by the clock", "bytes/s of a sum's", *(f"/ {kind}" for kind in llama_cpp.KINDS),
        title=f"{title}, {PROMPT_TOKENS} tokens behind, {len(rounds)} rounds; a sum reads {speed:.1f} GB/s",
    )  # fmt: skip
    for one in sorted(contestants, key=lambda one: one.name):
        worked = statistics.median(costs[one.name].worked_ms for costs in rounds)
        wall = statistics.median(costs[one.name].wall_ms for costs in rounds)
        peers = [f"llama.cpp {kind}" for kind in llama_cpp.KINDS if f"llama.cpp {kind}" in rounds[0]]
        ratios = [
            statistics.median(costs[one.name].worked_ms / costs[peer].worked_ms for costs in rounds) for peer in peers
        ]
        share = one.bytes_per_token / (worked / 1000) / (speed * 1e9)
        table.add_row(one.name, f"{worked:.2f}", f"{wall:.2f}", f"{share:.0%}", *(f"{ratio:.2f}" for ratio in ratios))
    return table


class Told:
    """Says the tokens of a text whatever the weights say, and takes as long: a model that is always right."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.ids: list[int] = []
        exact = loaded.runner.compiled_pass or loaded.runner.cpu_pass
        assert exact is not None
        self._hidden_states, self._end = exact.hidden_states, 0
        exact.hidden_states = self._read  # type: ignore[method-assign]
        loaded.runner.model.get_output_embeddings().register_forward_hook(self._say)

    def _read(self, inputs: Any) -> list[torch.Tensor]:
        ((ids, cache),) = inputs
        self._end = cache.length + ids.shape[1]
        return self._hidden_states(inputs)

    def _say(self, _module: Any, _entry: Any, logits: torch.Tensor) -> None:
        for row in range(len(logits)):
            at = self._end - len(logits) + 1 + row
            if at < len(self.ids):
                logits[row, self.ids[at]] += 1e4


def at_random_cursors(loaded: LoadedModel, cursors: int) -> Iterator[tuple[Request, list[int]]]:
    """Requests in held-out files, and the tokens of prompt and true continuation."""
    rng = random.Random(0)
    for number in range(cursors):
        lines = source(HELD_OUT[number % len(HELD_OUT)]).splitlines(keepends=True)
        line = rng.randrange(90, len(lines) - 40)
        prefix, middle = "".join(lines[line - 90 : line]), "".join(lines[line : line + 30])
        suffix = "".join(lines[line + 3 : line + 33])
        parts = (
            SpecialToken("<fim_prefix>"),
            SpecialToken("<fim_suffix>"),
            suffix,
            SpecialToken("<fim_middle>"),
            prefix,
        )
        ids = loaded.tokenizer.encode([*parts]) + loaded.tokenizer.encode([middle])
        yield Request(parts, DRAFTED_TOKENS, prefix_parts=(4,)), ids


def drafting(folder: Path, is_told: bool, console: Console) -> None:
    """Answers in held-out files, drafted and plain in turn."""
    loaded = resident(folder)
    costs = loaded.runner.pass_costs
    told = Told(loaded) if is_told else None
    state = GenerationState.empty(loaded)
    worked: dict[str, list[float]] = {"plain": [], "drafted": []}
    made: list[Timings] = []
    for wanted, ids in at_random_cursors(loaded, CURSORS[folder.name]):
        if told is not None:
            told.ids = ids
        for kind in random.sample(sorted(worked), 2):
            state.draft_history.clear_answers()  # the other's answer would be a perfect draft
            loaded.runner.pass_costs = costs if kind == "drafted" else ()
            pieces = generate_alone(wanted, state, lambda: None)
            while not next(pieces):
                pass
            began = worked_ms()
            last = [chunk for chunks in pieces for chunk in chunks][-1]
            worked[kind].append(worked_ms() - began)
            if kind == "drafted" and last.timings is not None:
                made.append(last.timings)
    ratios = [plain / drafted for plain, drafted in zip(worked["plain"], worked["drafted"], strict=True)]
    files = [statistics.median(ratios[at :: len(HELD_OUT)]) for at in range(len(HELD_OUT))]
    passes, drafts = sum(t.decode_steps for t in made), sum(t.draft_tokens for t in made)
    console.print(
        f"drafts, {folder.name}{', told the text of the files' if is_told else ''}: {len(ratios)} answers of "
        f"{DRAFTED_TOKENS} tokens. Work, plain / drafted: all {sum(worked['plain']) / sum(worked['drafted']):.2f}, "
        f"median {statistics.median(ratios):.2f}, worst tenth {sorted(ratios)[len(ratios) // 10]:.2f}, worst file "
        f"{min(files):.2f}. Tokens per pass {len(made) * (DRAFTED_TOKENS - 1) / passes:.2f}, "
        f"{sum(t.accepted_tokens for t in made)} of {drafts} drafts right. A pass over 1, 2, 4, 8 tokens: "
        + ", ".join(f"{costs[n - 1]:.1f}" for n in (1, 2, 4, 8))
        + " ms."
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--shapes", nargs="+", choices=["bundled", *SHAPES], default=["bundled", "164M"])
    arguments.add_argument("--part", choices=["steps", "drafts", "both"], default="both")
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    console = Console(width=160)
    for name in given.shapes:
        folder = BUNDLED if name == "bundled" else shape(name)
        if given.part != "drafts":
            steps_of(folder, given.threads, console)
            gc.collect()
        if given.part != "steps":
            drafting(folder, is_told=folder != BUNDLED, console=console)
            gc.collect()


if __name__ == "__main__":
    main()
