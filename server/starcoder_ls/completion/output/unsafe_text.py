"""Stop rules for characters and special tokens that no suggestion may contain; the text ends before them."""

from __future__ import annotations

import re

from starcoder_ls import hidden_characters
from starcoder_ls.completion.insertion_point import InsertionPoint

_SPECIAL_TOKENS = re.compile(
    r"<\|/?[A-Za-z][\w▁:-]{0,40}\|>"  # <|fim_prefix|>, <|cursor|>, <|mask:0|>, ..., whatever the word
    r"|<｜/?[^｜<>\n]{1,40}｜>"  # DeepSeek
    r"|<fim[_-]\w+>|<(?:file_sep|filename|reponame|repo_name|gh_stars|empty_output)>"  # StarCoder, SantaCoder
    r"|<(?:issue|jupyter|commit|pr)_[a-z_]+>|<(?:code_to_intermediate|intermediate_to_code)>"
    r"|▁?<(?:PRE|SUF|MID|EOT)>"  # Code Llama
    r"|(?<!\w)<extra_id_\d+>|<(?:FILL_(?:ME|HERE)|INFILL|MASK)>"  # CodeT5; placeholders in instructions
    r"|(?<!\w)</?(?:(?:user_)?cursor|CURSOR)(?:_(?:is_here|position|here))?\s?/?>|\{\{CURSOR\}\}"
    r"|(?<![\w)\]])\[(?P<word>/?(?:PREFIX|SUFFIX|MIDDLE|CURSOR|INST|FIM_\w+))\]"  # Codestral, instructions
)
"""The special tokens of all families and marks for the cursor, as a tokenizer spells them out when they are text."""


_LITERALS = (
    *("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>", "<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    *("<fim-pad>", "<file_sep>", "<filename>", "<reponame>", "<repo_name>", "<gh_stars>", "<empty_output>"),
    *("<issue_start>", "<jupyter_start>", "<commit_before>", "<code_to_intermediate>", "<intermediate_to_code>"),
    *("▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>", "<extra_id_0>", "<FILL_ME>", "<cursor>", "{{CURSOR}}"),
)
_BEGINNINGS = sorted({literal[:end] for literal in _LITERALS for end in range(2, len(literal))}, reverse=True)
_UNFINISHED_TOKEN = re.compile(
    rf"(?:<\|/?(?:[A-Za-z][\w▁:-]{{0,40}})?\|?|<｜/?[^｜<>\n]{{0,40}}｜?|{'|'.join(map(re.escape, _BEGINNINGS))})\Z"
)
"""The beginning of a special token at the end of a text."""


def drop_unfinished_token(text: str, point: InsertionPoint) -> str:
    """``text``, cut off by length or time, without the beginning of a special token at its end.

    The beginning of a token that the document contains stays.
    """
    match = _UNFINISHED_TOKEN.search(text, max(0, len(text) - 50))
    if match is None or match.group() in point.before or match.group() in point.after:
        return text
    return text[: match.start()]


def find_special_token(text: str, point: InsertionPoint) -> int | None:
    """The index of the first spelled-out special token or cursor mark in ``text``; None if there is none.

    After such a token, models begin another document. A token that the document itself contains is not counted, and a
    word in brackets (``[MIDDLE]``) is none where the document uses the word.
    """
    if "<" not in text and "[" not in text and "{{" not in text:
        return None
    for match in _SPECIAL_TOKENS.finditer(text):
        token = match["word"] or match.group()
        if token not in point.before and token not in point.after:
            return match.start()
    return None


def find_hidden_character(text: str, _point: InsertionPoint) -> int | None:
    """The index of the first character that could hide text or is invisible; None if there is none."""
    return hidden_characters.find_hidden_character(text)
