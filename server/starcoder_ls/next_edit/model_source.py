"""Next edits that a model proposes: what follows the recent edits in the lines below them.

Decides what is not proposed: anything at the cursor or at a recent edit, anything of which the model is not confident,
and what breaks the syntax.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.context.edit_history import RecentEdit
from starcoder_ls.generation import Chunk, Engine, Timings
from starcoder_ls.next_edit.edit_prompt import EditPrompt, build_prompt
from starcoder_ls.next_edit.edit_route import EditRoute
from starcoder_ls.next_edit.edit_subject import write_subject
from starcoder_ls.next_edit.edit_window import EditWindow, find_window
from starcoder_ls.next_edit.mechanical import OpenText
from starcoder_ls.next_edit.model_answer import ModelAnswer
from starcoder_ls.next_edit.source import MAX_SOURCE_CHARS, source_of
from starcoder_ls.next_edit.token_changes import Replacement, locate_edit


@dataclass(frozen=True, slots=True)
class ModelEdit:
    """A proposed edit with the probability of its tokens (geometric mean), and what the answer cost."""

    replacement: Replacement
    confidence: float
    timings: Timings | None = None


@dataclass(frozen=True, slots=True)
class EditRequest:
    """A window and the prompt for it. ``edits`` are those of the document, newest first."""

    document: OpenText
    cursor: int
    edits: tuple[RecentEdit, ...]
    window: EditWindow
    prompt: EditPrompt


def prepare_edit(
    engine: Engine,
    route: EditRoute,
    document: OpenText,
    cursor: int,
    edits: Sequence[RecentEdit],
    client: str = "",
    cancel: CancelFlag | None = None,
    subject: str | None = None,
) -> EditRequest | None:
    """What to ask the model after ``edits``, those of all documents, newest first; None if there is nothing.

    ``subject`` replaces the subject that ``edits`` give. Raises EngineNotReady.
    """
    if not engine.status().capabilities.logprobs:  # the confidence would be unknown
        return None
    subject = write_subject(edits) if subject is None else subject
    own = tuple(edit for edit in edits if edit.uri == document.uri)
    window = find_window(document.text, cursor, own) if subject else None
    if window is None or not window.rest.strip():
        return None
    prompt = build_prompt(engine, route, window, subject, document.language, document.uri, client, cancel)
    return None if prompt is None else EditRequest(document, cursor, own, window, prompt)


async def find_model_edit(engine: Engine, request: EditRequest) -> ModelEdit | None:
    """The first change that the model makes; None if it makes none that may be proposed.

    Raises what ``Engine.stream`` raises.
    """
    answer = ModelAnswer(request.window, request.prompt.closing)
    timings: Timings | None = None
    async with aclosing(cast("AsyncGenerator[Chunk]", engine.stream(request.prompt.request))) as stream:
        async for chunk in stream:
            timings = chunk.timings or timings
            answer.add(chunk)
            if answer.has_ended:
                break
    replacement = answer.replacement(request.document.text)
    if replacement is None or _is_touched(replacement, request):
        return None
    return ModelEdit(replacement, answer.confidence(), timings)


def keeps_syntax(document: OpenText, replacement: Replacement) -> bool:
    """Whether a text without syntax errors has none after ``replacement``. Parses the text twice."""
    text = document.text
    if len(text) > MAX_SOURCE_CHARS:
        return True
    before = source_of(text, document.language).tree
    if before is None or before.root_node.has_error:
        return True
    changed = text[: replacement.start] + replacement.text + text[replacement.end :]
    after = source_of(changed, document.language).tree
    return after is None or not after.root_node.has_error


def _is_touched(replacement: Replacement, request: EditRequest) -> bool:
    """Whether ``replacement`` is near the cursor, or where the user has edited."""
    text = request.document.text
    if _is_near_cursor(replacement, request.cursor, text):
        return True
    spans = (locate_edit(edit, text) for edit in request.edits)
    return any(span is not None and span[0] <= replacement.end and replacement.start <= span[1] for span in spans)


def _is_near_cursor(replacement: Replacement, cursor: int, text: str) -> bool:
    """Whether ``replacement`` is in the line of ``cursor``, or inserts lines directly below it: completions do both."""
    line, line_end = text.rfind("\n", 0, cursor) + 1, text.find("\n", cursor)
    line_end = len(text) if line_end < 0 else line_end
    is_below = not replacement.old and replacement.start == line_end + 1
    return is_below or (line <= replacement.end and replacement.start <= line_end)
