"""One cursor to its suggestions: window, prompt, generation, stop, tidy. The walk of a keystroke in one place.

Refuses to know editors, positions and what runs the model.
"""

from __future__ import annotations

import enum
import functools
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from weakref import WeakKeyDictionary

from starcoder_ls.completion.anchor import Anchor, with_line_feeds
from starcoder_ls.completion.insertion_point import InsertionPoint
from starcoder_ls.completion.output import auto_closers, postprocess, stop_rules
from starcoder_ls.completion.output.generated_answer import GeneratedAnswer, collected
from starcoder_ls.completion.prompt import fim, token_healing, window
from starcoder_ls.completion.prompt.token_counter import TokenCounter
from starcoder_ls.context import secrets
from starcoder_ls.context.snippets import NO_CONTEXT, PromptContext
from starcoder_ls.errors import PromptTooLong
from starcoder_ls.generation import (
    CancelFlag,
    Engine,
    FinishReason,
    Priority,
    Request,
    Sampling,
    StopRule,
    Timings,
)
from starcoder_ls.settings import InlineCompletion

_MARKS_TOKENS = 64  # room for the special tokens and the file's name
_LEAST_TOKENS = 32
_PATH_PARTS, _PATH_CHARS = 3, 80

_LAST_PIECE = re.compile(r"\s*(?:\w+|[^\w\s]+)\Z|\s+\Z")


class Source(enum.StrEnum):
    """Where an answer came from."""

    MODEL = "model"
    RESUMED = "resumed"
    """The model, going on with what it had begun for an earlier request."""
    MEMORY = "memory"
    AHEAD = "ahead"
    """Made before it was asked for."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a document. ``offset`` counts characters of ``text``; ``document`` is the key of its caches.

    ``client`` is whose turn a request for it takes, ``adapter`` the one that answers it, ``around`` what the model is
    shown of other files.
    """

    text: str
    offset: int
    language: str = ""
    path: str = ""
    document: str = ""
    client: str = ""
    adapter: str | None = None
    around: PromptContext = NO_CONTEXT


@dataclass(frozen=True, slots=True)
class Suggestion:
    """``text`` replaces ``start`` .. ``end`` of the document; timings are those of the whole request."""

    text: str
    start: int
    end: int
    finish_reason: FinishReason
    prompt_tokens: int
    new_tokens: int
    timings: Timings
    source: Source = Source.MODEL


@dataclass(frozen=True, slots=True)
class FimPrompt:
    """What the model is asked about a place. It holds no whole document: memories keep it.

    ``gap`` is the place as stop and tidy want it, closers included. ``opening`` is what the answer must begin with;
    ``said`` is the beginning of an answer that the model is to go on with; ``evidence`` is text of other files whose
    repetitions count.
    """

    prompt: fim.PromptParts
    gap: InsertionPoint
    place: Anchor
    adapter: str | None = None
    document: str = ""
    client: str = ""
    forced_prefix: str = ""
    said: str = ""
    is_healed: bool = False
    lookup_text: tuple[str, ...] = ()

    def resumed(self, said: str) -> FimPrompt:
        """The same with ``said`` already there: the model goes on behind it, and the cache holds most of that."""
        if not said:
            return self
        *parts, last = self.prompt.parts
        made, prefix_parts = self.forced_prefix + said, self.prompt.prefix_parts
        if isinstance(last, str):
            made = last + made
        else:
            parts.append(last)
            prefix_parts = (*prefix_parts, len(parts))
        kept, forced_prefix = token_healing.split(made) if self.is_healed else (made, "")
        prompt = replace(self.prompt, parts=(*parts, kept), prefix_parts=prefix_parts)
        return replace(self, prompt=prompt, forced_prefix=forced_prefix, said=said)

    def stop(self) -> StopRule:
        """The stop rule for what comes behind ``said``."""
        rule, said = stop_rules.rule(self.gap), self.said

        def behind(text: str) -> int | None:
            kept = rule(said + text)
            return None if kept is None else kept - len(said)

        return behind if said else rule

    def reading(self) -> Request:
        """What can be read of the prompt before the cursor stands still: all up to the last word, which may grow."""
        parts, prefix_parts = self.prompt.parts, self.prompt.prefix_parts
        if prefix_parts and (prefix_parts[-1] == len(parts) - 1 or self.prompt.order == "psm"):
            at = prefix_parts[-1]
            kept = _LAST_PIECE.sub("", str(parts[at]))
            parts = (*parts[:at], kept) if kept else parts[:at]
        return Request(
            parts=parts,
            max_new_tokens=0,
            adapter=self.adapter,
            priority=Priority.PREFILL,
            document=self.document,
            client=self.client,
        )

    def request(
        self, settings: InlineCompletion, candidates: int = 1, priority: Priority = Priority.COMPLETION
    ) -> Request:
        """The one place where a question becomes a request."""
        return Request(
            parts=self.prompt.parts,
            max_new_tokens=settings.max_new_tokens,
            prefix_parts=self.prompt.prefix_parts,
            end_tokens=self.prompt.ends,
            candidates=candidates,
            sampling=Sampling(settings.temperature, settings.top_p) if candidates > 1 else Sampling(),
            stop=self.stop(),
            adapter=self.adapter,
            priority=priority,
            deadline_s=time.monotonic() + settings.budget_ms / 1000,
            forced_prefix=self.forced_prefix,
            lookup_text=self.lookup_text,
            document=self.document,
            client=self.client,
        )


_COUNTERS: WeakKeyDictionary[Engine, TokenCounter] = WeakKeyDictionary()


def _counter(engine: Engine) -> TokenCounter:
    if (counter := _COUNTERS.get(engine)) is None:
        counter = _COUNTERS[engine] = TokenCounter(engine.count_tokens)
    return counter


def build_prompt(engine: Engine, cursor: Cursor, settings: InlineCompletion) -> FimPrompt:
    """The window around the cursor in the family's order. Raises EngineNotReady, ModelUnsupported, PromptTooLong."""
    status = engine.status()
    family = fim.family_of(status.special_tokens)
    virtual_tokens = sum(held.virtual_tokens for held in status.adapters if held.name == cursor.adapter)
    context_tokens = status.context_tokens - virtual_tokens
    taken = settings.max_new_tokens + cursor.around.tokens + _MARKS_TOKENS
    room = min(settings.prompt_tokens, context_tokens - taken)
    if room < _LEAST_TOKENS:
        raise PromptTooLong(
            f"The model reads {context_tokens} tokens, which leaves no room for a prompt beside suggestions of "
            f"{settings.max_new_tokens}. Lower `inline_completion.max_new_tokens`."
        )
    view = window.around(cursor.text, cursor.offset, room, settings.suffix_percent / 100, _counter(engine))
    path = _shown_path(cursor.path)
    order = None if settings.fim_order == "auto" else settings.fim_order
    before, below = with_line_feeds(view.prefix), with_line_feeds(view.suffix)
    after = view.closers + below
    seen = with_line_feeds(secrets.masked_part(cursor.text, view.start, cursor.offset))
    unseen = with_line_feeds(secrets.masked_part(cursor.text, view.end - len(view.suffix), view.end))
    is_spm = fim.order_of(family, order) == "spm"
    kept, forced_prefix = token_healing.split(seen) if settings.heal_words else (seen, "")
    asked = fim.fim_parts(
        family,
        status.special_tokens,
        kept,
        unseen if is_spm else view.closers + unseen,
        path,
        order,
        cursor.around,
        cursor.language,
    )
    place = Anchor(before, below, is_first=view.start == 0, is_last=view.end == len(cursor.text))
    return FimPrompt(
        asked,
        gap_at(cursor, before, after, settings),
        place,
        cursor.adapter,
        cursor.document,
        cursor.client,
        forced_prefix,
        is_healed=settings.heal_words,
        lookup_text=cursor.around.lookup_text,
    )


@functools.lru_cache(maxsize=64)
def _shown_path(path: str) -> str:
    return "/".join(PurePath(path).parts[-_PATH_PARTS:]).lstrip("/")[-_PATH_CHARS:]


async def suggest(
    engine: Engine,
    cursor: Cursor,
    settings: InlineCompletion,
    candidates: int = 1,
    cancel: CancelFlag | None = None,
) -> list[Suggestion]:
    """Up to ``candidates`` different suggestions, likeliest first; none if there is nothing worth showing.

    Raises what ``question`` and ``Engine.stream`` raise. Cancelling the task, or ``cancel``, stops the device.
    """
    asked = build_prompt(engine, cursor, settings)
    request = replace(asked.request(settings, candidates), cancel=cancel or CancelFlag())
    answers, timings = await collected(engine, request, settings.least_confidence(cursor.language))
    if request.cancel.is_set():
        return []
    return shown(answers, timings, cursor, asked.gap)


def gap_at(cursor: Cursor, before: str, after: str, settings: InlineCompletion) -> InsertionPoint:
    """The gap between two texts of the cursor's document, in line feeds."""
    above = with_line_feeds(cursor.text[: max(0, cursor.offset - len(before))])
    return InsertionPoint.at(before, after, cursor.language, settings.rules_off, above)


def shown(
    answers: Sequence[GeneratedAnswer],
    timings: Timings,
    cursor: Cursor,
    gap: InsertionPoint,
    source: Source = Source.MODEL,
) -> list[Suggestion]:
    """What of ``answers`` is worth showing at ``cursor``, each said once, the likeliest first.

    A suggestion that closes what the editor has closed already replaces those closers.
    """
    suggestions: dict[str, Suggestion] = {}  # by what they say
    own = auto_closers.right_of(gap.after)
    for answer in sorted(answers, key=lambda answer: -answer.confidence):
        text = postprocess.shown(answer.text, gap, answer.finish_reason)
        if text and _gist(text, gap) not in suggestions and not secrets.holds(text, gap.before):
            end = cursor.offset + auto_closers.taken(text, own)
            suggestions[_gist(text, gap)] = Suggestion(
                text, cursor.offset, end, answer.finish_reason, timings.prompt_tokens, answer.tokens, timings, source
            )
    return list(suggestions.values())


def _gist(text: str, gap: InsertionPoint) -> str:
    """What tells two candidates apart: no blanks, no comment at a line's end, no kind of quotes, no last comma."""
    for mark in gap.language.line_comments:
        text = "\n".join(line.partition(f" {mark}")[0] for line in text.split("\n"))
    return "".join(text.split()).replace("'", '"').rstrip(",;")
