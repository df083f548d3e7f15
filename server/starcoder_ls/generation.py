"""What may be asked of a model: the seam between the text features and whatever runs the weights.

Decides the shape of a request and of its answer. Refuses to know prompt layouts, editors, torch, or where the
engine runs.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Protocol

from starcoder_ls.settings import Adapter


@dataclass(frozen=True, slots=True)
class Special:
    """One special token of the checkpoint, named by its literal (``<fim_prefix>``).

    The same characters inside a plain ``str`` part are text and are tokenized as text.
    """

    literal: str


Part = str | Special

StopRule = Callable[[str], int | None]
"""Generated text so far -> how many of its characters to keep (and stop), or None to go on.

Called after every token with whole characters only; must be pure and fast (well under 1 ms).
"""


class Priority(enum.IntEnum):
    """Who runs first; lower wins."""

    COMPLETION = 0
    PREFILL = 1
    EXPLANATION = 2


class Finish(enum.StrEnum):
    """Why a generation ended."""

    END_OF_TEXT = "end_of_text"
    STOP_RULE = "stop_rule"
    LENGTH = "length"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"


class CancelFlag:
    """Set once from any thread; the engine looks at it before every step."""

    __slots__ = ("_is_set",)

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn. Temperature 0 is greedy, with ties to the lowest id."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


GREEDY = Sampling()


@dataclass(frozen=True, slots=True)
class Request:
    """One generation.

    ``candidates`` > 1 answers that many sequences: the first greedy, the others drawn by ``sampling``.
    ``end_tokens`` end a sequence besides the checkpoint's own end-of-text token; they are never part of the text.
    ``continued`` are the indices in ``parts`` of the text that the answer continues (a FIM prefix), in order.
    ``opening`` is text that the answer must begin with; it is part of no chunk and not seen by ``stop``. A cursor
    after a blank is asked about so: the blank comes off the prompt and is demanded back, since tokenizers glue it to
    the word that follows.
    ``evidence`` is text of other files that is no part of the prompt, the nearest last: engines that mix in what
    followed the same words elsewhere look there too.
    ``adapter`` is the name of one of ``Status.adapters``; None is the base model alone.
    ``deadline_s`` is a reading of ``time.monotonic()``. ``document`` names whose cache this request belongs to,
    ``client`` whose turn it takes: clients share the device fairly.
    """

    parts: tuple[Part, ...]
    max_new_tokens: int
    prefix_parts: tuple[int, ...] = ()
    forced_prefix: str = ""
    end_tokens: tuple[Special, ...] = ()
    candidates: int = 1
    sampling: Sampling = GREEDY
    stop: StopRule | None = None
    lookup_text: tuple[str, ...] = ()
    adapter: str | None = None
    priority: Priority = Priority.COMPLETION
    deadline_s: float | None = None
    document: str = ""
    client: str = ""
    cancel: CancelFlag = field(default_factory=CancelFlag)


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one request went; milliseconds, tokens, steps.

    A step is one pass of the model; the time of one that several requests share counts for each of them.
    ``draft_tokens`` were guessed and read along with another, ``accepted_tokens`` of
    them were what the model said too, each sparing a step.
    """

    queue_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    decode_steps: int = 0
    draft_tokens: int = 0
    accepted_tokens: int = 0

    @property
    def ms_per_token(self) -> float:
        """Of decoding, the first token left out: it comes with the prompt. Of several candidates, one from each."""
        return self.decode_ms / max(self.decode_steps + self.accepted_tokens, 1)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of one candidate. ``text`` is only what the stop rule lets through.

    Concatenated chunks of a candidate are its text: whole characters only, so an unfinished one at the end is left
    out. Without a stop rule the text comes as it is made; with one it comes in the candidate's last chunk, since a
    later token may shorten it, and the chunks before carry token ids alone. The last chunk has ``finish`` set, and
    ``timings`` if it ends the request's last candidate. ``logprob`` sums over ``token_ids`` (natural log, from the
    unscaled distribution); an end token is in neither.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    logprob: float = 0.0
    candidate: int = 0
    finish: Finish | None = None
    timings: Timings | None = None


@dataclass(frozen=True, slots=True)
class AdapterStatus:
    """One resident adapter. ``method`` is PEFT's name of its kind (``LORA``), ``source`` the folder or Hub id.

    ``virtual_tokens`` stand before every prompt (P-Tuning) and leave that much less of the context.
    """

    name: str
    method: str = ""
    source: str = ""
    memory_bytes: int = 0
    virtual_tokens: int = 0


class Phase(enum.StrEnum):
    """The life of an engine. ``FAILED`` is final until it is started anew; ``ASLEEP`` holds no weights."""

    LOADING = "loading"
    READY = "ready"
    WORKING = "working"
    ASLEEP = "asleep"
    FAILED = "failed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Status:
    """What an engine says of itself.

    ``progress`` is 0..1 while loading. ``message`` is for the user: filled in when loading, when failed, and when ready
    without an adapter that was wanted.
    ``special_tokens`` are the literals that the tokenizer holds as single tokens; they tell the FIM family.
    """

    phase: Phase
    message: str = ""
    progress: float = 0.0
    model: str = ""
    architecture: str = ""
    device: str = ""
    dtype: str = ""
    context_tokens: int = 0
    special_tokens: frozenset[str] = frozenset()
    adapters: tuple[AdapterStatus, ...] = ()
    memory_bytes: int = 0


class Engine(Protocol):
    """A resident model. Every method may be called from any thread of any event loop unless said otherwise."""

    def stream(self, request: Request) -> AsyncIterator[Chunk]:
        """Chunks as they are made; closing the iterator cancels the request.

        Raises EngineNotReady, EngineClosed, PromptTooLong, OutOfMemory.
        """
        ...

    async def prefill(self, request: Request) -> None:
        """Read the prompt into the cache and answer nothing."""
        ...

    def count(self, text: str) -> int:
        """Tokens of ``text`` as plain text, in the model's own vocabulary. Raises EngineNotReady."""
        ...

    def status(self) -> Status:
        """Now, without waiting."""
        ...

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        """Make ``adapter`` resident under ``name``; no running request notices. In place of one of the same name.

        Raises AdapterInvalid, EngineNotReady, EngineClosed, OutOfMemory.
        """
        ...

    async def detach(self, name: str) -> None:
        """Forget an adapter once the requests that use it are over. Raises AdapterInvalid if there is none."""
        ...

    def subscribe(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        """Call ``listener`` on every change, from the engine's own thread; the answer unsubscribes."""
        ...

    def start(self) -> None:
        """Begin to load, in the background; at most once."""
        ...

    def close(self) -> None:
        """End every request, free the device, join the thread. Idempotent."""
        ...
