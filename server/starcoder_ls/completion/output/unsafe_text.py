"""Stop rules for characters and special tokens that no suggestion may contain; the text ends before them."""

from __future__ import annotations

import re

from starcoder_ls.completion.insertion_point import InsertionPoint

_SPECIAL_TOKENS = re.compile(
    r"<\|(?:endoftext|fim_\w+|repo_name|file_sep|im_start|im_end|EOT|end_of_\w+)\|>"
    r"|<fim[_-](?:prefix|middle|suffix|pad)>|<(?:file_sep|filename|reponame|repo_name|gh_stars|empty_output)>"
    r"|<(?:issue_(?:start|comment|closed)|jupyter_(?:start|text|code|output)|commit_(?:before|msg|after))>"
    r"|<｜[^｜\n]{1,24}｜>|▁?<(?:PRE|SUF|MID|EOT)>"
)
"""The special tokens of the known families, as a tokenizer spells them out when they are text."""

_HIDDEN = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ufffd"
    "\U000e0000-\U000e007f]"
)
"""Control, bidirectional, zero-width and tag characters (CVE-2021-42574), and broken UTF-8."""

_JOINER = "\u200d"
_EMOJI = re.compile("[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff]")


def find_special_token(text: str, point: InsertionPoint) -> int | None:
    """The index of the first spelled-out special token, after which models begin another document; None if none.

    A token that the document itself contains is not counted.
    """
    match = _SPECIAL_TOKENS.search(text)
    if match is None or match.group() in point.before or match.group() in point.after:
        return None
    return match.start()


def find_hidden_character(text: str, _point: InsertionPoint) -> int | None:
    """The index of the first character that could hide text; None if none. A joiner inside an emoji is not counted."""
    for match in _HIDDEN.finditer(text):
        index = match.start()
        is_in_emoji = match.group() == _JOINER and index > 0 and _EMOJI.match(text[index - 1])
        if not is_in_emoji or (index + 1 < len(text) and not _EMOJI.match(text[index + 1])):
            return index
    return None
