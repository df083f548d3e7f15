"""IPython's magics and shell commands in a code cell, which are not Python.

Decides by the first characters of a line, as IPython does: ``%name``, ``%%name`` and ``!command``. A line that begins
with ``%`` and a blank or a bracket continues an expression.
"""

from __future__ import annotations

import re

from starcoder_ls.languages.cell_magics import LANGUAGE_OF_CELL_MAGIC
from starcoder_ls.languages.table import normalize_id

_MAGIC = re.compile(r"^([ \t]*)[%!](?=%?[A-Za-z_]|[./~$\"'{])", re.MULTILINE)
_CELL_MAGIC = re.compile(r"\s*%%(\w+)")


def language_of_cell(text: str, language: str) -> str:
    """The language of a cell's text: ``language``, unless a magic in its first line says another one."""
    if normalize_id(language) != "python" or "%%" not in text[:200]:
        return language
    found = _CELL_MAGIC.match(text)
    return LANGUAGE_OF_CELL_MAGIC.get(found[1], language) if found else language


def mask_magics(text: str) -> str:
    """``text`` with each magic as a comment of the same length, so that Python's grammar can read it."""
    return _MAGIC.sub(r"\1#", text) if "%" in text or "!" in text else text


def comment_magics(text: str) -> str:
    """``text`` with each magic behind a comment mark, as Jupytext writes notebooks as scripts."""
    return _MAGIC.sub(lambda found: f"{found[1]}# {found[0].lstrip()}", text) if "%" in text or "!" in text else text
