from __future__ import annotations

from typing import Any

import pytest
from lsprotocol import types as t

from starcoder_ls.notebooks.cells import CellKind
from starcoder_ls.session.notebook_sync import _cells

STREAM = [{"output_type": "stream", "text": "4\n"}]


@pytest.mark.parametrize(
    ("kind", "metadata", "expected"),
    [
        (2, {"outputs": STREAM}, (CellKind.CODE, "4")),
        (2, {"outputs": [], "tags": ["x"]}, (CellKind.CODE, "")),
        (2, {"outputs": "4"}, (CellKind.CODE, "")),
        (2, None, (CellKind.CODE, "")),
        (2, "text", (CellKind.CODE, "")),
        (1, {"outputs": STREAM}, (CellKind.MARKDOWN, "")),
    ],
)
def test_outputs_are_read_from_the_metadata_of_code(kind: int, metadata: Any, expected: tuple[CellKind, str]) -> None:
    (cell,) = _cells([t.NotebookCell(t.NotebookCellKind(kind), "a", metadata)])
    assert (cell.kind, cell.output) == expected
