"""Explanations as Markdown: what is shown has no HTML, images, links or hidden characters, and keeps the words."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token

from fuzz.input_bytes import decode_text
from starcoder_ls.hidden_characters import strip_hidden_characters
from starcoder_ls.rewrite import answer_loops, answer_parsing
from starcoder_ls.rewrite.safe_markdown import sanitize_markdown

MAX_BYTES = 1024
ALLOWED = {
    "paragraph_open", "paragraph_close", "inline", "text", "softbreak", "hardbreak", "heading_open", "heading_close",
    "bullet_list_open", "bullet_list_close", "ordered_list_open", "ordered_list_close", "list_item_open",
    "list_item_close", "blockquote_open", "blockquote_close", "fence", "code_block", "code_inline", "hr",
}  # fmt: skip
_READER = MarkdownIt("commonmark", {"html": True, "maxNesting": 100})

SEEDS = (
    b"# Title\n\nIt *adds* `a` and **b**:\n\n1. one\n2. two\n\n```python\nx = 1\n```\n",
    b'<img src="x" onerror=y> ![i](http://a/b.png) [l](javascript:alert(1)) <http://a.b> [r]\n\n[r]: http://c "t"\n',
    b"> > - a\n>   - b\n\n***\n\n    code\n\n~~~~\n```\n~~~~\n&lt;b&gt; &#60;i> \\<u>\n",
    "a\u202eb\u200bc\u00ad \U000e0041 👩\u200d👧 é\r\nx\u2028y".encode(),
    b"* " * 30 + b"deep\n" + b"> " * 30 + b"x",
    b"Question: a?\nAnswer: b\n\nQuestion: c\n" + b"loop " * 40,
    b"snake_case_name __init__ 3*4*5 a_b_ _c_ *d* `` a`b `` `\n` <!-- c -->\nx\n===\n| a | b |\n|---|---|",
)
_HAS_MARKUP = re.compile(r"[<&\[\]!\\`~]")


def check(data: bytes) -> None:
    text = decode_text(data)
    visible = strip_hidden_characters(text)
    assert strip_hidden_characters(visible) == visible
    answer, _ = answer_parsing.extract_answer(visible, "Question:", "\nAnswer:", "x = 1")
    assert answer in visible
    end = answer_loops.find_loop(answer, is_cut=len(answer) % 2 == 0)
    assert end is None or 0 < end < len(answer)
    assert answer.startswith(answer_parsing.hold_back_question(answer, "Question:"))
    shown = sanitize_markdown(text)
    check_markdown(shown)
    if answer != text:
        check_markdown(sanitize_markdown(answer))
    if not _HAS_MARKUP.search(visible):  # nothing of the text is an address, a reference or code
        assert letters(shown) == letters(visible)


def check_markdown(shown: str) -> None:
    assert strip_hidden_characters(shown) == shown
    for token in _all_tokens(_READER.parse(shown)):
        assert token.type in ALLOWED, f"{token.type} in {shown!r}"


def _all_tokens(tokens: list[Token]) -> list[Token]:
    return [found for token in tokens for found in (token, *_all_tokens(token.children or []))]


def letters(text: str) -> str:
    return "".join(filter(str.isalpha, text))
