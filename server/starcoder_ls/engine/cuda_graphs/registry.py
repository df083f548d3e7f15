"""Short passes as CUDA graphs: one call for the hundreds of kernels of a pass, which would else wait for Python.

Decides which shapes are recorded, when, in which memory, and which passes they fit. Whatever does not fit runs as it
would without. Refuses to know requests; the pass itself is ``frame``'s.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from starcoder_ls.engine import model_shape
from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapters
from starcoder_ls.engine.cuda_graphs import buckets, gqa_attention
from starcoder_ls.engine.cuda_graphs.buckets import Bucket
from starcoder_ls.engine.cuda_graphs.capture import Capture, CapturedGraph, CudaCapture
from starcoder_ls.engine.cuda_graphs.static_pass import StaticPass
from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.kv_cache.static_kv import StaticKv, allocate_static_kv
from starcoder_ls.engine.logits import Logits
from starcoder_ls.engine.memory import is_out_of_memory
from starcoder_ls.errors import DeviceFailed

_log = logging.getLogger(__name__)

MOST_GRAPHS = 64
QUIET_S = 0.05
"""Nobody may have asked for anything for so long before a graph is recorded. The next request may wait for that one."""

REPLAYS = 3
"""Of each new graph, to know what it costs: the least is taken."""

TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-2}
TOLERANCE = 0.3
"""How far logits may be from those of the plain pass, in units of their spread; the last for types of 16 bits. Other
kernels round otherwise; a mask or a place that is wrong moves them by more than 1."""

Layers = tuple[str, int] | None
Key = tuple[Layers, Bucket]


@dataclass(slots=True)
class _Graph:
    """``function`` is not called again; it holds memory that the recording reads."""

    recording: CapturedGraph
    function: Callable[[], None]
    is_proven: bool = False
    used: int = 0


@dataclass(slots=True)
class Told:
    """What became of passes and graphs so far, for benchmarks and tests."""

    replayed: int = 0
    recorded_ms: dict[Key, float] = field(default_factory=dict)
    replay_ms: dict[Key, float] = field(default_factory=dict)
    refused: dict[Key, str] = field(default_factory=dict)


def create_registry(model: Any, adapters: ResidentAdapters, context_tokens: int) -> GraphRegistry | None:
    """A registry for ``model``; None unless it computes on a CUDA device."""
    device = model_shape.input_device(model)
    if device.type != "cuda":
        return None
    return GraphRegistry(
        model, adapters, context_tokens, CudaCapture(device), lambda: torch.cuda.mem_get_info(device)[0]
    )


class GraphRegistry:
    """All graphs of one model, in the engine's thread."""

    def __init__(
        self,
        model: Any,
        adapters: ResidentAdapters,
        context_tokens: int,
        capture: Capture,
        free_bytes: Callable[[], int],
    ) -> None:
        self._model, self._adapters, self._context_tokens = model, adapters, context_tokens
        self._capture, self._free_bytes = capture, free_bytes
        self._graphs: dict[Key, _Graph] = {}
        self._wanted: Counter[Key] = Counter()
        self._tables: list[StaticKv] | None = None
        self._frame: StaticPass | None = None
        self._is_off = False
        self.told = Told()
        self._wanted.update((None, shape) for shape in buckets.single_request_buckets(context_tokens))

    @property
    def bytes(self) -> int:
        """Of seats and frame; what graphs keep for themselves is not known."""
        return sum(part.bytes for part in (*(self._tables or ()), *([self._frame] if self._frame else ())))

    def replay(self, several: Sequence[ForwardPass], plain: Callable[[], list[torch.Tensor]]) -> list[Logits] | None:
        """``several`` as one pass, from a replay; None where there is none for them, and then nothing was done.

        The first replay of a graph is compared with ``plain``, which is then the answer. Raises what it raises.
        """
        found = self._found(several)
        if found is None:
            return None
        key, graph, table = found
        shape = key[1]
        assert self._frame is not None
        with torch.inference_mode():
            rows = table.assign([wanted.cache for wanted in several], shape.rows)
            ids: list[list[int]] = [[]] * shape.rows
            starts = [table.tokens] * shape.rows
            for row, wanted in zip(rows, several, strict=True):
                ids[row], starts[row] = wanted.rows[0], wanted.cache.length
            self._frame.write_inputs(shape, ids, starts)
            graph.recording.replay()
            values, likeliest = self._frame.read_outputs(shape)
            values = values.clone()  # the next pass writes there
            answers = [
                Logits(values[row, wanted.logit_positions], likeliest[row][wanted.logit_positions])
                for row, wanted in zip(rows, several, strict=True)
            ]
            if not graph.is_proven:
                return self._proven(key, graph, answers, plain())
            for wanted in several:
                wanted.cache.set_length(wanted.cache.length + len(wanted.rows[0]))
        self.told.replayed += 1
        graph.used = self.told.replayed
        return answers

    def record_while(self, stays_quiet: Callable[[float], bool]) -> None:
        """What is wanted, the most wanted first, while ``stays_quiet`` says that nobody asked anything for so many
        seconds. Raises DeviceFailed.
        """
        while self._wanted and stays_quiet(QUIET_S):
            key = max(self._wanted, key=self._wanted.__getitem__)
            del self._wanted[key]
            held = next((held for held in self._adapters if held.key == key[0]), None)
            if key[0] is None or held is not None:  # else it was detached meanwhile
                self._adapters.activate(held)
                assert self._adapters.layers == key[0], "recorded through other layers than it would be replayed for"
                self._record(key)

    def want(self, shape: Bucket, layers: Layers = None) -> None:
        """Record a graph for it when there is time."""
        self._wanted[layers, shape] += 1

    def replay_costs(self) -> dict[int, float]:
        """Milliseconds of a replay by its number of tokens, for a request that runs alone.

        Empty until all sizes have been measured for one number of places.
        """
        for size in buckets.kv_sizes(self._context_tokens):
            keys = {time: (None, Bucket(1, time, size)) for time in buckets.NEW_TOKEN_COUNTS}
            if all(key in self.told.replay_ms for key in keys.values()):
                return {time: self.told.replay_ms[key] for time, key in keys.items()}
        return {}

    def retain_adapters(self, layers: Container[Layers]) -> None:
        """Drop the graphs of adapters that are gone."""
        for key in [key for key in (*self._graphs, *self._wanted) if key[0] not in layers]:
            self._graphs.pop(key, None)
            self._wanted.pop(key, None)

    def drop(self, reason: str) -> None:
        """All graphs and seats, for good: the memory is wanted elsewhere."""
        if self._is_off:
            return
        self._is_off = True
        _log.warning("no CUDA graphs from here on: %s", reason)
        self._graphs.clear()
        self._wanted.clear()
        tables, self._tables, self._frame = self._tables, [], None
        for table in tables or ():
            try:
                with torch.inference_mode():
                    table.release()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                return  # its memory stays while somebody sits in it

    def _found(self, several: Sequence[ForwardPass]) -> tuple[Key, _Graph, StaticKv] | None:
        """The graph for them, or one for more that does as well meanwhile; what is missing is wanted from here on."""
        if self._is_off or any(len(wanted.rows) > 1 for wanted in several):
            return None
        new = max(len(wanted.rows[0]) for wanted in several)
        end = max(wanted.cache.length + len(wanted.rows[0]) for wanted in several)
        layers = self._adapters.layers
        exact: Key | None = None
        for shape in buckets.buckets_holding(len(several), new, end, self._context_tokens):
            key = (layers, shape)
            if exact is None:
                if key in self.told.refused:
                    return None
                exact = key
            if (graph := self._graphs.get(key)) is not None:
                table = self._table(shape)
                if table is None or not all(table.is_compatible(wanted.cache) for wanted in several):
                    return None
                if not graph.is_proven and all(wanted.logits_for is LogitsFor.NONE for wanted in several):
                    return None  # nothing would be compared
                if key != exact:
                    self.want(exact[1], layers)
                return key, graph, table
        if exact is not None:
            self.want(exact[1], layers)
        return None

    def _record(self, key: Key) -> None:
        started_s = time.perf_counter()
        try:
            graph = self._recorded(key)
        except DeviceFailed:
            raise
        except Exception as error:  # noqa: BLE001 - whatever cannot be recorded runs as it did before
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            if is_out_of_memory(error):
                self.drop("there was no room to record another")
            elif self.told.recorded_ms:
                self._refuse(key, reason)
            else:  # the first is the plainest of all
                self.told.refused[key] = reason
                self.drop(f"this model cannot be recorded ({reason})")
            return
        if graph is None:
            self.told.refused[key] = "no memory for its seats"
            return
        self._graphs[key] = graph
        self.told.recorded_ms[key] = took_ms = (time.perf_counter() - started_s) * 1000
        _log.debug("recorded a graph for %s in %.0f ms", key, took_ms)
        while len(self._graphs) > MOST_GRAPHS:
            del self._graphs[min(self._graphs, key=lambda other: self._graphs[other].used)]

    def _recorded(self, key: Key) -> _Graph | None:
        """None where there is no memory for its seats."""
        shape = key[1]
        table = self._table(shape)
        if table is None or self._frame is None:
            return None
        with torch.inference_mode(), gqa_attention.installed_in(self._model):
            self._frame.write_inputs(
                shape, [[]] * shape.rows, [table.tokens] * shape.rows
            )  # nobody's places are written
            function = self._frame.build(table, shape)
            graph = _Graph(self._capture(function), function, used=self.told.replayed)
            took_ms = []
            for _ in range(REPLAYS):
                started_s = time.perf_counter()
                graph.recording.replay()
                self._frame.read_outputs(shape)  # waits for the device
                took_ms.append((time.perf_counter() - started_s) * 1000)
            self.told.replay_ms[key] = min(took_ms)
            return graph

    def _table(self, shape: Bucket) -> StaticKv | None:
        """The seats that hold ``shape``, the smallest there are; None where they would take too much memory."""
        if self._tables is None:
            device, dtype = model_shape.activation_type(self._model)
            states = model_shape.key_value_shape(self._model.config)
            with torch.inference_mode():
                self._tables = allocate_static_kv(
                    states, device, dtype, buckets.static_kv_sizes(self._context_tokens), self._free_bytes
                )
                if self._tables:
                    self._frame = StaticPass(self._model, self._tables[0].rows, device, dtype)
        fitting = (table for table in self._tables if table.rows >= shape.rows and table.tokens >= shape.kv_tokens)
        return next(fitting, None)

    def _proven(self, key: Key, graph: _Graph, found: list[Logits], expected: list[torch.Tensor]) -> list[Logits]:
        """``expected``; and the graph is used from here on if it had found the same."""
        bound = TOLERANCES.get(model_shape.activation_type(self._model)[1], TOLERANCE)
        for ours, theirs in zip(found, expected, strict=True):
            if not len(ours):
                continue
            spread = float(theirs.std())
            difference = float((ours.values - theirs).abs().max())
            if not difference <= bound * spread:
                self._refuse(key, f"its logits were off by {difference / spread:.2g} of their spread")
                del self._graphs[key]
                break
        graph.is_proven = True
        return [Logits(values) for values in expected]

    def _refuse(self, key: Key, reason: str) -> None:
        self.told.refused[key] = reason
        _log.warning("no CUDA graph for %s: %s", key, reason)
