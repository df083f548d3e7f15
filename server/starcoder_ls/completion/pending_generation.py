"""One generation that outlives the request it was started for: later requests may wait for it too.

Knows the text so far before the engine's last chunk brings it. Its owner decides when to cancel it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import replace

from starcoder_ls.completion.anchor import CursorText
from starcoder_ls.completion.output.generated_answer import GeneratedAnswer, collect_answers
from starcoder_ls.completion.prompt.build_prompt import FimPrompt
from starcoder_ls.completion.suggestion_cache import CachedSuggestion
from starcoder_ls.generation import Engine, FinishReason, Priority, Request, Timings
from starcoder_ls.settings import InlineCompletion

_Result = tuple[list[GeneratedAnswer], Timings]


class PendingGeneration:
    """A running generation. It starts when it is constructed, on the running event loop.

    ``generated`` is the beginning of the answer, if another generation made one. ``on_end`` is called when this one has
    ended, also if no request waits for it. ``is_typed``: the user has typed the beginning of its text since it started;
    then it continues even if no request waits for it.
    """

    def __init__(
        self,
        engine: Engine,
        prompt: FimPrompt,
        generation_key: Hashable,
        settings: InlineCompletion,
        on_end: Callable[[PendingGeneration], None],
        candidates: int = 1,
        generated: GeneratedAnswer | None = None,
        is_prefetch: bool = False,
    ) -> None:
        self.prompt = prompt
        self.generation_key = generation_key
        self.candidates = candidates
        self.is_prefetch = is_prefetch
        self.is_typed = False
        self.has_answered = False
        """A request waited for it when it ended."""
        self._waiting: set[asyncio.Future[_Result]] = set()
        self._is_running = True
        self._result: _Result | None = None
        self._failure: Exception | None = None
        self._resumed = generated or GeneratedAnswer()
        self._first = replace(self._resumed, finish_reason=FinishReason.END_OF_TEXT)
        """The first candidate. Its text is complete at the end only, its tokens and their probability always."""
        self._text_so_far = ""
        """What follows the resumed text."""
        self._on_end: Callable[[PendingGeneration], None] | None = on_end
        request = prompt.completion_request(
            settings,
            candidates,
            Priority.PREFILL if is_prefetch else Priority.COMPLETION,
            self._resumed.text,
            self._set_text if candidates == 1 else None,
        )
        self._cancel = request.cancel
        has_logprobs = engine.status().capabilities.logprobs
        min_confidence = settings.min_confidence_for(prompt.insertion_point.language_id) if has_logprobs else 0.0
        self._task = asyncio.get_running_loop().create_task(self._run(engine, request, min_confidence))
        self._task.add_done_callback(lambda _: self.end())

    @property
    def waiters(self) -> int:
        """The number of requests that wait for it."""
        return len(self._waiting)

    @property
    def text(self) -> str:
        """The text of the first candidate so far."""
        return self._first.text if self._result else self._resumed.text + self._text_so_far

    @property
    def answer(self) -> GeneratedAnswer:
        """The first candidate so far."""
        if self._result:
            return self._first
        return replace(self._first, text=self.text, finish_reason=FinishReason.CANCELLED)

    @property
    def generated_tokens(self) -> int:
        """The number of tokens of all candidates, without resumed ones; 0 until the generation has ended."""
        return sum([answer.tokens for answer in self._result[0]]) - self._resumed.tokens if self._result else 0

    @property
    def is_over(self) -> bool:
        """It has ended or was cancelled."""
        return not self._is_running or self._cancel.is_set()

    def count_typed(self, cursor_text: CursorText) -> int | None:
        """How many characters of the text so far stand before the cursor; None if anything else changed."""
        return self.prompt.anchor.count_typed(cursor_text, self.text if self.candidates == 1 else "")

    async def answers(self) -> _Result:
        """Wait for the complete answers. Cancelling the waiting task leaves the generation running.

        Raises what ``Engine.stream`` raised.
        """
        waiting: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        if self._is_running:
            self._waiting.add(waiting)
        else:
            self._resolve(waiting)
        try:
            return await waiting
        finally:
            self._waiting.discard(waiting)

    def to_cache(self) -> CachedSuggestion:
        """The text so far as an answer that can be cached."""
        answer = self.answer
        return CachedSuggestion(
            self.generation_key,
            self.prompt.anchor,
            answer.text,
            answer.finish_reason,
            answer.tokens,
            self.is_prefetch,
            self.prompt,
            self.prompt.memory_bytes,
            logprob=answer.logprob,
            generated_tokens=self.generated_tokens,
        )

    def cancel(self) -> None:
        """The engine stops before its next step; waiters get the text so far. Does nothing after the end."""
        if self._is_running:
            self._cancel.set()

    def _set_text(self, text: str) -> None:
        """Called by the stop rule after each token, in the engine's thread, before a chunk brings the text."""
        self._text_so_far = text

    async def _run(self, engine: Engine, request: Request, min_confidence: float) -> None:
        """The requests that wait continue before ``end`` is called, which their answers do not need."""
        try:
            self._result = await collect_answers(engine, request, min_confidence, self._first)
        except Exception as error:  # noqa: BLE001 - whatever it is, the requests that wait raise it
            self._failure = error
        finally:
            self._is_running, self.has_answered = False, bool(self._waiting)
            for waiting in self._waiting:
                if not waiting.done():
                    self._resolve(waiting)

    def _resolve(self, waiting: asyncio.Future[_Result]) -> None:
        if self._result is not None:
            waiting.set_result(self._result)
        elif self._failure is not None:
            waiting.set_exception(self._failure)
        else:
            waiting.cancel()

    def end(self) -> None:
        """Call ``on_end`` now, unless it was called before."""
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(self)
