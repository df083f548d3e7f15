"""The languages of cells of notebooks that begin with a magic of IPython (`%%bash`)."""

from __future__ import annotations

from collections.abc import Mapping

LANGUAGE_OF_CELL_MAGIC: Mapping[str, str] = {
    "bash": "shellscript",
    "sh": "shellscript",
    "script": "shellscript",
    "html": "html",
    "HTML": "html",
    "svg": "html",
    "SVG": "html",
    "javascript": "javascript",
    "js": "javascript",
    "latex": "latex",
    "markdown": "markdown",
    "perl": "perl",
    "ruby": "ruby",
    "sql": "sql",
    "R": "r",
    "julia": "julia",
    "cmd": "bat",
    "writefile": "plaintext",
    "file": "plaintext",
}
"""Of the magics whose cell is not Python. Others (``%%time``, ``%%capture``) run the rest of the cell as Python."""
