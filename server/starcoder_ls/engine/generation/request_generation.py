"""One request, as passes that it wants of the model, chunks of its prompt or a token per candidate, and what it says.

Decides what happens in which order within a request. Refuses to know other requests, threads and event loops: whoever
drives the generator runs its passes, alone or along with others', and may leave it between any two, or for good.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from starcoder_ls.engine.adapters.activation import in_turn, leased
from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter, ResidentAdapters
from starcoder_ls.engine.generation.decoding import Decoder
from starcoder_ls.engine.generation.ngram_mixing import DocumentNgrams, NgramMixer, NgramStrengths
from starcoder_ls.engine.generation.prompt_lookup import PromptLookup
from starcoder_ls.engine.generation.token_selection import opening_only, samplers_of, select_tokens
from starcoder_ls.engine.kv_cache.prefix_cache import PrefixCache, PrefixSlot
from starcoder_ls.engine.runner.forward_pass import ForwardPass, LogitsFor, Pieces, Work, alone
from starcoder_ls.engine.runner.logits import Logits
from starcoder_ls.errors import PromptTooLong
from starcoder_ls.generation import Chunk, FinishReason, Request, Timings
from starcoder_ls.text_tokens.candidate import Candidate, StopCriteria
from starcoder_ls.text_tokens.tokenizer import Tokenizer

Interrupted = Callable[[], FinishReason | None]
"""Why to end now, if at all: asked before every pass."""


class Resident(Protocol):
    """What is needed of a loaded model."""

    @property
    def model(self) -> Any: ...
    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def chunk_tokens(self) -> int: ...
    @property
    def adapters(self) -> ResidentAdapters: ...
    @property
    def context_tokens(self) -> int: ...
    @property
    def end_ids(self) -> frozenset[int]: ...
    @property
    def strengths(self) -> NgramStrengths | None: ...
    @property
    def pass_costs(self) -> tuple[float, ...]: ...


@dataclass(slots=True)
class _Clock:
    """Where the time goes. Only work counts: what another request takes in between does not."""

    timings: Timings
    choosing_ms: float = 0.0

    def prefilled(self, took_ms: float) -> None:
        self.timings = replace(self.timings, prefill_ms=self.timings.prefill_ms + took_ms)

    def decoded(self, steps: Decoder, choosing_ms: float = 0.0) -> None:
        self.choosing_ms += choosing_ms
        self.timings = replace(
            self.timings,
            decode_ms=self.choosing_ms + steps.pass_ms,
            decode_steps=steps.passes,
            draft_tokens=steps.draft_tokens,
            accepted_tokens=steps.accepted_tokens,
        )


def completion(
    request: Request,
    resident: Resident,
    slots: PrefixCache,
    interrupted: Interrupted,
    queue_ms: float = 0.0,
    held: ResidentAdapter | None = None,
) -> Pieces:
    """The chunks of ``request`` with the model to itself. Raises what ``answering`` does."""
    return alone(resident.model, answering(request, resident, slots, interrupted, queue_ms, held))


def warm_cache(
    request: Request,
    resident: Resident,
    slots: PrefixCache,
    interrupted: Interrupted,
    held: ResidentAdapter | None = None,
) -> Pieces:
    """``reading`` with the model to itself."""
    return alone(resident.model, reading(request, resident, slots, interrupted, held))


def answering(
    request: Request,
    resident: Resident,
    slots: PrefixCache,
    interrupted: Interrupted,
    queue_ms: float = 0.0,
    held: ResidentAdapter | None = None,
) -> Work:
    """Answer ``request`` through ``held`` or, without it, through the adapter that it names.

    Raises PromptTooLong, AdapterInvalid, ModelUnsupported; whatever the model raises.
    """
    held = held or resident.adapters.named(request.adapter)
    return in_turn(held, resident.adapters, _answering(request, resident, slots, interrupted, queue_ms, held))


def reading(
    request: Request,
    resident: Resident,
    slots: PrefixCache,
    interrupted: Interrupted,
    held: ResidentAdapter | None = None,
) -> Work:
    """Read the prompt of ``request``, so that the next one like it has little left to read. Makes no chunks."""
    held = held or resident.adapters.named(request.adapter)
    return in_turn(held, resident.adapters, _reading(request, resident, slots, interrupted, held))


def _answering(
    request: Request,
    resident: Resident,
    slots: PrefixCache,
    interrupted: Interrupted,
    queue_ms: float,
    held: ResidentAdapter | None,
) -> Work:
    started_s = time.monotonic()
    prompt = _prompt(request, resident, request.max_new_tokens, held)
    end_ids = resident.end_ids | {resident.tokenizer.special_token_id(special) for special in request.end_tokens}
    ending = StopCriteria(request, resident.tokenizer, end_ids)
    candidates = [
        Candidate(i, resident.tokenizer.initial_state(), request.forced_prefix) for i in range(request.candidates)
    ]
    clock = _Clock(Timings(queue_ms=queue_ms, prompt_tokens=len(prompt)))
    with leased(slots, prompt, request.max_new_tokens, resident.model, held) as slot:
        slot.client = request.client
        clock.timings = replace(clock.timings, reused_tokens=len(slot.ids))
        clock.prefilled(_ms_since(started_s))
        steps = _steps(request, resident, prompt, slot, slots)
        logits = yield from _read(prompt, slot, resident, interrupted, clock, (steps, request))
        finish_reason = interrupted()
        if logits is None or finish_reason is not None or request.max_new_tokens < 1:
            steps.end()
            yield _ended(ending, candidates, finish_reason or FinishReason.LENGTH, clock)
            return
        if request.candidates > 1:
            steps.fork(request.candidates, slot.cache.length + request.max_new_tokens)
        yield from _write(logits, steps, ending, candidates, _second_opinion(request, resident), interrupted, clock)
        steps.end()
        slots.answers.add(prompt, slot.ids[len(prompt) :])


def _reading(
    request: Request, resident: Resident, slots: PrefixCache, interrupted: Interrupted, held: ResidentAdapter | None
) -> Work:
    prompt = _prompt(request, resident, 0, held)
    if slots.contains(prompt, None if held is None else held.key):
        return
    clock = _Clock(Timings())
    with leased(slots, prompt, request.max_new_tokens, resident.model, held, is_prefetch=True) as slot:
        slot.client = request.client
        yield from _read(prompt, slot, resident, interrupted, clock)


def _prompt(request: Request, resident: Resident, room: int, held: ResidentAdapter | None) -> list[int]:
    context_tokens = resident.context_tokens - (0 if held is None else held.virtual_tokens)
    prompt = resident.tokenizer.encode(request.parts)
    if not prompt:
        # A model needs something to continue: what its training put between two texts.
        prompt = [min(resident.end_ids, default=0)]
    if len(prompt) + room > context_tokens:
        raise PromptTooLong(
            f"The prompt of {len(prompt):,} tokens and {room:,} new ones exceed the model's context of "
            f"{context_tokens:,}. Shorten the prompt."
        )
    return prompt


def _read(
    prompt: Sequence[int],
    slot: PrefixSlot,
    resident: Resident,
    interrupted: Interrupted,
    clock: _Clock,
    then: tuple[Decoder, Request] | None = None,
) -> Generator[ForwardPass | tuple[Chunk, ...], Logits | None, Logits | None]:
    """Read what ``slot`` lacks of ``prompt``, a chunk at a time.

    Answers the logits after it, [1, vocabulary], for what comes ``then``; None if nothing does, or if interrupted.
    """
    logits = None
    while (start := len(slot.ids)) < len(prompt):
        if interrupted() is not None:
            return None
        chunk = list(prompt[start : start + resident.chunk_tokens])
        is_last = start + len(chunk) == len(prompt)
        asked = (
            ForwardPass([chunk], slot.cache, LogitsFor.NONE)
            if then is None or not is_last
            else _last(chunk, resident, *then)
        )
        logits = yield asked
        if logits is None:
            return None
        slot.extend(chunk)
        clock.prefilled(asked.took_ms)
        yield ()
    return None if then is None or logits is None else then[0].read(logits)


def _last(chunk: list[int], resident: Resident, steps: Decoder, request: Request) -> ForwardPass:
    forced_prefix, tokenizer = request.forced_prefix, resident.tokenizer
    return steps.first(
        chunk,
        request.max_new_tokens,
        lambda id_: not forced_prefix or id_ in tokenizer.prefix_compatible_ids(forced_prefix),
    )


def _steps(
    request: Request, resident: Resident, prompt: Sequence[int], slot: PrefixSlot, slots: PrefixCache
) -> Decoder:
    """Drafts where there is one candidate and nothing is left to chance."""
    if request.candidates > 1 or request.sampling.temperature > 0.0 or len(resident.pass_costs) < 2:
        return Decoder(slot)
    drafts = PromptLookup(prompt, slots.answers, slots.record)
    return Decoder(slot, drafts, resident.pass_costs)


def _write(
    logits: Logits,
    steps: Decoder,
    ending: StopCriteria,
    candidates: list[Candidate],
    opinion: NgramMixer | None,
    interrupted: Interrupted,
    clock: _Clock,
) -> Work:
    """Make a token per candidate until all are at their end. ``logits``: [1, vocabulary], those after the prompt."""
    logits = logits.repeated(len(candidates))
    samplers = samplers_of(ending.request)
    alive = list(candidates)
    while True:
        since_s = time.monotonic()
        if opinion is not None:
            said = [c.decoded.text if c.decoded.is_complete else None for c in alive]
            logits = Logits(opinion.mixed(logits.on_host(), said))
        drawn, grown = select_tokens(opening_only(logits, alive, ending.tokenizer), alive, candidates, samplers, ending)
        chunks = [ending.build_chunk(*step) for step in zip(alive, grown, drawn, strict=True)]
        for candidate in grown:
            candidates[candidate.index] = candidate
        survivors = [row for row, candidate in enumerate(grown) if candidate.finish_reason is None]
        clock.decoded(steps, _ms_since(since_s))
        if not survivors:
            chunks[-1] = replace(chunks[-1], timings=clock.timings)
            yield tuple(chunks)
            return
        yield tuple(chunks)
        alive = [grown[row] for row in survivors]
        after = None
        if (finish_reason := interrupted()) is None:
            if len(survivors) < len(grown):
                steps.keep(survivors)
            room = ending.request.max_new_tokens - min(candidate.generated_tokens for candidate in alive)
            after = yield from steps.after([drawn[row].id for row in survivors], room)
            clock.decoded(steps)
        if after is None:
            yield _ended(ending, alive, finish_reason or interrupted() or FinishReason.CANCELLED, clock)
            return
        logits = after


def _second_opinion(request: Request, resident: Resident) -> NgramMixer | None:
    """The document's own, where the checkpoint has strengths for it and the request says what it continues."""
    if resident.strengths is None or not request.prefix_parts:
        return None
    before = "".join(str(request.parts[at]) for at in request.prefix_parts)
    others = [part for at, part in enumerate(request.parts) if at not in request.prefix_parts and isinstance(part, str)]
    document = DocumentNgrams(
        before, others, lambda text: (resident.tokenizer.first_token_id(text),), request.lookup_text
    )
    return NgramMixer(resident.strengths, document)


def _ended(
    ending: StopCriteria, alive: Sequence[Candidate], finish_reason: FinishReason, clock: _Clock
) -> tuple[Chunk, ...]:
    """The last chunks of candidates that are ended from outside."""
    chunks = [
        ending.build_chunk(candidate, replace(candidate, finish_reason=finish_reason), None) for candidate in alive
    ]
    chunks[-1] = replace(chunks[-1], timings=clock.timings)
    return tuple(chunks)


def _ms_since(since_s: float) -> float:
    return (time.monotonic() - since_s) * 1000
