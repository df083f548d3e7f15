"""From keystroke to suggestion: somebody types real files into the real server over stdio, and into what others offer.

Each key is a change and a request at once, as VS Code sends them; the next key comes when the answer is there and the
trace's pause (at most CAP_S) is over. Latency is from sending the change to the answer. With random weights the text is
forced (benchmarks/lib/forced.py); the bundled model says what it says.

    python benchmarks/run/keystrokes.py [--quick] [--busy] [--picture docs/typing.svg]

A llama-server that runs the same checkpoint (given by --checkpoint and --llama URL) types along.
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
from peers.llama_vim import as_llama_vim_asks, as_we_ask, replayed
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.metrics import percentiles
from starcoder_ls.completion.prompt.build_prompt import build_prompt
from starcoder_ls.generation import Phase, Status
from starcoder_ls.lsp import client
from starcoder_ls.settings import InlineCompletion
from starcoder_ls.text_tokens.tokenizer import Tokenizer

BUNDLED = Path(starcoder_ls.__file__).parent / "bundled"
FORCED_SERVER = Path(__file__).parents[1] / "lib" / "forced.py"
CAP_S = 0.15
ASIDE_S = 0.06
SEED = 1
STATELESS_KEYS = {"bundled": 20, "164M": 5}


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
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


def position(text: str, offset: int) -> dict[str, int]:
    line_start = text.rfind("\n", 0, offset) + 1
    return {"line": text.count("\n", 0, offset), "character": offset - line_start}


def edit(text: str, change: Change) -> dict[str, Any]:
    return {"range": {"start": position(text, change.start), "end": position(text, change.end)}, "text": change.text}


async def replay(
    server: client.Client, typist: Typist, uri: str, aside_s: float = 0.0, most: int = 10_000
) -> list[Asked]:
    """Type it all, or as far as ``most`` requests. ``aside_s`` passes between change and request."""
    text, version, has_jumped, asked = typist.text, 1, True, list[Asked]()
    server.open(uri, text)
    for key in typist.pressed():
        await asyncio.sleep(min(key.gap_s, CAP_S) if not aside_s else 0.0)
        began = time.monotonic()
        if key.changes:
            version += 1
            server.change(uri, version, *(edit(text, change) for change in key.changes))
        text, has_jumped = key.text, has_jumped or key.kind in ("jump", "line move")
        if not key.is_asking:
            continue
        if len(asked) == most:
            break
        if aside_s:
            await asyncio.sleep(aside_s)
            began = time.monotonic()
        place = position(text, key.offset)
        items = await server.inline_completion(uri, place["line"], place["character"])
        elapsed_ms = (time.monotonic() - began) * 1000
        last = (await server.request("starcoder/stats"))["last"]
        engine_ms = last["queue_ms"] + last["prefill_ms"] + last["decode_ms"]
        read = last["prompt_tokens"] - last["reused_tokens"]
        asked.append(
            Asked(
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
            end = items[0]["range"]["end"]["character"] - place["character"]
            typist.shown = (items[0]["insertText"], end)
    return asked


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """One model, the server that runs it, and what is typed into it."""

    name: str
    command: list[str]
    checkpoint: Path
    files: list[Path]
    spots: int
    most: int
    llama_url: str = ""


async def typed(
    subject: Subject, files: list[Path], spots: int, options: dict[str, Any], aside_s: float = 0.0
) -> tuple[list[Asked], dict[str, Any]]:
    """One server from start to end; what was asked, and its statistics."""
    asked: list[Asked] = []
    async with client.start(subject.command, stderr=subprocess.DEVNULL) as server:
        await server.initialize(
            {"inline_completion": {"budget_ms": 60_000, **options}},
            {"textDocument": {"inlineCompletion": {}}, "general": {"positionEncodings": ["utf-32"]}},
        )
        while (status := await server.request("starcoder/status"))["phase"] != "ready":
            assert status["phase"] != "failed", status["message"]
            await asyncio.sleep(0.1)
        await replay(server, Typist(files[0].read_text(), SEED + 1, 1), "file:///warm.py", most=5)
        before = await server.request("starcoder/stats")
        for number, file in enumerate(files):
            typist = Typist(file.read_text(), SEED, spots)
            asked += await replay(server, typist, f"file:///{number}.py", aside_s, subject.most)
        stats = await server.request("starcoder/stats")
        stats["tokens"] = {name: count - before["tokens"][name] for name, count in stats["tokens"].items()}
        await server.shutdown()
    return asked, stats


class Counting:
    """As much of an engine as a question needs."""

    def __init__(self, checkpoint: Path) -> None:
        self.tokenizer = Tokenizer.from_folder(checkpoint)
        self.count_tokens = self.tokenizer.count_tokens

    def status(self) -> Status:
        return Status(Phase.READY, context_tokens=2048, special_tokens=self.tokenizer.special_tokens)


def stateless(checkpoint: Path, asked: list[Asked], keys: int) -> list[float]:
    """Peer: the model card's `generate` on the same prompts, as many tokens as we made; ms a key."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # what our engine does for itself: the peer gets it too
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(psutil.cpu_count(logical=False) or 1)
    model = AutoModelForCausalLM.from_pretrained(str(checkpoint), dtype=torch.float32)
    counting, times = Counting(checkpoint), []
    typical = round(statistics.median(one.tokens for one in asked if one.is_by_model))
    step = max(1, len(asked) // keys)
    chosen = asked[::step][:keys]
    for number, one in enumerate([chosen[0], *chosen]):
        prompt = build_prompt(counting, Cursor(one.text, one.offset), InlineCompletion()).prompt  # type: ignore[arg-type]
        ids = torch.tensor([counting.tokenizer.encode(prompt.parts)])
        tokens = one.tokens if one.is_by_model else typical
        began = time.monotonic()
        model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False,
            pad_token_id=0,
        )  # fmt: skip
        if number:  # the first warms it up
            times.append((time.monotonic() - began) * 1000)
    return times


def random_checkpoint(folder: Path) -> Path:
    """164M parameters of noise in StarCoder's small shape: 20 layers, 768, vocabulary 49,152."""
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


def llama(url: str, checkpoint: Path, asked: list[Asked]) -> dict[str, list[float]]:
    """Peer: a llama-server with a prompt cache, in its clients' order and in ours; ms a key."""
    counting = Counting(checkpoint)
    keys = [(one.text, one.offset, one.tokens) for one in asked]
    orders = {"llama-server as llama.vim asks": as_llama_vim_asks, "llama-server in our order": as_we_ask}
    return {
        name: replayed(url, keys, order(counting, counting.tokenizer))  # type: ignore[arg-type]
        for name, order in orders.items()
    }


def measured(console: Console, subject: Subject) -> list[Series]:
    """Print one model's table and ratios; its series for the picture."""
    files, spots = subject.files, subject.spots
    plain = {"remember": False, "ahead": False}
    full, stats = asyncio.run(typed(subject, files, spots, {}))
    told_sources(console, full, stats["tokens"])
    off, _ = asyncio.run(typed(subject, files, spots, plain))
    told_reads(console, "at once", off)
    aside, _ = asyncio.run(typed(subject, files[:1], max(spots // 2, 1), plain, ASIDE_S))
    told_reads(console, f"after {ASIDE_S * 1000:.0f} ms", aside)
    peers = {"stateless generate": stateless(subject.checkpoint, off, STATELESS_KEYS[subject.name])}
    if subject.llama_url:
        peers |= llama(subject.llama_url, subject.checkpoint, off)
    all_ms, model_ms = ([one.elapsed_ms for one in ones] for ones in (full, off))
    table = Table(f"{subject.name}: key to answer", "requests", "p50 ms", "p95", "p99")
    row(table, "ours, memory of suggestions on", all_ms)
    row(table, "  of these answered by the model", [one.elapsed_ms for one in full if one.is_by_model])
    row(table, "  of these with a suggestion", [one.elapsed_ms for one in full if one.has_suggestion])
    row(table, "ours, memory off", model_ms)
    row(table, f"  asked {ASIDE_S * 1000:.0f} ms after the change", [one.elapsed_ms for one in aside])
    row(table, "  without the engine's own time", [one.elapsed_ms - one.engine_ms for one in off])
    for name, times in peers.items():
        row(table, f"{name}, as many tokens", times)
    console.print(table)
    for name, times in peers.items():
        by_model, by_all = (statistics.median(times) / statistics.median(ours) for ours in (model_ms, all_ms))
        console.print(f"{name} / ours, p50: {by_model:.1f} answered by the model, {by_all:.1f} all requests")
    console.print()
    ours = [Series("with memory of suggestions", all_ms), Series("every key by the model", model_ms)]
    return [*ours, *(Series(name, times) for name, times in peers.items())]


def row(table: Table, name: str, times: list[float]) -> None:
    at = percentiles(times)
    table.add_row(name, str(len(times)), *(f"{at[share]:.1f}" if at else "" for share in ("p50", "p95", "p99")))


def told_reads(console: Console, name: str, asked: list[Asked]) -> None:
    """How much of its prompt a request found unread."""
    reads = [float(one.read_tokens) for one in asked]
    burst = statistics.mean(one.read_tokens for one in asked if not one.is_after_jump)
    at, made = percentiles(reads), statistics.median(one.tokens for one in asked)
    spread = f"mean {statistics.mean(reads):.1f} ({burst:.1f} without first keys after a jump)"
    console.print(
        f"asked {name}: tokens to read, {spread}, p50 {at['p50']:.0f}, p95 {at['p95']:.0f}; {made:.0f} tokens made"
    )


def told_sources(console: Console, asked: list[Asked], tokens: dict[str, int]) -> None:
    counts = {source: sum(one.source == source for one in asked) for source in ("memory", "ahead", "resumed", "model")}
    shares = ", ".join(f"{source} {100 * count / len(asked):.0f} %" for source, count in counts.items())
    made = f"{tokens['made']} tokens made ({tokens['made_ahead']} ahead), {tokens['wasted']} wasted"
    console.print(f"answered by {shares}; {made}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one file, few keys")
    parser.add_argument("--shape", choices=("bundled", "164M"), help="only this one")
    parser.add_argument("--checkpoint", type=Path, help="weights of the 164M shape instead of fresh noise")
    parser.add_argument("--int8", action="store_true", help="the 164M shape in 8 bits")
    parser.add_argument("--llama", default="", help="URL of a llama-server with the weights of --shape")
    parser.add_argument("--busy", action="store_true", help="beside a process that never rests")
    parser.add_argument("--picture", type=Path, default=Path(__file__).parents[2] / "docs" / "typing.svg")
    options = parser.parse_args()
    console, charts, most = Console(width=120), {}, 40 if options.quick else 10_000
    import dataclasses as first
    import textwrap as second

    if options.busy:
        atexit.register(subprocess.Popen([sys.executable, "-c", "while True: pass"]).kill)
    files = [Path(str(module.__file__)) for module in (first, second)]
    if options.shape != "164M":
        command = [sys.executable, "-m", "starcoder_ls", "serve", "--no-share"]
        chosen, spots = (files[:1], 1) if options.quick else (files, 4)
        subject = Subject("bundled", command, BUNDLED, chosen, spots, most, options.llama if options.shape else "")
        charts["bundled model"] = measured(console, subject)
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
            spots = 1 if options.quick else 2
            charts["164M shape"] = measured(
                console, Subject("164M", command, checkpoint, files[:1], spots, most, options.llama)
            )
    options.picture.write_text(render_svg(charts), encoding="utf-8")
    console.print(f"picture: {options.picture}")


if __name__ == "__main__":
    main()
