"""Speculative decoding is plain decoding: the same tokens, whatever was drafted; what would break that is noticed."""

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


def answered(
    loaded: LoadedModel, request: Request, costs: tuple[float, ...], state: GenerationState | None = None
) -> tuple[list[int], str, FinishReason | None, Timings]:
    loaded.runner.pass_costs = costs
    chunks = [c for made in generate_alone(request, state or GenerationState.empty(loaded), lambda: None) for c in made]
    timings = chunks[-1].timings
    assert timings is not None
    return [i for c in chunks for i in c.token_ids], "".join(c.text for c in chunks), chunks[-1].finish_reason, timings


def with_a_past(loaded: LoadedModel, request: Request, rng: random.Random) -> GenerationState:
    """Slots that remember the true answer in pieces, most with one wrong token: some of a draft is right."""
    state = GenerationState.empty(loaded)
    prompt = loaded.tokenizer.encode(request.parts)
    truth = answered(loaded, request, ())[0]
    for at in range(0, len(truth), 5):
        piece = truth[at : at + 7]
        if rng.random() < 0.8:
            piece[rng.randrange(len(piece))] = rng.randrange(20, 600)
        state.draft_history.add([*prompt, *truth[:at]], piece)
    return state


def speculated(loaded: LoadedModel, wanted: Request, seed: int = 0) -> tuple[tuple[Any, ...], tuple[Any, ...], Timings]:
    """(drafted, plain, timings of the drafted): twice in the same slot, whose keys and values stay behind."""
    plain = answered(loaded, wanted, ())
    state = with_a_past(loaded, wanted, random.Random(seed))
    first = answered(loaded, wanted, FREE, state)
    longer = replace(wanted, parts=(str(wanted.parts[0]) + plain[1][:5],))
    second = answered(loaded, longer, FREE, state)
    return (first[:3], second[:3]), (plain[:3], answered(loaded, longer, ())[:3]), first[3]


@pytest.mark.parametrize("family", FAMILIES)
def test_drafted_answers_are_the_plain_ones(
    family: str, request: pytest.FixtureRequest, doubled: Callable[..., LoadedModel]
) -> None:
    loaded = doubled(request.getfixturevalue(family))
    drafted, plain, timings = speculated(loaded, Request((TEXT,), 40), seed=1)
    assert drafted == plain
    assert 0 < timings.accepted_tokens < timings.draft_tokens, "nothing right, or nothing wrong: it shows little"
    assert timings.decode_steps + timings.accepted_tokens == 39
    assert timings.decode_steps < 36


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.integers(0, 60), tokens=st.integers(1, 30), stop=st.integers(1, 60), seed=st.integers(0, 99),
    strength=st.sampled_from([0.0, 0.3, 0.9]),
)  # fmt: skip
def test_so_they_are_whatever_ends_them_and_with_the_documents_n_grams(
    start: int, tokens: int, stop: int, seed: int, strength: float, loaded: LoadedModel
) -> None:
    levels = {f"{n}/{seen}/{kind}": strength for n in MATCH_CHARS for seen in range(1, 5) for kind in ("one", "many")}
    loaded.ngram_strengths = NgramStrengths(levels) if strength else None
    wanted = Request(
        (TEXT[start:] * 2,), tokens, prefix_parts=(0,), stop=lambda text: stop - 1 if len(text) >= stop else None
    )
    drafted, plain, _ = speculated(loaded, wanted, seed)
    assert drafted == plain


def test_an_end_token_within_a_draft_ends_the_answer(loaded: LoadedModel) -> None:
    ids = answered(loaded, Request((TEXT,), 12), ())[0]
    loaded.checkpoint = replace(loaded.checkpoint, end_ids=frozenset({ids[6]}))
    plain = answered(loaded, Request((TEXT,), 12), ())
    state = GenerationState.empty(loaded)
    state.draft_history.add(loaded.tokenizer.encode([TEXT]), ids)
    drafted = answered(loaded, Request((TEXT,), 12), FREE, state)
    assert drafted[:3] == plain[:3]
    assert drafted[2] is FinishReason.END_OF_TEXT
    assert drafted[3].accepted_tokens > 0


def test_a_slot_claims_no_draft_that_was_not_chosen(loaded: LoadedModel) -> None:
    """Also in the middle of a request, and after one that was left half-way."""
    wanted = Request((TEXT,), 30)
    state = with_a_past(loaded, wanted, random.Random(1))
    loaded.runner.pass_costs = FREE
    interruption: list[FinishReason] = []
    made: list[Chunk] = []
    for chunks in generate_alone(wanted, state, lambda: next(iter(interruption), None)):
        made += chunks
        if len(made) == 9:
            interruption.append(FinishReason.CANCELLED)
    (slot,) = state.prefix_cache._idle
    prompt = loaded.tokenizer.encode(wanted.parts)
    assert slot.ids == (prompt + [i for c in made for i in c.token_ids])[: len(slot.ids)]
    assert slot.cache.length == len(slot.ids) >= len(prompt) + 7


def test_sampling_and_several_candidates_draft_nothing(loaded: LoadedModel) -> None:
    from starcoder_ls.generation import Sampling

    for changes in ({"sampling": Sampling(temperature=1.0)}, {"candidates": 2, "sampling": Sampling(temperature=1.0)}):
        wanted = Request((TEXT,), 12, **changes)  # type: ignore[arg-type]
        state = with_a_past(loaded, Request((TEXT,), 12), random.Random(0))
        assert answered(loaded, wanted, FREE, state)[3].draft_tokens == 0


def test_drafts_stay_within_context_and_wanted_tokens(loaded: LoadedModel) -> None:
    """Positions beyond the table would be an IndexError."""
    room = loaded.context_tokens - loaded.tokenizer.count_tokens(TEXT)
    drafted, plain, timings = speculated_once(loaded, Request((TEXT,), room))
    assert drafted == plain
    assert timings.accepted_tokens > 0


def speculated_once(loaded: LoadedModel, wanted: Request) -> tuple[Any, Any, Timings]:
    plain = answered(loaded, wanted, ())
    drafted = answered(loaded, wanted, FREE, with_a_past(loaded, wanted, random.Random(0)))
    return drafted[:3], plain[:3], drafted[3]


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_in_the_shipped_type_answers_part_only_where_two_tokens_are_as_likely(starcoder: Path, dtype: str) -> None:
    """``auto`` is packed float16 on x86. Differences are in units of the logits' spread."""
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


def position_one_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drafts are read as if they stood one place later."""
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


def mask_one_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each draft sees the one after it."""
    exact = BigCodeCpu._causal_mask
    monkeypatch.setattr(
        BigCodeCpu, "_causal_mask", lambda reader, time, start, like: exact(reader, time + 1, start, like)[1:, :-1]
    )


def stale_rejected_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and values of a draft that was not chosen stay."""
    monkeypatch.setattr(KvCache, "truncate", lambda _cache, _length: None)


def next_rows_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The logits after the draft before: accepted tokens are judged by the wrong row."""
    exact = ModelRunner.run

    def shifted(runner: ModelRunner, forward_pass: ForwardPass, adapter: Any = None) -> Logits:
        logits = exact(runner, forward_pass, adapter)
        return Logits(logits.values.roll(1, 0)) if forward_pass.logits_for is LogitsFor.ALL else logits

    monkeypatch.setattr(ModelRunner, "run", shifted)


def accepted_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was drafted is taken for what was chosen."""

    class Blind(decoding.Decoder):
        def advance(self, selected: list[int], room: int) -> decoding.PassRequest:
            return super().advance([self._verified[-1][0]] if self._verified else selected, room)

    from starcoder_ls.engine.generation import request_generation

    monkeypatch.setattr(request_generation, "Decoder", Blind)


@pytest.mark.parametrize(
    "mutant", [position_one_on, mask_one_on, stale_rejected_drafts, next_rows_logits, accepted_unseen]
)
def test_a_verification_that_is_wrong_by_one_is_found_out(
    mutant: Callable[[pytest.MonkeyPatch], None], loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Request((TEXT,), 40)
    plain = answered(loaded, wanted, ())[0]
    state = with_a_past(loaded, wanted, random.Random(0))
    mutant(monkeypatch)
    try:
        drafted = answered(loaded, wanted, FREE, state)[0]
    except (IndexError, RuntimeError):
        return  # beyond the tables: it shows
    assert drafted != plain
