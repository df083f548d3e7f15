"""What adapters cost: a step with each method on against off, a switch, memory, and a completion beside an explanation.

Everything takes turns in one run; a ratio is the median over the rounds. Time is what the one thread worked, which
other programs change little; for completions also the clock. Adapters have Astraios' sizes and random weights.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import logging
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil
import torch
import transformers
from peft import IA3Config, LoraConfig, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, get_peft_model
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # for lib

from lib.cpu_time import Cost, CostTimer
from lib.random_models import checkpoint_folder
from starcoder_ls.engine.adapters.methods.bottleneck import BottleneckConfig
from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter, prepare_adapter
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.forward_pass import ForwardPass
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.local_engine import LocalEngine
from starcoder_ls.generation import Phase, Priority, Request
from starcoder_ls.settings import Adapter, Model

BEHIND_TOKENS, STEPS, ROUNDS, SWITCHES, COMPLETIONS = 256, 8, 25, 300, 80
NEW_TOKENS, READ_TOKENS, PROMPT_CHARS = 12, 64, 1500
THREE = ("LoRA", "Parallel", "P-Tuning")


def configs() -> dict[str, Any]:
    """As Astraios has them, and PEFT's two other ways to put virtual tokens before a text."""

    def bottleneck(*targets: str, is_parallel: bool = False) -> BottleneckConfig:
        return BottleneckConfig(
            target_modules=list(targets), bottleneck_size=256, use_parallel_adapter=is_parallel, task_type="CAUSAL_LM"
        )

    prompts: dict[str, Any] = {"num_virtual_tokens": 30, "task_type": "CAUSAL_LM"}
    return {
        "LoRA": LoraConfig(r=8, lora_alpha=16, target_modules=["c_proj", "c_attn", "q_attn"], task_type="CAUSAL_LM"),
        "(IA)³": IA3Config(
            target_modules=["c_attn", "mlp.c_proj"], feedforward_modules=["mlp.c_proj"], task_type="CAUSAL_LM"
        ),
        "Parallel": bottleneck("c_attn", is_parallel=True),
        "AdapterH": bottleneck("c_fc", "mlp.c_proj"),
        "AdapterP": bottleneck("mlp.c_proj"),
        "P-Tuning": PromptEncoderConfig(encoder_hidden_size=64, **prompts),
        "prompt tuning": PromptTuningConfig(**prompts),
        "prefix tuning": PrefixTuningConfig(**prompts),
    }


def made(base: Path, folder: Path) -> dict[str, Path]:
    """A folder per method, as PEFT saves it."""
    warnings.simplefilter("ignore")
    transformers.logging.disable_progress_bar()
    torch.manual_seed(0)
    folders = {}
    for number, (name, config) in enumerate(configs().items()):
        model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        folders[name] = folder / str(number)
        get_peft_model(model, config).save_pretrained(folders[name])
    return folders


def cache_behind(loaded: LoadedModel, held: ResidentAdapter | None, room: int = STEPS) -> KvCache:
    """With a text of BEHIND_TOKENS in it, and before it what virtual tokens there are."""
    virtual = 0 if held is None else held.virtual_token_count
    cache = KvCache(loaded.runner.layers, virtual + BEHIND_TOKENS + room)
    if held is not None and held.virtual_tokens is not None:
        loaded.runner.write_virtual_tokens(held, cache)
    loaded.runner.run(ForwardPass([[i % 1000 for i in range(BEHIND_TOKENS)]], cache), held)
    return cache


def steps_ms(loaded: LoadedModel, held: ResidentAdapter | None, cache: KvCache) -> float:
    start = cache.length
    began = time.thread_time()
    for token in range(STEPS):
        loaded.runner.run(ForwardPass([[token]], cache), held)
    took_ms = (time.thread_time() - began) * 1000 / STEPS
    cache.truncate(start)
    return took_ms


def step_ratios(loaded: LoadedModel) -> Table:
    caches = {held: cache_behind(loaded, held) for held in (None, *loaded.adapters)}
    rounds = []
    for _ in range(ROUNDS):
        order = random.sample(list(caches), len(caches))
        rounds.append({held: steps_ms(loaded, held, caches[held]) for held in order})
    off_ms = statistics.median(costs[None] for costs in rounds)
    table = Table("method", "ms a step", "on / off", "MB", title=f"{BEHIND_TOKENS} tokens behind, {ROUNDS} rounds")
    table.add_row("off", f"{off_ms:.2f}", "1.00", f"{loaded.runner.weight_bytes / 1e6:.1f}")
    for held in sorted(loaded.adapters, key=lambda held: list(configs()).index(held.name)):
        ms = statistics.median(costs[held] for costs in rounds)
        ratio = statistics.median(costs[held] / costs[None] for costs in rounds)
        table.add_row(held.name, f"{ms:.2f}", f"{ratio:.2f}", f"{held.size_bytes / 1e6:.2f}")
    return table


def quantizations(name: str) -> Table:
    """A step, and new text read, with each `model.quantization` against none."""
    kinds = ("none", "int8", "nf4", "torchao-int8", "torchao-int4")
    folder = str(checkpoint_folder(name))
    bases = {
        kind: load(Model.model_validate({"name": folder, "device": "cpu", "quantization": kind}), lambda *_: None)
        for kind in kinds
    }
    caches = {kind: cache_behind(base, None, READ_TOKENS) for kind, base in bases.items()}
    rounds = []
    for _ in range(ROUNDS // 2):
        order = random.sample(kinds, len(kinds))
        rounds.append({kind: (steps_ms(bases[kind], None, caches[kind]), read_ms(bases[kind], caches[kind]))
                       for kind in order})  # fmt: skip
    columns = ("MB", "ms a step", "/ none", f"ms for {READ_TOKENS} tokens", "/ none")
    table = Table("quantization", *columns, title=f"{name}, {BEHIND_TOKENS} tokens behind, {len(rounds)} rounds")
    for kind in kinds:
        cells = [f"{bases[kind].runner.weight_bytes / 1e6:.1f}"]
        for which in (0, 1):
            cells.append(f"{statistics.median(costs[kind][which] for costs in rounds):.2f}")
            cells.append(f"{statistics.median(costs[kind][which] / costs['none'][which] for costs in rounds):.2f}")
        table.add_row(kind, *cells)
    return table


def read_ms(loaded: LoadedModel, cache: KvCache) -> float:
    start = cache.length
    began = time.thread_time()
    loaded.runner.run(ForwardPass([list(range(READ_TOKENS))], cache))
    took_ms = (time.thread_time() - began) * 1000
    cache.truncate(start)
    return took_ms


def switches_ms(loaded: LoadedModel) -> list[float]:
    """From one adapter of layers to the next, the costliest kind of switch there is."""
    layered = [held for held in loaded.adapters if held.targets]
    times = []
    for number in range(SWITCHES):
        began = time.perf_counter()
        loaded.adapters.activate(layered[number % len(layered)])
        times.append((time.perf_counter() - began) * 1000)
    loaded.adapters.activate(None)
    return times


def resident_bytes() -> int:
    gc.collect()
    return int(psutil.Process().memory_full_info().uss)


def of_shape(name: str, folder: Path, console: Console) -> None:
    base = checkpoint_folder(name)
    folders = made(base, folder)
    gc.collect()
    wanted = Model(name=str(base), device="cpu")
    loaded = load(wanted, lambda *_: None)
    before = resident_bytes()
    for kind in THREE:
        loaded.adapters.add(kind, prepare_adapter(Adapter(path=str(folders[kind])), True, lambda *_: None))
    grown = resident_bytes() - before
    three = (
        f"base {loaded.runner.weight_bytes / 1e6:.1f} MB, with {', '.join(THREE)} {loaded.bytes / 1e6:.1f} MB: "
        f"{loaded.bytes / loaded.runner.weight_bytes:.3f}; the process grew by {grown / 1e6:.1f} MB"
    )
    for kind in folders.keys() - set(THREE):
        loaded.adapters.add(kind, prepare_adapter(Adapter(path=str(folders[kind])), True, lambda *_: None))
    console.rule(name)
    console.print(step_ratios(loaded))
    times = switches_ms(loaded)
    console.print(f"a switch: median {statistics.median(times):.3f} ms, most {max(times):.3f} ms (goal 5)")
    console.print(three)


def source(module: str) -> str:
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).read_text(encoding="utf-8")


async def completion_cost(engine: LocalEngine, text: str) -> Cost:
    """From the question to the last token; what worked meanwhile is the explanation's token in hand and the answer."""
    timer = CostTimer.start()
    async with aclosing(engine.stream(Request((text,), NEW_TOKENS, document=text[-40:]))) as chunks:
        async for _ in chunks:
            pass
    return timer.cost_per_token(1)


async def cost_beside_an_explanation(engine: LocalEngine, text: str, asked: str, rng: random.Random) -> Cost:
    """Asked at some moment while the answer comes, which goes on to its end of 400 tokens unless it is closed."""
    request = Request((asked,), 400, adapter="explain", priority=Priority.EXPLANATION, client="explaining")
    async with aclosing(engine.stream(request)) as answer:
        await anext(answer)
        running = asyncio.ensure_future(_drained(answer))
        await asyncio.sleep(rng.uniform(0, 0.03))
        cost = await completion_cost(engine, text)
        assert not running.done(), "the explanation was over before the completion: ask for more tokens"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return cost


async def _drained(answer: Any) -> None:
    async for _ in answer:
        pass


def engine_ready(adapters: Mapping[str, Adapter]) -> LocalEngine:
    engine = LocalEngine(Model(threads=1), adapters)
    engine.start()
    while engine.status().phase is Phase.LOADING:
        time.sleep(0.02)
    return engine


async def side_by_side(engine: LocalEngine, console: Console) -> None:
    texts = [source(name) for name in ("rich.table", "rich.console", "typer.main", "click.core")]
    rng = random.Random(0)
    alone, beside = [], []
    asked = f"Question: Explain this code.\n{texts[0][:600]}\n\nAnswer:"
    for number in range(COMPLETIONS + 5):
        text = rng.choice(texts)
        first, second = (text[end - PROMPT_CHARS : end] for end in rng.sample(range(PROMPT_CHARS, len(text)), 2))
        if number % 2:
            beside.append(await cost_beside_an_explanation(engine, second, asked, rng))
            alone.append(await completion_cost(engine, first))
        else:
            alone.append(await completion_cost(engine, first))
            beside.append(await cost_beside_an_explanation(engine, second, asked, rng))
    engine.close()
    table = Table("a completion", "worked p50 ms", "p95", "by the clock p50", "p95",
                  title=f"{COMPLETIONS} each, {NEW_TOKENS} tokens, new documents")  # fmt: skip
    rows = [percentiles(costs[5:]) for costs in (alone, beside)]
    for name, values in zip(("alone", "while an explanation streams"), rows, strict=True):
        table.add_row(name, *(f"{value:.0f}" for value in values))
    table.add_row("ratio", *(f"{late / early:.2f}" for early, late in zip(*rows, strict=True)))
    console.print(table)


def percentiles(costs: list[Cost]) -> list[float]:
    """p50 and p95 of the work, then of the clock."""
    both = ([cost.cpu_ms for cost in costs], [cost.wall_ms for cost in costs])
    return [value for times in both for value in (statistics.median(times), statistics.quantiles(times, n=20)[-1])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="*", default=["bundled", "164M"])
    parser.add_argument("--quantized", action="store_true", help="only what each quantization does, without adapters")
    wanted = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    console = Console(width=110)
    if wanted.quantized:
        for name in wanted.shapes:
            console.print(quantizations(name))
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in wanted.shapes:
            of_shape(name, Path(folder) / name, console)
        explain = Path(folder) / "bundled" / "2"
        if explain.is_dir():
            asyncio.run(side_by_side(engine_ready({"explain": Adapter(path=str(explain))}), console))


if __name__ == "__main__":
    main()
