"""The open documents of one client at one time, as context for another document.

Decides that the cells of a notebook count as one document, whose text is that of its code.
"""

from __future__ import annotations

from dataclasses import dataclass

from starcoder_ls.context.source_files import language_group


@dataclass(frozen=True, slots=True)
class OpenDocument:
    """``path`` is empty if it is no file. A cell has the URI of its ``notebook`` and the id of its ``language``."""

    path: str
    text: str
    edited_s: float
    language: str = ""
    notebook: str = ""

    @property
    def group(self) -> str:
        return language_group(self.path, self.language)


@dataclass(frozen=True, slots=True)
class OpenDocuments:
    """By key, and the document and line of the last edits."""

    by_key: dict[str, OpenDocument]
    edits: tuple[tuple[str, int], ...]

    def others(self, document: str, notebook: str, group: str) -> list[tuple[str, OpenDocument]]:
        """The other documents of a language group, the most recently edited first, with their keys.

        None if the group is unknown. Without the cells of ``notebook``: those are in the prompt.
        """
        found: list[tuple[str, OpenDocument]] = []
        cells: dict[str, list[OpenDocument]] = {}
        for key, other in self.by_key.items():
            if key == document or not group or other.group != group:
                continue
            if not other.notebook:
                found.append((key, other))
            elif other.notebook != notebook:
                cells.setdefault(other.notebook, []).append(other)
        found += ((key, _join(of_notebook)) for key, of_notebook in cells.items())
        return sorted(found, key=lambda pair: -pair[1].edited_s)


def _join(cells: list[OpenDocument]) -> OpenDocument:
    first, edited_s = cells[0], max(cell.edited_s for cell in cells)
    return OpenDocument(first.path, "\n\n".join(cell.text for cell in cells), edited_s, first.language, first.notebook)
