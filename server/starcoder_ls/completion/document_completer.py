"""All that goes on for one document: what it remembers, the thought it is having, what it does before being asked.

Decides which of these answers a request, and what a change of the text ends. A request that is there comes first:
everything done ahead ends before it begins. Refuses to know editors, and how text becomes a prompt.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import replace

from starcoder_ls.completion import suggest
from starcoder_ls.completion.anchor import Anchor, CursorText
from starcoder_ls.completion.ghost_stability import GhostStability
from starcoder_ls.completion.metrics import Metrics
from starcoder_ls.completion.output.generated_answer import GeneratedAnswer
from starcoder_ls.completion.pending_generation import PendingGeneration
from starcoder_ls.completion.suggest import Cursor, FimPrompt, Source, Suggestion
from starcoder_ls.completion.suggestion_cache import CachedSuggestion, SuggestionCache
from starcoder_ls.errors import StarcoderError
from starcoder_ls.generation import CancelFlag, Engine, FinishReason, PromptPart, Request, Timings
from starcoder_ls.settings import InlineCompletion

_GRACE_S = 0.002  # an editor cancels a request and sends the next one together: see the next before pausing
_READ_PAUSE_S = 0.004  # editors that ask at every key do it by then
_AHEAD_PAUSE_S = 0.1  # who types on does not look at the suggestion


class DocumentCompleter:
    """One document of one client, on one event loop."""

    def __init__(self, metrics: Metrics) -> None:
        self._tally = metrics
        self._memory = SuggestionCache()
        self._steady = GhostStability()
        self._thought: PendingGeneration | None = None
        self._ahead: PendingGeneration | None = None
        self._ahead_of: tuple[Anchor, str] | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._reading: CancelFlag | None = None
        self._reading_tasks: set[asyncio.Task[None]] = set()
        self._read: tuple[PromptPart, ...] = ()
        self._settings: tuple[InlineCompletion, str] | None = None

    async def ask(
        self, engine: Engine, cursor: Cursor, settings: InlineCompletion, candidates: int = 1
    ) -> list[Suggestion]:
        """Up to ``candidates`` suggestions. Raises what ``suggest.question`` and ``Engine.stream`` raise.

        Cancelling the task pauses the generation behind it, unless somebody else waits for it or it is being typed.
        """
        began_s = time.monotonic()
        here, asked = CursorText.at(cursor.text, cursor.offset), self._asked(engine, cursor, settings)
        found = self._remembered(asked, here, cursor, settings) if candidates == 1 and settings.remember else None
        while found is None:
            thought = self._taken_over(engine, asked, here, settings, candidates)
            is_fresh = thought is None
            if thought is None:
                thought = self._begun(
                    engine, suggest.build_prompt(engine, cursor, settings), asked, settings, candidates
                )
            answers, timings = await self._waited_for(thought)
            if any(answer.finish_reason is FinishReason.CANCELLED for answer in answers):
                return []
            found = self._fitting(thought, answers, timings, here, cursor, settings, is_fresh)
        suggestions, source, timings = found
        is_alone = candidates == 1 and settings.remember
        suggestions = self._steady.settled(asked, here, cursor, suggestions, is_alone)
        self._tally.answered(source, (time.monotonic() - began_s) * 1000, timings, not suggestions)
        if suggestions and candidates == 1 and settings.ahead:
            self._look_ahead(engine, cursor, here, suggestions[0], settings)
        return suggestions

    def changed(
        self, engine: Engine | None, here: CursorText, settings: InlineCompletion, typed_at: Callable[[], Cursor] | None
    ) -> None:
        """The text is another now, and the cursor probably there; if it changed as by a key, ``typed_at`` says where.

        That is asked when there is time: most keys bring a request along.
        """
        self._stop_reading()
        if (thought := self._thought) is not None:
            thought.is_kept = bool(thought.typed(here))
            if not thought.is_kept:
                thought.cancel()
        if self._ahead_of is not None:
            place, shown = self._ahead_of
            if place.typed(here, shown + (self._ahead.said if self._ahead else "")) is None:
                self._stop_ahead()
        if typed_at is not None and engine is not None and settings.enabled:
            self._later("read", _READ_PAUSE_S, lambda: self._read_on(engine, typed_at, here, settings))

    def close(self) -> None:
        """The document is gone, or its text unknown."""
        self._stop_reading()
        self._stop_ahead()
        if self._thought is not None:
            self._thought.cancel()
        self._memory.clear()
        self._steady.clear()

    # Answers

    def _remembered(
        self, asked: Hashable, here: CursorText, cursor: Cursor, settings: InlineCompletion
    ) -> tuple[list[Suggestion], Source, Timings] | None:
        hit = next((hit for hit in self._memory.hits(asked, here) if hit.is_enough), None)
        if hit is None:
            return None
        entry = hit.entry
        source = Source.AHEAD if entry.is_ahead and not entry.is_used and not hit.typed else Source.MEMORY
        self._use(entry)
        answer = GeneratedAnswer(hit.left, entry.tokens, entry.finish_reason)
        typed = entry.text[: hit.typed]
        return self._shown([answer], Timings(), entry.place, typed, here, cursor, settings, source)

    def _fitting(
        self,
        thought: PendingGeneration,
        answers: list[GeneratedAnswer],
        timings: Timings,
        here: CursorText,
        cursor: Cursor,
        settings: InlineCompletion,
        is_fresh: bool,
    ) -> tuple[list[Suggestion], Source, Timings] | None:
        """What of a thought's answers is for ``here``; None if one taken over turned out to have nothing left."""
        place, text = thought.question.place, answers[0].text
        typed = 0 if is_fresh else place.typed(here, text)
        if typed is None or (not is_fresh and not text[typed:].strip()):
            return None
        if thought.candidates == 1:
            answers = [replace(answers[0], text=text[typed:])]
        source = Source.MODEL if is_fresh else Source.RESUMED
        if is_fresh:  # nothing has changed since: the gap is the one that was asked about
            return suggest.shown(answers, timings, cursor, thought.question.gap, source), source, timings
        return self._shown(answers, timings, place, text[:typed], here, cursor, settings, source)

    def _shown(
        self,
        answers: list[GeneratedAnswer],
        timings: Timings,
        place: Anchor,
        typed: str,
        here: CursorText,
        cursor: Cursor,
        settings: InlineCompletion,
        source: Source,
    ) -> tuple[list[Suggestion], Source, Timings]:
        gap = suggest.gap_at(cursor, place.before + typed, here.closers + place.after, settings)
        return suggest.shown(answers, timings, cursor, gap, source), source, timings

    def _use(self, entry: CachedSuggestion) -> None:
        self._memory.touch(entry)
        if not entry.is_used:
            entry.is_used = True
            self._tally.used(entry.tokens)

    # Thoughts

    def _taken_over(
        self, engine: Engine, asked: Hashable, here: CursorText, settings: InlineCompletion, candidates: int
    ) -> PendingGeneration | None:
        """A thought that is about this place already: the running one, or one that is woken."""
        thought = self._thought
        if thought is not None and not thought.is_over:
            is_same = thought.asked == asked and thought.candidates == candidates
            if is_same and thought.typed(here) is not None:
                thought.is_kept = False
                return thought
        if candidates > 1 or not settings.remember:
            return None
        ahead = self._ahead
        if ahead is not None and not ahead.is_over and ahead.asked == asked and ahead.typed(here) is not None:
            return self._begun(engine, ahead.question, asked, settings, said=ahead.said)
        for hit in self._memory.hits(asked, here):
            question = hit.entry.origin
            if hit.entry.is_open and isinstance(question, FimPrompt) and hit.left:
                self._use(hit.entry)
                return self._begun(engine, question, asked, settings, said=hit.entry.text)
        return None

    def _begun(
        self,
        engine: Engine,
        question: FimPrompt,
        asked: Hashable,
        settings: InlineCompletion,
        candidates: int = 1,
        said: str = "",
    ) -> PendingGeneration:
        self._stop_reading()
        self._stop_ahead()
        if self._thought is not None:
            self._thought.cancel()
        self._thought = PendingGeneration(engine, question, asked, settings, self._ended, candidates, said)
        return self._thought

    async def _waited_for(self, thought: PendingGeneration) -> tuple[list[GeneratedAnswer], Timings]:
        try:
            return await thought.answers()
        finally:
            if not thought.is_over:
                asyncio.get_running_loop().call_later(_GRACE_S, _pause_if_unwanted, thought)

    def _ended(self, thought: PendingGeneration) -> None:
        """Whatever it said is remembered, also if nobody waits any more."""
        self._tally.made(thought.tokens, thought.is_ahead)
        if self._thought is thought:
            self._thought = None
        if thought.finish_reason is FinishReason.CANCELLED and not thought.said:
            return
        place, said, finish_reason = thought.question.place, thought.said, thought.finish_reason
        entry = CachedSuggestion(
            thought.asked, place, said, finish_reason, thought.tokens, thought.is_ahead, thought.question
        )
        self._memory.add(entry)
        if thought.waiting and thought.finish_reason is not FinishReason.CANCELLED:
            self._use(entry)

    # Before being asked

    def _look_ahead(
        self, engine: Engine, cursor: Cursor, here: CursorText, shown: Suggestion, settings: InlineCompletion
    ) -> None:
        """Ask what comes after ``shown`` as if it were accepted, once the user has had time to look at it."""
        text = cursor.text[: shown.start] + shown.text + cursor.text[shown.end :]
        accepted = replace(cursor, text=text, offset=shown.start + len(shown.text))
        there = CursorText.at(accepted.text, accepted.offset)
        ahead = self._ahead
        if ahead is not None and not ahead.is_over and ahead.typed(there) is not None:
            return
        self._stop_ahead()
        self._ahead_of = Anchor(here.head, here.rest, is_first=True, is_last=True), shown.text
        self._later("ahead", _AHEAD_PAUSE_S, lambda: self._think_ahead(engine, accepted, there, settings))

    def _think_ahead(self, engine: Engine, accepted: Cursor, there: CursorText, settings: InlineCompletion) -> None:
        asked = self._asked(engine, accepted, settings)
        is_busy = self._thought is not None and not self._thought.is_over
        if is_busy or any(hit.is_enough for hit in self._memory.hits(asked, there)):
            return
        with suppress(StarcoderError):  # nobody asked
            question = suggest.build_prompt(engine, accepted, settings)
            self._stop_reading()
            self._ahead = PendingGeneration(engine, question, asked, settings, self._ended, is_ahead=True)

    def _read_on(
        self, engine: Engine, typed_at: Callable[[], Cursor], here: CursorText, settings: InlineCompletion
    ) -> None:
        """Read the new tail, so that a request at the cursor finds only its last word unread."""
        if any(one is not None and not one.is_over for one in (self._thought, self._ahead)):
            return
        with suppress(StarcoderError):
            cursor = typed_at()
            asked = self._asked(engine, cursor, settings)
            if settings.remember and any(hit.is_enough for hit in self._memory.hits(asked, here)):
                return
            request = suggest.build_prompt(engine, cursor, settings).reading()
            if request.parts == self._read:
                return
            self._read, self._reading = request.parts, request.cancel
            task = asyncio.get_running_loop().create_task(_quietly_read(engine, request))
            self._reading_tasks.add(task)
            task.add_done_callback(self._reading_tasks.discard)

    def _stop_reading(self) -> None:
        self._cancel_timer("read")
        if self._reading is not None:
            self._reading.set()
            self._reading = None

    def _stop_ahead(self) -> None:
        self._cancel_timer("ahead")
        self._ahead_of = None
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None

    def _asked(self, engine: Engine, cursor: Cursor, settings: InlineCompletion) -> Hashable:
        """All that an answer depends on, but for the place."""
        if self._settings is None or self._settings[0] is not settings:
            self._settings = settings, settings.model_dump_json()
        return engine.status().model, cursor.adapter, self._settings[1]

    def _later(self, name: str, pause_s: float, run: Callable[[], None]) -> None:
        self._cancel_timer(name)
        self._timers[name] = asyncio.get_running_loop().call_later(pause_s, run)

    def _cancel_timer(self, name: str) -> None:
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()


def _pause_if_unwanted(thought: PendingGeneration) -> None:
    if not thought.waiting and not thought.is_kept:
        thought.cancel()


async def _quietly_read(engine: Engine, request: Request) -> None:
    with suppress(StarcoderError):  # nobody asked
        await engine.prefill(request)
