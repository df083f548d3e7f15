"""One generation that outlives the request it was begun for: later requests may take it over.

Decides what of an answer is known while it is being made, and that a failure reaches whoever waits. Refuses to know
when it is worth keeping.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import replace

from starcoder_ls.completion.anchor import CursorText
from starcoder_ls.completion.output.generated_answer import GeneratedAnswer, collected
from starcoder_ls.completion.suggest import FimPrompt
from starcoder_ls.generation import Engine, FinishReason, Priority, StopRule, Timings
from starcoder_ls.settings import InlineCompletion


class PendingGeneration:
    """A running generation; it begins when it is made, on an event loop.

    ``said`` is the beginning of the answer if there is one already. ``told`` hears of the end, also without a waiter.
    ``is_kept``: what was typed since it began is what it said, so that it goes on without anybody waiting.
    """

    def __init__(
        self,
        engine: Engine,
        question: FimPrompt,
        asked: Hashable,
        settings: InlineCompletion,
        told: Callable[[PendingGeneration], None],
        candidates: int = 1,
        said: str = "",
        is_ahead: bool = False,
    ) -> None:
        self.question = question
        self.asked = asked
        self.candidates = candidates
        self.is_ahead = is_ahead
        self.is_kept = False
        self.waiting = 0
        self._begun_with = said
        self._heard = ""
        self._told = told
        priority = Priority.PREFILL if is_ahead else Priority.COMPLETION
        request = question.resumed(said).request(settings, candidates, priority)
        if candidates == 1 and request.stop is not None:
            request = replace(request, stop=self._listening(request.stop))
        self._cancel = request.cancel
        self._task = asyncio.get_running_loop().create_task(
            collected(engine, request, 0.0 if said else settings.least_confidence(question.gap.language_id))
        )
        self._task.add_done_callback(self._end)

    @property
    def said(self) -> str:
        """What is said so far by the first candidate."""
        result = self._result()
        return self._begun_with + (result[0][0].text if result else self._heard)

    @property
    def finish_reason(self) -> FinishReason:
        result = self._result()
        return result[0][0].finish_reason if result else FinishReason.CANCELLED

    @property
    def tokens(self) -> int:
        result = self._result()
        return sum(answer.tokens for answer in result[0]) if result else 0

    @property
    def is_resumed(self) -> bool:
        return bool(self._begun_with)

    @property
    def is_over(self) -> bool:
        return self._task.done() or self._cancel.is_set()

    def typed(self, here: CursorText) -> int | None:
        """How much of what is said so far stands before the cursor; None if anything else changed."""
        return self.question.place.typed(here, self.said if self.candidates == 1 else "")

    async def answers(self) -> tuple[list[GeneratedAnswer], Timings]:
        """Whole answers. Raises what the engine raised; a waiter that is cancelled leaves it running."""
        self.waiting += 1
        try:
            answers, timings = await asyncio.shield(self._task)
        finally:
            self.waiting -= 1
        return [replace(answer, text=self._begun_with + answer.text) for answer in answers], timings

    def cancel(self) -> None:
        """The device stops before its next step; who waits gets what there is."""
        self._cancel.set()

    def _result(self) -> tuple[list[GeneratedAnswer], Timings] | None:
        has_one = self._task.done() and not self._task.cancelled() and self._task.exception() is None
        return self._task.result() if has_one else None

    def _end(self, task: asyncio.Task[tuple[list[GeneratedAnswer], Timings]]) -> None:
        if not task.cancelled():
            task.exception()  # retrieved: there may be no waiter
        self._told(self)

    def _listening(self, rule: StopRule) -> StopRule:
        """The rule is shown the whole text after each token, long before a chunk brings it."""

        def listening(text: str) -> int | None:
            kept = rule(text)
            self._heard = text if kept is None else text[: max(kept, 0)]
            return kept

        return listening
