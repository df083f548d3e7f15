"""From the pieces of a server's answer to chunks: end tokens, stop rules and limits are applied here.

It does no input or output, so that every order of arrival can be tested.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from starcoder_ls.generation import Chunk, FinishReason, Request, Timings
from starcoder_ls.remote.dialects.dialect import Piece
from starcoder_ls.text_tokens.candidate import Candidate, SampledToken, StopCriteria
from starcoder_ls.text_tokens.tokenizer import Tokenizer


class AnswerAssembly:
    """The candidates of one request. ``prompt_tokens`` is the length of its prompt; ``clock`` is in seconds."""

    def __init__(
        self,
        request: Request,
        tokenizer: Tokenizer,
        end_ids: frozenset[int],
        prompt_tokens: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._criteria = StopCriteria(request, tokenizer, end_ids)
        self._candidates = [
            Candidate(index, tokenizer.initial_state(), request.forced_prefix) for index in range(request.candidates)
        ]
        self._prompt_tokens, self._clock = prompt_tokens, clock
        self._started_s = clock()
        self._first_token_s: float | None = None
        self._reused_tokens = self._tokens = 0

    @property
    def is_over(self) -> bool:
        """Whether all candidates have ended."""
        return all(candidate.finish_reason is not None for candidate in self._candidates)

    @property
    def has_started(self) -> bool:
        """Whether a token has arrived."""
        return self._first_token_s is not None

    def add(self, piece: Piece) -> tuple[Chunk, ...]:
        """The chunks that a piece makes; the last one of the request has the timings. ``piece.candidate`` is an index
        of the request. What arrives for a candidate that has ended is dropped."""
        if piece.reused_tokens is not None:
            self._reused_tokens = piece.reused_tokens
        if piece.tokens or piece.text:
            self._first_token_s = self._first_token_s or self._clock()
        chunks = self._add_tokens(piece) if piece.text is None else self._add_text(piece, piece.text)
        candidate = self._candidates[piece.candidate]
        if piece.finish_reason is not None and candidate.finish_reason is None:
            chunks.append(self._advance(candidate, replace(candidate, finish_reason=piece.finish_reason), None))
        return self._with_timings(chunks)

    def finish(self, reason: FinishReason) -> tuple[Chunk, ...]:
        """End all candidates that have not ended, for a reason from outside."""
        alive = [candidate for candidate in self._candidates if candidate.finish_reason is None]
        return self._with_timings(
            [self._advance(candidate, replace(candidate, finish_reason=reason), None) for candidate in alive]
        )

    def _add_tokens(self, piece: Piece) -> list[Chunk]:
        chunks = []
        for token in piece.tokens:
            candidate = self._candidates[piece.candidate]
            if candidate.finish_reason is not None:
                break
            chunks.append(self._advance(candidate, self._criteria.append_token(candidate, token.id), token))
        return chunks

    def _add_text(self, piece: Piece, text: str) -> list[Chunk]:
        """The end token, if there is one, is the last of a piece and has no text."""
        candidate = self._candidates[piece.candidate]
        if candidate.finish_reason is not None:
            return []
        is_end = bool(piece.tokens) and piece.tokens[-1].id in self._criteria.end_ids
        if is_end:
            return [self._advance(candidate, replace(candidate, finish_reason=FinishReason.END_OF_TEXT), None)]
        if not text and not piece.tokens:
            return []
        new_tokens = len(piece.tokens)
        if piece.generated_tokens is not None:
            new_tokens = max(new_tokens, piece.generated_tokens - candidate.generated_tokens)
        extended = self._criteria.append_text(candidate, text, max(new_tokens, 1))
        return [self._advance(candidate, extended, piece.tokens[-1] if piece.tokens else None)]

    def _advance(self, before: Candidate, after: Candidate, token: SampledToken | None) -> Chunk:
        self._tokens += after.generated_tokens - before.generated_tokens
        self._candidates[after.index] = after
        return self._criteria.build_chunk(before, after, token)

    def _with_timings(self, chunks: list[Chunk]) -> tuple[Chunk, ...]:
        if chunks and self.is_over:
            now_s = self._clock()
            first_s = self._first_token_s or now_s
            timings = Timings(
                prefill_ms=(first_s - self._started_s) * 1000,
                decode_ms=(now_s - first_s) * 1000,
                prompt_tokens=self._prompt_tokens,
                reused_tokens=self._reused_tokens,
                decode_steps=max(self._tokens - 1, 0),
            )
            chunks[-1] = replace(chunks[-1], timings=timings)
        return tuple(chunks)
