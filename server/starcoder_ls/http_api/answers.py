"""The texts of a request as they are generated, with the client's stop texts applied.

Decides when a generation is no longer needed: all of its candidates have ended, or the client has gone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import cast

from starcoder_ls.errors import EngineBusy
from starcoder_ls.generation import Chunk, Engine, FinishReason, Request, Timings
from starcoder_ls.http_api.stop_texts import StopTexts


@dataclass(frozen=True, slots=True)
class Piece:
    """More text of a candidate. ``finish_reason`` is set with its last piece, which may be empty.

    ``tokens`` are the generated ones of this piece, also those of text that is kept back or cut off.
    """

    candidate: int
    text: str
    finish_reason: FinishReason | None = None
    tokens: int = 0


@dataclass(slots=True)
class Answer:
    """The whole text of a candidate, and why it ended."""

    text: str = ""
    finish_reason: FinishReason = FinishReason.END_OF_TEXT
    tokens: int = 0


@dataclass(slots=True)
class AnswerStream:
    """Iterate over ``pieces()`` once; ``timings`` are those of the request afterwards."""

    engine: Engine
    request: Request
    stops: Sequence[str] = ()
    timings: Timings = field(default_factory=Timings)

    async def pieces(self) -> AsyncIterator[Piece]:
        """Raises what ``Engine.stream`` raises, and EngineBusy if the time was over before the first token.

        Closing it cancels the generation.
        """
        filters = [StopTexts(self.stops) for _ in range(self.request.candidates)]
        ended: set[int] = set()
        has_started = False
        async with aclosing(cast("AsyncGenerator[Chunk]", self.engine.stream(self.request))) as stream:
            async for chunk in stream:
                self.timings = chunk.timings or self.timings
                if chunk.candidate in ended:
                    continue
                has_started = has_started or bool(chunk.token_ids)
                if chunk.finish_reason is FinishReason.DEADLINE and not has_started:
                    raise EngineBusy("The request waited too long for its turn. Try again in a moment.")
                piece = _filter(chunk, filters[chunk.candidate])
                if piece.finish_reason is not None:
                    ended.add(chunk.candidate)
                if len(ended) == len(filters):
                    self.request.cancel.set()  # stop texts ended it; the engine's last chunk has the timings
                yield piece

    async def collect(self) -> list[Answer]:
        """All pieces, joined. Raises what ``pieces`` raises."""
        answers = [Answer() for _ in range(self.request.candidates)]
        async for piece in self.pieces():
            answer = answers[piece.candidate]
            answer.text += piece.text
            answer.tokens += piece.tokens
            answer.finish_reason = piece.finish_reason or answer.finish_reason
        return answers


def _filter(chunk: Chunk, stop_texts: StopTexts) -> Piece:
    text, reason = stop_texts.feed(chunk.text), chunk.finish_reason
    if stop_texts.is_reached:
        reason = FinishReason.STOP_RULE
    elif reason is not None:
        text += stop_texts.finish()
    return Piece(chunk.candidate, text, reason, len(chunk.token_ids))
