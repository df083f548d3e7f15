"""One request from its prompt to its last chunk, as a generator that yields forward passes and chunks.

The caller of the generator runs each pass, alone or in a batch, sends its logits back, and may stop between any two.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter
from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.generation.compiled_ngrams import CompiledNgramMixer, CompiledNgrams
from starcoder_ls.engine.generation.decoding import Decoder
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.generation.ngram_mixing import DocumentNgrams, NgramMixer
from starcoder_ls.engine.generation.predicted_text import PredictedText, longest_draft
from starcoder_ls.engine.generation.prompt_lookup import DraftHistory, PromptLookup
from starcoder_ls.engine.generation.token_selection import build_samplers, mask_forced_prefix, select_tokens
from starcoder_ls.engine.kv_cache.prefix_cache import PrefixCache, PrefixSlot
from starcoder_ls.engine.logits import Logits
from starcoder_ls.errors import PromptTooLong
from starcoder_ls.generation import Chunk, FinishReason, Priority, Request, Timings
from starcoder_ls.text_tokens.candidate import Candidate, StopCriteria

Chunks = tuple[Chunk, ...]

Steps = Generator[ForwardPass | Chunks, Logits | None, None]
"""Yields a forward pass that it needs, or the chunks that it has made; no chunks where it may be left between two
passes. Each pass is answered with its logits, or with None if it was not run, because the request has ended."""


@dataclass(slots=True)
class GenerationState:
    """What is kept from one request to the next: the loaded model, cached prefixes, the history of drafts, and texts
    in which n-grams were searched (None where they are not, or not by kernels)."""

    loaded: LoadedModel
    prefix_cache: PrefixCache
    draft_history: DraftHistory = field(default_factory=DraftHistory)
    compiled_ngrams: CompiledNgrams | None = None

    @classmethod
    def empty(cls, loaded: LoadedModel) -> GenerationState:
        state = cls(loaded, PrefixCache(loaded.runner.layers))
        if loaded.ngram_strengths is not None and loaded.runner.compiled_pass is not None:
            state.compiled_ngrams = CompiledNgrams(loaded.ngram_strengths, loaded.encode_first_token)
        return state


@dataclass(slots=True)
class _Stopwatch:
    """Times and counts of one request, of which ``timings`` are made once: at every token that would take a tenth of
    the time between two passes. Only its own work counts, not what other requests take in between."""

    queue_ms: float
    prefill_ms: float = 0.0
    select_ms: float = 0.0
    prompt_tokens: int = 0
    reused_tokens: int = 0

    def timings(self, decoder: Decoder) -> Timings:
        return Timings(
            queue_ms=self.queue_ms,
            prefill_ms=self.prefill_ms,
            decode_ms=self.select_ms + decoder.pass_ms,
            prompt_tokens=self.prompt_tokens,
            reused_tokens=self.reused_tokens,
            decode_steps=decoder.passes,
            draft_tokens=decoder.draft_tokens,
            accepted_tokens=decoder.accepted_tokens,
        )


class RequestGeneration:
    """Generates the answer of one request, or reads its prompt into the prefix cache.

    ``adapter`` is the one that the request names; None is the base model. ``interruption`` returns why to end now, if
    at all; it is called before every pass.
    """

    def __init__(
        self,
        request: Request,
        state: GenerationState,
        adapter: ResidentAdapter | None,
        interruption: Callable[[], FinishReason | None],
        queue_ms: float = 0.0,
    ) -> None:
        self._request, self._state, self._adapter, self._interruption = request, state, adapter, interruption
        self._loaded = state.loaded
        self._stopwatch = _Stopwatch(queue_ms)

    def generate(self) -> Steps:
        """Answer the request.

        Raises PromptTooLong, ModelUnsupported, and whatever the model and the request's stop rule raise.
        """
        started_s = time.monotonic()
        request, tokenizer = self._request, self._loaded.tokenizer
        prompt = self._encode_prompt(request.max_new_tokens)
        end_ids = self._loaded.checkpoint.end_ids | {
            tokenizer.special_token_id(special) for special in request.end_tokens
        }
        criteria = StopCriteria(request, tokenizer, end_ids)
        candidates = [Candidate(i, tokenizer.initial_state(), request.forced_prefix) for i in range(request.candidates)]
        with self._lease_slot(prompt, request.priority is Priority.NEXT_EDIT) as slot:
            self._stopwatch.prompt_tokens, self._stopwatch.reused_tokens = len(prompt), len(slot.ids)
            self._stopwatch.prefill_ms += _ms_since(started_s)
            decoder = self._build_decoder(prompt, slot)
            logits = yield from self._prefill(prompt, slot, decoder)
            finish_reason = self._interruption()
            if logits is None or finish_reason is not None or request.max_new_tokens < 1:
                decoder.finish()
                yield self._final_chunks(criteria, candidates, finish_reason or FinishReason.LENGTH, decoder)
                return
            if request.candidates > 1:
                decoder.fork(request.candidates, slot.cache.length + request.max_new_tokens)
            yield from self._decode(decoder.after_prompt(logits), decoder, criteria, candidates)
            decoder.finish()
            if request.priority is not Priority.NEXT_EDIT:  # it copies what the document has anyway
                self._state.draft_history.add(prompt, slot.ids[len(prompt) :])

    def prefill(self) -> Steps:
        """Read the prompt into the prefix cache, so that a later request that begins alike has little left to read.

        Yields no chunks. Raises PromptTooLong, and whatever the model raises.
        """
        prompt = self._encode_prompt(0)
        if self._state.prefix_cache.contains(prompt, None if self._adapter is None else self._adapter.key):
            return
        with self._lease_slot(prompt, is_prefetch=True) as slot:
            yield from self._prefill(prompt, slot)

    def _encode_prompt(self, new_tokens: int) -> list[int]:
        """The ids of the prompt; raises PromptTooLong unless it and ``new_tokens`` fit the context."""
        loaded = self._loaded
        context_tokens = loaded.context_tokens - (0 if self._adapter is None else self._adapter.virtual_token_count)
        prompt = loaded.tokenizer.encode(self._request.parts)
        if not prompt:  # a model needs a token to continue: the one that separated texts in training
            prompt = [min(loaded.checkpoint.end_ids, default=0)]
        if len(prompt) + new_tokens > context_tokens:
            raise PromptTooLong(
                f"The prompt of {len(prompt):,} tokens and {new_tokens:,} new ones exceed the model's context of "
                f"{context_tokens:,}. Shorten the prompt."
            )
        return prompt

    @contextmanager
    def _lease_slot(self, prompt: Sequence[int], is_prefetch: bool = False) -> Iterator[PrefixSlot]:
        """A slot that only this adapter's requests use, with the adapter's virtual tokens in it."""
        adapter, room = self._adapter, len(prompt) + self._request.max_new_tokens
        owner, virtual_tokens = (None, 0) if adapter is None else (adapter.key, adapter.virtual_token_count)
        with self._state.prefix_cache.acquire(prompt, room, owner, virtual_tokens, is_prefetch) as slot:
            if adapter is not None and slot.cache.length < virtual_tokens:
                self._loaded.runner.write_virtual_tokens(adapter, slot.cache)
            slot.client = self._request.client
            yield slot

    def _build_decoder(self, prompt: Sequence[int], slot: PrefixSlot) -> Decoder:
        """With drafts for a request with one candidate and greedy selection."""
        costs = self._loaded.runner.pass_costs
        if self._request.candidates > 1 or self._request.sampling.temperature > 0.0 or len(costs) < 2:
            return Decoder(slot)
        lookup = PromptLookup(prompt, self._state.draft_history)
        if not self._request.prediction:
            return Decoder(slot, lookup, costs)
        predicted = self._loaded.tokenizer.encode((self._request.prediction,))
        longest = longest_draft(costs, self._loaded.runner.chunk_tokens_with(self._adapter))
        return Decoder(slot, PredictedText(predicted, lookup, longest), costs)

    def _prefill(
        self, prompt: Sequence[int], slot: PrefixSlot, decoder: Decoder | None = None
    ) -> Generator[ForwardPass | Chunks, Logits | None, Logits | None]:
        """Read the tokens of ``prompt`` that ``slot`` lacks, a chunk at a time.

        Returns the logits of the last pass, which ``decoder`` has made; None without a decoder, or if interrupted.
        """
        logits = None
        while (start := len(slot.ids)) < len(prompt):
            if self._interruption() is not None:
                return None
            chunk = list(prompt[start : start + self._loaded.runner.chunk_tokens_with(self._adapter)])
            if decoder is not None and start + len(chunk) == len(prompt):
                forward_pass = decoder.first_pass(chunk, self._request.max_new_tokens, self._may_begin)
            else:
                forward_pass = ForwardPass([chunk], slot.cache, LogitsFor.NONE)
            logits = yield forward_pass
            if logits is None:
                return None
            slot.extend(chunk)
            self._stopwatch.prefill_ms += forward_pass.took_ms
            yield ()
        return None if decoder is None else logits

    def _may_begin(self, id_: int) -> bool:
        """Whether the answer may begin with this token."""
        tokenizer = self._loaded.tokenizer
        remaining = tokenizer.remaining_prefix(tokenizer.initial_state(), self._request.forced_prefix)
        return not remaining or id_ in tokenizer.prefix_compatible_ids(remaining)

    def _decode(self, logits: Logits, decoder: Decoder, criteria: StopCriteria, candidates: list[Candidate]) -> Steps:
        """Generate a token for each candidate until all have ended. ``logits``: [1, vocabulary], after the prompt."""
        logits = logits.repeat(len(candidates))
        samplers, mixer = build_samplers(self._request), self._build_ngram_mixer()
        alive = list(candidates)
        while True:
            since_s = time.monotonic()
            if mixer is not None:
                texts = [candidate.decoded.text if candidate.decoded.is_complete else None for candidate in alive]
                logits = mixer.mix(logits, texts)
            logits = mask_forced_prefix(logits, alive, criteria.tokenizer)
            tokens, extended = select_tokens(logits, alive, candidates, samplers, criteria)
            chunks = [criteria.build_chunk(*step) for step in zip(alive, extended, tokens, strict=True)]
            for candidate in extended:
                candidates[candidate.index] = candidate
            survivors = [row for row, candidate in enumerate(extended) if candidate.finish_reason is None]
            self._stopwatch.select_ms += _ms_since(since_s)
            if not survivors:
                chunks[-1] = replace(chunks[-1], timings=self._stopwatch.timings(decoder))
                yield tuple(chunks)
                return
            yield tuple(chunks)
            alive = [extended[row] for row in survivors]
            next_logits = None
            if (finish_reason := self._interruption()) is None:
                if len(survivors) < len(extended):
                    decoder.keep_rows(survivors)
                room = self._request.max_new_tokens - min(candidate.generated_tokens for candidate in alive)
                next_logits = yield from decoder.advance([tokens[row].id for row in survivors], room)
            if next_logits is None:
                finish_reason = finish_reason or self._interruption() or FinishReason.CANCELLED
                yield self._final_chunks(criteria, alive, finish_reason, decoder)
                return
            logits = next_logits

    def _build_ngram_mixer(self) -> NgramMixer | CompiledNgramMixer | None:
        """For a checkpoint with n-gram strengths and a request that says which of its parts it continues."""
        request, strengths, compiled = self._request, self._loaded.ngram_strengths, self._state.compiled_ngrams
        if strengths is None or not request.prefix_parts:
            return None
        before = "".join(str(request.parts[at]) for at in request.prefix_parts)
        others = [
            part for at, part in enumerate(request.parts) if at not in request.prefix_parts and isinstance(part, str)
        ]
        if compiled is not None:
            return CompiledNgramMixer(compiled, before, others, request.lookup_text)
        ngrams = DocumentNgrams(before, others, self._loaded.encode_first_token, request.lookup_text)
        return NgramMixer(strengths, ngrams)

    def _final_chunks(
        self, criteria: StopCriteria, alive: Sequence[Candidate], finish_reason: FinishReason, decoder: Decoder
    ) -> Chunks:
        """The last chunks of candidates that are ended from outside."""
        chunks = [
            criteria.build_chunk(candidate, replace(candidate, finish_reason=finish_reason), None)
            for candidate in alive
        ]
        chunks[-1] = replace(chunks[-1], timings=self._stopwatch.timings(decoder))
        return tuple(chunks)


def generate_alone(
    request: Request, state: GenerationState, interruption: Callable[[], FinishReason | None] = lambda: None
) -> Iterator[Chunks]:
    """The chunks of ``request``, whose passes run one by one without a scheduler.

    Raises AdapterInvalid, and what ``RequestGeneration.generate`` raises.
    """
    adapter = state.loaded.adapters.find(request.adapter)
    steps = RequestGeneration(request, state, adapter, interruption).generate()
    return run_alone(steps, state, adapter)


def run_alone(steps: Steps, state: GenerationState, adapter: ResidentAdapter | None) -> Iterator[Chunks]:
    """Run each pass of ``steps`` when it is yielded, through ``adapter``; the chunks, () between two passes."""
    try:
        step = next(steps)
        while True:
            if isinstance(step, ForwardPass):
                step = steps.send(state.loaded.runner.run(step, adapter))
            else:
                yield step
                step = next(steps)
    except StopIteration:
        return
    finally:
        steps.close()


def _ms_since(since_s: float) -> float:
    return (time.monotonic() - since_s) * 1000
