"""One sequence being generated: its tokens, its text, and whether a token ends it.

Decides when a text is over and how much of it may be shown. Refuses to know the model and where tokens come from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from starcoder_ls.generation import Chunk, FinishReason, Request
from starcoder_ls.text_tokens.tokenizer import Decoded, Tokenizer


@dataclass(frozen=True, slots=True)
class SampledToken:
    """A token and its natural log probability in the unscaled distribution."""

    id: int
    logprob: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """Immutable, so that a token can be tried and taken back. ``opening`` is demanded and not part of ``text``."""

    index: int
    decoded: Decoded
    forced_prefix: str = ""
    made_tokens: int = 0
    kept_chars: int | None = None
    finish_reason: FinishReason | None = None

    @property
    def text(self) -> str:
        return self.decoded.text[len(self.forced_prefix) :][: self.kept_chars]

    @property
    def remaining_prefix(self) -> str:
        """What of the opening has not been said yet."""
        return self.forced_prefix[len(self.decoded.text) :]


@dataclass(frozen=True, slots=True)
class StopCriteria:
    """What ends the candidates of one request."""

    request: Request
    vocabulary: Tokenizer
    end_ids: frozenset[int]

    def extended(self, candidate: Candidate, id_: int) -> Candidate:
        """``candidate`` and one token more; an end token is no part of it."""
        if id_ in self.end_ids:
            return replace(candidate, finish_reason=FinishReason.END_OF_TEXT)
        decoded = self.vocabulary.extended(candidate.decoded, id_)
        grown = replace(candidate, decoded=decoded, made_tokens=candidate.made_tokens + 1)
        if self.request.stop is not None and grown.text != candidate.text:
            kept_chars = self.request.stop(grown.text)
            if kept_chars is not None:
                return replace(grown, kept_chars=max(kept_chars, 0), finish_reason=FinishReason.STOP_RULE)
        return replace(
            grown, finish_reason=FinishReason.LENGTH if grown.made_tokens >= self.request.max_new_tokens else None
        )

    def chunk(self, before: Candidate, after: Candidate, drawn: SampledToken | None) -> Chunk:
        """What ``after`` adds. With a stop rule the text waits for the end: a later token may shorten it."""
        is_new_token = after.made_tokens > before.made_tokens and drawn is not None
        if self.request.stop is None:
            text = after.text[len(before.text) :]
        else:
            text = after.text if after.finish_reason is not None else ""
        return Chunk(
            text=text,
            token_ids=(drawn.id,) if is_new_token and drawn is not None else (),
            logprob=drawn.logprob if is_new_token and drawn is not None else 0.0,
            candidate=after.index,
            finish_reason=after.finish_reason,
        )
