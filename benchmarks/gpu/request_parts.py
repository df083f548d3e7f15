"""Parts of the GPU benchmark about requests: prompt-lookup decoding, many editors at once, cancellation."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from bench import Bench
from goals import Goal
from measure import MODULES, Table, read_module_source, sample_prompts, synchronize

from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.engine.cuda_graphs.registry import GraphRegistry
from starcoder_ls.engine.forward_pass import ForwardPass
from starcoder_ls.engine.generation.request_generation import GenerationState, generate_alone
from starcoder_ls.engine.logits import Logits
from starcoder_ls.engine.runner.pass_costs import step_costs
from starcoder_ls.engine.scheduling.batcher import Batcher
from starcoder_ls.engine.scheduling.request_queue import RequestQueue, ScheduledRequest
from starcoder_ls.generation import FinishReason, Request
from starcoder_ls.output_stream import OutputStream
from starcoder_ls.text_tokens.candidate import SampledToken

DRAFTED_TOKENS, QUICK_DRAFTED_TOKENS = 64, 12


class CountingOutput(OutputStream):
    """Counts tokens and discards their text."""

    def __init__(self) -> None:
        self.tokens = 0
        self.finished_s = 0.0

    def put(self, delivery: Any) -> None:
        if isinstance(delivery, BaseException):
            raise delivery
        if delivery is None:
            self.finished_s = time.perf_counter()
            return
        self.tokens += sum(len(chunk.token_ids) for chunk in delivery)


class ForcedGraphs:
    """Replays graphs and then replaces the likeliest tokens by those of a text: a perfect model at the same cost."""

    def __init__(self, graphs: GraphRegistry, ids: Sequence[int]) -> None:
        self._graphs, self._ids = graphs, ids

    def replay(self, passes: Sequence[ForwardPass], compute_plain: Callable[[], list[torch.Tensor]]) -> list[Logits]:
        starts = [forward_pass.cache.length for forward_pass in passes]
        computed = self._graphs.replay(passes, compute_plain)
        if computed is None:
            computed = [Logits(values) for values in compute_plain()]
        forced = []
        for logits, forward_pass, start in zip(computed, passes, starts, strict=True):
            next_positions = range(start + 1, start + 1 + len(forward_pass.rows[0]))[forward_pass.logit_positions]
            logits.greedy()  # its time counts
            tokens = [SampledToken(self._ids[position % len(self._ids)], -1.0) for position in next_positions]
            forced.append(Logits(logits.values, tokens))
        return forced


def measure_speculation(bench: Bench) -> Table:
    """Continuations of real code that the model is forced to generate, with and without drafts in turn."""
    costs = step_costs(bench.graphs.replay_costs() or {1: 1.0, 8: 1.0})
    state, runner = GenerationState.empty(bench.loaded), bench.runner
    elapsed_s: dict[str, list[float]] = {"plain": [], "drafted": []}
    decode_steps = accepted_tokens = 0
    new_tokens = QUICK_DRAFTED_TOKENS if bench.is_quick else DRAFTED_TOKENS
    prompts = sample_prompts(bench.loaded.tokenizer, 4 if bench.is_quick else 60, new_tokens, bench.max_tokens)
    try:
        for text, ids in prompts:
            runner.graphs = ForcedGraphs(bench.graphs, ids)  # type: ignore[assignment]
            for kind in random.sample(sorted(elapsed_s), 2):
                state.draft_history.clear_answers()  # the other kind's answer would be a perfect draft
                runner.pass_costs = costs if kind == "drafted" else ()
                steps = generate_alone(Request((text,), new_tokens), state, lambda: None)
                while not next(steps):  # prefill and the first token
                    pass
                synchronize(bench.device)
                started_s = time.perf_counter()
                last = [chunk for chunks in steps for chunk in chunks][-1]
                elapsed_s[kind].append(time.perf_counter() - started_s)
                if kind == "drafted" and last.timings is not None:
                    decode_steps += last.timings.decode_steps
                    accepted_tokens += last.timings.accepted_tokens
            bench.graphs.capture_while(lambda _seconds: True)
    finally:
        runner.graphs, runner.pass_costs = bench.graphs, ()
    ratios = sorted(plain / drafted for plain, drafted in zip(elapsed_s["plain"], elapsed_s["drafted"], strict=True))
    total_ratio, worst_tenth = sum(elapsed_s["plain"]) / sum(elapsed_s["drafted"]), ratios[len(ratios) // 10]
    bench.goals["speculation, plain / drafted"] = Goal(total_ratio, 1.5)
    bench.goals["speculation, worst tenth"] = Goal(worst_tenth, 0.97)
    header = ["answers", "plain / drafted, all", "median", "worst tenth", "tokens per pass", "cost of 2, 4, 8 / 1"]
    relative_costs = ", ".join(f"{costs[new - 1] / costs[0]:.2f}" for new in (2, 4, 8))
    tokens_per_pass = 1 + accepted_tokens / max(decode_steps, 1)
    row = [len(ratios), total_ratio, statistics.median(ratios), worst_tenth, tokens_per_pass, relative_costs]
    return Table(header, [row])


def measure_editors(bench: Bench) -> Table:
    """As many requests at once as a graph has rows: in shared passes, one after another, and without graphs."""
    rows = []
    speeds: dict[tuple[str, str], float] = {}
    for passes, way, attempts in (("graphs", "shared", 3), ("graphs", "serial", 3), ("plain", "shared", 1)):
        for _ in range(attempts):  # the first ones request and verify graphs
            outputs, elapsed_s = answer_together(bench, is_shared=way == "shared", has_graphs=passes == "graphs")
            bench.capture_graphs()
        waits_s = sorted(output.finished_s for output in outputs)
        speeds[passes, way] = sum(output.tokens for output in outputs) / elapsed_s
        rows.append([passes, way, speeds[passes, way], waits_s[-1] / statistics.mean(waits_s)])
    editors = bench.row_counts[-1]
    speedup = speeds["graphs", "shared"] / speeds["graphs", "serial"]
    bench.goals[f"{editors} editors, shared / serial"] = Goal(speedup, 6.0)
    bench.goals[f"{editors} editors, last answer / mean"] = Goal(float(rows[0][3]), 2.0, is_limit=True)
    return Table(["passes", "way", "tokens/s", "last answer / mean"], rows)


def answer_together(bench: Bench, is_shared: bool, has_graphs: bool) -> tuple[list[CountingOutput], float]:
    """Answer one request per editor; return the outputs, with their seconds, and the total time.

    Prompts are prefilled before the clock starts.
    """
    queue, state = RequestQueue(), GenerationState.empty(bench.loaded)

    def on_finished(scheduled: ScheduledRequest) -> None:
        queue.remove(scheduled)
        scheduled.output.put(None)

    batcher = Batcher(queue, state, on_finished)
    batcher._can_batch = is_shared

    def run_until_idle() -> float:
        started_s = time.perf_counter()
        while (scheduled := None if queue.is_idle() else queue.next_request()) is not None:
            batcher.step(scheduled)
        return time.perf_counter() - started_s

    requests = []
    for editor in range(bench.row_counts[-1]):
        text = read_module_source(MODULES[editor % len(MODULES)])[editor * 500 : editor * 500 + 1200]
        requests.append(Request((text,), 8 if bench.is_quick else 48, client=str(editor), cancel=CancelFlag()))
    for request in requests:
        queue.add(ScheduledRequest(request, CountingOutput(), is_prefill=True))
        run_until_idle()
    outputs = [CountingOutput() for _ in requests]
    for request, output in zip(requests, outputs, strict=True):
        queue.add(ScheduledRequest(request, output))
    synchronize(bench.device)
    started_s = time.perf_counter()
    elapsed_s = run_until_idle() if has_graphs else bench.without_graphs(run_until_idle)
    for output in outputs:
        output.finished_s -= started_s
    return outputs, elapsed_s


def measure_cancellation(bench: Bench) -> Table:
    """From setting the flag to the end of the request, in the thread that uses the device."""
    elapsed_ms, state = [], GenerationState.empty(bench.loaded)
    text = read_module_source(MODULES[1])[:1200]
    for attempt in range(4 if bench.is_quick else 40):
        flag, set_s = threading.Event(), [0.0]

        def cancel(flag: threading.Event = flag, set_s: list[float] = set_s) -> None:
            set_s[0] = time.perf_counter()
            flag.set()

        request = Request((text,), min(400, bench.loaded.context_tokens - 700))
        steps = generate_alone(
            request,
            state,
            lambda flag=flag: FinishReason.CANCELLED if flag.is_set() else None,  # type: ignore[misc]
        )
        timer = threading.Timer(0.02 + random.random() * 0.03, cancel)
        timer.start()
        for _ in steps:
            pass
        if flag.is_set() and attempt:
            elapsed_ms.append((time.perf_counter() - set_s[0]) * 1000)
        timer.cancel()
    elapsed_ms.sort()
    step_ms = bench.pass_ms(min(500, bench.max_tokens // 2), runs=8)
    bench.goals["cancelled after, steps"] = Goal(statistics.median(elapsed_ms) / step_ms, 1.0, is_limit=True)
    return Table(
        ["cancelled", "median ms", "worst ms"], [[len(elapsed_ms), statistics.median(elapsed_ms), elapsed_ms[-1]]]
    )
