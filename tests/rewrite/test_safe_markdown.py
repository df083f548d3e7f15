from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from starcoder_ls.rewrite.safe_markdown import sanitize_markdown

# As editors parse it: with HTML, tables, strikethrough and bare addresses.
EDITOR = MarkdownIt("gfm-like", {"html": True, "linkify": False})
FRAGMENTS = st.sampled_from(
    [
        "<b>",
        "</b>",
        "<img src=x onerror=alert(1)>",
        "<!--",
        "-->",
        "<script>",
        "![a](http://x/y.png)",
        "[a](command:x)",
        "[a](http://x.org/_b_)",
        "[a]: javascript:x",
        "[a]",
        "[a][]",
        "<http://x.org>",
        "<javascript:x>",
        "```",
        "~~~",
        "`",
        "``",
        "\\",
        "*",
        "_",
        "__",
        "# ",
        "> ",
        "- ",
        "1. ",
        "+ ",
        "    ",
        "\t",
        "\n",
        "\n\n",
        "=",
        "===",
        "---",
        "|",
        "a|b",
        ":--",
        "&lt;",
        "&#60;",
        "&amp;",
        "!",
        "(",
        ")",
        "word",
        "snake_case",
        "a*b",
        " ",
        "\x1b[31m",
        "\u202e",
        "\u200b",
        "é",
        "<a href='x'>",
        "<?php",
        "<![CDATA[",
        "0)",
        "[^1]",
        "[x](<data:a> 't')",
        "[x](vscode:a\n",
        "&NewLine;",
        "\r\n",
        "\x0c",
    ]
)
TEXTS = st.one_of(st.lists(FRAGMENTS, max_size=14).map("".join), st.text(max_size=60))


def token_types(text: str) -> set[str]:
    found = set()
    for token in EDITOR.parse(text):
        found.add(token.type)
        found |= {child.type for child in token.children or ()}
    return found


@settings(max_examples=200)
@given(TEXTS)
def test_sanitized_text_has_no_html_image_or_link(text: str) -> None:
    sanitized = sanitize_markdown(text)
    assert not token_types(sanitized) & {"html_block", "html_inline", "image", "link_open"}, sanitized
    assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs") for c in re.sub(r"[\n\t]", "", sanitized))


@settings(max_examples=200)
@given(st.text(alphabet=st.characters(codec="ascii", categories=("L", "N", "P", "S", "Zs")), max_size=40))
def test_code_blocks_are_unchanged(code: str) -> None:
    assert f"{code}\n" in sanitize_markdown(f"~~~~python\n{code}\n~~~~") or "~~~~" in code or not code.strip()


@pytest.mark.parametrize(
    ("text", "sanitized"),
    [
        ("It `returns` **x**.", "It `returns` x."),
        ("The snake_case_name and __init__ of a*b", "The snake_case_name and \\_\\_init\\_\\_ of a\\*b"),
        ("See [the docs](https://docs.python.org/3/).", "See the docs (https://docs.python.org/3/)."),
        ("[click](command:workbench.action.terminal.new)", "click"),
        ("[click](javascript:alert(1)) <b>now</b>", "\\[click\\](javascript:alert(1)) \\<b>now\\</b>"),
        ("<https://x.org/a>", "https://x.org/a"),
        ("![secret](https://evil.example/?q=1)", "secret"),
        ("a\n\n# b\n\n- c\n- d\n\n1. e\n2. f", "a\n\n# b\n\n- c\n- d\n\n1. e\n2. f"),
        ("```python\nx = 1 < 2  # <b>\n```", "```python\nx = 1 < 2  # <b>\n```"),
        ("```python\nx = 1", "```python\nx = 1\n```"),
        ("&lt;script&gt;", "\\<script>"),
        ("one\x1b]8;;http://x\x07two\u202e", "one\\]8;;http://xtwo"),
        ("", ""),
        ("`a`*`b`* `c`[`d`](http://x.y)", "`a` `b` `c` `d` (http://x.y)"),
    ],
)
def test_markdown_is_rewritten_without_active_content(text: str, sanitized: str) -> None:
    assert sanitize_markdown(text) == sanitized


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("*", "*"),
        ("_", "_"),
        ("**", "**"),
        ("*_", "_*"),
        ("[", "](x)"),
        ("![", "](x)"),
        ("> ", ""),
        ("- ", ""),
        ("1. ", ""),
        (">", ""),
        ("*a ", "a*"),
        ("![[", "]](x)"),
        ("> - ", ""),
        ("`", ""),
    ],
)
@pytest.mark.parametrize("depth", [5, 30, 600, 3000])
def test_deep_nesting_keeps_the_words(opening: str, closing: str, depth: int) -> None:
    sanitized = sanitize_markdown(opening * depth + "word" + closing * depth)
    assert "word" in sanitized
    assert not token_types(sanitized[:2000]) & {"html_block", "html_inline", "image", "link_open"}


@pytest.mark.parametrize("character", [0x202E, 0x200B, 0xAD, 0x1B, 0x61C, 0x2066, 0xE0041, 0x3164])
@pytest.mark.parametrize(
    "form", ["a &#{0}; b", "a &#x{0:x}; b", "# a &#{0};b", "&#{0};# a b", "> - a &#{0};b", "[a&#{0}; b](http://x.org)"]
)
def test_hidden_characters_written_as_entities_are_removed(form: str, character: int) -> None:
    shown = sanitize_markdown(form.format(character))
    assert chr(character) not in shown
    assert not any(token.type.startswith("html") for token in EDITOR.parse(shown))
    if form.startswith("&"):
        assert EDITOR.parse(shown)[0].type == "paragraph_open"
