"""Characters and marks that no suggestion may hold; the text ends before them.

Refuses to know what the text means.
"""

from __future__ import annotations

import re

from starcoder_ls.completion.insertion_point import InsertionPoint

_SPECIAL = re.compile(
    r"<\|(?:endoftext|fim_\w+|repo_name|file_sep|im_start|im_end|EOT|end_of_\w+)\|>"
    r"|<fim[_-](?:prefix|middle|suffix|pad)>|<(?:file_sep|filename|reponame|repo_name|gh_stars|empty_output)>"
    r"|<(?:issue_(?:start|comment|closed)|jupyter_(?:start|text|code|output)|commit_(?:before|msg|after))>"
    r"|<｜[^｜\n]{1,24}｜>|▁?<(?:PRE|SUF|MID|EOT)>"
)
"""The literals of the families that we know, where a tokenizer spells them out as text."""

_HIDDEN = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ufffd"
    "\U000e0000-\U000e007f]"
)
"""Control, bidirectional, zero-width and tag characters (CVE-2021-42574), and broken UTF-8."""

_JOINER = "\u200d"
_PICTURE = re.compile("[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff]")


def special_token(text: str, gap: InsertionPoint) -> int | None:
    """Behind a leaked token comes another document: all from it on is cut. A file that says it itself may go on."""
    match = _SPECIAL.search(text)
    if match is None or match.group() in gap.before or match.group() in gap.after:
        return None
    return match.start()


def hidden_character(text: str, _gap: InsertionPoint) -> int | None:
    """Cut at the first character that could show one thing and mean another; the joiner inside an emoji is none."""
    for match in _HIDDEN.finditer(text):
        place = match.start()
        is_in_emoji = match.group() == _JOINER and place > 0 and _PICTURE.match(text[place - 1])
        if not is_in_emoji or (place + 1 < len(text) and not _PICTURE.match(text[place + 1])):
            return place
    return None
