"""Costs of adapters: a decode step with each method, a switch, memory, and a completion while an explanation streams.

    python benchmarks/run/adapters.py [--shapes bundled 164M] [--quantized]

All contestants take turns in random order in one run; ratios are medians over the rounds. Times are CPU times of the
only thread, which other programs change little; completions have wall-clock times as well. Adapters have Astraios'
sizes and random weights.
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
from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter, prepare_adapter
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.forward_pass import ForwardPass
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.engine.local_engine import LocalEngine
from starcoder_ls.generation import Phase, Priority, Request
from starcoder_ls.learning.finetuning.bottleneck_tuner import BottleneckConfig
from starcoder_ls.settings import Adapter, Model

CONTEXT_TOKENS = 256
STEPS = 8
ROUNDS = 25
SWITCHES = 300
COMPLETIONS = 80
WARM_UP_COMPLETIONS = 5
NEW_TOKENS = 12
PREFILL_TOKENS = 64
PROMPT_CHARS = 1500
COMBINED_METHODS = ("LoRA", "Parallel", "P-Tuning")
SOURCE_MODULES = ("rich.table", "rich.console", "typer.main", "click.core")
QUANTIZATIONS = ("none", "int8", "nf4", "torchao-int8", "torchao-int4")


def adapter_configs() -> dict[str, Any]:
    """Astraios' methods in their published sizes, and the two other methods of virtual tokens."""

    def bottleneck(*targets: str, is_parallel: bool = False) -> BottleneckConfig:
        return BottleneckConfig(
            target_modules=list(targets), bottleneck_size=256, use_parallel_adapter=is_parallel, task_type="CAUSAL_LM"
        )

    virtual_tokens: dict[str, Any] = {"num_virtual_tokens": 30, "task_type": "CAUSAL_LM"}
    return {
        "LoRA": LoraConfig(r=8, lora_alpha=16, target_modules=["c_proj", "c_attn", "q_attn"], task_type="CAUSAL_LM"),
        "(IA)³": IA3Config(
            target_modules=["c_attn", "mlp.c_proj"], feedforward_modules=["mlp.c_proj"], task_type="CAUSAL_LM"
        ),
        "Parallel": bottleneck("c_attn", is_parallel=True),
        "AdapterH": bottleneck("c_fc", "mlp.c_proj"),
        "AdapterP": bottleneck("mlp.c_proj"),
        "P-Tuning": PromptEncoderConfig(encoder_hidden_size=64, **virtual_tokens),
        "prompt tuning": PromptTuningConfig(**virtual_tokens),
        "prefix tuning": PrefixTuningConfig(**virtual_tokens),
    }


def save_adapters(base: Path, folder: Path) -> dict[str, Path]:
    """Save a random adapter of each method with PEFT; returns the folders by the name of the method."""
    warnings.simplefilter("ignore")
    transformers.logging.disable_progress_bar()
    torch.manual_seed(0)
    folders = {}
    for number, (name, config) in enumerate(adapter_configs().items()):
        model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        folders[name] = folder / str(number)
        get_peft_model(model, config).save_pretrained(folders[name])
    return folders


def fill_cache(loaded: LoadedModel, adapter: ResidentAdapter | None, capacity: int = STEPS) -> KvCache:
    """A cache with the adapter's virtual tokens and ``CONTEXT_TOKENS`` tokens, and room for ``capacity`` more."""
    virtual_tokens = 0 if adapter is None else adapter.virtual_token_count
    cache = KvCache(loaded.runner.layers, virtual_tokens + CONTEXT_TOKENS + capacity)
    if adapter is not None and adapter.virtual_tokens is not None:
        loaded.runner.write_virtual_tokens(adapter, cache)
    loaded.runner.run(ForwardPass([[i % 1000 for i in range(CONTEXT_TOKENS)]], cache), adapter)
    return cache


def measure_step_ms(loaded: LoadedModel, adapter: ResidentAdapter | None, cache: KvCache) -> float:
    length = cache.length
    started_s = time.thread_time()
    for token in range(STEPS):
        loaded.runner.run(ForwardPass([[token]], cache), adapter)
    step_ms = (time.thread_time() - started_s) * 1000 / STEPS
    cache.truncate(length)
    return step_ms


def measure_prefill_ms(loaded: LoadedModel, cache: KvCache) -> float:
    length = cache.length
    started_s = time.thread_time()
    loaded.runner.run(ForwardPass([list(range(PREFILL_TOKENS))], cache))
    prefill_ms = (time.thread_time() - started_s) * 1000
    cache.truncate(length)
    return prefill_ms


def compare_methods(loaded: LoadedModel) -> Table:
    """A decode step with each resident adapter against the base alone."""
    caches = {adapter: fill_cache(loaded, adapter) for adapter in (None, *loaded.adapters)}
    rounds = []
    for _ in range(ROUNDS):
        order = random.sample(list(caches), len(caches))
        rounds.append({adapter: measure_step_ms(loaded, adapter, caches[adapter]) for adapter in order})
    base_ms = statistics.median(costs[None] for costs in rounds)
    title = f"{CONTEXT_TOKENS} tokens in the cache, {ROUNDS} rounds"
    table = Table("method", "ms per step", "with / without", "MB", title=title)
    table.add_row("none", f"{base_ms:.2f}", "1.00", f"{loaded.runner.weight_bytes / 1e6:.1f}")
    names = list(adapter_configs())
    for adapter in sorted(loaded.adapters, key=lambda adapter: names.index(adapter.name)):
        step_ms = statistics.median(costs[adapter] for costs in rounds)
        ratio = statistics.median(costs[adapter] / costs[None] for costs in rounds)
        table.add_row(adapter.name, f"{step_ms:.2f}", f"{ratio:.2f}", f"{adapter.size_bytes / 1e6:.2f}")
    return table


def compare_quantizations(shape: str) -> Table:
    """A decode step and a prefill with each `model.quantization` against none."""
    folder = str(checkpoint_folder(shape))
    models = {
        kind: load(Model.model_validate({"name": folder, "device": "cpu", "quantization": kind}), ignore_progress)
        for kind in QUANTIZATIONS
    }
    caches = {kind: fill_cache(model, None, PREFILL_TOKENS) for kind, model in models.items()}
    rounds = []
    for _ in range(ROUNDS // 2):
        costs = {}
        for kind in random.sample(QUANTIZATIONS, len(QUANTIZATIONS)):
            step_ms = measure_step_ms(models[kind], None, caches[kind])
            costs[kind] = step_ms, measure_prefill_ms(models[kind], caches[kind])
        rounds.append(costs)
    columns = ("MB", "ms per step", "/ none", f"ms for {PREFILL_TOKENS} tokens", "/ none")
    title = f"{shape}, {CONTEXT_TOKENS} tokens in the cache, {len(rounds)} rounds"
    table = Table("quantization", *columns, title=title)
    for kind in QUANTIZATIONS:
        cells = [f"{models[kind].runner.weight_bytes / 1e6:.1f}"]
        for measure in (0, 1):
            cells.append(f"{statistics.median(costs[kind][measure] for costs in rounds):.2f}")
            cells.append(f"{statistics.median(costs[kind][measure] / costs['none'][measure] for costs in rounds):.2f}")
        table.add_row(kind, *cells)
    return table


def measure_switches_ms(loaded: LoadedModel) -> list[float]:
    """Switches between adapters that change layers, which cost the most."""
    adapters = [adapter for adapter in loaded.adapters if adapter.targets]
    durations_ms = []
    for number in range(SWITCHES):
        started_s = time.perf_counter()
        loaded.adapters.activate(adapters[number % len(adapters)])
        durations_ms.append((time.perf_counter() - started_s) * 1000)
    loaded.adapters.activate(None)
    return durations_ms


def process_bytes() -> int:
    """Memory that is used by this process alone."""
    gc.collect()
    return int(psutil.Process().memory_full_info().uss)


def print_shape(shape: str, folder: Path, console: Console) -> None:
    """Print steps, switches and memory for one shape of random_models.SHAPES or the bundled model."""
    base = checkpoint_folder(shape)
    folders = save_adapters(base, folder)
    gc.collect()
    loaded = load(Model(name=str(base), device="cpu"), ignore_progress)
    bytes_before = process_bytes()

    def add(method: str) -> None:
        prepared = prepare_adapter(Adapter(path=str(folders[method])), True, ignore_progress)
        loaded.adapters.add(method, prepared)

    for method in COMBINED_METHODS:
        add(method)
    added_bytes = process_bytes() - bytes_before
    memory = (
        f"base {loaded.runner.weight_bytes / 1e6:.1f} MB, with {', '.join(COMBINED_METHODS)} "
        f"{loaded.bytes / 1e6:.1f} MB: {loaded.bytes / loaded.runner.weight_bytes:.3f}; "
        f"the process grew by {added_bytes / 1e6:.1f} MB"
    )
    for method in folders.keys() - set(COMBINED_METHODS):
        add(method)
    console.rule(shape)
    console.print(compare_methods(loaded))
    durations_ms = measure_switches_ms(loaded)
    median_ms, max_ms = statistics.median(durations_ms), max(durations_ms)
    console.print(f"a switch: median {median_ms:.3f} ms, maximum {max_ms:.3f} ms (goal 5)")
    console.print(memory)


def read_module_source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")


async def measure_completion(engine: LocalEngine, text: str) -> Cost:
    """From the request to the last token. CPU time includes a step of the explanation that is in progress."""
    timer = CostTimer.start()
    async with aclosing(engine.stream(Request((text,), NEW_TOKENS, document=text[-40:]))) as chunks:
        async for _ in chunks:
            pass
    return timer.cost_per_token(1)


async def measure_completion_beside_explanation(
    engine: LocalEngine, text: str, prompt: str, rng: random.Random
) -> Cost:
    """The completion is requested at a random moment while an explanation of up to 400 tokens streams."""
    request = Request((prompt,), 400, adapter="explain", priority=Priority.EXPLANATION, client="explaining")
    async with aclosing(engine.stream(request)) as chunks:
        await anext(chunks)
        explanation = asyncio.ensure_future(_drain(chunks))
        await asyncio.sleep(rng.uniform(0, 0.03))
        cost = await measure_completion(engine, text)
        assert not explanation.done(), "the explanation ended before the completion: request more tokens"
        explanation.cancel()
        await asyncio.gather(explanation, return_exceptions=True)
    return cost


async def _drain(chunks: Any) -> None:
    async for _ in chunks:
        pass


def start_engine(adapters: Mapping[str, Adapter]) -> LocalEngine:
    """A started engine with the bundled model, once it has loaded."""
    engine = LocalEngine(Model(threads=1), adapters)
    engine.start()
    while engine.status().phase is Phase.LOADING:
        time.sleep(0.02)
    return engine


async def print_completions(engine: LocalEngine, console: Console) -> None:
    """Print the costs of a completion alone and while an explanation streams."""
    texts = [read_module_source(name) for name in SOURCE_MODULES]
    rng = random.Random(0)
    alone: list[Cost] = []
    beside: list[Cost] = []
    prompt = f"Question: Explain this code.\n{texts[0][:600]}\n\nAnswer:"
    for number in range(WARM_UP_COMPLETIONS + COMPLETIONS):
        text = rng.choice(texts)
        first, second = (text[end - PROMPT_CHARS : end] for end in rng.sample(range(PROMPT_CHARS, len(text)), 2))
        if number % 2:
            beside.append(await measure_completion_beside_explanation(engine, second, prompt, rng))
            alone.append(await measure_completion(engine, first))
        else:
            alone.append(await measure_completion(engine, first))
            beside.append(await measure_completion_beside_explanation(engine, second, prompt, rng))
    engine.close()
    title = f"{COMPLETIONS} each, {NEW_TOKENS} tokens, new documents"
    table = Table("a completion", "CPU ms, p50", "p95", "wall ms, p50", "p95", title=title)
    rows = [percentiles(costs[WARM_UP_COMPLETIONS:]) for costs in (alone, beside)]
    for name, values in zip(("alone", "while an explanation streams"), rows, strict=True):
        table.add_row(name, *(f"{value:.0f}" for value in values))
    table.add_row("ratio", *(f"{with_other / without:.2f}" for without, with_other in zip(*rows, strict=True)))
    console.print(table)


def percentiles(costs: list[Cost]) -> list[float]:
    """p50 and p95 of CPU time, then of wall-clock time."""
    measures = ([cost.cpu_ms for cost in costs], [cost.wall_ms for cost in costs])
    return [value for ms in measures for value in (statistics.median(ms), statistics.quantiles(ms, n=20)[-1])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="*", default=["bundled", "164M"])
    parser.add_argument("--quantized", action="store_true", help="compare quantizations instead of adapters")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    console = Console(width=110)
    if arguments.quantized:
        for shape in arguments.shapes:
            console.print(compare_quantizations(shape))
        return
    with tempfile.TemporaryDirectory() as folder:
        for shape in arguments.shapes:
            print_shape(shape, Path(folder) / shape, console)
        parallel = Path(folder) / "bundled" / str(list(adapter_configs()).index("Parallel"))
        if parallel.is_dir():
            asyncio.run(print_completions(start_engine({"explain": Adapter(path=str(parallel))}), console))


if __name__ == "__main__":
    main()
