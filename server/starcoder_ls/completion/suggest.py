"""One cursor to its suggestions: window, prompt, generation, stop, tidy. The walk of a keystroke in one place.

Refuses to know editors, positions and what runs the model.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import PurePath
from typing import cast

from starcoder_ls.completion import healing, prompt, stop, tidy, window
from starcoder_ls.errors import PromptTooLong
from starcoder_ls.generation import (
    CancelFlag,
    Chunk,
    Engine,
    Finish,
    Request,
    Sampling,
    Timings,
)
from starcoder_ls.settings import InlineCompletion

_MARKS_TOKENS = 64  # room for the special tokens and the file's name
_LEAST_TOKENS = 32
_PATH_PARTS, _PATH_CHARS = 3, 80
_CARRIAGE_RETURN = re.compile(r"\r\n?")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a document. ``offset`` counts characters of ``text``; ``document`` is the key of its caches.

    ``adapter`` is who answers, None the base.
    """

    text: str
    offset: int
    language: str = ""
    path: str = ""
    document: str = ""
    adapter: str | None = None


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


@dataclass(frozen=True, slots=True)
class Question:
    """What the model is asked about a cursor."""

    prompt: prompt.Prompt
    opening: str
    before: str
    after: str


def question(engine: Engine, cursor: Cursor, settings: InlineCompletion) -> Question:
    """The window around the cursor in the family's order. Raises EngineNotReady, ModelUnsupported, PromptTooLong."""
    status = engine.status()
    family = prompt.family_of(status.special_tokens)
    virtual_tokens = sum(held.virtual_tokens for held in status.adapters if held.name == cursor.adapter)
    context_tokens = status.context_tokens - virtual_tokens
    room = min(settings.prompt_tokens, context_tokens - settings.max_new_tokens - _MARKS_TOKENS)
    if room < _LEAST_TOKENS:
        raise PromptTooLong(
            f"The model reads {context_tokens} tokens, which leaves no room for a prompt beside suggestions of "
            f"{settings.max_new_tokens}. Lower `inline_completion.max_new_tokens`."
        )
    view = window.around(cursor.text, cursor.offset, room, settings.suffix_percent / 100, engine.count)
    path = "/".join(PurePath(cursor.path).parts[-_PATH_PARTS:]).lstrip("/")[-_PATH_CHARS:]
    order = None if settings.fim_order == "auto" else settings.fim_order
    before, after = with_line_feeds(view.prefix), with_line_feeds(view.suffix)
    kept, opening = healing.split(before) if settings.heal_words else (before, "")
    return Question(prompt.fim(family, status.special_tokens, kept, after, path, order), opening, before, after)


def with_line_feeds(text: str) -> str:
    """Line ends as models know them; editors put their own into what they insert."""
    return _CARRIAGE_RETURN.sub("\n", text) if "\r" in text else text


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
    request = Request(
        parts=asked.prompt.parts,
        max_new_tokens=settings.max_new_tokens,
        continued=asked.prompt.continued,
        opening=asked.opening,
        end_tokens=asked.prompt.ends,
        candidates=candidates,
        sampling=Sampling(settings.temperature, settings.top_p) if candidates > 1 else Sampling(),
        stop=stop.rule(asked.before, asked.after),
        deadline_s=time.monotonic() + settings.budget_ms / 1000,
        adapter=cursor.adapter,
        document=cursor.document,
        cancel=cancel or CancelFlag(),
    )
    answers = await _collect(engine, request)
    if request.cancel.is_set():
        return []
    return _different(answers, cursor, asked)


@dataclass(slots=True)
class _Answer:
    text: str = ""
    tokens: int = 0
    finish: Finish = Finish.END_OF_TEXT


async def _collect(engine: Engine, request: Request) -> tuple[list[_Answer], Timings]:
    answers = [_Answer() for _ in range(request.candidates)]
    timings = Timings()
    async with aclosing(cast("AsyncGenerator[Chunk]", engine.stream(request))) as stream:
        async for chunk in stream:
            answer = answers[chunk.candidate]
            answer.text += chunk.text
            answer.tokens += len(chunk.token_ids)
            answer.finish = chunk.finish or answer.finish
            timings = chunk.timings or timings
    return answers, timings


def _different(collected: tuple[list[_Answer], Timings], cursor: Cursor, asked: Question) -> list[Suggestion]:
    answers, timings = collected
    suggestions: dict[str, Suggestion] = {}
    for answer in answers:
        text = tidy.shown(answer.text, asked.before, asked.after, answer.finish)
        if text and text not in suggestions:
            suggestions[text] = Suggestion(
                text,
                cursor.offset,
                cursor.offset,
                answer.finish,
                timings.prompt_tokens,
                answer.tokens,
                timings,
            )
    return list(suggestions.values())
