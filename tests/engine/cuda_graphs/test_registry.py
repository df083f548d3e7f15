"""Requests have the same answers with CUDA graphs and without; graphs are captured while the engine is idle.

The graphs are tapes (tests/support/tape.py): the recorded operations, at fixed addresses.
"""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import adapter_fixtures
import manual_decoding
from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter, prepare_adapter
from starcoder_ls.engine.cuda_graphs import buckets, static_pass
from starcoder_ls.engine.cuda_graphs.buckets import Bucket
from starcoder_ls.engine.cuda_graphs.registry import GraphRegistry, create_registry
from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache import static_kv
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.errors import DeviceFailed
from starcoder_ls.generation import Request
from starcoder_ls.settings import Adapter
from step_scheduler import TEXT, StepScheduler, answers_alone, output_of, requests_about_text
from tape import Tape

FAMILIES = ["starcoder", "starcoder2", "santacoder", "llama", "qwen2"]
IDS = torch.randint(20, 600, (6, 200), generator=torch.Generator().manual_seed(9)).tolist()
FREE = (1.0,) * 8  # eight tokens cost what one costs: all drafts are tried
PLENTY = 1 << 40


@pytest.fixture(autouse=True)
def small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cache sizes of 16, 32, 64, 128 and 256, shared up to 64: the prompts of the tests cross them."""
    monkeypatch.setattr(buckets, "MIN_KV_TOKENS", 16)
    monkeypatch.setattr(buckets, "MAX_SHARED_KV_TOKENS", 64)


def use_graphs(loaded: LoadedModel, capture: Callable[..., Any] = Tape, free_bytes: int = PLENTY) -> GraphRegistry:
    """Run all passes through the model's own forward, as on a GPU."""
    manual_decoding.use_transformers_forward(loaded.runner)
    graphs = GraphRegistry(loaded.runner.model, loaded.adapters, loaded.context_tokens, capture, lambda: free_bytes)
    loaded.runner.graphs = graphs
    return graphs


@pytest.fixture
def loaded(starcoder: Path, doubled: Callable[[Path], LoadedModel]) -> LoadedModel:
    return doubled(starcoder)


def capture_pending(graphs: GraphRegistry, count: int = 1000) -> None:
    """Capture up to ``count`` pending graphs."""
    left = iter([True] * count)
    graphs.capture_while(lambda _seconds: next(left, False))


def cache_of(loaded: LoadedModel, number: int, tokens: int) -> KvCache:
    cache = KvCache(loaded.runner.layers, 8)
    manual_decoding.read(loaded.runner, [IDS[number][:tokens]], cache)
    return cache


def run_pass(
    loaded: LoadedModel, cache: KvCache, number: int, new: int = 1, logits_for: LogitsFor = LogitsFor.ALL
) -> torch.Tensor:
    start = cache.length
    return loaded.runner.run(ForwardPass([IDS[number][start : start + new]], cache, logits_for)).values


def reference_logits(loaded: LoadedModel, number: int, start: int, end: int) -> torch.Tensor:
    with torch.inference_mode():
        return torch.as_tensor(loaded.runner.model(torch.tensor([IDS[number][:end]])).logits[0, start:])


def difference(loaded: LoadedModel, cache: KvCache, number: int, new: int = 1) -> float:
    """Of the logits of a pass from those of transformers for the whole sequence."""
    start = cache.length
    found = run_pass(loaded, cache, number, new)
    return float((found - reference_logits(loaded, number, start, start + new)).abs().max())


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    requests=st.lists(st.tuples(st.integers(0, 12), requests_about_text(3)), min_size=2, max_size=6),
    costs=st.sampled_from([(), FREE]),
    free_bytes=st.sampled_from([PLENTY, 200_000]),
    random=st.randoms(use_true_random=False),
)
def test_requests_answer_as_each_does_alone_without_graphs(
    requests: list[tuple[int, Request]], costs: tuple[float, ...], free_bytes: int, random: Any, loaded: LoadedModel
) -> None:
    """Requests arrive at any step, with static rows for all or for few; graphs are captured in between. Three times."""
    loaded.runner.graphs = None
    loaded.runner.pass_costs = ()
    expected = [answers_alone(loaded, request) for _, request in requests]
    loaded.runner.pass_costs = costs
    graphs = use_graphs(loaded, free_bytes=free_bytes)
    scheduler = StepScheduler(loaded)
    order = sorted(range(len(requests)), key=lambda at: requests[at][0])
    for _ in range(3):
        late, scheduled = list(order), []
        for now in range(13):
            while late and requests[late[0]][0] <= now:
                scheduled.append(scheduler.submit(requests[late.pop(0)][1]))
            scheduler.run(1)
            if random.random() < 0.2:
                capture_pending(graphs, random.randrange(4))
        scheduler.run()
        assert [output_of(entry).answers() for entry in scheduled] == [expected[at] for at in order]
        capture_pending(graphs)
    assert graphs.statistics.rejected.keys() <= {key for key in graphs.statistics.rejected if free_bytes < PLENTY}


@pytest.mark.parametrize("family", FAMILIES)
def test_requests_of_every_family_answer_as_without_graphs(
    family: str, request: pytest.FixtureRequest, doubled: Callable[..., LoadedModel]
) -> None:
    loaded = doubled(request.getfixturevalue(family))
    manual_decoding.use_transformers_forward(loaded.runner)
    requests = [Request((TEXT[n : n + 30],), 20, client=str(n)) for n in (0, 9, 30)]
    expected = [answers_alone(loaded, request) for request in requests]
    graphs = use_graphs(loaded)
    loaded.runner.pass_costs = FREE
    scheduler = StepScheduler(loaded)
    for _ in range(4):
        scheduled = [scheduler.submit(request) for request in requests]
        scheduler.run()
        assert [output_of(entry).answers() for entry in scheduled] == expected
        lone = scheduler.submit(requests[0])
        scheduler.run()
        assert output_of(lone).answers() == expected[0]
        capture_pending(graphs)
    assert graphs.statistics.replays > 10
    assert any(key[1].rows > 1 for key in graphs.statistics.capture_ms)


@pytest.mark.parametrize("family", FAMILIES)
def test_sequences_that_outgrow_every_bucket_have_right_logits(
    family: str, request: pytest.FixtureRequest, doubled: Callable[..., LoadedModel]
) -> None:
    """From an empty cache to the end of the context: from the shared static rows to the long one."""
    loaded = doubled(request.getfixturevalue(family))
    graphs = use_graphs(loaded)
    cache = KvCache(loaded.runner.layers, 8)
    while cache.length + 8 <= 200:
        capture_pending(graphs)
        for new in (1, 3, 4):
            assert difference(loaded, cache, 0, new) < 1e-9
    assert graphs.statistics.replays > 40
    assert cache.is_view
    assert {key[1].kv_tokens for key in graphs.statistics.capture_ms} == {16, 32, 64, 128, 256}


def test_missing_graph_is_captured_when_idle_and_then_replayed(loaded: LoadedModel) -> None:
    graphs, cache = use_graphs(loaded), cache_of(loaded, 0, 20)
    run_pass(loaded, cache, 0)
    assert (graphs.statistics.replays, graphs.statistics.capture_ms) == (0, {})
    assert not cache.is_view
    capture_pending(graphs, 1)
    assert list(graphs.statistics.capture_ms) == [(None, Bucket(1, 1, 32))], "the missing graph comes first"
    run_pass(loaded, cache, 0)
    assert graphs.statistics.replays == 0, "the first is compared with the plain pass, which is the answer"
    run_pass(loaded, cache, 0)
    assert graphs.statistics.replays == 1
    assert cache.is_view


def test_no_graph_is_captured_while_requests_arrive(loaded: LoadedModel) -> None:
    graphs = use_graphs(loaded)
    seconds_waited: list[float] = []
    graphs.capture_while(lambda seconds: bool(seconds_waited.append(seconds)))
    assert graphs.statistics.capture_ms == {}
    assert seconds_waited == [pytest.approx(0.05)]


def test_larger_graph_is_used_until_the_exact_one_is_captured(loaded: LoadedModel) -> None:
    graphs, cache = use_graphs(loaded), cache_of(loaded, 0, 9)
    capture_pending(graphs, 1)
    assert list(graphs.statistics.capture_ms) == [(None, Bucket(1, 8, 64))]
    for new in (1, 2, 3, 1):
        assert difference(loaded, cache, 0, new) < 1e-9
    assert graphs.statistics.replays == 3
    capture_pending(graphs, 1)
    assert (None, Bucket(1, 1, 16)) in graphs.statistics.capture_ms


def test_graphs_of_a_single_request_are_captured_and_timed_first(loaded: LoadedModel) -> None:
    graphs = use_graphs(loaded)
    assert graphs.replay_costs() == {}
    capture_pending(graphs)
    assert set(graphs.statistics.capture_ms) == {
        (None, shape) for shape in buckets.single_request_buckets(loaded.context_tokens)
    }
    assert set(graphs.replay_costs()) == set(buckets.NEW_TOKEN_COUNTS)
    assert min(graphs.replay_costs().values()) > 0


def test_changed_part_of_a_prompt_is_replayed_after_its_capture(loaded: LoadedModel) -> None:
    graphs, cache = use_graphs(loaded), cache_of(loaded, 0, 20)
    for new in (20, 9, 31, 16):
        assert difference(loaded, cache, 0, new) < 1e-9
    assert graphs.statistics.replays == 0
    capture_pending(graphs)
    assert {16, 32} <= {key[1].new_tokens for key in graphs.statistics.capture_ms}
    cache.truncate(20)
    for new in (20, 9, 31, 16):
        for _ in range(2):
            cache.truncate(20)
            assert difference(loaded, cache, 0, new) < 1e-9
    assert graphs.statistics.replays >= 4


def test_long_passes_use_no_graph(loaded: LoadedModel) -> None:
    graphs = use_graphs(loaded)
    capture_pending(graphs)
    assert difference(loaded, cache_of(loaded, 0, 20), 0, 33) < 1e-9
    assert graphs.statistics.replays == 0


def forked(loaded: LoadedModel, rows: int, tokens: int = 20) -> KvCache:
    with torch.inference_mode():
        return cache_of(loaded, 0, tokens).fork(rows, 60)


def test_rows_of_one_cache_are_replayed_in_static_rows(loaded: LoadedModel) -> None:
    """Three candidates, of which one ends, then a second. The first pass of a shape is plain, the next verifies it."""
    graphs, cache = use_graphs(loaded), forked(loaded, 3)
    sequences = [IDS[0][:20] for _ in range(3)]
    for step in range(9):
        if step in (4, 7):
            survivors = [0, 2] if step == 4 else [1]
            with torch.inference_mode():
                cache.select_rows(survivors)
            sequences = [sequences[row] for row in survivors]
        sequences = [[*ids, 7 + 3 * step + row] for row, ids in enumerate(sequences)]
        found = loaded.runner.run(ForwardPass([ids[-1:] for ids in sequences], cache))
        with torch.inference_mode():
            expected = loaded.runner.model(torch.tensor(sequences)).logits[:, -1]
        assert float((found.values - expected).abs().max()) < 1e-9
        assert [token.id for token in found.greedy()] == expected.argmax(-1).tolist()
        capture_pending(graphs)
    assert graphs.statistics.replays == 5, "all but the first, and one that verifies each of three graphs"
    assert {key[1].rows for key in graphs.statistics.capture_ms} == {1, 2, 4}
    assert cache.length == 29


def test_rows_that_outgrow_the_shared_static_rows_are_joined(loaded: LoadedModel) -> None:
    graphs, cache = use_graphs(loaded), forked(loaded, 2)
    ids = [*IDS[0][:20]]
    while cache.length < 80:
        ids.append(IDS[1][cache.length])
        found = loaded.runner.run(ForwardPass([[ids[-1]], [7]], cache)).values
        with torch.inference_mode():
            expected = loaded.runner.model(torch.tensor([ids])).logits[0, -1]  # of the first row
        assert float((found[0] - expected).abs().max()) < 1e-9
        capture_pending(graphs)
    assert graphs.statistics.replays > 30
    assert loaded.runner.layers == len(cache.layers)
    assert cache.first_layer_keys is not None
    assert cache.first_layer_keys.shape[0] == 2


def test_pass_without_logits_does_not_verify_a_graph(loaded: LoadedModel) -> None:
    graphs, cache = use_graphs(loaded), cache_of(loaded, 0, 9)
    capture_pending(graphs)
    for _ in range(3):
        run_pass(loaded, cache, 0, logits_for=LogitsFor.NONE)
    assert graphs.statistics.replays == 0
    run_pass(loaded, cache, 0)
    run_pass(loaded, cache, 0, logits_for=LogitsFor.NONE)
    assert graphs.statistics.replays == 1
    assert difference(loaded, cache, 0) < 1e-9


@pytest.fixture(scope="module")
def adapters_and_answers(
    starcoder: Path, tmp_path_factory: pytest.TempPathFactory, doubled: Callable[..., LoadedModel]
) -> Any:
    folders = adapter_fixtures.save_adapter_of_each_method(starcoder, tmp_path_factory.mktemp("methods"))
    loaded = doubled(starcoder, 16, folders)
    manual_decoding.use_transformers_forward(loaded.runner)
    answers = {name: answers_alone(loaded, Request((TEXT,), 12, adapter=name)) for name in (None, *folders)}
    return loaded, folders, answers


def test_requests_use_only_graphs_of_their_own_adapter(adapters_and_answers: Any) -> None:
    loaded, _, answers = adapters_and_answers
    graphs = use_graphs(loaded)
    scheduler = StepScheduler(loaded)
    for _ in range(3):
        scheduled = {name: scheduler.submit(Request((TEXT,), 12, adapter=name, client=str(name))) for name in answers}
        scheduler.run()
        assert {name: output_of(entry).answers() for name, entry in scheduled.items()} == answers
        capture_pending(graphs)
    replayed_for = {key[0] and key[0][0] for key, graph in graphs._graphs.items() if graph.last_replay}
    assert replayed_for == {None, "lora", "ia3", "parallel", "adapterh", "adapterp"}, "virtual tokens lie in caches"


def attach_again(loaded: LoadedModel, folder: Path, factor: float) -> None:
    """Add another adapter under the same name."""
    loaded.adapters.remove("lora")
    adapter = loaded.adapters.add("lora", prepare_adapter(Adapter(path=str(folder)), True, lambda *_: None))
    for site in adapter.targets:
        site.adapter_layer.double()
        for weight in site.weights().values():
            weight.data.mul_(factor)


def run_successor(loaded: LoadedModel, folder: Path, factor: float) -> tuple[GraphRegistry, bool]:
    """Replace an adapter by another of the same name; return whether its answers equal those it has alone."""
    graphs, scheduler = use_graphs(loaded), StepScheduler(loaded)
    request = Request((TEXT,), 12, adapter="lora")
    for _ in range(3):
        scheduler.submit(request)
        scheduler.run()
        capture_pending(graphs)
    assert graphs.statistics.replays > 0
    attach_again(loaded, folder, factor)
    graphs.retain_adapters(loaded.adapters.keys)
    answers = []
    for _ in range(3):
        entry = scheduler.submit(request)
        scheduler.run()
        capture_pending(graphs)
        answers.append(output_of(entry).answers())
    loaded.runner.graphs = None
    return graphs, answers == [answers_alone(loaded, request)] * 3


def test_graphs_of_a_detached_adapter_are_dropped(adapters_and_answers: Any) -> None:
    loaded, folders, _ = adapters_and_answers
    old = loaded.adapters.find("lora").key
    graphs, has_own_answers = run_successor(loaded, folders["lora"], -1.5)
    assert has_own_answers
    layers = {key[0] for key in graphs._graphs}
    assert old not in layers
    assert loaded.adapters.find("lora").key in layers


def test_mutant_that_reuses_an_earlier_adapters_graph_fails(
    adapters_and_answers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, folders, _ = adapters_and_answers
    monkeypatch.setattr(ResidentAdapter, "key", property(lambda adapter: (adapter.name, 0)))
    assert not run_successor(loaded, folders["lora"], 2.0)[1]


def mutant_mask_plus_one(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = static_pass.causal_mask
    monkeypatch.setattr(static_pass, "causal_mask", lambda positions, *rest: exact(positions + 1, *rest))


def mutant_written_plus_one(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = static_pass._Layer.__init__
    monkeypatch.setattr(
        static_pass._Layer,
        "__init__",
        lambda layer, storage, positions, tokens: exact(layer, storage, (positions + 1).clamp_max(71), tokens),
    )


class NanTape(Tape):
    """A device that computes NaN."""

    def replay(self) -> None:
        super().replay()
        for *_, result in self._calls:
            if isinstance(result, torch.Tensor) and result.shape[-1:] == (640,):
                with torch.inference_mode():
                    result.fill_(torch.nan)


@pytest.mark.parametrize("wrong", [mutant_mask_plus_one, mutant_written_plus_one, NanTape])
def test_graph_with_wrong_logits_is_never_used(
    wrong: Any, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if wrong is NanTape:
        graphs = use_graphs(loaded, NanTape)
    else:
        graphs = use_graphs(loaded)
        wrong(monkeypatch)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            capture_pending(graphs)
            cache = cache_of(loaded, 0, 20)
            for new in (1, 3, 1, 3):
                assert difference(loaded, cache, 0, new) < 1e-9
    assert graphs.statistics.replays == 0
    assert len(caplog.records) == len(graphs.statistics.rejected) >= 2
    assert "off by" in caplog.text


def test_model_that_cannot_be_captured_is_reported_once(loaded: LoadedModel, caplog: pytest.LogCaptureFixture) -> None:
    """Like bitsandbytes' int8, which reads outliers from the device in the middle of a pass."""

    def asks(_module: Any, _args: Any, output: torch.Tensor) -> None:
        assert output.isfinite().all()

    loaded.runner.model.base_model.h[0].mlp.register_forward_hook(asks)
    graphs = use_graphs(loaded)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            capture_pending(graphs)
            cache = cache_of(loaded, 0, 20)
            assert difference(loaded, cache, 0) < 1e-9
    assert len(caplog.records) == 1
    assert "cannot be captured (WaitsForDevice: " in caplog.text


def test_bucket_that_cannot_be_captured_leaves_the_others(
    loaded: LoadedModel, caplog: pytest.LogCaptureFixture
) -> None:
    count = iter(range(100))

    def capture(function: Callable[[], None]) -> Tape:
        if next(count) == 1:
            raise RuntimeError("no kernel for this\nand a long story")
        return Tape(function)

    graphs = use_graphs(loaded, capture)
    with caplog.at_level(logging.WARNING):
        capture_pending(graphs)
    assert list(graphs.statistics.rejected.values()) == ["RuntimeError: no kernel for this"]
    assert len(caplog.records) == 1
    assert len(graphs.statistics.capture_ms) == len(list(buckets.single_request_buckets(256))) - 1
    capture_pending(graphs)
    assert len(graphs.statistics.rejected) == 1, "it is not tried again"


def test_device_failure_during_a_capture_is_raised(loaded: LoadedModel) -> None:
    def capture(_function: Callable[[], None]) -> Tape:
        raise DeviceFailed("gone")

    with pytest.raises(DeviceFailed):
        capture_pending(use_graphs(loaded, capture))


@pytest.mark.parametrize("when", ["while recording", "in a pass"])
def test_out_of_memory_disables_graphs_and_nothing_else(
    when: str, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    manual_decoding.use_transformers_forward(loaded.runner)
    requests = [Request((TEXT[n:],), 30, client=str(n)) for n in (0, 9)]
    expected = [answers_alone(loaded, request) for request in requests]
    is_full = False

    def capture(function: Callable[[], None]) -> Tape:
        if is_full:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return Tape(function)

    graphs, scheduler = use_graphs(loaded, capture), StepScheduler(loaded)
    for _ in range(2):
        for request in requests:
            scheduler.submit(request)
        scheduler.run()
        capture_pending(graphs)
    assert graphs.statistics.replays > 0
    scheduled = [scheduler.submit(request) for request in requests]
    scheduler.run(12)
    (pool, *_) = [weakref.ref(each) for each in graphs.capturer._static_kvs or ()]
    is_full = True
    if when == "in a pass":
        monkeypatch.setattr(static_kv.StaticKv, "assign", lambda *_: capture(lambda: None))
    else:
        graphs.request_graph(Bucket(1, 2, 128))
        capture_pending(graphs)
    with caplog.at_level(logging.WARNING):
        scheduler.run()
    assert [output_of(entry).answers() for entry in scheduled] == expected
    assert graphs.bytes == 0
    gc.collect()
    assert pool() is None, "its memory is free"
    replayed = graphs.statistics.replays
    again = scheduler.submit(requests[0])
    scheduler.run()
    capture_pending(graphs)
    assert output_of(again).answers() == expected[0]
    assert graphs.statistics.replays == replayed


def test_passes_run_without_graphs_if_static_rows_do_not_fit(loaded: LoadedModel) -> None:
    graphs = use_graphs(loaded, free_bytes=1000)
    capture_pending(graphs)
    cache = cache_of(loaded, 0, 20)
    for _ in range(3):
        assert difference(loaded, cache, 0) < 1e-9
    capture_pending(graphs)
    assert graphs.statistics.replays == graphs.bytes == 0


def test_number_of_graphs_is_limited(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("starcoder_ls.engine.cuda_graphs.registry.MAX_GRAPHS", 3)
    graphs, cache = use_graphs(loaded), cache_of(loaded, 0, 20)
    for new in (1, 1, 1, 2, 2, 2, 4, 4, 4, 8, 8, 8):
        assert difference(loaded, cache, 0, new) < 1e-9
        capture_pending(graphs)
        assert len(graphs._graphs) <= 3
    assert graphs.statistics.replays > 0


def test_model_on_a_cpu_has_no_registry(loaded: LoadedModel) -> None:
    assert create_registry(loaded.runner.model, loaded.adapters, loaded.context_tokens) is None
    assert loaded.runner.graphs is None
