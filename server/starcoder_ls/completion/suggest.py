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

from starcoder_ls.completion import closers, healing, prompt, stop, tidy, window
from starcoder_ls.completion.answer import Answer, collected
from starcoder_ls.completion.counter import Counter
from starcoder_ls.completion.gap import Gap
from starcoder_ls.completion.place import Place, with_line_feeds
from starcoder_ls.context import secrets
from starcoder_ls.context.snippets import NOTHING, Gathered
from starcoder_ls.errors import PromptTooLong
from starcoder_ls.generation import (
    CancelFlag,
    Engine,
    Finish,
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
    around: Gathered = NOTHING


@dataclass(frozen=True, slots=True)
class Suggestion:
    """``text`` replaces ``start`` .. ``end`` of the document; timings are those of the whole request."""

    text: str
    start: int
    end: int
    finish: Finish
    prompt_tokens: int
    new_tokens: int
    timings: Timings
    source: Source = Source.MODEL


@dataclass(frozen=True, slots=True)
class Question:
    """What the model is asked about a place. It holds no whole document: memories keep it.

    ``gap`` is the place as stop and tidy want it, closers included. ``opening`` is what the answer must begin with;
    ``said`` is the beginning of an answer that the model is to go on with; ``evidence`` is text of other files whose
    repetitions count.
    """

    prompt: prompt.Prompt
    gap: Gap
    place: Place
    adapter: str | None = None
    document: str = ""
    client: str = ""
    opening: str = ""
    said: str = ""
    is_healed: bool = False
    evidence: tuple[str, ...] = ()

    def resumed(self, said: str) -> Question:
        """The same with ``said`` already there: the model goes on behind it, and the cache holds most of that."""
        if not said:
            return self
        *parts, last = self.prompt.parts
        made, continued = self.opening + said, self.prompt.continued
        if isinstance(last, str):
            made = last + made
        else:
            parts.append(last)
            continued = (*continued, len(parts))
        kept, opening = healing.split(made) if self.is_healed else (made, "")
        prompt = replace(self.prompt, parts=(*parts, kept), continued=continued)
        return replace(self, prompt=prompt, opening=opening, said=said)

    def stop(self) -> StopRule:
        """The stop rule for what comes behind ``said``."""
        rule, said = stop.rule(self.gap), self.said

        def behind(text: str) -> int | None:
            kept = rule(said + text)
            return None if kept is None else kept - len(said)

        return behind if said else rule

    def reading(self) -> Request:
        """What can be read of the prompt before the cursor stands still: all up to the last word, which may grow."""
        parts, continued = self.prompt.parts, self.prompt.continued
        if continued and (continued[-1] == len(parts) - 1 or self.prompt.order == "psm"):
            at = continued[-1]
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
            continued=self.prompt.continued,
            end_tokens=self.prompt.ends,
            candidates=candidates,
            sampling=Sampling(settings.temperature, settings.top_p) if candidates > 1 else Sampling(),
            stop=self.stop(),
            adapter=self.adapter,
            priority=priority,
            deadline_s=time.monotonic() + settings.budget_ms / 1000,
            opening=self.opening,
            evidence=self.evidence,
            document=self.document,
            client=self.client,
        )


_COUNTERS: WeakKeyDictionary[Engine, Counter] = WeakKeyDictionary()


def _counter(engine: Engine) -> Counter:
    if (counter := _COUNTERS.get(engine)) is None:
        counter = _COUNTERS[engine] = Counter(engine.count)
    return counter


def question(engine: Engine, cursor: Cursor, settings: InlineCompletion) -> Question:
    """The window around the cursor in the family's order. Raises EngineNotReady, ModelUnsupported, PromptTooLong."""
    status = engine.status()
    family = prompt.family_of(status.special_tokens)
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
    is_spm = prompt.order_of(family, order) == "spm"
    kept, opening = healing.split(seen) if settings.heal_words else (seen, "")
    asked = prompt.fim(
        family,
        status.special_tokens,
        kept,
        unseen if is_spm else view.closers + unseen,
        path,
        order,
        cursor.around,
        cursor.language,
    )
    place = Place(before, below, is_first=view.start == 0, is_last=view.end == len(cursor.text))
    return Question(
        asked,
        gap_at(cursor, before, after, settings),
        place,
        cursor.adapter,
        cursor.document,
        cursor.client,
        opening,
        is_healed=settings.heal_words,
        evidence=cursor.around.evidence,
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
    asked = question(engine, cursor, settings)
    request = replace(asked.request(settings, candidates), cancel=cancel or CancelFlag())
    answers, timings = await collected(engine, request, settings.least_confidence(cursor.language))
    if request.cancel.is_set():
        return []
    return shown(answers, timings, cursor, asked.gap)


def gap_at(cursor: Cursor, before: str, after: str, settings: InlineCompletion) -> Gap:
    """The gap between two texts of the cursor's document, in line feeds."""
    above = with_line_feeds(cursor.text[: max(0, cursor.offset - len(before))])
    return Gap.at(before, after, cursor.language, settings.rules_off, above)


def shown(
    answers: Sequence[Answer],
    timings: Timings,
    cursor: Cursor,
    gap: Gap,
    source: Source = Source.MODEL,
) -> list[Suggestion]:
    """What of ``answers`` is worth showing at ``cursor``, each said once, the likeliest first.

    A suggestion that closes what the editor has closed already replaces those closers.
    """
    suggestions: dict[str, Suggestion] = {}  # by what they say
    own = closers.right_of(gap.after)
    for answer in sorted(answers, key=lambda answer: -answer.confidence):
        text = tidy.shown(answer.text, gap, answer.finish)
        if text and _gist(text, gap) not in suggestions and not secrets.holds(text, gap.before):
            end = cursor.offset + closers.taken(text, own)
            suggestions[_gist(text, gap)] = Suggestion(
                text, cursor.offset, end, answer.finish, timings.prompt_tokens, answer.tokens, timings, source
            )
    return list(suggestions.values())


def _gist(text: str, gap: Gap) -> str:
    """What tells two candidates apart: no blanks, no comment at a line's end, no kind of quotes, no last comma."""
    for mark in gap.language.line_comments:
        text = "\n".join(line.partition(f" {mark}")[0] for line in text.split("\n"))
    return "".join(text.split()).replace("'", '"').rstrip(",;")
