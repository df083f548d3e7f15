"""Rewrites a model's markdown so that every editor can show it safely.

The text is parsed and written again with paragraphs, headings, lists, quotes and code only. HTML, images, links and
emphasis cannot occur in the result: a web address is written out after its text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starcoder_ls.hidden_characters import strip_hidden_characters
from starcoder_ls.rewrite.markdown_parser import MAX_NESTING, commonmark_parser

if TYPE_CHECKING:
    from markdown_it.token import Token
    from markdown_it.tree import SyntaxTreeNode

_SPECIAL = re.compile(r"[\\`*\[\]<]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")
_SPECIAL_AT_LINE_START = re.compile(r"(?m)^([ \t]*)(#|>|\+|-|=|~|:|\|)|^([ \t]*\d+)([.)])")
_WEB_ADDRESS = re.compile(r"https?://[!-~]+", re.IGNORECASE)
_BACKTICKS = re.compile("`+")
_CLOSING_HASHES = re.compile(r"(^|[ \t])(#+[ \t]*)\Z")
_CODE_EDGE = "\0"  # around each code span until its neighbours are known; no text contains it
_EMPHASIS = ("em_open", "em_close", "strong_open", "strong_close")
_FENCE_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]*")


def sanitize_markdown(text: str) -> str:
    """CommonMark without HTML, images and links that reads like ``text``; plain text if that is nested too deep."""
    from markdown_it.tree import SyntaxTreeNode

    text = strip_hidden_characters(text)
    try:
        tokens = commonmark_parser().parse(text)
        if any(token.level >= MAX_NESTING - 1 for token in tokens):  # the parser drops what is nested deeper
            return _render_plain(text)
        for token in tokens:
            token.children = _without_emphasis(token.children) if token.children else token.children
        return _render_blocks(SyntaxTreeNode(tokens).children)
    except RecursionError:  # images within images: the parser itself calls itself for each
        return _render_plain(text)


def _without_emphasis(tokens: list[Token]) -> list[Token]:
    """``tokens`` without emphasis, which can be nested as deep as a text is long.

    Its underscores stay: in words about code they are part of a name, such as ``__init__``.
    """
    from markdown_it.token import Token

    kept = []
    for token in tokens:
        if token.type not in _EMPHASIS:
            kept.append(token)
        elif token.markup.startswith("_"):
            kept.append(Token("text", "", 0, content=token.markup))
    return kept


def _render_plain(text: str) -> str:
    """``text`` as words only, each line escaped."""
    lines = (_escape(line.strip(" \t")) for line in text.split("\n"))
    return _SPECIAL_AT_LINE_START.sub(_escape_line_start, "\n".join(lines)).strip("\n")


def _render_blocks(nodes: list[SyntaxTreeNode], is_tight: bool = False) -> str:
    blocks = [text for node in nodes if (text := _render_block(node))]
    return ("\n" if is_tight else "\n\n").join(blocks)


def _render_block(node: SyntaxTreeNode) -> str:
    kind = node.type
    if kind in ("fence", "code_block"):
        return _render_fence(node.content, node.info if kind == "fence" else "")
    if kind == "heading":
        words = _CLOSING_HASHES.sub(r"\1\\\2", _render_inline(node).replace("\n", " "))
        return f"{'#' * int(node.tag[1:])} {words}".rstrip()
    if kind == "hr":
        return "---"
    if kind == "blockquote":
        return _prefix_lines(_render_blocks(node.children), "> ", "> ") or ""
    if kind in ("bullet_list", "ordered_list"):
        return _render_list(node)
    return _render_inline(node)


def _render_list(node: SyntaxTreeNode) -> str:
    first_number = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else None
    items = []
    for index, item in enumerate(node.children):
        mark = "- " if first_number is None else f"{first_number + index}. "
        text = _render_blocks(item.children, is_tight=_is_tight(item))
        items.append(_prefix_lines(text, mark, " " * len(mark)) or mark.rstrip())
    return "\n".join(items)


def _is_tight(item: SyntaxTreeNode) -> bool:
    """A paragraph right before a list or a fence, as in a list without blank lines; other blocks need a blank line."""
    kinds = [child.type for child in item.children]
    has_hidden_paragraphs = all(child.hidden for child in item.children if child.type == "paragraph")
    return has_hidden_paragraphs and kinds in (["paragraph"], ["paragraph", "bullet_list"], ["paragraph", "fence"])


def _prefix_lines(text: str, first: str, others: str) -> str:
    lines = text.split("\n") if text else []
    return "\n".join(((others if number else first) + line).rstrip() for number, line in enumerate(lines))


def _render_fence(code: str, info: str) -> str:
    longest = max((len(run) for run in _BACKTICKS.findall(code)), default=0)
    fence = "`" * max(3, longest + 1)
    language = _FENCE_LANGUAGE.match(info.strip())
    return f"{fence}{language[0] if language else ''}\n{code.removesuffix(chr(10))}\n{fence}"


def _render_inline(node: SyntaxTreeNode) -> str:
    """The words of a block, escaped where a line would otherwise begin another kind of block."""
    text = "".join(_render_words(child) for inline in node.children for child in inline.children)
    text = text.replace(2 * _CODE_EDGE, " ").replace(_CODE_EDGE, "")  # the backticks of two spans would be one run
    lines = (line.strip(" \t") for line in text.split("\n"))
    return _SPECIAL_AT_LINE_START.sub(_escape_line_start, "\n".join(line for line in lines if line))


def _render_words(node: SyntaxTreeNode) -> str:
    kind = node.type
    inner = "".join(_render_words(child) for child in node.children)
    if kind == "code_inline":
        return _render_inline_code(node.content)
    if kind in ("softbreak", "hardbreak"):
        return "\n"
    if kind == "link":
        return _with_address(inner, str(node.attrs.get("href", "")))
    return inner or _escape(strip_hidden_characters(node.content))  # entities such as &#x202e; are characters now


def _with_address(words: str, address: str) -> str:
    if not _WEB_ADDRESS.fullmatch(address) or _escape(address) in words:
        return words
    return f"{words} ({_escape(address)})" if words else _escape(address)


def _render_inline_code(content: str) -> str:
    longest = max((len(run) for run in _BACKTICKS.findall(content)), default=0)
    marks = "`" * (longest + 1)
    padding = " " if content.startswith("`") or content.endswith("`") or content != content.strip() else ""
    return f"{_CODE_EDGE}{marks}{padding}{content}{padding}{marks}{_CODE_EDGE}" if content.strip() else content


def _escape(text: str) -> str:
    return _SPECIAL.sub(lambda match: "\\" + match[0], text)


def _escape_line_start(match: re.Match[str]) -> str:
    if match[4]:
        return f"{match[3]}\\{match[4]}"
    return f"{match[1]}\\{match[2]}"
