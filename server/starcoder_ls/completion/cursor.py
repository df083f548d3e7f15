"""The cursor that a suggestion is requested for: its document, its offset, and what else the prompt needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from starcoder_ls.completion.anchor import CursorText, normalize_line_ends
from starcoder_ls.completion.insertion_point import InsertionPoint
from starcoder_ls.context.snippets import NO_CONTEXT, PromptContext, path_in_folder
from starcoder_ls.languages.table import by_id, normalize_id
from starcoder_ls.notebooks.cells import NotebookView
from starcoder_ls.notebooks.ipynb import SUFFIX, is_notebook
from starcoder_ls.notebooks.magics import mask_magics
from starcoder_ls.settings import InlineCompletion
from starcoder_ls.syntax.syntax_context import Region, context_at

_DEFAULTS = InlineCompletion()


@dataclass(frozen=True)
class Cursor:
    """A position in a document. ``offset`` counts characters of ``text``; ``document`` is the key of its caches.

    ``path`` is absolute, or relative to its repository; ``folder`` is the workspace folder or repository that an
    absolute one is in. ``client`` is whose queue a request belongs to, ``adapter`` the one that answers it,
    ``context`` what the prompt shows of other files. ``notebook`` is what surrounds the document if it is a cell;
    ``text`` is the cell alone.
    """

    text: str
    offset: int
    language: str = ""
    path: str = ""
    document: str = ""
    client: str = ""
    adapter: str | None = None
    context: PromptContext = NO_CONTEXT
    notebook: NotebookView | None = None
    folder: str = ""

    @cached_property
    def whole_text(self) -> str:
        """The document; a cell between the other cells of its notebook."""
        return self.text if self.notebook is None else self.notebook.embed(self.text)

    @property
    def whole_offset(self) -> int:
        """The offset in ``whole_text``."""
        return self.offset if self.notebook is None else len(self.notebook.above.text) + self.offset

    @cached_property
    def divided(self) -> CursorText:
        """The whole text on both sides. Computed once, and with it the closers right of the cursor."""
        return CursorText.at(self.whole_text, self.whole_offset)

    def insertion_point(self, before: str, after: str, settings: InlineCompletion = _DEFAULTS) -> InsertionPoint:
        """The insertion point between two texts next to the cursor, both with line feeds and possibly shortened."""
        whole = self.divided.before
        if not whole.endswith(before):  # such as a menu's entry that is not in the document
            whole = normalize_line_ends(self.whole_text[: max(0, self.whole_offset - len(before))]) + before
        if self.notebook is not None and normalize_id(self.language) == "python":
            whole, before, after = mask_magics(whole), mask_magics(before), mask_magics(after)
        return InsertionPoint.at(before, after, self.language, settings.rules_off, whole, settings.max_lines)

    @property
    def shown_path(self) -> str:
        """The path in the prompt (``path_in_folder``); a notebook without marks for cells is shown as a script."""
        shown = path_in_folder(self.path, self.folder)
        suffixes = by_id(self.language).suffixes
        return shown[: -len(SUFFIX)] + suffixes[0] if suffixes and is_notebook(shown) else shown

    @property
    def region(self) -> Region:
        """Whether the cursor is in code, in a string or in a comment."""
        divided = self.divided
        return context_at(divided.before, divided.closers + divided.after, self.language).region
