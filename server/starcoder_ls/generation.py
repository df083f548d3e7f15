"""The interface between the text features and whatever runs the model: requests, answers, status, engines.

It defines the types only. An engine may run in this process (``engine.LocalEngine``) or in another one
(``daemon.EngineClient``) or on another machine (``remote``); the features use each through ``Engine``.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Protocol

from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.settings import Adapter, Settings


@dataclass(frozen=True, slots=True)
class SpecialToken:
    """A special token of the checkpoint, identified by its literal (``<fim_prefix>``).

    The same characters inside a plain ``str`` part are text and are tokenized as text.
    """

    literal: str


PromptPart = str | SpecialToken

StopRule = Callable[[str], int | None]
"""Maps the text generated so far to the number of its characters to keep, which ends the generation, or to None.

It is called after every token, with whole characters only. It must be pure and fast (well under 1 ms).
"""


class Priority(enum.IntEnum):
    """Scheduling priority of a request. Lower values run first."""

    COMPLETION = 0
    PREFILL = 1
    EXPLANATION = 2
    NEXT_EDIT = 3


class FinishReason(enum.StrEnum):
    """Why the generation of a candidate ended."""

    END_OF_TEXT = "end_of_text"
    STOP_RULE = "stop_rule"
    LENGTH = "length"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is selected. Temperature 0 is greedy; among equal logits the lowest token id wins.

    ``seed`` repeats an answer within one engine and version only: engines draw random numbers differently.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


GREEDY = Sampling()


@dataclass(frozen=True, slots=True)
class Request:
    """A request for a generation.

    ``prefix_parts`` are the indices in ``parts`` of the text that the answer continues (the FIM prefix), in order.
    ``forced_prefix`` is text that the answer must begin with. Chunks do not contain it and ``stop`` does not see it.
    Completion uses it after a blank: the blank is removed from the prompt and forced into the answer, because
    tokenizers join a blank to the word that follows it.
    ``end_tokens`` end a candidate, as the checkpoint's end-of-text token does. They are never part of the text.
    ``candidates`` is the number of sequences to generate. ``sampling`` selects them; of several, the first is greedy.
    ``lookup_text`` is text of other files that is not part of the prompt, the most similar last. An engine that mixes
    in n-grams of the document searches it too. ``prediction`` is text that the answer probably copies in parts: an
    engine may verify it as drafts. ``adapter`` is a name from ``Status.adapters``; None means the base model alone.
    ``deadline_s`` is a time of ``time.monotonic()``. ``document`` identifies the prefix cache to use. The engine shares
    the device fairly between the values of ``client``.
    """

    parts: tuple[PromptPart, ...]
    max_new_tokens: int
    prefix_parts: tuple[int, ...] = ()
    forced_prefix: str = ""
    end_tokens: tuple[SpecialToken, ...] = ()
    candidates: int = 1
    sampling: Sampling = GREEDY
    stop: StopRule | None = None
    lookup_text: tuple[str, ...] = ()
    prediction: str = ""
    adapter: str | None = None
    priority: Priority = Priority.COMPLETION
    deadline_s: float | None = None
    document: str = ""
    client: str = ""
    cancel: CancelFlag = field(default_factory=CancelFlag)


@dataclass(frozen=True, slots=True)
class Timings:
    """Durations in milliseconds and counts of tokens and steps of a request.

    A step is one forward pass of the model. The duration of a pass that several requests share counts for each of
    them. ``draft_tokens`` were proposed by prompt lookup and verified together with another token; the model confirmed
    ``accepted_tokens`` of them, each of which saves a step.
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
        """Decoding time per token, without the first token, which the prefill produces. With several candidates: per
        token of each."""
        return self.decode_ms / max(self.decode_steps + self.accepted_tokens, 1)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Part of the output of a candidate.

    The concatenated ``text`` of a candidate's chunks is its text, without what the stop rule cuts off and without an
    incomplete character at the end. Without a stop rule, text is streamed. With one, the candidate's last chunk holds
    all of its text, since a later token may shorten it; the chunks before it hold token ids only.
    The last chunk of a candidate has ``finish_reason`` set; the last chunk of the request also has ``timings``.
    ``logprob`` is the sum over ``token_ids`` (natural logarithm, before temperature and top-p). End tokens are in
    neither of the two.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    logprob: float = 0.0
    candidate: int = 0
    finish_reason: FinishReason | None = None
    timings: Timings | None = None


@dataclass(frozen=True, slots=True)
class AdapterStatus:
    """A resident adapter. ``method`` is PEFT's name of its type (``LORA``), ``source`` its folder or Hub id.

    ``virtual_tokens`` precede every prompt (P-Tuning) and reduce the context by their number. ``folder`` is the one
    that was read: if ``source`` is a link, what it pointed to then.
    """

    name: str
    method: str = ""
    source: str = ""
    memory_bytes: int = 0
    virtual_tokens: int = 0
    folder: str = ""


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """The prompt of a chat-tuned checkpoint: the texts that its chat template writes around two messages.

    ``before_system``, the system message, ``before_question``, the user's message, ``after_question``; the answer
    follows. ``before_system`` is None if the template takes no system message.
    ``end_tokens`` are the special tokens that end an answer. ``next_question`` is plain text that begins the user's
    next message, or empty. ``problem`` says why the template cannot be used; the other fields are empty then.
    """

    before_system: str | None = None
    before_question: str = ""
    after_question: str = ""
    end_tokens: tuple[str, ...] = ()
    next_question: str = ""
    problem: str = ""


class Phase(enum.StrEnum):
    """State of an engine. ``FAILED`` is final until the engine is started again; ``ASLEEP`` holds no weights."""

    LOADING = "loading"
    READY = "ready"
    WORKING = "working"
    ASLEEP = "asleep"
    FAILED = "failed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do. Callers look here; they never test which engine they have. The defaults are those of a
    model in this process.

    ``document_ngrams``: it reads ``Request.lookup_text``. ``prefill_delay_s``: how long a text must rest before
    ``prefill`` pays; None if ``prefill`` does nothing. ``forced_prefix``: it obeys ``Request.forced_prefix``.
    ``attach``: adapters can be loaded while it runs. ``exact_token_ids``, ``logprobs``: those of a ``Chunk`` are
    complete. ``cache_salt``: clients can keep their cached prompts apart.
    """

    document_ngrams: bool = True
    prefill_delay_s: float | None = 0.0
    forced_prefix: bool = True
    attach: bool = True
    exact_token_ids: bool = True
    logprobs: bool = True
    cache_salt: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """State and properties of an engine.

    ``progress`` runs from 0 to 1 while loading. ``message`` is for the user: it is set while loading, after a failure,
    and in the ready state if something was not as expected. ``missing_adapters`` are those of the settings that could
    not be loaded.
    ``special_tokens`` are the literals that the tokenizer encodes as single tokens. They identify the FIM family.
    ``chat`` is None if the checkpoint has no chat template. ``needs_new_process``: after this failure no engine can be
    loaded in the same process.
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
    missing_adapters: tuple[str, ...] = ()
    memory_bytes: int = 0
    chat: ChatFormat | None = None
    capabilities: Capabilities = Capabilities()
    needs_new_process: bool = False


class Engine(Protocol):
    """A loaded model. Every method may be called from any thread and any event loop."""

    def stream(self, request: Request) -> AsyncIterator[Chunk]:
        """Yield chunks as they are generated. Closing the iterator cancels the request.

        Raises EngineNotReady, EngineClosed, PromptTooLong, OutOfMemory; EngineUnreachable and EngineBusy if the model
        is on another machine.
        """
        ...

    async def prefill(self, request: Request) -> None:
        """Read the prompt into the prefix cache without generating anything."""
        ...

    def count_tokens(self, text: str) -> int:
        """Number of tokens of ``text`` in the model's vocabulary, as plain text. Raises EngineNotReady."""
        ...

    def status(self) -> Status:
        """The current status. It does not block."""
        ...

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        """Load ``adapter`` as ``name``, replacing an adapter of that name. Running requests are not affected.

        Raises AdapterInvalid, EngineNotReady, EngineClosed, OutOfMemory.
        """
        ...

    async def detach(self, name: str) -> None:
        """Unload an adapter when the requests that use it have ended. Raises AdapterInvalid if there is none."""
        ...

    def subscribe(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        """Call ``listener`` with each new status, on the engine's thread. The returned function unsubscribes."""
        ...

    def start(self) -> None:
        """Begin to load the model in the background. Call it at most once."""
        ...

    def close(self) -> None:
        """Cancel every request, free the device and join the engine's thread. Idempotent."""
        ...


class EngineFactory(Protocol):
    """Creates the engine that settings describe: a local one, or that of a daemon. The engine is not started.

    Implementations are in ``commands.support.engine_factory``; everything below ``commands`` receives a factory.
    """

    def __call__(self, settings: Settings, /) -> Engine:
        """Raises StarcoderError if the settings name an engine that cannot exist here."""
        ...
