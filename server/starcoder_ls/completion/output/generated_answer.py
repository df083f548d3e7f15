"""What the model said, gathered from its chunks: text, why it ended, how sure it was.

Decides what a suggestion that the model itself finds unlikely is worth. Refuses to know where it goes.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from starcoder_ls.generation import Chunk, Engine, FinishReason, Request, Timings

_JUDGED_TOKENS = 4  # the first is often a coin's toss, and what follows is sure


@dataclass(slots=True)
class GeneratedAnswer:
    """One candidate as the model made it, before it is tidied."""

    text: str = ""
    tokens: int = 0
    finish_reason: FinishReason = FinishReason.END_OF_TEXT
    logprob: float = 0.0

    @property
    def confidence(self) -> float:
        """The geometric mean of its tokens' probabilities; 1 where none are known."""
        return math.exp(self.logprob / self.tokens) if self.tokens else 1.0


async def collected(
    engine: Engine, request: Request, min_confidence: float = 0.0
) -> tuple[list[GeneratedAnswer], Timings]:
    """All answers. One that the model itself finds unlikely is ended there and empty, unless several were asked for."""
    answers = [GeneratedAnswer() for _ in range(request.candidates)]
    timings = Timings()
    async with aclosing(cast("AsyncGenerator[Chunk]", engine.stream(request))) as stream:
        async for chunk in stream:
            answer = answers[chunk.candidate]
            answer.text += chunk.text
            answer.tokens += len(chunk.token_ids)
            answer.logprob += chunk.logprob
            answer.finish_reason = chunk.finish_reason or answer.finish_reason
            timings = chunk.timings or timings
            if request.candidates == 1 and answer.tokens >= _JUDGED_TOKENS and answer.confidence < min_confidence:
                break
    if request.candidates == 1 and answers[0].confidence < min_confidence:
        answers[0].text, answers[0].finish_reason = "", FinishReason.STOP_RULE
    return answers, timings
