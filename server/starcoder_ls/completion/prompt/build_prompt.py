"""The prompt for a cursor, and the requests to the engine that are made of it.

Decides the prompt's budget, masks secrets, and removes the unfinished word for token healing.
"""

from __future__ import annotations

import functools
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from weakref import WeakKeyDictionary

from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.completion.anchor import Anchor, normalize_line_ends
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.insertion_point import InsertionPoint
from starcoder_ls.completion.output.stop_rules import build_stop_rule
from starcoder_ls.completion.prompt import fim, notebook_format, token_healing, window
from starcoder_ls.completion.prompt.commented_files import format_as_comments
from starcoder_ls.completion.prompt.families import Family, find_family
from starcoder_ls.completion.prompt.token_counter import TokenCounter
from starcoder_ls.context import secrets
from starcoder_ls.errors import PromptTooLong
from starcoder_ls.generation import Engine, Priority, Request, Sampling, Status
from starcoder_ls.settings import InlineCompletion

_FORMAT_TOKENS = 64  # for the special tokens and the file's name
_MIN_PROMPT_TOKENS = 32
_OUTPUT_SHARE = 4  # outputs of cells take at most a quarter of the prompt
_MAX_PATH_PARTS, _MAX_PATH_CHARS = 3, 80

_MAX_WORD_CHARS = 200
_LAST_WORD = re.compile(r"\s*(?:\w+|[^\w\s]+)\Z|\s+\Z")


@dataclass(frozen=True, slots=True)
class FimPrompt:
    """What the model reads for a cursor. It does not hold the whole document, since caches keep prompts.

    ``insertion_point`` is the cursor as stop rules and filters need it, closers included. The answer must begin with
    ``forced_prefix``, which token healing sets. ``lookup_text`` is text of other files for n-gram lookup.
    """

    layout: fim.PromptParts
    insertion_point: InsertionPoint
    anchor: Anchor
    adapter: str | None = None
    document: str = ""
    client: str = ""
    forced_prefix: str = ""
    has_token_healing: bool = False
    joins_punctuation: bool = False
    lookup_text: tuple[str, ...] = ()

    @property
    def memory_bytes(self) -> int:
        """What its texts take; the insertion point may also hold its lines one by one."""
        point = self.insertion_point
        parts = (part for part in self.layout.parts if isinstance(part, str))
        texts = (*parts, *self.lookup_text, *(point.before, point.after) * 2, point.parsable_before or "")
        return sum(map(sys.getsizeof, texts))

    def completion_request(
        self,
        settings: InlineCompletion,
        candidates: int = 1,
        priority: Priority = Priority.COMPLETION,
        generated: str = "",
        on_text: Callable[[str], None] | None = None,
        cancel: CancelFlag | None = None,
    ) -> Request:
        """The request for an answer that begins with ``generated`` (may be empty), which the model continues.

        ``generated`` becomes part of the prompt; the engine has most of it in its prefix cache. ``on_text`` is called
        after each token with the text that follows ``generated``, without what the stop rule cuts off.
        """
        parts, prefix_parts, forced_prefix = self.layout.parts, self.layout.prefix_parts, self.forced_prefix
        if generated:
            last = parts[-1]
            if isinstance(last, str):
                parts, text = parts[:-1], last + forced_prefix + generated
            else:
                prefix_parts, text = (*prefix_parts, len(parts)), forced_prefix + generated
            forced_prefix = ""
            if self.has_token_healing:
                text, forced_prefix = token_healing.split_unfinished_word(text, self.joins_punctuation)
            parts = (*parts, text)
        return Request(
            parts=parts,
            max_new_tokens=settings.max_new_tokens,
            prefix_parts=prefix_parts,
            end_tokens=self.layout.end_tokens,
            candidates=candidates,
            sampling=Sampling(settings.temperature, settings.top_p) if candidates > 1 else Sampling(),
            stop=build_stop_rule(self.insertion_point, generated, on_text),
            adapter=self.adapter,
            priority=priority,
            deadline_s=time.monotonic() + settings.budget_ms / 1000,
            forced_prefix=forced_prefix,
            lookup_text=self.lookup_text,
            document=self.document,
            client=self.client,
            cancel=cancel or CancelFlag(),
        )

    def prefill_request(self) -> Request:
        """The request to read all of the prompt but its last word, which the user may still be typing."""
        parts, prefix_parts = self.layout.parts, self.layout.prefix_parts
        if prefix_parts and (prefix_parts[-1] == len(parts) - 1 or self.layout.order == "psm"):
            index = prefix_parts[-1]
            text = str(parts[index])
            text = text[:-_MAX_WORD_CHARS] + _LAST_WORD.sub("", text[-_MAX_WORD_CHARS:])
            parts = (*parts[:index], text) if text else parts[:index]
        return Request(
            parts=parts,
            max_new_tokens=0,
            adapter=self.adapter,
            priority=Priority.PREFILL,
            document=self.document,
            client=self.client,
        )


def build_prompt(engine: Engine, cursor: Cursor, settings: InlineCompletion) -> FimPrompt:
    """The window around the cursor in the order of the model's family.

    Raises EngineNotReady, ModelUnsupported, and PromptTooLong if the settings leave no room for a prompt.
    """
    status, divided, count = engine.status(), cursor.divided, _token_counter(engine)
    family = find_family(status.special_tokens)
    virtual_tokens = sum(adapter.virtual_tokens for adapter in status.adapters if adapter.name == cursor.adapter)
    budget = _prompt_budget(status.context_tokens - virtual_tokens, cursor, settings)
    outputs = None
    if cursor.notebook is not None and notebook_format.is_read_by(status):
        outputs = notebook_format.select_outputs(cursor.notebook, budget // _OUTPUT_SHARE, count)
        budget -= outputs.tokens
    text, offset = cursor.whole_text, cursor.whole_offset
    view = window.fit_window(text, offset, divided.closers, budget, settings.suffix_percent / 100, count)
    requested = None if settings.fim_order == "auto" else settings.fim_order
    heals_words = settings.heal_words and status.capabilities.forced_prefix
    order = fim.resolve_order(family, requested, heals_words)
    before, below = normalize_line_ends(view.prefix), normalize_line_ends(view.suffix)
    prefix, suffix = secrets.mask_secrets_around(text, view.start, offset, view.end - len(view.suffix), view.end)
    prefix, forced_prefix = normalize_line_ends(prefix), ""
    if heals_words:
        prefix, forced_prefix = token_healing.split_unfinished_word(prefix, family.joins_punctuation)
    texts = prefix, suffix, "" if order == "spm" else divided.closers
    return FimPrompt(
        _layout(family, status, order, cursor, view, texts, outputs),
        cursor.insertion_point(before, divided.closers + below, settings),
        Anchor(before, below, has_document_start=view.start == 0, has_document_end=view.end == len(text)),
        cursor.adapter,
        cursor.document,
        cursor.client,
        forced_prefix,
        has_token_healing=heals_words,
        joins_punctuation=family.joins_punctuation,
        lookup_text=cursor.context.lookup_text,
    )


class LatestPrompt:
    """The last prompt of a document, which is used again where nothing that it depends on has changed: most editors ask
    some milliseconds after the key for whose text the engine has already prefilled it."""

    def __init__(self) -> None:
        self._latest: tuple[tuple[object, ...], FimPrompt] | None = None

    def build(self, engine: Engine, cursor: Cursor, settings: InlineCompletion) -> FimPrompt:
        """As ``build_prompt``."""
        status = engine.status()
        model = status.model, status.special_tokens, status.context_tokens, status.adapters, status.capabilities
        inputs = engine, *model, settings, cursor  # a tuple compares by identity first
        if self._latest is None or self._latest[0] != inputs:
            self._latest = inputs, build_prompt(engine, cursor, settings)
        return self._latest[1]

    def forget(self) -> None:
        self._latest = None


def _layout(
    family: Family,
    status: Status,
    order: fim.Order,
    cursor: Cursor,
    view: window.Window,
    texts: tuple[str, str, str],
    outputs: notebook_format.Outputs | None,
) -> fim.PromptParts:
    """The parts of the prompt for ``view``, whose prefix, suffix and closers are in ``texts``, masked.

    With ``outputs``, the model reads cells as they are; else the notebook is one text like any other.
    """
    prefix, suffix, closers = texts
    if outputs is None or cursor.notebook is None:
        suffix, path = closers + normalize_line_ends(suffix), _shorten_path(cursor.shown_path)
        return fim.build_parts(
            family, status.special_tokens, prefix, suffix, path, order, cursor.context, cursor.language
        )
    cells = notebook_format.cells_in_window(cursor.notebook, len(cursor.text), view.start, view.end, outputs)
    above_chars = max(0, len(cursor.notebook.above.text) - view.start)
    below_chars = max(0, view.end - len(cursor.notebook.above.text) - len(cursor.text))
    rest = normalize_line_ends(suffix[: max(0, len(suffix) - below_chars)])
    comments = format_as_comments(cursor.context.snippets, cursor.language)
    return notebook_format.build_parts(
        family,
        status.special_tokens,
        cells,
        prefix[above_chars:],
        closers + rest if rest.strip() else "",
        order,
        comments,
    )


def _prompt_budget(context_tokens: int, cursor: Cursor, settings: InlineCompletion) -> int:
    """Tokens for the text around the cursor. Raises PromptTooLong if there are too few."""
    reserved = settings.max_new_tokens + cursor.context.tokens + _FORMAT_TOKENS
    budget = min(settings.prompt_tokens, context_tokens - reserved)
    if budget < _MIN_PROMPT_TOKENS:
        raise PromptTooLong(
            f"The model reads {context_tokens} tokens, which leaves no room for a prompt beside suggestions of "
            f"{settings.max_new_tokens}. Lower `inline_completion.max_new_tokens`."
        )
    return budget


_TOKEN_COUNTERS: WeakKeyDictionary[Engine, TokenCounter] = WeakKeyDictionary()


def _token_counter(engine: Engine) -> TokenCounter:
    if (counter := _TOKEN_COUNTERS.get(engine)) is None:
        counter = _TOKEN_COUNTERS[engine] = TokenCounter(engine.count_tokens)
    return counter


@functools.lru_cache(maxsize=64)
def _shorten_path(path: str) -> str:
    """The file's name and its last folders, as in the training of the bundled model."""
    return "/".join(PurePath(path).parts[-_MAX_PATH_PARTS:])[-_MAX_PATH_CHARS:]
