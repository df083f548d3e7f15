"""The model's answers, collected from the chunks of a request: text, finish reason, confidence.

Decides when an answer that the model itself finds unlikely is dropped.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from starcoder_ls.generation import Chunk, Engine, FinishReason, Request, Timings

_MIN_JUDGED_TOKENS = 4  # the first token is often nearly random, and the ones after it are certain


@dataclass(slots=True)
class GeneratedAnswer:
    """One candidate as the model generated it, before any filter. ``logprob`` is the sum over its tokens."""

    text: str = ""
    tokens: int = 0
    finish_reason: FinishReason = FinishReason.END_OF_TEXT
    logprob: float = 0.0

    @property
    def confidence(self) -> float:
        """The geometric mean of the tokens' probabilities, 0..1; 1 if there are no tokens."""
        return math.exp(self.logprob / self.tokens) if self.tokens else 1.0


async def collect_answers(
    engine: Engine, request: Request, min_confidence: float = 0.0, first: GeneratedAnswer | None = None
) -> tuple[list[GeneratedAnswer], Timings]:
    """All candidates of ``request``. A single candidate below ``min_confidence`` is stopped early and becomes empty,
    unless the request was cancelled before that.

    The first candidate is added to ``first``, which has the beginning of its text if the request resumes a generation.
    Raises what ``Engine.stream`` raises.
    """
    answers = [first or GeneratedAnswer(), *(GeneratedAnswer() for _ in range(1, request.candidates))]
    timings, is_judged = Timings(), request.candidates == 1 and min_confidence > 0.0
    async with aclosing(cast("AsyncGenerator[Chunk]", engine.stream(request))) as stream:
        async for chunk in stream:
            answer = answers[chunk.candidate]
            answer.text += chunk.text
            answer.tokens += len(chunk.token_ids)
            answer.logprob += chunk.logprob
            answer.finish_reason = chunk.finish_reason or answer.finish_reason
            timings = chunk.timings or timings
            if is_judged and answer.tokens >= _MIN_JUDGED_TOKENS and answer.confidence < min_confidence:
                break
    first = answers[0]
    if is_judged and first.finish_reason is not FinishReason.CANCELLED and first.confidence < min_confidence:
        first.text, first.finish_reason = "", FinishReason.STOP_RULE
    return answers, timings
