"""The prompt for a cursor in a cell of a notebook, in the format of StarCoder's training.

Decides between left-to-right and fill-in-the-middle: the latter where text follows in the cell. Sources:
preprocessing/jupyter-structured of bigcode-dataset for the format; gpt_dataset.py of bigcode's Megatron-LM for FIM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from starcoder_ls.completion.prompt.families import Family
from starcoder_ls.completion.prompt.fim import Order, PromptParts, split_last_line
from starcoder_ls.context.secrets import mask_secrets, mask_secrets_in_range
from starcoder_ls.generation import PromptPart, SpecialToken, Status
from starcoder_ls.notebooks.cells import Cell, CellKind, NotebookView
from starcoder_ls.settings import BUNDLED

_START, _TEXT, _CODE, _OUTPUT, _EMPTY = map(
    SpecialToken, ("<jupyter_start>", "<jupyter_text>", "<jupyter_code>", "<jupyter_output>", "<empty_output>")
)
_TOKENS = (_START, _TEXT, _CODE, _OUTPUT, _EMPTY)
_MAX_OUTPUTS = 8


def is_read_by(status: Status) -> bool:
    """Whether the model was trained on this format. The bundled model has the tokens, but has seen no notebooks."""
    return status.model != BUNDLED and status.special_tokens.issuperset(token.literal for token in _TOKENS)


@dataclass(frozen=True, slots=True)
class CellsInPrompt:
    """The cells that a prompt shows around the cursor's, with secrets masked; those without an output have none shown.

    ``kind`` is that of the cursor's cell.
    """

    above: tuple[Cell, ...] = ()
    below: tuple[Cell, ...] = ()
    kind: CellKind = CellKind.CODE
    has_end: bool = True
    """The prompt shows the cursor's cell up to its end."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs that a prompt shows, by the index of their cell among those above, and how many tokens they take."""

    by_cell: Mapping[int, str]
    tokens: int


def select_outputs(view: NotebookView, max_tokens: int, count: Callable[[str], int]) -> Outputs:
    """The nearest outputs above the cursor's cell, of at most ``max_tokens`` tokens as ``count`` counts them; masked.

    They do not depend on the text of the cursor's cell, so that the prompt stays the same while the user types.
    """
    selected: dict[int, str] = {}
    spent = 0
    for index in range(len(view.above.cells) - 1, -1, -1):
        if output := view.above.cells[index].cell.output:
            masked = mask_secrets(output)
            tokens = count(masked)
            if spent + tokens > max_tokens or len(selected) == _MAX_OUTPUTS:
                break
            selected[index] = masked
            spent += tokens
    return Outputs(selected, spent)


def cells_in_window(view: NotebookView, chars: int, start: int, end: int, outputs: Outputs) -> CellsInPrompt:
    """The cells around one of ``chars`` characters that a window shows from ``start`` to ``end``, with ``outputs``.

    Start and end are offsets in the text of all cells. Of a code cell that the start divides, the rest is shown. The
    cells below have no outputs: these are from an earlier run.
    """
    above: list[Cell] = []
    for index, each in enumerate(view.above.cells):
        cell, output = each.cell, outputs.by_cell.get(index, "")
        if each.start >= start:
            above.append(replace(cell, text=mask_secrets(cell.text), output=output))
        elif each.end > start and cell.kind is CellKind.CODE:
            rest = mask_secrets_in_range(view.above.text, start, each.end)
            above.append(replace(cell, text=rest, output=output))
    below_end = end - len(view.above.text) - chars
    below = (each.cell for each in view.below.cells if each.end <= below_end)
    return CellsInPrompt(
        tuple(above),
        tuple(replace(cell, text=mask_secrets(cell.text), output="") for cell in below),
        view.kind,
        has_end=below_end >= 0,
    )


def build_parts(
    family: Family,
    special_tokens: frozenset[str],
    cells: CellsInPrompt,
    prefix: str,
    suffix: str,
    order: Order,
    comments: str = "",
) -> PromptParts:
    """The prompt for a cursor between ``prefix`` and ``suffix``, the text of its cell.

    Where ``suffix`` is blank, the notebook up to the cursor, as half of the training documents are. The other half was
    permuted at any two characters, special tokens included; so FIM wraps the same text, with the cells below as part
    of its suffix. A middle that ends exactly where a cell ends is nearly absent from that half, and left-to-right the
    model says where a cell ends (``<jupyter_output>``). ``comments`` are snippets of other files as comment lines.
    """
    writer = _Writer([_START])
    for cell in (*((Cell(CellKind.CODE, comments),) if comments.strip() else ()), *cells.above):
        writer.add(cell)
    writer.begin(cells.kind, prefix)
    end_tokens = tuple(SpecialToken(each) for each in family.end_tokens if each in special_tokens)
    end_tokens = tuple(dict.fromkeys((*end_tokens, *_TOKENS)))
    if not suffix.strip():
        before = writer.open_parts()
        return PromptParts(family.name, "left_to_right", before, end_tokens, _last_text(before))
    line = ""
    if order == "psm_line":
        writer.text, line = split_last_line(writer.text)
    before = writer.open_parts()
    after = _suffix_parts(cells, suffix)
    prefix_mark, suffix_mark, middle_mark = map(SpecialToken, (family.prefix, family.suffix, family.middle))
    parts: tuple[PromptPart, ...]
    if order == "spm":
        parts = (prefix_mark, suffix_mark, *after, middle_mark, *before)
        return PromptParts(family.name, order, parts, end_tokens, _last_text(parts))
    parts = (prefix_mark, *before, suffix_mark, *after, middle_mark, *((line,) if line else ()))
    above = tuple(1 + index for index in _last_text(before))
    return PromptParts(family.name, order, parts, end_tokens, (*above, *(_last_text(parts) if line else ())))


def _suffix_parts(cells: CellsInPrompt, suffix: str) -> tuple[PromptPart, ...]:
    """The rest of the cursor's cell and the cells below, up to the output of the last code."""
    writer = _Writer([], cells.kind, suffix.rstrip())
    if not cells.has_end:
        return writer.open_parts()
    for cell in cells.below:
        writer.add(cell)
    writer.close()
    return tuple(writer.parts)


def _last_text(parts: Sequence[PromptPart]) -> tuple[int, ...]:
    return (len(parts) - 1,) if parts and isinstance(parts[-1], str) else ()


@dataclass(slots=True)
class _Writer:
    """Writes cells in the trained format, in which texts and codes alternate.

    Successive code cells are one text, joined by line ends, and successive text cells one, joined by blanks, as in
    training; but a code cell with an output ends its text, because an output shows the names of columns and the shapes
    of data. Code without a text above it has an empty one.
    """

    parts: list[PromptPart]
    kind: CellKind | None = None
    """Of the text that is being written; None before the first one and after an output."""
    text: str = ""

    def add(self, cell: Cell) -> None:
        if text := cell.text.strip():
            self.begin(cell.kind, text)
            if cell.output and cell.kind is CellKind.CODE:
                self._end_code(cell.output.strip())

    def begin(self, kind: CellKind, text: str) -> None:
        """``text`` follows, and more may follow in the same cell."""
        if self.kind is kind:
            self.text += ("\n" if kind is CellKind.CODE else " ") + text
            return
        if self.kind is CellKind.CODE:
            self._end_code("")
        elif self.kind is CellKind.MARKDOWN:
            self._flush()
        if kind is CellKind.MARKDOWN:
            self.parts.append(_TEXT)
        else:
            self.parts += (_CODE,) if self.kind is CellKind.MARKDOWN else (_TEXT, _CODE)
        self.kind, self.text = kind, text.lstrip("\n")

    def close(self) -> None:
        """Nothing follows: code has its output."""
        if self.kind is CellKind.CODE:
            self._end_code("")
        else:
            self._flush()

    def open_parts(self) -> tuple[PromptPart, ...]:
        """All parts, the last of which may be continued."""
        return (*self.parts, *((self.text,) if self.text else ()))

    def _end_code(self, output: str) -> None:
        self._flush()
        self.parts += _OUTPUT, output or _EMPTY
        self.kind = None

    def _flush(self) -> None:
        if self.text:
            self.parts.append(self.text)
        self.text = ""
