"""Latency from keystroke to suggestion, while a simulated user types real files into a server over stdio; and peers.

Each key sends a change and a request at once, as VS Code does; the next key follows after the answer and the pause of
the trace (at most MAX_KEY_DELAY_S). Latency is from sending the change to the answer. The bundled model generates
freely; with random weights the generated text is forced (benchmarks/lib/forced_server.py).

    python benchmarks/run/keystrokes.py [--quick] [--busy] [--picture docs/typing.svg]

With --llama URL the same keys go to a llama-server, which must run the weights of --checkpoint.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import dataclasses
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # for lib and peers

import starcoder_ls
from lib.latency_chart import Series, render_svg
from lib.typist import Change, Typist
from peers.llama_vim import llama_vim_prompt, our_prompt, time_keys
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.metrics import percentiles
from starcoder_ls.completion.prompt.build_prompt import build_prompt
from starcoder_ls.generation import Phase, Status
from starcoder_ls.lsp import client
from starcoder_ls.settings import InlineCompletion
from starcoder_ls.text_tokens.tokenizer import Tokenizer

BUNDLED = Path(starcoder_ls.__file__).parent / "bundled"
FORCED_SERVER = Path(__file__).parents[1] / "lib" / "forced_server.py"
MAX_KEY_DELAY_S = 0.15
REQUEST_DELAY_S = 0.06
SEED = 1
STATELESS_KEYS = {"bundled": 20, "164M": 5}


@dataclasses.dataclass(frozen=True, slots=True)
class Measurement:
    """One request of a trace and its answer."""

    elapsed_ms: float
    source: str
    read_tokens: int
    tokens: int
    engine_ms: float
    has_suggestion: bool
    text: str
    offset: int
    is_after_jump: bool = False

    @property
    def is_by_model(self) -> bool:
        return self.source in ("model", "resumed")


def lsp_position(text: str, offset: int) -> dict[str, int]:
    line_start = text.rfind("\n", 0, offset) + 1
    return {"line": text.count("\n", 0, offset), "character": offset - line_start}


def lsp_change(text: str, change: Change) -> dict[str, Any]:
    return {
        "range": {"start": lsp_position(text, change.start), "end": lsp_position(text, change.end)},
        "text": change.text,
    }


async def replay(
    server: client.Client, typist: Typist, uri: str, request_delay_s: float = 0.0, max_requests: int = 10_000
) -> list[Measurement]:
    """Send the keys of ``typist`` to ``server``, up to ``max_requests`` requests.

    With ``request_delay_s`` the request is sent so long after the change.
    """
    text, version, has_jumped, measurements = typist.text, 1, True, list[Measurement]()
    server.open(uri, text)
    for key in typist.type_keys():
        await asyncio.sleep(min(key.delay_s, MAX_KEY_DELAY_S) if not request_delay_s else 0.0)
        start_s = time.monotonic()
        if key.changes:
            version += 1
            server.change(uri, version, *(lsp_change(text, change) for change in key.changes))
        text, has_jumped = key.text, has_jumped or key.kind in ("jump", "line move")
        if not key.requests_suggestion:
            continue
        if len(measurements) == max_requests:
            break
        if request_delay_s:
            await asyncio.sleep(request_delay_s)
            start_s = time.monotonic()
        cursor = lsp_position(text, key.offset)
        items = await server.inline_completion(uri, cursor["line"], cursor["character"])
        elapsed_ms = (time.monotonic() - start_s) * 1000
        last = (await server.request("starcoder/stats"))["last"]
        engine_ms = last["queue_ms"] + last["prefill_ms"] + last["decode_ms"]
        read = last["prompt_tokens"] - last["reused_tokens"]
        measurements.append(
            Measurement(
                elapsed_ms,
                last["source"],
                read,
                1 + last["decode_steps"] + last["accepted_tokens"],
                engine_ms,
                bool(items),
                text,
                key.offset,
                has_jumped,
            )
        )
        has_jumped = False
        if items:
            end = items[0]["range"]["end"]["character"] - cursor["character"]
            typist.suggestion = (items[0]["insertText"], end)
    return measurements


@dataclasses.dataclass(frozen=True, slots=True)
class BenchmarkedModel:
    """A model, the command of the server that runs it, and the files that are typed into it."""

    name: str
    command: list[str]
    checkpoint: Path
    files: list[Path]
    holes: int
    max_requests: int
    llama_url: str = ""


async def type_files(
    model: BenchmarkedModel, files: list[Path], holes: int, options: dict[str, Any], request_delay_s: float = 0.0
) -> tuple[list[Measurement], dict[str, Any]]:
    """Type ``files`` into a new server. Returns the measurements and the server's statistics."""
    measurements: list[Measurement] = []
    async with client.start(model.command, stderr=subprocess.DEVNULL) as server:
        await server.initialize(
            {"inline_completion": {"budget_ms": 60_000, **options}},
            {"textDocument": {"inlineCompletion": {}}, "general": {"positionEncodings": ["utf-32"]}},
        )
        while (status := await server.request("starcoder/status"))["phase"] != "ready":
            assert status["phase"] != "failed", status["message"]
            await asyncio.sleep(0.1)
        await replay(server, Typist(files[0].read_text(), SEED + 1, 1), "file:///warm.py", max_requests=5)
        before = await server.request("starcoder/stats")
        for number, file in enumerate(files):
            typist = Typist(file.read_text(), SEED, holes)
            measurements += await replay(server, typist, f"file:///{number}.py", request_delay_s, model.max_requests)
        stats = await server.request("starcoder/stats")
        stats["tokens"] = {name: count - before["tokens"][name] for name, count in stats["tokens"].items()}
        await server.shutdown()
    return measurements, stats


class TokenCountingEngine:
    """The part of an engine that building a prompt needs."""

    def __init__(self, checkpoint: Path) -> None:
        self.tokenizer = Tokenizer.from_folder(checkpoint)
        self.count_tokens = self.tokenizer.count_tokens

    def status(self) -> Status:
        return Status(Phase.READY, context_tokens=2048, special_tokens=self.tokenizer.special_tokens)


def time_stateless_generate(checkpoint: Path, measurements: list[Measurement], keys: int) -> list[float]:
    """Milliseconds per key of a peer: the model card's `generate` with the same prompts and numbers of tokens."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in our engine
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(psutil.cpu_count(logical=False) or 1)
    model = AutoModelForCausalLM.from_pretrained(str(checkpoint), dtype=torch.float32)
    engine, times = TokenCountingEngine(checkpoint), []
    typical = round(statistics.median(key.tokens for key in measurements if key.is_by_model))
    step = max(1, len(measurements) // keys)
    sample = measurements[::step][:keys]
    for number, key in enumerate([sample[0], *sample]):
        prompt = build_prompt(engine, Cursor(key.text, key.offset), InlineCompletion()).layout  # type: ignore[arg-type]
        ids = torch.tensor([engine.tokenizer.encode(prompt.parts)])
        tokens = key.tokens if key.is_by_model else typical
        start_s = time.monotonic()
        model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False,
            pad_token_id=0,
        )  # fmt: skip
        if number:  # the first call is the warm-up
            times.append((time.monotonic() - start_s) * 1000)
    return times


def random_checkpoint(folder: Path) -> Path:
    """Save a StarCoder-like model of 164M random parameters: 20 layers, width 768, vocabulary 49,152."""
    import shutil

    import torch
    from transformers import GPTBigCodeConfig, GPTBigCodeForCausalLM

    torch.manual_seed(0)
    config = GPTBigCodeConfig(
        vocab_size=49_152, n_positions=8192, n_embd=768, n_layer=20, n_head=12, n_inner=3072, multi_query=True,
        activation_function="gelu_pytorch_tanh", bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    GPTBigCodeForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(BUNDLED / name, folder / name)
    return folder


def time_llama_server(url: str, checkpoint: Path, measurements: list[Measurement]) -> dict[str, list[float]]:
    """Milliseconds per key of a peer: a llama-server with prompt cache, with llama.vim's prompts and ours."""
    engine = TokenCountingEngine(checkpoint)
    keys = [(key.text, key.offset, key.tokens) for key in measurements]
    orders = {"llama-server, llama.vim's prompt": llama_vim_prompt, "llama-server, our prompt": our_prompt}
    return {
        name: time_keys(url, keys, order(engine, engine.tokenizer))  # type: ignore[arg-type]
        for name, order in orders.items()
    }


def measure_model(console: Console, model: BenchmarkedModel) -> list[Series]:
    """Print the table and ratios of one model; the series for the picture."""
    files, holes = model.files, model.holes
    plain = {"remember": False, "ahead": False}
    full, stats = asyncio.run(type_files(model, files, holes, {}))
    print_sources(console, full, stats["tokens"])
    off, _ = asyncio.run(type_files(model, files, holes, plain))
    print_tokens_read(console, "at once", off)
    delayed, _ = asyncio.run(type_files(model, files[:1], max(holes // 2, 1), plain, REQUEST_DELAY_S))
    print_tokens_read(console, f"after {REQUEST_DELAY_S * 1000:.0f} ms", delayed)
    peers = {"stateless generate": time_stateless_generate(model.checkpoint, off, STATELESS_KEYS[model.name])}
    if model.llama_url:
        peers |= time_llama_server(model.llama_url, model.checkpoint, off)
    all_ms, model_ms = ([key.elapsed_ms for key in keys] for keys in (full, off))
    table = Table(f"{model.name}: key to answer", "requests", "p50 ms", "p95", "p99")
    add_times(table, "ours, suggestion cache on", all_ms)
    add_times(table, "  of these answered by the model", [key.elapsed_ms for key in full if key.is_by_model])
    add_times(table, "  of these with a suggestion", [key.elapsed_ms for key in full if key.has_suggestion])
    add_times(table, "ours, suggestion cache off", model_ms)
    add_times(
        table, f"  requested {REQUEST_DELAY_S * 1000:.0f} ms after the change", [key.elapsed_ms for key in delayed]
    )
    add_times(table, "  without the engine's own time", [key.elapsed_ms - key.engine_ms for key in off])
    first_ms = [key.elapsed_ms for key in off if key.is_after_jump]
    add_times(table, "  first keys in a window", first_ms)
    for name, times in peers.items():
        add_times(table, f"{name}, as many tokens", times)
        if len(times) == len(off):
            peer_ms = [time_ms for time_ms, key in zip(times, off, strict=True) if key.is_after_jump]
            add_times(table, "  first keys in a window", peer_ms)
            ratio = statistics.median(first_ms) / statistics.median(peer_ms)
            console.print(f"ours / {name}, first keys in a window, median: {ratio:.2f}")
    console.print(table)
    for name, times in peers.items():
        by_model, by_all = (statistics.median(times) / statistics.median(ours) for ours in (model_ms, all_ms))
        console.print(f"{name} / ours, p50: {by_model:.1f} answered by the model, {by_all:.1f} all requests")
    console.print()
    ours = [Series("with suggestion cache", all_ms), Series("every key answered by the model", model_ms)]
    return [*ours, *(Series(name, times) for name, times in peers.items())]


def add_times(table: Table, name: str, times: list[float]) -> None:
    """Add a row with the number of ``times`` and their percentiles in milliseconds."""
    at = percentiles(times)
    table.add_row(name, str(len(times)), *(f"{at[share]:.1f}" if at else "" for share in ("p50", "p95", "p99")))


def print_tokens_read(console: Console, name: str, measurements: list[Measurement]) -> None:
    """Print how many prompt tokens a request had to read, because they were not in the prefix cache."""
    reads = [float(key.read_tokens) for key in measurements]
    burst = statistics.mean(key.read_tokens for key in measurements if not key.is_after_jump)
    at, generated = percentiles(reads), statistics.median(key.tokens for key in measurements)
    spread = f"mean {statistics.mean(reads):.1f} ({burst:.1f} without first keys after a jump)"
    reads_text = f"{spread}, p50 {at['p50']:.0f}, p95 {at['p95']:.0f}"
    console.print(f"requested {name}: tokens to read, {reads_text}; {generated:.0f} tokens generated")


def print_sources(console: Console, measurements: list[Measurement], tokens: dict[str, int]) -> None:
    counts = {
        source: sum(key.source == source for key in measurements) for source in ("memory", "ahead", "resumed", "model")
    }
    shares = ", ".join(f"{source} {100 * count / len(measurements):.0f} %" for source, count in counts.items())
    generated = (
        f"{tokens['made']} tokens generated ({tokens['made_ahead']} of them prefetched), {tokens['wasted']} unused"
    )
    console.print(f"answered by {shares}; {generated}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one file, few keys")
    parser.add_argument("--shape", choices=("bundled", "164M"), help="run only this model")
    parser.add_argument("--checkpoint", type=Path, help="weights of the 164M shape instead of fresh noise")
    parser.add_argument("--int8", action="store_true", help="the 164M shape in 8 bits")
    parser.add_argument("--llama", default="", help="URL of a llama-server with the weights of --shape")
    parser.add_argument("--busy", action="store_true", help="beside a process that keeps a core busy")
    parser.add_argument("--picture", type=Path, default=Path(__file__).parents[2] / "docs" / "typing.svg")
    options = parser.parse_args()
    console, charts, max_requests = Console(width=120), {}, 40 if options.quick else 10_000
    import textwrap

    if options.busy:
        atexit.register(subprocess.Popen([sys.executable, "-c", "while True: pass"]).kill)
    files = [Path(str(module.__file__)) for module in (dataclasses, textwrap)]
    if options.shape != "164M":
        command = [sys.executable, "-m", "starcoder_ls", "serve", "--no-share"]
        typed_files, holes = (files[:1], 1) if options.quick else (files, 4)
        url = options.llama if options.shape else ""
        model = BenchmarkedModel("bundled", command, BUNDLED, typed_files, holes, max_requests, url)
        charts["bundled model"] = measure_model(console, model)
    if options.shape != "bundled":
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = options.checkpoint or random_checkpoint(Path(folder))
            command = [
                sys.executable,
                str(FORCED_SERVER),
                str(checkpoint),
                str(files[0]),
            ]
            command += ["0.4", "int8"] if options.int8 else []
            holes = 1 if options.quick else 2
            model = BenchmarkedModel("164M", command, checkpoint, files[:1], holes, max_requests, options.llama)
            charts["164M shape"] = measure_model(console, model)
    options.picture.write_text(render_svg(charts), encoding="utf-8")
    console.print(f"picture: {options.picture}")


if __name__ == "__main__":
    main()
