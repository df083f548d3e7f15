"""One request, as a sequence of short pieces of work: read a chunk of the prompt, or make one token per candidate.

Decides what happens in which order within a request. Refuses to know other requests, threads and event loops: whoever
drives the generator may leave it between any two pieces, or for good.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch

from starcoder_ls.engine import decode
from starcoder_ls.engine.candidate import Candidate, Ending
from starcoder_ls.engine.ngrams import Document, SecondOpinion, Strengths
from starcoder_ls.engine.sampling import Drawn, Sampler, greedy
from starcoder_ls.engine.slots import Slot, Slots
from starcoder_ls.engine.tokens import Vocabulary
from starcoder_ls.errors import AdapterInvalid, PromptTooLong
from starcoder_ls.generation import Chunk, Finish, Request, Timings

Interrupted = Callable[[], Finish | None]
"""Why to end now, if at all: asked before every piece of work."""

Pieces = Generator[tuple[Chunk, ...], None, None]

_TRIES = 4  # draws by which a candidate may avoid ending as a copy of another


class Resident(Protocol):
    """What is needed of a loaded model."""

    @property
    def model(self) -> Any: ...
    @property
    def vocabulary(self) -> Vocabulary: ...
    @property
    def chunk_tokens(self) -> int: ...
    @property
    def adapters(self) -> tuple[str, ...]: ...
    @property
    def context_tokens(self) -> int: ...
    @property
    def end_ids(self) -> frozenset[int]: ...
    @property
    def strengths(self) -> Strengths | None: ...


@dataclass(slots=True)
class _Clock:
    """Where the time goes. Only work counts: what another request takes in between does not."""

    timings: Timings

    def prefilled(self, since_s: float) -> None:
        self.timings = replace(self.timings, prefill_ms=self.timings.prefill_ms + _ms_since(since_s))

    def stepped(self, since_s: float) -> None:
        timings = self.timings
        self.timings = replace(
            timings, decode_ms=timings.decode_ms + _ms_since(since_s), decode_steps=timings.decode_steps + 1
        )


def completion(
    request: Request, resident: Resident, slots: Slots, interrupted: Interrupted, queue_ms: float = 0.0
) -> Pieces:
    """The chunks of ``request``. Raises PromptTooLong, AdapterInvalid, ModelUnsupported; whatever the model raises."""
    started_s = time.monotonic()
    prompt = _prompt(request, resident, request.max_new_tokens)
    end_ids = resident.end_ids | {resident.vocabulary.id_of(special) for special in request.end_tokens}
    ending = Ending(request, resident.vocabulary, end_ids)
    candidates = [Candidate(i, resident.vocabulary.start(), request.opening) for i in range(request.candidates)]
    clock = _Clock(Timings(queue_ms=queue_ms, prompt_tokens=len(prompt)))
    with slots.lease(prompt, len(prompt) + request.max_new_tokens) as slot:
        clock.timings = replace(clock.timings, reused_tokens=len(slot.ids))
        clock.prefilled(started_s)
        hidden = yield from _read(prompt, slot, resident, interrupted, clock)
        finish = interrupted()
        if hidden is None or finish is not None or request.max_new_tokens < 1:
            yield _ended(ending, candidates, finish or Finish.LENGTH, clock)
            return
        logits = decode.logits_after(resident.model, hidden)
        opinion = _second_opinion(request, resident)
        yield from _write(logits, slot, resident, ending, candidates, opinion, interrupted, clock)


def warm_cache(request: Request, resident: Resident, slots: Slots, interrupted: Interrupted) -> Pieces:
    """Read the prompt of ``request``, so that the next one like it has little left to read. Yields no chunks."""
    prompt = _prompt(request, resident, 0)
    if slots.holds(prompt):
        return
    clock = _Clock(Timings())
    with slots.lease(prompt, len(prompt) + request.max_new_tokens, is_guess=True) as slot:
        yield from _read(prompt, slot, resident, interrupted, clock)


def _prompt(request: Request, resident: Resident, room: int) -> list[int]:
    if request.adapter is not None and request.adapter not in resident.adapters:
        raise AdapterInvalid(
            f"No adapter {request.adapter} is loaded; there is {', '.join(resident.adapters) or 'none'}. "
            "Set `model.adapter`."
        )
    prompt = resident.vocabulary.encode(request.parts)
    if not prompt:
        # A model needs something to continue: what its training put between two texts.
        prompt = [min(resident.end_ids, default=0)]
    if len(prompt) + room > resident.context_tokens:
        raise PromptTooLong(
            f"The prompt of {len(prompt):,} tokens and {room:,} new ones exceed the model's context of "
            f"{resident.context_tokens:,}. Shorten the prompt."
        )
    return prompt


def _read(
    prompt: Sequence[int], slot: Slot, resident: Resident, interrupted: Interrupted, clock: _Clock
) -> Generator[tuple[Chunk, ...], None, torch.Tensor | None]:
    """Read what ``slot`` lacks of ``prompt``, a chunk at a time.

    Answers the hidden state after it, [1, width], or None if interrupted.
    """
    hidden = None
    while (start := len(slot.ids)) < len(prompt):
        if interrupted() is not None:
            return None
        since_s = time.monotonic()
        chunk = list(prompt[start : start + resident.chunk_tokens])
        hidden = decode.read(resident.model, [chunk], slot.cache)
        slot.extend(chunk)
        clock.prefilled(since_s)
        yield ()
    return hidden


def _write(
    logits: torch.Tensor,
    slot: Slot,
    resident: Resident,
    ending: Ending,
    candidates: list[Candidate],
    opinion: SecondOpinion | None,
    interrupted: Interrupted,
    clock: _Clock,
) -> Pieces:
    """Make a token per candidate until all are at their end. ``logits``: [1, vocabulary], those after the prompt."""
    cache = slot.cache
    if len(candidates) > 1:
        cache = slot.cache.forked(len(candidates), len(slot.ids) + ending.request.max_new_tokens)
        logits = logits.expand(len(candidates), -1)
    samplers = _samplers(ending.request)
    alive = list(candidates)
    while True:
        since_s = time.monotonic()
        if opinion is not None:
            logits = opinion.mixed(logits, [c.decoded.text if c.decoded.is_whole else None for c in alive])
        drawn, grown = _draw(_opening_only(logits, alive, resident), alive, candidates, samplers, ending)
        chunks = [ending.chunk(*step) for step in zip(alive, grown, drawn, strict=True)]
        for candidate in grown:
            candidates[candidate.index] = candidate
        survivors = [row for row, candidate in enumerate(grown) if candidate.finish is None]
        clock.timings = replace(clock.timings, decode_ms=clock.timings.decode_ms + _ms_since(since_s))
        if not survivors:
            chunks[-1] = replace(chunks[-1], timings=clock.timings)
            yield tuple(chunks)
            return
        yield tuple(chunks)
        alive = [grown[row] for row in survivors]
        if (finish := interrupted()) is not None:
            yield _ended(ending, alive, finish, clock)
            return
        since_s = time.monotonic()
        if len(survivors) < len(grown):
            cache.keep(survivors)
        fed = [drawn[row].id for row in survivors]
        logits = decode.forward(resident.model, [[id_] for id_ in fed], cache)
        if cache is slot.cache:
            slot.extend(fed)
        clock.stepped(since_s)


def _second_opinion(request: Request, resident: Resident) -> SecondOpinion | None:
    """The document's own, where the checkpoint has strengths for it and the request says what it continues."""
    if resident.strengths is None or request.continued is None:
        return None
    before = request.parts[request.continued]
    others = [part for at, part in enumerate(request.parts) if at != request.continued and isinstance(part, str)]
    if not isinstance(before, str):
        return None
    document = Document(before, others, lambda text: resident.vocabulary.encode([text]))
    return SecondOpinion(resident.strengths, document)


def _opening_only(logits: torch.Tensor, alive: Sequence[Candidate], resident: Resident) -> torch.Tensor:
    """``logits`` without the tokens by which a candidate would leave its opening.  # [alive, vocabulary]"""
    if not any(candidate.owed for candidate in alive):
        return logits
    with torch.inference_mode():
        masked = logits.clone()
        for row, candidate in enumerate(alive):
            if candidate.owed and (allowed := resident.vocabulary.able_to_begin(candidate.owed)):
                masked[row] = -torch.inf
                masked[row, allowed] = logits[row, allowed]
        return masked


def _samplers(request: Request) -> list[Sampler | None]:
    """None is greedy: the first of several, and all at temperature 0."""
    if request.candidates == 1 and request.sampling.temperature == 0.0:
        return [None]
    drawn = [Sampler(request.sampling, stream) for stream in range(request.candidates)]
    return list(drawn) if request.candidates == 1 else [None, *drawn[1:]]


def _draw(
    logits: torch.Tensor,
    alive: Sequence[Candidate],
    all_candidates: Sequence[Candidate],
    samplers: Sequence[Sampler | None],
    ending: Ending,
) -> tuple[list[Drawn], list[Candidate]]:
    """The next token of each of ``alive``, and what becomes of it. ``logits``: [alive, vocabulary]."""
    with torch.inference_mode():
        likeliest = greedy(logits) if None in (samplers[c.index] for c in alive) else []
        taken = {candidate.text for candidate in all_candidates if candidate.finish is not None}
        drawn, grown = [], []
        for row, candidate in enumerate(alive):
            sampler = samplers[candidate.index]
            if sampler is None:
                token = likeliest[row]
                after = ending.extended(candidate, token.id)
            else:
                token, after = _drawn_apart(logits[row], candidate, sampler, ending, taken)
            if after.finish is not None:
                taken.add(after.text)
            drawn.append(token)
            grown.append(after)
        return drawn, grown


def _drawn_apart(
    logits: torch.Tensor, candidate: Candidate, sampler: Sampler, ending: Ending, taken: set[str]
) -> tuple[Drawn, Candidate]:
    """A token that does not make ``candidate`` end with a text that is taken, if few draws find one.

    Two candidates are alike for good only with the token that ends the second, so that token alone is drawn anew.
    """
    banned: set[int] = set()
    while True:
        token = sampler.draw(logits, banned)
        after = ending.extended(candidate, token.id)
        if after.finish is None or after.text not in taken or len(banned) == _TRIES:
            return token, after
        banned.add(token.id)


def _ended(ending: Ending, alive: Sequence[Candidate], finish: Finish, clock: _Clock) -> tuple[Chunk, ...]:
    """The last chunks of candidates that are ended from outside."""
    chunks = [ending.chunk(candidate, replace(candidate, finish=finish), None) for candidate in alive]
    chunks[-1] = replace(chunks[-1], timings=clock.timings)
    return tuple(chunks)


def _ms_since(since_s: float) -> float:
    return (time.monotonic() - since_s) * 1000
