"""The completion of one document: its cache of suggestions, and what the engine does for it now.

Decides what answers a request (the cache, a generation that already runs, or a new one) and what is done before the
next request. A request has precedence: whatever runs without one is cancelled before its generation starts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from starcoder_ls.completion.anchor import Anchor, CursorText
from starcoder_ls.completion.answer import Answer, answer_from_generation, answer_from_hit
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.document_state import (
    IDLE,
    Generating,
    Prefetching,
    PrefetchPlan,
    Prefilling,
    State,
    running_generation,
)
from starcoder_ls.completion.ghost_stability import GhostStability
from starcoder_ls.completion.metrics import Metrics
from starcoder_ls.completion.output.generated_answer import GeneratedAnswer
from starcoder_ls.completion.pending_generation import PendingGeneration
from starcoder_ls.completion.prompt.build_prompt import FimPrompt, LatestPrompt
from starcoder_ls.completion.suggestion import Source, Suggestion
from starcoder_ls.completion.suggestion_cache import CacheBudget, CachedSuggestion, SuggestionCache
from starcoder_ls.completion.timer import Schedule, Timer, on_running_loop
from starcoder_ls.errors import StarcoderError
from starcoder_ls.generation import Engine, FinishReason, PromptPart, Request, Timings
from starcoder_ls.settings import InlineCompletion

_GRACE_S = 0.002  # an editor cancels a request and sends the next at once: wait for that before cancelling
_PREFILL_DELAY_S = 0.004  # editors that send a request at every key have done so by then
_PREFETCH_DELAY_S = 0.1  # a user who types on does not look at the suggestion


class DocumentCompleter:
    """Completes one document of one client, on one event loop. ``clock`` is monotonic, in seconds.

    ``budget`` is that of the cached suggestions of all documents of the client.
    """

    def __init__(
        self,
        metrics: Metrics,
        schedule: Schedule = on_running_loop,
        clock: Callable[[], float] = time.monotonic,
        budget: CacheBudget | None = None,
    ) -> None:
        self._metrics = metrics
        self._schedule = schedule
        self._clock = clock
        self._cache = SuggestionCache(budget)
        self._stability = GhostStability()
        self._latest_prompt = LatestPrompt()
        self._state: State = IDLE
        self._prefill_timer = Timer(schedule)
        self._prefetch_timer = Timer(schedule)
        self._prefetch_plan: PrefetchPlan | None = None
        self._prefill_tasks: set[asyncio.Task[None]] = set()
        self._prefilled: tuple[PromptPart, ...] = ()
        self._settings_json: tuple[InlineCompletion, str] | None = None

    async def suggest(
        self, engine: Engine, cursor: Cursor, settings: InlineCompletion, candidates: int = 1
    ) -> list[Suggestion]:
        """Up to ``candidates`` suggestions. Raises what ``build_prompt`` and ``Engine.stream`` raise.

        Cancelling the task cancels the generation behind it, unless another request waits for it or the user types it.
        """
        started_s, key = self._clock(), self._generation_key(engine, cursor, settings)
        may_reuse = candidates == 1 and settings.remember
        answer = self._answer_from_cache(key, cursor, settings) if may_reuse else None
        while answer is None:
            source = Source.RESUMED
            generation = self._generation_to_resume(engine, key, cursor, settings, candidates)
            if generation is None:
                source, prompt = Source.MODEL, self._latest_prompt.build(engine, cursor, settings)
                generation = self._start_generation(engine, prompt, key, settings, candidates)
            answers, timings = await self._wait_for(generation)
            if any(answer.finish_reason is FinishReason.CANCELLED for answer in answers):
                return []
            answer = answer_from_generation(generation, answers, timings, cursor, settings, source)
            if answer is None:
                generation.end()  # its text is in the cache now: it may be that there is nothing to show, or to resume
                answer = self._answer_from_cache(key, cursor, settings) if may_reuse else None
        suggestions = self._stability.stabilize(key, cursor, answer.suggestions, is_single=may_reuse)
        elapsed_ms = (self._clock() - started_s) * 1000
        self._metrics.record_answer(answer.source, elapsed_ms, answer.timings, not suggestions)
        if suggestions and candidates == 1 and settings.ahead:
            self._plan_prefetch(engine, cursor, suggestions[0], settings)
        return suggestions

    def recall(self, engine: Engine, cursor: Cursor, settings: InlineCompletion) -> list[Suggestion]:
        """The rest of a suggestion that was shown before and is being typed, if there is one. Generates nothing."""
        hits = self._cache.find_hits(self._generation_key(engine, cursor, settings), cursor.divided)
        hit = next((hit for hit in hits if hit.is_sufficient and hit.entry.is_served), None)
        return answer_from_hit(hit, cursor, settings).suggestions if hit else []

    def handle_change(
        self,
        engine: Engine | None,
        cursor_text: CursorText,
        settings: InlineCompletion,
        make_cursor: Callable[[], Cursor] | None,
    ) -> None:
        """The text has changed, and ``cursor_text`` is the new text divided where the cursor probably is.

        ``make_cursor`` is given if the change looks like a key that was typed. It is called later, if at all, since
        most keys cause a request.
        """
        self._prefill_timer.cancel()
        if not self._state.survives(cursor_text):
            self._enter(IDLE)
        if self._prefetch_plan is not None and not self._prefetch_plan.survives(cursor_text):
            self._cancel_planned_prefetch()
        if make_cursor is None or engine is None or not settings.is_automatic:
            return
        if (delay_s := engine.status().capabilities.prefill_delay_s) is not None:
            prefill = partial(self._start_prefill, engine, make_cursor, cursor_text, settings)
            self._prefill_timer.start(max(delay_s, _PREFILL_DELAY_S), prefill)

    def close(self) -> None:
        """The document was closed, or its text is unknown."""
        self._prefill_timer.cancel()
        self._cancel_planned_prefetch()
        self._enter(IDLE)
        self._cache.close()
        self._stability.clear()
        self._latest_prompt.forget()

    # States

    def _enter(self, state: State) -> None:
        """The only code that changes the state: what has run until now is cancelled."""
        self._state.cancel()
        self._state = state

    def _start_generation(
        self,
        engine: Engine,
        prompt: FimPrompt,
        key: Hashable,
        settings: InlineCompletion,
        candidates: int = 1,
        generated: GeneratedAnswer | None = None,
    ) -> PendingGeneration:
        self._prefill_timer.cancel()
        self._cancel_planned_prefetch()
        self._enter(IDLE)  # before the new request reaches the engine
        generation = PendingGeneration(engine, prompt, key, settings, self._end_generation, candidates, generated)
        self._enter(Generating(generation))
        return generation

    async def _wait_for(self, generation: PendingGeneration) -> tuple[list[GeneratedAnswer], Timings]:
        try:
            return await generation.answers()
        finally:
            if not generation.is_over:
                self._schedule(_GRACE_S, partial(self._cancel_if_abandoned, generation))

    def _cancel_if_abandoned(self, generation: PendingGeneration) -> None:
        if not generation.waiters and not generation.is_typed:
            generation.cancel()
            self._leave(generation)

    def _end_generation(self, generation: PendingGeneration) -> None:
        """Cache the text of ``generation``, also if no request waits for it any more."""
        self._metrics.record_generation(generation.generated_tokens, generation.is_prefetch)
        self._leave(generation)
        entry = generation.to_cache()
        if entry.finish_reason is FinishReason.CANCELLED and not entry.text:
            return
        self._cache.add(entry)
        if generation.has_answered and entry.finish_reason is not FinishReason.CANCELLED:
            self._mark_served(entry)

    def _leave(self, generation: PendingGeneration) -> None:
        """``generation`` is over: nothing runs any more, unless something else was started since."""
        if isinstance(self._state, Generating | Prefetching) and self._state.generation is generation:
            self._enter(IDLE)

    # Answers

    def _answer_from_cache(self, key: Hashable, cursor: Cursor, settings: InlineCompletion) -> Answer | None:
        hit = next((hit for hit in self._cache.find_hits(key, cursor.divided) if hit.is_sufficient), None)
        if hit is None:
            return None
        answer = answer_from_hit(hit, cursor, settings)
        self._mark_served(hit.entry)
        return answer

    def _generation_to_resume(
        self, engine: Engine, key: Hashable, cursor: Cursor, settings: InlineCompletion, candidates: int
    ) -> PendingGeneration | None:
        """A generation whose text is for this cursor: the running one, or one that continues an unfinished text."""
        divided, state = cursor.divided, self._state
        running = running_generation(state)
        is_fit = running is not None and running.generation_key == key and running.count_typed(divided) is not None
        if running is not None and is_fit and isinstance(state, Generating) and running.candidates == candidates:
            running.is_typed = False
            return running
        if candidates > 1 or not settings.remember:
            return None
        if running is not None and is_fit and isinstance(state, Prefetching):
            return self._start_generation(engine, running.prompt, key, settings, generated=running.answer)
        for hit in self._cache.find_hits(key, divided):
            prompt = hit.entry.prompt
            if hit.entry.is_truncated and isinstance(prompt, FimPrompt) and hit.remaining:
                self._mark_served(hit.entry)
                return self._start_generation(engine, prompt, key, settings, generated=hit.entry.answer)
        return None

    def _mark_served(self, entry: CachedSuggestion) -> None:
        self._cache.touch(entry)
        if not entry.is_served:
            entry.is_served = True
            self._metrics.record_served_tokens(entry.generated_tokens)

    # Before the next request

    def _plan_prefetch(
        self, engine: Engine, cursor: Cursor, suggestion: Suggestion, settings: InlineCompletion
    ) -> None:
        """Prefetch what follows ``suggestion`` as if it were accepted, once the user has had time to look at it."""
        text = cursor.text[: suggestion.start] + suggestion.text + cursor.text[suggestion.end :]
        accepted = replace(cursor, text=text, offset=suggestion.start + len(suggestion.text))
        if isinstance(self._state, Prefetching):
            generation = self._state.generation
            if not generation.is_over and generation.count_typed(accepted.divided) is not None:
                return
            self._enter(IDLE)
        divided = cursor.divided
        anchor = Anchor(divided.before, divided.after, has_document_start=True, has_document_end=True)
        self._prefetch_plan = PrefetchPlan(anchor, suggestion.text, accepted)
        self._prefetch_timer.start(
            _PREFETCH_DELAY_S, partial(self._start_prefetch, engine, self._prefetch_plan, settings)
        )

    def _cancel_planned_prefetch(self) -> None:
        self._prefetch_timer.cancel()
        self._prefetch_plan = None

    def _start_prefetch(self, engine: Engine, plan: PrefetchPlan, settings: InlineCompletion) -> None:
        self._prefetch_plan = None
        key = self._generation_key(engine, plan.cursor, settings)
        if running_generation(self._state) is not None or self._has_sufficient_hit(key, plan.cursor.divided):
            return
        with suppress(StarcoderError):  # there is no request to report an error to
            prompt = self._latest_prompt.build(engine, plan.cursor, settings)
            self._prefill_timer.cancel()
            self._enter(IDLE)
            generation = PendingGeneration(engine, prompt, key, settings, self._end_generation, is_prefetch=True)
            self._enter(Prefetching(generation, plan))

    def _start_prefill(
        self, engine: Engine, make_cursor: Callable[[], Cursor], cursor_text: CursorText, settings: InlineCompletion
    ) -> None:
        """Let the engine read the new text, so that a request at the cursor finds only the last word unread."""
        if running_generation(self._state) is not None:
            return
        with suppress(StarcoderError):  # there is no request to report an error to
            cursor = make_cursor()
            key = self._generation_key(engine, cursor, settings)
            if settings.remember and self._has_sufficient_hit(key, cursor_text):
                return
            request = self._latest_prompt.build(engine, cursor, settings).prefill_request()
            if request.parts == self._prefilled:
                return
            self._prefilled = request.parts
            state = Prefilling(request.cancel)
            self._enter(state)
            task = asyncio.get_running_loop().create_task(self._prefill(engine, request, state))
            self._prefill_tasks.add(task)
            task.add_done_callback(self._prefill_tasks.discard)

    async def _prefill(self, engine: Engine, request: Request, state: Prefilling) -> None:
        with suppress(StarcoderError):  # there is no request to report an error to
            await engine.prefill(request)
        if self._state is state:
            self._enter(IDLE)

    def _has_sufficient_hit(self, key: Hashable, cursor_text: CursorText) -> bool:
        return any(hit.is_sufficient for hit in self._cache.find_hits(key, cursor_text))

    def _generation_key(self, engine: Engine, cursor: Cursor, settings: InlineCompletion) -> Hashable:
        """All that an answer depends on besides the text: the model, the version of the adapter, and the settings."""
        if self._settings_json is None or self._settings_json[0] is not settings:
            self._settings_json = settings, settings.model_dump_json()
        status = engine.status()
        adapter = next((adapter for adapter in status.adapters if adapter.name == cursor.adapter), cursor.adapter)
        return status.model, adapter, self._settings_json[1]
