"""What benchmarks/gpu.py measures of one model that is ready, each part a table."""

from __future__ import annotations

import random
import statistics
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig

import gpu_attention
from starcoder_ls.engine.adapters import peft_compat
from starcoder_ls.engine.adapters.methods.bottleneck import BottleneckConfig
from starcoder_ls.engine.adapters.registry import METHODS
from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter
from starcoder_ls.engine.cuda_graphs.buckets import NEW_TOKEN_COUNTS, ROW_COUNTS, Bucket
from starcoder_ls.engine.cuda_graphs.capture import CudaCapture
from starcoder_ls.engine.cuda_graphs.registry import GraphRegistry
from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.generation.request_generation import GenerationState, generate_alone
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.logits import Logits
from starcoder_ls.engine.runner.pass_costs import interpolate
from starcoder_ls.engine.scheduling.batcher import Batcher
from starcoder_ls.engine.scheduling.request_queue import OutputStream, RequestQueue, ScheduledRequest
from starcoder_ls.generation import CancelFlag, FinishReason, Request
from starcoder_ls.text_tokens.candidate import SampledToken

MODULES = ("argparse", "dataclasses", "difflib", "inspect", "optparse", "pickle", "subprocess", "textwrap")
DRAFTED_TOKENS = 64


@dataclass
class Table:
    header: list[str]
    rows: list[list[Any]]

    def markdown(self) -> str:
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join("| " + " | ".join(shown(cell) for cell in line) + " |" for line in lines)


def shown(cell: Any) -> str:
    if not isinstance(cell, float):
        return str(cell)
    return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_ms(device: torch.device, function: Callable[[], object], tries: int) -> float:
    """Of single runs, each waited for; the first two are not counted."""
    took = []
    for _ in range(tries + 2):
        wait(device)
        since_s = time.perf_counter()
        function()
        wait(device)
        took.append((time.perf_counter() - since_s) * 1000)
    return statistics.median(took[2:])


def bandwidth(device: torch.device, found: dict[str, Any]) -> Table:
    """A copy counts what it reads and what it writes."""
    count = (1 << 30) if device.type == "cuda" else (1 << 22)
    values = torch.randn(count, device=device)
    other = torch.empty_like(values)
    copy_ms = median_ms(device, lambda: other.copy_(values), 10)
    read_ms = median_ms(device, lambda: values.sum(), 10)
    found["copy_gb_per_s"] = 2 * values.nbytes / copy_ms / 1e6
    found["read_gb_per_s"] = values.nbytes / read_ms / 1e6
    return Table(["copy, GB/s", "sum, GB/s"], [[found["copy_gb_per_s"], found["read_gb_per_s"]]])


class Silent(OutputStream):
    """Nobody hears; it is counted."""

    def __init__(self) -> None:
        self.tokens = 0
        self.ended_s = 0.0

    def put(self, delivery: Any) -> None:
        if isinstance(delivery, BaseException):
            raise delivery
        if delivery is None:
            self.ended_s = time.perf_counter()
            return
        self.tokens += sum(len(chunk.token_ids) for chunk in delivery)


class Told:
    """Graphs that say the tokens of a text whatever the weights say, and take as long: a model that is always right."""

    def __init__(self, graphs: GraphRegistry | None, ids: Sequence[int]) -> None:
        self._graphs, self._ids = graphs, ids

    def replay(self, several: Sequence[ForwardPass], plain: Callable[[], list[torch.Tensor]]) -> list[Logits]:
        starts = [wanted.cache.length for wanted in several]
        made = None if self._graphs is None else self._graphs.replay(several, plain)
        if made is None:
            made = [Logits(values) for values in plain()]
        said = []
        for logits, wanted, start in zip(made, several, starts, strict=True):
            following = range(start + 1, start + 1 + len(wanted.rows[0]))[wanted.logit_positions]
            logits.greedy()  # its time counts
            said.append(Logits(logits.values, [SampledToken(self._ids[at % len(self._ids)], -1.0) for at in following]))
        return said


@dataclass
class Bench:
    loaded: LoadedModel
    device: torch.device
    is_quick: bool
    copy_gb_per_s: float
    goals: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model = self.loaded.runner.model
        assert self.loaded.runner.graphs is not None, "this model cannot have graphs"
        self.kept: GraphRegistry = self.loaded.runner.graphs
        self.tries = 4 if self.is_quick else 40
        self.rows = [rows for rows in ROW_COUNTS if rows <= (16 if self.device.type == "cuda" else 2)]
        rng = random.Random(0)
        self.ids = [rng.randrange(100, 8000) for _ in range(self.loaded.context_tokens)]
        self.most = min(2048, self.loaded.context_tokens)

    def graphs(self) -> Table:
        """Time and memory of each, of the first to be recorded and those for several rows."""
        before, free = list(self.kept.statistics.capture_ms), self.free_gb()
        for rows in self.rows[1:]:
            for new in NEW_TOKEN_COUNTS:
                self.kept.request_graph(Bucket(rows, new, self.most))
        self.kept.capture_while(lambda _seconds: True)
        took = [ms for key, ms in self.kept.statistics.capture_ms.items() if key not in before]
        refused = {str(key[1]): reason for key, reason in self.kept.statistics.rejected.items()}
        spent = free - self.free_gb() - self.kept.bytes / 1e9
        header = ["graphs", "first, ms", "others, median ms", "worst", "MB each beside seats", "seats and frame, MB"]
        return Table([*header, "refused"], [[
            len(took), took[0], statistics.median(took[1:]), max(took[1:]), spent * 1000 / len(took),
            self.kept.bytes / 1e6, refused or "none",
        ]])  # fmt: skip

    def free_gb(self) -> float:
        wait(self.device)
        return torch.cuda.mem_get_info(self.device)[0] / 1e9 if self.device.type == "cuda" else 0.0

    def cache(self, behind: int, ids: Sequence[int] | None = None) -> KvCache:
        made, ids = KvCache(self.loaded.runner.layers, behind + 64), self.ids if ids is None else ids
        for start in range(0, behind, 512):
            self.loaded.runner.run(ForwardPass([list(ids[start : min(start + 512, behind)])], made, LogitsFor.NONE))
        return made

    def pass_ms(self, behind: int, new: int = 1, count: int | None = None) -> float:
        """Of one pass and the choice that follows it, by whatever answers now."""
        cache = self.cache(behind)

        def one() -> None:
            cache.truncate(behind)
            forward_pass = ForwardPass([self.ids[behind : behind + new]], cache, LogitsFor.ALL)
            self.loaded.runner.run(forward_pass).greedy()

        for _ in range(2):  # wanted, then proven
            one()
            self.record()
        return median_ms(self.device, one, count or self.tries)

    def record(self) -> None:
        current = self.loaded.runner.graphs
        if isinstance(current, GraphRegistry):
            current.capture_while(lambda _seconds: True)

    def without_graphs(self, measure: Callable[[], float]) -> float:
        self.loaded.runner.graphs = None
        try:
            return measure()
        finally:
            self.loaded.runner.graphs = self.kept

    def bytes_per_token(self, behind: int) -> int:
        """The weights once, without the tables of which a row is read, and the keys and values."""
        weights = self.loaded.runner.weight_bytes - self.model.get_submodule("transformer.wpe").weight.nbytes
        sample = self.cache(1).first_layer_keys
        assert sample is not None
        return (
            weights + behind * 2 * self.loaded.runner.layers * sample.shape[1] * sample.shape[3] * sample.element_size()
        )

    def decode(self) -> Table:
        """One token after another, each waited for."""
        rows = []
        for behind in sorted({min(500, self.most // 2), self.most - 100, self.loaded.context_tokens - 100}):
            replayed_before = self.kept.statistics.replays
            captured = self.pass_ms(behind)
            is_replayed = self.kept.statistics.replays > replayed_before
            plain = self.without_graphs(lambda behind=behind: self.pass_ms(behind, count=self.tries // 2))  # type: ignore[misc]
            share = self.bytes_per_token(behind) / captured / 1e6 / (self.copy_gb_per_s or 1)
            rows.append([behind, plain, captured, plain / captured, 1000 / captured, share, is_replayed])
        self.goals["decode, share of the copy bandwidth (goal 0.85)"] = rows[0][5]
        request = self.request_ms()
        rows.append(["a request", "", request, "", 1000 / request, "", ""])
        header = ["tokens behind", "plain, ms", "captured, ms", "plain / captured", "tokens/s", "of copy bandwidth"]
        return Table([*header, "replayed"], rows)

    def request_ms(self) -> float:
        """Per token, with everything that is around a pass, and no drafts."""
        state, made = GenerationState.empty(self.loaded), 0
        text = source(MODULES[0])[:1500]
        took_s = 0.0
        for attempt in range(4):
            pieces = generate_alone(Request((text,), 64), state, lambda: None)
            while not next(pieces):
                pass
            since_s = time.perf_counter()
            for chunks in pieces:
                made += len(chunks) * (attempt > 0)
            took_s += (time.perf_counter() - since_s) * (attempt > 0)
            self.record()
        return took_s * 1000 / max(made, 1)

    def verify(self) -> Table:
        """Rows and new tokens against one of one."""
        self.kept.capture_while(lambda _seconds: True)
        one = self.replay_ms(Bucket(1, 1, self.most))
        rows = []
        for count in self.rows:
            costs = [self.replay_ms(Bucket(count, new, self.most)) for new in NEW_TOKEN_COUNTS]
            rows.append([count, *costs, *(cost / one for cost in costs)])
        return Table(
            ["rows", *(f"{n} new, ms" for n in NEW_TOKEN_COUNTS), *(f"{n} / one" for n in NEW_TOKEN_COUNTS)], rows
        )

    def replay_ms(self, shape: Bucket, layers: Any = None) -> float:
        """Of the graph alone, and what is read of it."""
        graph = self.kept._graphs.get((layers, shape))
        frame = self.kept._static_pass
        if graph is None or frame is None:
            return float("nan")
        # Wherever its rows stood last: the tokens are read there again.
        return median_ms(self.device, lambda: (graph.captured.replay(), frame.read_outputs(shape)), self.tries)

    def attention(self) -> Table:
        """One layer's: as transformers does it, ours by the size of the pieces, and two others."""
        config, dtype = self.model.config, self.loaded.placement.dtype
        rows = []
        for tokens in [size for size in (1024, 2048, 4096, 8192) if size <= max(1024, self.loaded.context_tokens)]:
            for count, new in ((1, 1), (1, 8), (8, 1)):
                given = gpu_attention.Given(config.n_head, config.n_embd // config.n_head, count, new, tokens)
                given.draw(self.device, dtype)
                exact = given.exact()
                cells: list[Any] = []
                for way in gpu_attention.ways(given).values():
                    try:
                        error = float((way().double() - exact).norm() / exact.norm())
                        cells.append(f"{self.graphed_us(way):.3g} ({error:.0e})")
                    except (RuntimeError, NotImplementedError) as failure:
                        cells.append(str(failure).partition("\n")[0][:40] or type(failure).__name__)
                rows.append([tokens, count, new, *cells])
        names = [f"{name}, us (error)" for name in gpu_attention.ways(given)]
        return Table(["tokens", "rows", "new", *names], rows)

    def graphed_us(self, way: Callable[[], torch.Tensor]) -> float:
        """Of one call among many in one graph."""
        calls = 20 if self.device.type == "cuda" else 1

        def many() -> None:
            for _ in range(calls):
                way()

        with torch.inference_mode():
            if self.device.type == "cpu":
                return median_ms(self.device, many, 3) * 1000
            recording = CudaCapture(self.device)(many)
            return median_ms(self.device, recording.replay, self.tries) * 1000 / calls

    def speculation(self) -> Table:
        """Answers of real code that the model is made to say, drafted and plain in turn."""
        costs = interpolate(self.kept.replay_costs() or {1: 1.0, 8: 1.0})
        state = GenerationState.empty(self.loaded)
        took: dict[str, list[float]] = {"plain": [], "drafted": []}
        passes_made = accepted = 0
        try:
            for text, ids in cursors(self.loaded, 4 if self.is_quick else 60, self.most):
                self.loaded.runner.graphs = Told(self.kept, ids)
                for kind in random.sample(sorted(took), 2):
                    state.draft_history.clear_answers()  # the other's answer would be a perfect draft
                    self.loaded.runner.pass_costs = costs if kind == "drafted" else ()
                    pieces = generate_alone(Request((text,), DRAFTED_TOKENS), state, lambda: None)
                    while not next(pieces):
                        pass
                    wait(self.device)
                    since_s = time.perf_counter()
                    last = [chunk for chunks in pieces for chunk in chunks][-1]
                    took[kind].append(time.perf_counter() - since_s)
                    if kind == "drafted" and last.timings is not None:
                        passes_made += last.timings.decode_steps
                        accepted += last.timings.accepted_tokens
                self.kept.capture_while(lambda _seconds: True)
        finally:
            self.loaded.runner.graphs, self.loaded.runner.pass_costs = self.kept, ()
        ratios = sorted(plain / drafted for plain, drafted in zip(took["plain"], took["drafted"], strict=True))
        self.goals["speculation, plain / drafted by the clock (goal 1.5)"] = sum(took["plain"]) / sum(took["drafted"])
        self.goals["speculation, worst tenth (goal never under 0.97)"] = ratios[len(ratios) // 10]
        answers = len(ratios)
        header = ["answers", "plain / drafted, all", "median", "worst tenth", "tokens a pass", "cost of 2, 4, 8 / 1"]
        return Table(header, [[
            answers, sum(took["plain"]) / sum(took["drafted"]), statistics.median(ratios), ratios[answers // 10],
            1 + accepted / max(passes_made, 1), ", ".join(f"{costs[n - 1] / costs[0]:.2f}" for n in (2, 4, 8)),
        ]])  # fmt: skip

    def editors(self) -> Table:
        """As many answers at once as a graph has rows, with shared passes and one after another."""
        rows = []
        speeds: dict[tuple[str, str], float] = {}
        for graphs, way, crowds in (("captured", "shared", 3), ("captured", "serial", 3), ("plain", "shared", 1)):
            for _ in range(crowds):  # the first ones want and prove graphs
                outlets, took_s = self.crowd(is_shared=way == "shared", has_graphs=graphs == "captured")
                self.kept.capture_while(lambda _seconds: True)
            waits = sorted(outlet.ended_s for outlet in outlets)
            speeds[graphs, way] = sum(outlet.tokens for outlet in outlets) / took_s
            rows.append([graphs, way, speeds[graphs, way], waits[-1] / statistics.mean(waits)])
        ratio = speeds["captured", "shared"] / speeds["captured", "serial"]
        self.goals[f"{self.rows[-1]} editors, shared / serial (goal 6 for 16)"] = ratio
        self.goals[f"{self.rows[-1]} editors, last answer / mean (goal 2)"] = rows[0][3]
        return Table(["passes", "way", "tokens/s", "last answer / mean"], rows)

    def crowd(self, is_shared: bool, has_graphs: bool) -> tuple[list[Silent], float]:
        """Prompts are read before the clock runs."""
        queue, state, tokens = RequestQueue(), GenerationState.empty(self.loaded), 8 if self.is_quick else 48

        def on_finished(scheduled: ScheduledRequest) -> None:
            queue.remove(scheduled)
            scheduled.output.put(None)

        batcher = Batcher(queue, state, on_finished)
        batcher._can_batch = is_shared
        asked = []
        for person in range(self.rows[-1]):
            text = source(MODULES[person % len(MODULES)])[person * 500 : person * 500 + 1200]
            asked.append(Request((text,), tokens, client=str(person), cancel=CancelFlag()))
        for request in asked:
            queue.add(ScheduledRequest(request, Silent(), is_prefill=True))
            while not queue.is_idle():
                self.step(queue, batcher)
        outputs = [Silent() for _ in asked]
        for request, output in zip(asked, outputs, strict=True):
            queue.add(ScheduledRequest(request, output))
        return outputs, self.run_all(queue, batcher, outputs, has_graphs)

    def run_all(self, queue: RequestQueue, batcher: Batcher, outputs: list[Silent], has_graphs: bool) -> float:
        wait(self.device)
        since_s = time.perf_counter()

        def run() -> float:
            while not queue.is_idle():
                self.step(queue, batcher)
            return time.perf_counter() - since_s

        took_s = run() if has_graphs else self.without_graphs(run)
        for output in outputs:
            output.ended_s -= since_s
        return took_s

    def step(self, queue: RequestQueue, batcher: Batcher) -> None:
        leader = queue.next_request()
        assert leader is not None
        batcher.step(leader)

    def adapters(self) -> Table:
        """A step through none and through each, and turns between two."""
        targets = ["c_attn", "c_proj"]
        configs = {
            "LoRA": LoraConfig(r=8, lora_alpha=16, target_modules=targets, task_type="CAUSAL_LM"),
            "Parallel": BottleneckConfig(
                target_modules=["c_attn"], bottleneck_size=256, use_parallel_adapter=True, task_type="CAUSAL_LM"
            ),
        }
        held = {name: self.attached(name, config) for name, config in configs.items()}
        shape, rows = Bucket(1, 1, self.most), []
        off = self.replay_ms(shape)
        for name, one in held.items():
            self.kept.request_graph(shape, one.key)
            self.kept.capture_while(lambda _seconds: True)
            on = self.replay_ms(shape, one.key)
            rows.append([name, one.bytes / 1e6, on, on / off, self.switched_ms(one) / (self.switched_ms(None))])
        self.loaded.adapters.activate(None)
        for name in held:
            self.loaded.adapters.remove(name)
        self.kept.retain_adapters(self.loaded.adapters.keys)
        return Table(["adapter", "MB", "a replay, ms", "/ off", "in turns with the base / base alone"], rows)

    def attached(self, name: str, config: Any) -> ResidentAdapter:
        """Random, and of the base's own type of device; as if it had been read from files."""
        adapters = self.loaded.adapters
        adapters.activate(None)
        sites = tuple(peft_compat.inject_layers(config, self.model))
        peft_compat.remove_layers(list(sites))
        weights = [weight for site in sites for weight in site.weights().values()]
        for weight in weights:
            weight.data = torch.randn(weight.shape, device=self.device) * 0.02
        for site in sites:
            site.adapter_layer.eval().requires_grad_(False)
        number = 1 + len(list(adapters))
        held = ResidentAdapter(
            name, number, METHODS[config.peft_type.value], "", sites, None, sum(weight.nbytes for weight in weights)
        )
        adapters._by_name[name] = held
        return held

    def switched_ms(self, other: ResidentAdapter | None) -> float:
        """A pass of the base and one of ``other``, mean of the two."""
        behind = self.most // 2
        first, second = self.cache(behind), self.cache(behind)

        def both() -> None:
            for held, cache in ((None, first), (other, second)):
                cache.truncate(behind)
                self.loaded.runner.run(ForwardPass([[7]], cache), held).greedy()

        for _ in range(3):
            both()
            self.kept.capture_while(lambda _seconds: True)
        return median_ms(self.device, both, self.tries) / 2

    def cancel(self) -> Table:
        """From the flag to the end of the request, in the thread that has the device."""
        took, state = [], GenerationState.empty(self.loaded)
        text = source(MODULES[1])[:1200]
        for attempt in range(4 if self.is_quick else 40):
            flag, set_s = threading.Event(), [0.0]

            def set_it(flag: threading.Event = flag, set_s: list[float] = set_s) -> None:
                set_s[0] = time.perf_counter()
                flag.set()

            timer = threading.Timer(0.02 + random.random() * 0.03, set_it)
            wanted = Request((text,), min(400, self.loaded.context_tokens - 700))
            pieces = generate_alone(
                wanted,
                state,
                lambda flag=flag: FinishReason.CANCELLED if flag.is_set() else None,  # type: ignore[misc]
            )
            timer.start()
            for _ in pieces:
                pass
            if flag.is_set() and attempt:
                took.append((time.perf_counter() - set_s[0]) * 1000)
            timer.cancel()
        took.sort()
        return Table(["cancelled", "median ms", "worst ms"], [[len(took), statistics.median(took), took[-1]]])

    def generate(self) -> Table:
        """transformers' own, with its growing cache."""
        return self.peer({})

    def generate_compiled(self) -> Table:
        """With its static cache, whose steps it compiles."""
        return self.peer({"cache_implementation": "static"})

    def peer(self, more: dict[str, Any]) -> Table:
        count, behind = 8 if self.is_quick else 64, min(500, self.most // 2)
        prompt = torch.tensor([self.ids[:behind]], device=self.device)

        def took_ms(tokens: int) -> float:
            def run() -> None:
                self.model.generate(
                    prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=tokens, min_new_tokens=tokens,
                    do_sample=False, pad_token_id=0, **more,
                )  # fmt: skip

            return median_ms(self.device, run, 2 if self.is_quick else 4)

        longer, shorter = took_ms(count + 1), took_ms(1)
        theirs = (longer - shorter) / count
        ours_ms = self.request_ms()
        return Table(["generate, ms a token", "tokens/s", "ours, a request", "theirs / ours"], [[
            theirs, 1000 / theirs, ours_ms, theirs / ours_ms,
        ]])  # fmt: skip

    def compiled(self) -> Table:
        """The same passes fused by inductor, and then captured."""
        capture = CudaCapture(self.device) if self.device.type == "cuda" else None
        took: list[float] = []

        def fused(function: Callable[[], None]) -> Any:
            since_s = time.perf_counter()
            made = torch.compile(function, mode="max-autotune-no-cudagraphs", dynamic=False)
            recording = capture(made) if capture is not None else _Rerun(made)
            took.append(time.perf_counter() - since_s)
            return recording

        def free_bytes() -> int:
            return torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else 1 << 31

        others = GraphRegistry(self.model, self.loaded.adapters, self.loaded.context_tokens, fused, free_bytes)
        others._pending.clear()
        mine, self.kept = self.kept, others
        rows = []
        try:
            for shape in [Bucket(1, new, self.most) for new in ((1,) if self.is_quick else (1, 4))]:
                others.request_graph(shape)
                others.capture_while(lambda _seconds: True)
                ms = self.replay_ms(shape)
                behind = self.most - 100
                share = self.bytes_per_token(behind) / ms / 1e6 / (self.copy_gb_per_s or 1)
                self.loaded.runner.graphs = others
                self.pass_ms(behind, shape.new_tokens, count=4)  # compared with the plain pass
                said = others.statistics.rejected.get((None, shape)) or f"{others.statistics.replays} replayed"
                rows.append([str(shape), took[-1] if took else "", ms, share, said])
        finally:
            self.kept = self.loaded.runner.graphs = mine
        return Table(["shape", "compiled and recorded in s", "a replay, ms", "of copy bandwidth", "proof"], rows)


class _Rerun:
    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self.replay()

    def replay(self) -> None:
        self._function()


def source(module: str) -> str:
    return (Path(sysconfig.get_paths()["stdlib"]) / f"{module}.py").read_text(encoding="utf-8")


def cursors(loaded: LoadedModel, count: int, most_tokens: int) -> Iterator[tuple[str, list[int]]]:
    """Prompts that end somewhere in real code, and the tokens of prompt and true continuation."""
    rng = random.Random(0)
    for number in range(count):
        lines = source(MODULES[number % len(MODULES)]).splitlines(keepends=True)
        line = rng.randrange(60, len(lines) - 40)
        prompt, true = "".join(lines[line - 50 : line]), "".join(lines[line : line + 30])
        ids = loaded.tokenizer.encode([prompt])
        if len(ids) + DRAFTED_TOKENS < most_tokens:
            yield prompt, ids + loaded.tokenizer.encode([true])
