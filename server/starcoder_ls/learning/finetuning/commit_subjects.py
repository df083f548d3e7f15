"""Which commit subjects say what a change does, and the form in which a model reads them.

StarCoder's training data left out empty and automatic messages, and those such as "update" and "test" (bigcode-dataset,
preprocessing of git commits).
"""

from __future__ import annotations

import re

from starcoder_ls.context.secrets import mask_secrets
from starcoder_ls.hidden_characters import strip_hidden_characters

MIN_CHARS, MAX_CHARS = 10, 120
_MIN_WORDS = 2

_PULL_REQUEST = re.compile(r"\s*\((?:#|gh-|!)\d+\)\s*$", re.IGNORECASE)
_AUTOMATIC = re.compile(
    r"(?:merge|revert|reapply|bump|release|version|v?\d[\w.]*$|fixup!|squash!|amend!|wip\b|auto\b|automatic|automated"
    r"|apply suggestions|update dependency|pin dependencies|lock file|\[bot\]|\[skip)|.*\bfrom [0-9.]+ to [0-9.]+$",
    re.IGNORECASE,
)
_FILE_ONLY = re.compile(r"(?:update|change|edit|modify|fix|improve) \S+\.\w+\W*$", re.IGNORECASE)
_GENERIC_TEXT = """
a all an and another address adjust again bug bugfix bugs change changed changes checkpoint clean cleaned cleaning
cleanup cleanups code comment comments commit doc docs feedback few file files final first fix fixed fixes fixing
fixup for format formatting from further hotfix improve improved improvement improvements in initial issue issues
lint linting little make minor misc miscellaneous more nit nits of on other pr polish progress python quick ready
refactor refactored refactoring review reviews save several silly simple small some stuff style temp temporary
test tested testing tests the thing things tidy tiny tmp to try tweak tweaks typo typos up update updated updates
updating various version warning warnings wip work working
"""
_GENERIC_WORDS = frozenset(_GENERIC_TEXT.split())
_WORD = re.compile(r"[^\W_]+")


def clean_subject(subject: str) -> str | None:
    """The subject in one line, without the number of a pull request and with secrets masked.

    None if it is too short or too long, generic, or written by a program.
    """
    text = " ".join(strip_hidden_characters(subject).split())
    text = _PULL_REQUEST.sub("", text)
    words = _WORD.findall(text.lower())
    if not MIN_CHARS <= len(text) <= MAX_CHARS or (len(words) < _MIN_WORDS and text.isascii()):
        return None
    if _AUTOMATIC.match(text) or _FILE_ONLY.match(text) or _GENERIC_WORDS.issuperset(words):
        return None
    return mask_secrets(text)
