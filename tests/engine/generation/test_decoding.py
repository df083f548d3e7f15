"""Decoding with drafts gives the tokens of plain decoding; mutants that break this change answers."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import manual_decoding
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.generation import decoding
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.generation.ngram_mixing import MATCH_CHARS, NgramStrengths
from starcoder_ls.engine.generation.request_generation import GenerationState, generate_alone
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.logits import Logits
from starcoder_ls.engine.runner.bigcode_cpu import BigCodeCpu
from starcoder_ls.engine.runner.model_runner import ModelRunner
from starcoder_ls.generation import Chunk, FinishReason, Request, Timings
from starcoder_ls.settings import Model

FAMILIES = ["starcoder", "starcoder2", "llama", "qwen2", "santacoder"]
TEXT = "def wrap(text, width=70):\n    lines = text.split()\n    return fill(lines"
FREE = (1.0,) * 8  # eight tokens cost what one costs: all drafts are tried


@pytest.fixture
def loaded(starcoder: Path, doubled: Callable[[Path], LoadedModel]) -> LoadedModel:
    return doubled(starcoder)


def generate(
    loaded: LoadedModel, request: Request, costs: tuple[float, ...], state: GenerationState | None = None
) -> tuple[list[int], str, FinishReason | None, Timings]:
    loaded.runner.pass_costs = costs
    chunks = [
        c for output in generate_alone(request, state or GenerationState.empty(loaded), lambda: None) for c in output
    ]
    timings = chunks[-1].timings
    assert timings is not None
    return [i for c in chunks for i in c.token_ids], "".join(c.text for c in chunks), chunks[-1].finish_reason, timings


def state_with_partly_right_drafts(loaded: LoadedModel, request: Request, rng: random.Random) -> GenerationState:
    """A state whose history has the true answer in parts, most of them with one wrong token."""
    state = GenerationState.empty(loaded)
    prompt = loaded.tokenizer.encode(request.parts)
    truth = generate(loaded, request, ())[0]
    for at in range(0, len(truth), 5):
        piece = truth[at : at + 7]
        if rng.random() < 0.8:
            piece[rng.randrange(len(piece))] = rng.randrange(20, 600)
        state.draft_history.add([*prompt, *truth[:at]], piece)
    return state


def drafted_and_plain(
    loaded: LoadedModel, request: Request, seed: int = 0
) -> tuple[tuple[Any, ...], tuple[Any, ...], Timings]:
    """(drafted, plain, timings of the drafted): two requests in the same slot, which keeps stale keys and values."""
    plain = generate(loaded, request, ())
    state = state_with_partly_right_drafts(loaded, request, random.Random(seed))
    first = generate(loaded, request, FREE, state)
    longer = replace(request, parts=(str(request.parts[0]) + plain[1][:5],))
    second = generate(loaded, longer, FREE, state)
    return (first[:3], second[:3]), (plain[:3], generate(loaded, longer, ())[:3]), first[3]


@pytest.mark.parametrize("family", FAMILIES)
def test_drafted_answers_equal_plain_answers(
    family: str, request: pytest.FixtureRequest, doubled: Callable[..., LoadedModel]
) -> None:
    loaded = doubled(request.getfixturevalue(family))
    drafted, plain, timings = drafted_and_plain(loaded, Request((TEXT,), 40), seed=1)
    assert drafted == plain
    assert 0 < timings.accepted_tokens < timings.draft_tokens, "nothing right, or nothing wrong: it shows little"
    assert timings.decode_steps + timings.accepted_tokens == 39
    assert timings.decode_steps < 36


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.integers(0, 60), tokens=st.integers(1, 30), stop=st.integers(1, 60), seed=st.integers(0, 99),
    strength=st.sampled_from([0.0, 0.3, 0.9]),
)  # fmt: skip
def test_drafted_answers_are_equal_with_stop_rules_and_n_grams(
    start: int, tokens: int, stop: int, seed: int, strength: float, loaded: LoadedModel
) -> None:
    levels = {f"{n}/{seen}/{kind}": strength for n in MATCH_CHARS for seen in range(1, 5) for kind in ("one", "many")}
    loaded.ngram_strengths = NgramStrengths(levels) if strength else None
    request = Request(
        (TEXT[start:] * 2,), tokens, prefix_parts=(0,), stop=lambda text: stop - 1 if len(text) >= stop else None
    )
    drafted, plain, _ = drafted_and_plain(loaded, request, seed)
    assert drafted == plain


def test_end_token_within_a_draft_ends_the_answer(loaded: LoadedModel) -> None:
    ids = generate(loaded, Request((TEXT,), 12), ())[0]
    loaded.checkpoint = replace(loaded.checkpoint, end_ids=frozenset({ids[6]}))
    plain = generate(loaded, Request((TEXT,), 12), ())
    state = GenerationState.empty(loaded)
    state.draft_history.add(loaded.tokenizer.encode([TEXT]), ids)
    drafted = generate(loaded, Request((TEXT,), 12), FREE, state)
    assert drafted[:3] == plain[:3]
    assert drafted[2] is FinishReason.END_OF_TEXT
    assert drafted[3].accepted_tokens > 0


def test_slot_claims_only_selected_tokens(loaded: LoadedModel) -> None:
    """Also if the request is cancelled."""
    request = Request((TEXT,), 30)
    state = state_with_partly_right_drafts(loaded, request, random.Random(1))
    loaded.runner.pass_costs = FREE
    interruption: list[FinishReason] = []
    generated: list[Chunk] = []
    for chunks in generate_alone(request, state, lambda: next(iter(interruption), None)):
        generated += chunks
        if len(generated) == 9:
            interruption.append(FinishReason.CANCELLED)
    (slot,) = state.prefix_cache._idle
    prompt = loaded.tokenizer.encode(request.parts)
    assert slot.ids == (prompt + [i for c in generated for i in c.token_ids])[: len(slot.ids)]
    assert slot.cache.length == len(slot.ids) >= len(prompt) + 7


def test_sampling_and_several_candidates_use_no_drafts(loaded: LoadedModel) -> None:
    from starcoder_ls.generation import Sampling

    for changes in ({"sampling": Sampling(temperature=1.0)}, {"candidates": 2, "sampling": Sampling(temperature=1.0)}):
        request = Request((TEXT,), 12, **changes)  # type: ignore[arg-type]
        state = state_with_partly_right_drafts(loaded, Request((TEXT,), 12), random.Random(0))
        assert generate(loaded, request, FREE, state)[3].draft_tokens == 0


def test_drafts_stay_within_the_context(loaded: LoadedModel) -> None:
    """A position beyond the table of embeddings would raise IndexError."""
    room = loaded.context_tokens - loaded.tokenizer.count_tokens(TEXT)
    drafted, plain, timings = drafted_and_plain_once(loaded, Request((TEXT,), room))
    assert drafted == plain
    assert timings.accepted_tokens > 0


def drafted_and_plain_once(loaded: LoadedModel, request: Request) -> tuple[Any, Any, Timings]:
    plain = generate(loaded, request, ())
    drafted = generate(loaded, request, FREE, state_with_partly_right_drafts(loaded, request, random.Random(0)))
    return drafted[:3], plain[:3], drafted[3]


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_shipped_types_differ_only_where_two_tokens_are_equally_likely(starcoder: Path, dtype: str) -> None:
    """``auto`` is packed float16 on x86. Differences are in units of the logits' standard deviation."""
    loaded = load(Model(name=str(starcoder), device="cpu", dtype=dtype), lambda *_: None)  # type: ignore[arg-type]
    epsilon = 0.1 if dtype == "bfloat16" else 1e-3
    ids = torch.randint(20, 600, (64,), generator=torch.Generator().manual_seed(5)).tolist()
    one = KvCache(loaded.runner.layers, 64)
    alone = torch.cat([manual_decoding.forward(loaded.runner, [[id_]], one) for id_ in ids])
    many = KvCache(loaded.runner.layers, 64)
    together = torch.cat([manual_decoding.forward_all(loaded.runner, ids[at : at + 5], many) for at in range(0, 64, 5)])
    spread = float(alone.std())
    assert float((alone - together).abs().max()) <= epsilon * spread
    for row in (alone.argmax(-1) != together.argmax(-1)).nonzero()[:, 0]:
        best, second = alone[row].topk(2).values.tolist()
        assert best - second <= 2 * epsilon * spread


def mutant_position_plus_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The positions of drafts are one too high."""
    exact = BigCodeCpu.hidden_states

    def shifted(reader: BigCodeCpu, inputs: Any) -> list[torch.Tensor]:
        table = reader._body.wpe.weight
        if inputs[0][0].shape[1] > 1:
            reader._body.wpe.weight = torch.nn.Parameter(table.roll(-1, 0), requires_grad=False)
        try:
            return exact(reader, inputs)
        finally:
            reader._body.wpe.weight = table

    monkeypatch.setattr(BigCodeCpu, "hidden_states", shifted)


def mutant_mask_plus_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each draft attends to the one after it."""
    exact = BigCodeCpu._causal_mask
    monkeypatch.setattr(
        BigCodeCpu, "_causal_mask", lambda reader, time, start, like: exact(reader, time + 1, start, like)[1:, :-1]
    )


def mutant_stale_rejected_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and values of a rejected draft stay."""
    monkeypatch.setattr(KvCache, "truncate", lambda _cache, _length: None)


def mutant_logits_of_previous_draft(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drafts are compared with the logits of the row before theirs."""
    exact = ModelRunner.run

    def shifted(runner: ModelRunner, forward_pass: ForwardPass, adapter: Any = None) -> Logits:
        logits = exact(runner, forward_pass, adapter)
        return Logits(logits.values.roll(1, 0)) if forward_pass.logits_for is LogitsFor.ALL else logits

    monkeypatch.setattr(ModelRunner, "run", shifted)


def mutant_every_draft_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every draft is taken for the selected token."""

    class AcceptingDecoder(decoding.Decoder):
        def advance(self, selected: list[int], room: int) -> decoding.PassRequest:
            return super().advance([self._verified[-1][0]] if self._verified else selected, room)

    from starcoder_ls.engine.generation import request_generation

    monkeypatch.setattr(request_generation, "Decoder", AcceptingDecoder)


@pytest.mark.parametrize(
    "mutant",
    [
        mutant_position_plus_one,
        mutant_mask_plus_one,
        mutant_stale_rejected_drafts,
        mutant_logits_of_previous_draft,
        mutant_every_draft_accepted,
    ],
)
def test_mutant_of_the_verification_changes_answers(
    mutant: Callable[[pytest.MonkeyPatch], None], loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request((TEXT,), 40)
    plain = generate(loaded, request, ())[0]
    state = state_with_partly_right_drafts(loaded, request, random.Random(0))
    mutant(monkeypatch)
    try:
        drafted = generate(loaded, request, FREE, state)[0]
    except (IndexError, RuntimeError):
        return  # beyond the tables: it shows
    assert drafted != plain
