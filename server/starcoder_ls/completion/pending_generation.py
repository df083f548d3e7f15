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
from starcoder_ls.generation import Engine, FinishReason, Priority, Timings
from starcoder_ls.settings import InlineCompletion


class PendingGeneration:
    """A running generation. It starts when it is constructed, on the running event loop.

    ``generated`` is the beginning of the answer, if there is one already. ``on_end`` is called when the generation has
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
        generated: str = "",
        is_prefetch: bool = False,
    ) -> None:
        self.prompt = prompt
        self.generation_key = generation_key
        self.candidates = candidates
        self.is_prefetch = is_prefetch
        self.is_typed = False
        self.waiters = 0
        self._generated_before = generated
        self._text_so_far = ""
        self._on_end = on_end
        request = prompt.completion_request(
            settings,
            candidates,
            Priority.PREFILL if is_prefetch else Priority.COMPLETION,
            generated,
            self._set_text if candidates == 1 else None,
        )
        self._cancel = request.cancel
        is_judged = not generated and engine.status().capabilities.logprobs
        min_confidence = settings.min_confidence_for(prompt.insertion_point.language_id) if is_judged else 0.0
        self._task = asyncio.get_running_loop().create_task(collect_answers(engine, request, min_confidence))
        self._task.add_done_callback(self._end)

    @property
    def text(self) -> str:
        """The text of the first candidate so far."""
        result = self._result()
        return self._generated_before + (result[0][0].text if result else self._text_so_far)

    @property
    def finish_reason(self) -> FinishReason:
        result = self._result()
        return result[0][0].finish_reason if result else FinishReason.CANCELLED

    @property
    def tokens(self) -> int:
        """The number of tokens of all candidates; 0 until the generation has ended."""
        result = self._result()
        return sum(answer.tokens for answer in result[0]) if result else 0

    @property
    def logprob(self) -> float:
        """The sum over the tokens of all candidates; 0 until the generation has ended."""
        result = self._result()
        return sum(answer.logprob for answer in result[0]) if result else 0.0

    @property
    def is_over(self) -> bool:
        """It has ended or was cancelled."""
        return self._task.done() or self._cancel.is_set()

    def count_typed(self, cursor_text: CursorText) -> int | None:
        """How many characters of the text so far stand before the cursor; None if anything else changed."""
        return self.prompt.anchor.count_typed(cursor_text, self.text if self.candidates == 1 else "")

    async def answers(self) -> tuple[list[GeneratedAnswer], Timings]:
        """Wait for the complete answers. Cancelling the waiting task leaves the generation running.

        Raises what ``Engine.stream`` raised.
        """
        self.waiters += 1
        try:
            answers, timings = await asyncio.shield(self._task)
        finally:
            self.waiters -= 1
        return [replace(answer, text=self._generated_before + answer.text) for answer in answers], timings

    def to_cache(self) -> CachedSuggestion:
        """The text so far as an answer that can be cached."""
        return CachedSuggestion(
            self.generation_key,
            self.prompt.anchor,
            self.text,
            self.finish_reason,
            self.tokens,
            self.is_prefetch,
            self.prompt,
            self.prompt.memory_bytes,
            logprob=self.logprob,
        )

    def cancel(self) -> None:
        """The engine stops before its next step; waiters get the text so far. Does nothing after the end."""
        if not self._task.done():
            self._cancel.set()

    def _set_text(self, text: str) -> None:
        """Called by the stop rule after each token, in the engine's thread, before a chunk brings the text."""
        self._text_so_far = text

    def _result(self) -> tuple[list[GeneratedAnswer], Timings] | None:
        has_result = self._task.done() and not self._task.cancelled() and self._task.exception() is None
        return self._task.result() if has_result else None

    def _end(self, task: asyncio.Task[tuple[list[GeneratedAnswer], Timings]]) -> None:
        if not task.cancelled():
            task.exception()  # marks it as retrieved: there may be no waiter
        self._on_end(self)
