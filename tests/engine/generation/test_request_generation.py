from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import manual_decoding
from no_float64 import NoFloat64
from starcoder_ls.engine import logits as logits_module
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.forward_pass import ForwardPass
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.generation.request_generation import (
    GenerationState,
    RequestGeneration,
    Steps,
    generate_alone,
    run_alone,
)
from starcoder_ls.engine.kv_cache import prefix_cache
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.kv_cache.prefix_cache import PrefixSlot
from starcoder_ls.errors import AdapterInvalid, ModelUnsupported, PromptTooLong
from starcoder_ls.generation import Chunk, FinishReason, Request, Sampling, SpecialToken
from starcoder_ls.settings import Model

TEXT = "def wrap(text, width=70):\n    lines = text.split()\n    return fill(lines"
FAMILIES = ["starcoder", "starcoder2", "llama", "qwen2", "santacoder"]


@pytest.fixture
def loaded(starcoder: Path, doubled: Callable[[Path], LoadedModel]) -> LoadedModel:
    return doubled(starcoder)


def build_request(text: str = TEXT, max_new_tokens: int = 24, **changes: Any) -> Request:
    return Request(parts=(text,), max_new_tokens=max_new_tokens, **changes)


def generate(
    request: Request,
    loaded: LoadedModel,
    state: GenerationState | None = None,
    finish_reason: FinishReason | None = None,
) -> list[Chunk]:
    pieces = generate_alone(request, state or GenerationState.empty(loaded), lambda: finish_reason)
    return [chunk for chunks in pieces for chunk in chunks]


def prefill(request: Request, state: GenerationState) -> list[Chunk]:
    """The chunks of a request that only reads its prompt."""
    steps = RequestGeneration(request, state, None, lambda: None).prefill()
    return [chunk for chunks in run_alone(steps, state, None) for chunk in chunks]


def record_passes(loaded: LoadedModel) -> list[int]:
    """A list that receives the number of tokens of each pass from now on."""
    passes: list[int] = []
    run_batch = loaded.runner.run_batch

    def counted(forward_passes: Any, *rest: Any) -> Any:
        passes.append(sum(forward_pass.tokens for forward_pass in forward_passes))
        return run_batch(forward_passes, *rest)

    loaded.runner.run_batch = counted  # type: ignore[method-assign]
    return passes


def by_candidate(chunks: Iterable[Chunk]) -> dict[int, tuple[str, list[int]]]:
    texts: dict[int, str] = defaultdict(str)
    ids: dict[int, list[int]] = defaultdict(list)
    for chunk in chunks:
        texts[chunk.candidate] += chunk.text
        ids[chunk.candidate] += chunk.token_ids
    return {candidate: (texts[candidate], ids[candidate]) for candidate in texts}


def ids_of(chunks: Iterable[Chunk]) -> list[int]:
    return by_candidate(chunks)[0][1]


def reference(request: Request, loaded: LoadedModel) -> list[int]:
    """The ids that transformers generates greedily."""
    prompt = torch.tensor([loaded.tokenizer.encode(request.parts)])
    generated = loaded.runner.model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=request.max_new_tokens,
        do_sample=False,
        eos_token_id=sorted(loaded.checkpoint.end_ids),
        pad_token_id=0,
    )[0, prompt.shape[1] :].tolist()
    return [id_ for id_ in generated if id_ not in loaded.checkpoint.end_ids]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("chunk_tokens", [5, 512])
def test_greedy_answer_equals_transformers_generate(
    family: str, chunk_tokens: int, request: pytest.FixtureRequest, doubled: Callable[..., LoadedModel]
) -> None:
    loaded = doubled(request.getfixturevalue(family), chunk_tokens)
    for text in (TEXT, "x", "import os\n" * 8):
        text_request = build_request(text)
        assert ids_of(generate(text_request, loaded)) == reference(text_request, loaded)


def test_greedy_answer_in_float32_equals_transformers_generate(loaded: LoadedModel) -> None:
    loaded.runner.model.float()
    assert ids_of(generate(build_request(), loaded)) == reference(build_request(), loaded)


def answers_after_edits(loaded: LoadedModel, state: GenerationState) -> list[tuple[list[int], list[int]]]:
    """Ids generated and ids expected while a document is extended, cut back and changed in the middle."""
    texts = [TEXT, TEXT + ", w", TEXT + ", width)\n", TEXT[:40], TEXT[:20] + "X" + TEXT[20:], TEXT]
    answers = []
    for text in texts:
        request = build_request(text, 8)
        answers.append((ids_of(generate(request, loaded, state)), reference(request, loaded)))
    return answers


@pytest.mark.parametrize("family", FAMILIES)
def test_reused_cache_answers_as_a_fresh_one(
    family: str, request: pytest.FixtureRequest, doubled: Callable[..., LoadedModel]
) -> None:
    loaded = doubled(request.getfixturevalue(family))
    for got, expected in answers_after_edits(loaded, GenerationState.empty(loaded)):
        assert got == expected


@pytest.mark.parametrize("mutant", ["stale keys and values", "one token too many", "any slot will do"])
def test_mutant_of_the_reuse_changes_answers(mutant: str, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mutant makes the test above fail."""
    if mutant == "stale keys and values":
        monkeypatch.setattr(PrefixSlot, "truncate", lambda slot, length: slot.ids.__delitem__(slice(length, None)))
    elif mutant == "one token too many":
        shared = prefix_cache.common_prefix_length
        monkeypatch.setattr(prefix_cache, "common_prefix_length", lambda a, b: min(shared(a, b) + 1, len(a), len(b)))
    else:
        monkeypatch.setattr(prefix_cache, "common_prefix_length", lambda a, b: min(len(a), len(b)))
    try:
        answers = answers_after_edits(loaded, GenerationState.empty(loaded))
    except IndexError:
        return  # positions beyond the table: it shows
    assert any(got != expected for got, expected in answers)


def test_timings_count_reused_tokens(loaded: LoadedModel) -> None:
    state = GenerationState.empty(loaded)
    first = generate(build_request(), loaded, state)[-1].timings
    second = generate(build_request(), loaded, state)[-1].timings
    assert first is not None
    assert second is not None
    length = loaded.tokenizer.count_tokens(TEXT)
    assert (first.prompt_tokens, first.reused_tokens) == (length, 0)
    assert (second.prompt_tokens, second.reused_tokens) == (length, length - 1)
    assert first.decode_steps == 23
    assert first.prefill_ms > 0
    assert first.decode_ms > 0


def test_prefill_leaves_one_prompt_token_to_read(loaded: LoadedModel) -> None:
    state = GenerationState.empty(loaded)
    assert prefill(build_request(), state) == []
    timings = generate(build_request(), loaded, state)[-1].timings
    assert timings is not None
    assert timings.reused_tokens == timings.prompt_tokens - 1


def test_prefill_of_a_cached_prefix_keeps_the_longer_slot(loaded: LoadedModel) -> None:
    state = GenerationState.empty(loaded)
    chunks = generate(build_request(), loaded, state)
    generated = next(chunk.timings for chunk in chunks if chunk.timings)
    assert generated is not None
    assert prefill(build_request(TEXT[: TEXT.index("(")]), state) == []
    again = next(chunk.timings for chunk in generate(build_request(), loaded, state) if chunk.timings)
    assert again is not None
    assert again.reused_tokens == generated.prompt_tokens - 1


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_candidates_are_distinct_and_the_first_is_greedy(loaded: LoadedModel, temperature: float) -> None:
    request = build_request(candidates=5, sampling=Sampling(temperature=temperature, top_p=0.95, seed=4))
    answers = by_candidate(generate(request, loaded))
    assert len(answers) == 5
    assert answers[0][1] == reference(build_request(), loaded)
    assert len({text for text, _ in answers.values()}) == 5


def test_candidates_differ_even_if_the_distribution_is_sharp(loaded: LoadedModel) -> None:
    """With a sharp distribution and a stop rule after two characters, plain sampling gives five equal texts."""
    request = build_request(
        candidates=5, sampling=Sampling(temperature=0.01), stop=lambda text: 2 if len(text) > 1 else None
    )
    answers = by_candidate(generate(request, loaded))
    assert len({text for text, _ in answers.values()}) == 5


def test_logprobs_of_candidates_are_those_of_their_own_tokens(loaded: LoadedModel) -> None:
    """Also after other candidates ended early and left the batch."""
    stop = {"calls": 0}

    def at_odd_lengths(text: str) -> int | None:
        stop["calls"] += 1
        return len(text) if len(text) > 8 and ord(text[-1]) % 3 == 0 else None

    request = build_request(candidates=4, sampling=Sampling(temperature=1.2, seed=2), stop=at_odd_lengths)
    chunks = generate(request, loaded)
    prompt = loaded.tokenizer.encode(request.parts)
    lengths = set()
    for candidate, (_, ids) in by_candidate(chunks).items():
        with torch.inference_mode():
            logprobs = loaded.runner.model(torch.tensor([prompt + ids])).logits[0].log_softmax(-1)
        expected = [float(logprobs[len(prompt) - 1 + i, id_]) for i, id_ in enumerate(ids)]
        got = [chunk.logprob for chunk in chunks if chunk.candidate == candidate and chunk.token_ids]
        assert got == pytest.approx(expected, abs=1e-9)
        lengths.add(len(ids))
    assert len(lengths) > 1, "all ended together: the test shows nothing"


def test_seed_determines_the_text(loaded: LoadedModel) -> None:
    def sampled(seed: int) -> list[int]:
        return ids_of(generate(build_request(sampling=Sampling(temperature=1.0, seed=seed)), loaded))

    assert sampled(1) == sampled(1) != sampled(2)


def test_last_chunks_have_finish_reasons_and_the_timings(loaded: LoadedModel) -> None:
    chunks = generate(build_request(candidates=3, sampling=Sampling(temperature=1.0)), loaded)
    finished = [chunk.candidate for chunk in chunks if chunk.finish_reason is not None]
    assert sorted(finished) == [0, 1, 2]
    assert [chunk.timings is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


def test_end_tokens_of_the_request_end_it(loaded: LoadedModel) -> None:
    ids = reference(build_request(), loaded)
    special = next(i for i, id_ in enumerate(ids) if 0 < id_ < 19)
    literal = next(
        s for s in loaded.tokenizer.special_tokens if loaded.tokenizer.special_token_id(SpecialToken(s)) == ids[special]
    )
    chunks = generate(build_request(end_tokens=(SpecialToken(literal),)), loaded)
    assert ids_of(chunks) == ids[:special]
    assert chunks[-1].finish_reason is FinishReason.END_OF_TEXT


def test_end_token_of_the_checkpoint_ends_the_answer(loaded: LoadedModel) -> None:
    ids = reference(build_request(), loaded)
    loaded.checkpoint = replace(loaded.checkpoint, end_ids=frozenset({ids[5]}))
    chunks = generate(build_request(), loaded)
    assert ids_of(chunks) == ids[: ids.index(ids[5])]
    assert chunks[-1].finish_reason is FinishReason.END_OF_TEXT


@pytest.mark.parametrize("finish_reason", [FinishReason.CANCELLED, FinishReason.DEADLINE])
def test_request_interrupted_at_the_start_runs_no_pass(loaded: LoadedModel, finish_reason: FinishReason) -> None:
    passes = record_passes(loaded)
    chunks = generate(build_request(candidates=2), loaded, finish_reason=finish_reason)
    assert [(chunk.candidate, chunk.finish_reason, chunk.text) for chunk in chunks] == [
        (0, finish_reason, ""),
        (1, finish_reason, ""),
    ]
    assert not passes


@pytest.mark.parametrize("after_pieces", [1, 2, 6, 10])
def test_no_pass_follows_an_interruption(loaded: LoadedModel, after_pieces: int) -> None:
    passes = record_passes(loaded)
    interruption: list[FinishReason] = []
    pieces = generate_alone(build_request(), GenerationState.empty(loaded), lambda: next(iter(interruption), None))
    for _ in range(after_pieces):
        next(pieces)
    before = len(passes)
    interruption.append(FinishReason.CANCELLED)
    last = [chunk for chunks in pieces for chunk in chunks][-1]
    assert last.finish_reason is FinishReason.CANCELLED
    assert len(passes) == before


def test_deadline_returns_the_text_so_far(loaded: LoadedModel) -> None:
    interruption: list[FinishReason] = []
    chunks: list[Chunk] = []
    for output in generate_alone(
        build_request(stop=lambda _: None), GenerationState.empty(loaded), lambda: next(iter(interruption), None)
    ):
        chunks += output
        if len(chunks) == 6:
            interruption.append(FinishReason.DEADLINE)
    text, ids = by_candidate(chunks)[0]
    assert chunks[-1].finish_reason is FinishReason.DEADLINE
    assert len(ids) == 6
    assert loaded.tokenizer.decode(ids).startswith(text)
    assert text


def test_interrupted_prefill_is_continued_by_the_next_request(loaded: LoadedModel) -> None:
    state = GenerationState.empty(loaded)
    interruption: list[FinishReason] = []
    pieces = generate_alone(build_request(), state, lambda: next(iter(interruption), None))
    next(pieces)
    interruption.append(FinishReason.CANCELLED)
    list(pieces)
    chunks = generate(build_request(), loaded, state)
    assert chunks[-1].timings is not None
    assert chunks[-1].timings.reused_tokens == loaded.runner.chunk_tokens
    assert ids_of(chunks) == reference(build_request(), loaded)


def test_interleaved_requests_answer_as_if_alone(loaded: LoadedModel) -> None:
    state = GenerationState.empty(loaded)
    requests = [
        build_request(),
        build_request(TEXT[:30] + "y"),
        build_request(TEXT, candidates=2, sampling=Sampling(temperature=1.0)),
    ]
    runs = [generate_alone(request, state, lambda: None) for request in requests]
    generated: list[list[Chunk]] = [[] for _ in runs]
    alive = set(range(len(runs)))
    while alive:
        for run in sorted(alive):
            chunks = next(runs[run], None)
            if chunks is None:
                alive.discard(run)
            else:
                generated[run] += chunks
    for request, chunks in zip(requests, generated, strict=True):
        assert ids_of(chunks) == reference(request, loaded)


def test_prompt_and_answer_must_fit_the_context(loaded: LoadedModel) -> None:
    tokens = loaded.tokenizer.count_tokens(TEXT)
    room = loaded.context_tokens - tokens
    with pytest.raises(PromptTooLong, match=rf"prompt of {tokens} tokens and {room + 1} new ones .* context of 256\."):
        generate(build_request(max_new_tokens=room + 1), loaded)
    assert len(ids_of(generate(build_request(max_new_tokens=room), loaded))) == room


def test_answer_may_reach_the_last_position_of_the_context(loaded: LoadedModel) -> None:
    room = loaded.context_tokens - loaded.tokenizer.count_tokens(TEXT)
    request = build_request(max_new_tokens=room)
    assert ids_of(generate(request, loaded)) == reference(request, loaded)


def test_empty_prompt_continues_an_end_token(loaded: LoadedModel) -> None:
    explicit = Request(parts=(SpecialToken("<|endoftext|>"),), max_new_tokens=4)
    assert ids_of(generate(build_request("", 4), loaded)) == ids_of(generate(explicit, loaded))


def test_unknown_adapter_and_end_token_are_errors(loaded: LoadedModel) -> None:
    with pytest.raises(AdapterInvalid, match="No adapter mine is loaded; loaded: none"):
        generate(build_request(adapter="mine"), loaded)
    with pytest.raises(ModelUnsupported, match="no token <mid>"):
        generate(build_request(end_tokens=(SpecialToken("<mid>"),)), loaded)


def test_timings_exclude_the_time_between_passes(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    waited_s = 0.0
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + waited_s)
    pieces = generate_alone(build_request(max_new_tokens=3), GenerationState.empty(loaded), lambda: None)
    last: tuple[Chunk, ...] = ()
    for chunks in pieces:
        waited_s += 10_000
        last = chunks or last
    timings = last[-1].timings
    assert timings is not None
    assert timings.prefill_ms + timings.decode_ms < 10_000 * 1000


@pytest.mark.parametrize("forced_prefix", [" ", " lin", "zyx", "(\n    ", "é(", " 漢😀"])
@pytest.mark.parametrize("candidates", [1, 3])
def test_answer_begins_with_the_forced_prefix_and_hides_it(
    loaded: LoadedModel, forced_prefix: str, candidates: int
) -> None:
    seen: list[str] = []
    full: list[str] = []

    def rule(text: str) -> int | None:
        seen.append(text)
        return None

    request = build_request(forced_prefix=forced_prefix, candidates=candidates, sampling=Sampling(0.8, 1.0, 3))
    for stop in (None, rule):
        for text, ids in by_candidate(generate(replace(request, stop=stop), loaded)).values():
            full_text = loaded.tokenizer.decode(ids)
            assert full_text.startswith(forced_prefix)
            assert full_text[len(forced_prefix) :].startswith(text)
            full.append(full_text[len(forced_prefix) :])
    assert seen
    assert all(any(text.startswith(part) for text in full) for part in seen)
    unmasked = by_candidate(generate(build_request(), loaded))[0][1]
    assert not loaded.tokenizer.decode(unmasked).startswith("zyx"), "the model says so by itself: prove it with another"


def test_likely_forced_prefix_changes_no_token(loaded: LoadedModel) -> None:
    plain = generate(build_request(), loaded)
    forced_prefix = loaded.tokenizer.decode(ids_of(plain)[:2])
    assert ids_of(generate(build_request(forced_prefix=forced_prefix), loaded)) == ids_of(plain)


def test_run_alone_sends_logits_into_the_steps_and_yields_their_chunks(loaded: LoadedModel) -> None:
    received: list[Any] = []

    def steps() -> Steps:
        received.append((yield ForwardPass([[20, 21, 22]], KvCache(loaded.runner.layers, 8))))
        received.append((yield (Chunk("a"),)))
        yield ()

    assert list(run_alone(steps(), GenerationState.empty(loaded), None)) == [(Chunk("a"),), ()]
    assert received[0].values.shape == (1, 640)
    assert received[1] is None


def test_run_alone_closes_the_steps_when_it_is_closed(loaded: LoadedModel) -> None:
    closed = []

    def steps() -> Steps:
        try:
            yield ()
            yield ()
        finally:
            closed.append(True)

    outputs = run_alone(steps(), GenerationState.empty(loaded), None)
    next(outputs)
    outputs.close()
    assert closed == [True]


def test_requests_answer_on_a_device_without_float64(starcoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(Model(name=str(starcoder), device="cpu", dtype="float32"), lambda *_: None)
    loaded.runner.pass_costs = ()
    manual_decoding.use_transformers_forward(loaded.runner)
    requests = [
        build_request(max_new_tokens=6, candidates=candidates, sampling=Sampling(temperature, 0.9, 5))
        for candidates, temperature in ((1, 0.0), (1, 0.8), (3, 0.8))
    ]
    expected = [by_candidate(generate(request, loaded)) for request in requests]
    monkeypatch.setattr(logits_module, "select_greedy", logits_module._select_greedy_on_device)
    with NoFloat64() as device:
        assert [by_candidate(generate(request, loaded)) for request in requests] == expected
    assert device.operations > 1000


class Device:
    """A clock and a device that works only while a caller waits for it: 1 ms to launch a pass, 20 ms a prompt token.

    Stands for ``torch.accelerator``.
    """

    def __init__(self, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = self.queued_s = self.longest_queue_s = 0.0
        compute = loaded.runner._compute

        def launch(passes: Any, *rest: Any) -> Any:
            self.now_s += 0.001
            self.queued_s += sum(0.02 * forward_pass.tokens for forward_pass in passes)
            self.longest_queue_s = max(self.longest_queue_s, self.queued_s)
            return compute(passes, *rest)

        monkeypatch.setattr(loaded.runner, "_compute", launch)
        monkeypatch.setattr(loaded.runner, "_devices", (torch.device("cuda", 0),))
        monkeypatch.setattr(torch.accelerator, "synchronize", self.wait)
        monkeypatch.setattr(time, "monotonic", lambda: self.now_s)
        greedy = logits_module.Logits.greedy
        monkeypatch.setattr(logits_module.Logits, "greedy", lambda logits: (self.wait(None), greedy(logits))[1])

    def wait(self, _device: Any) -> None:
        self.now_s += self.queued_s
        self.queued_s = 0.0


def test_time_of_every_chunk_on_a_gpu_is_counted_as_prefill(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(loaded, monkeypatch)
    timings = generate(build_request(max_new_tokens=5), loaded)[-1].timings
    assert timings is not None
    chunks = -(-timings.prompt_tokens // loaded.runner.chunk_tokens)
    assert timings.prefill_ms == pytest.approx(20 * timings.prompt_tokens + chunks)
    assert timings.decode_ms == pytest.approx(21 * timings.decode_steps)
    assert device.queued_s == 0


def test_no_chunk_is_launched_before_the_last_has_ended(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that arrives waits for one chunk, not for all that the host could launch meanwhile."""
    device = Device(loaded, monkeypatch)
    prefill(build_request(TEXT * 4, max_new_tokens=0), GenerationState.empty(loaded))
    assert device.now_s > 0.02 * 4 * loaded.runner.chunk_tokens
    assert device.longest_queue_s == pytest.approx(0.02 * loaded.runner.chunk_tokens)
