"""What all dialects share: the calls that a request becomes, and the pieces that a server's events consist of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from starcoder_ls.generation import Capabilities, FinishReason, Request
from starcoder_ls.text_tokens.candidate import SampledToken


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says about itself. ``vocabulary_size`` is 0 if it does not say."""

    dialect: Dialect
    model: str
    context_tokens: int
    adapters: tuple[str, ...] = ()
    vocabulary_size: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request, which generates ``candidates`` candidates from the index ``first_candidate`` on."""

    path: str
    body: Mapping[str, Any]
    first_candidate: int = 0
    candidates: int = 1


@dataclass(frozen=True, slots=True)
class Piece:
    """What an event adds to a candidate, counted within its call.

    ``text`` is None if the tokens are exact, so that the client decodes them; else it is the text of this piece, and
    ``tokens`` may lack those of a character that is split over several. ``generated_tokens`` is their number so far
    where the server says it.
    """

    candidate: int = 0
    tokens: tuple[SampledToken, ...] = ()
    text: str | None = None
    generated_tokens: int | None = None
    finish_reason: FinishReason | None = None
    reused_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class PromptIds:
    """A request with its prompt as ids. ``end_ids`` end a candidate, whatever the server knows about them."""

    request: Request
    ids: Sequence[int]
    end_ids: frozenset[int] = field(default_factory=frozenset)


class Dialect(Protocol):
    """How one kind of server is spoken to."""

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities:
        """Without ``prefill_delay_s``, which the settings decide."""
        ...

    def calls(self, prompt: PromptIds, facts: ServerFacts) -> list[Call]:
        """The calls for a request. Several candidates are two requests or more: the first is greedy, others are drawn.

        Raises AdapterInvalid for an adapter that the server does not have.
        """
        ...

    def prefill_call(self, prompt: PromptIds, facts: ServerFacts) -> Call:
        """The call that only reads the prompt. Raises AdapterInvalid."""
        ...

    def probe_call(self, ids: Sequence[int], text: str, max_tokens: int, facts: ServerFacts, /) -> Call:
        """A call without streaming whose answer is forced to be ``text``; any answer if that is empty."""
        ...

    def read_event(self, event: Mapping[str, Any]) -> list[Piece]:
        """The pieces in an event of a streamed answer. Raises KeyError, TypeError, ValueError for another format."""
        ...

    def read_probe(self, answer: Mapping[str, Any]) -> tuple[str, list[int]]:
        """Text and ids of the answer to ``probe_call``. Raises KeyError, TypeError, ValueError."""
        ...
