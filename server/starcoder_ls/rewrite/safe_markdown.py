"""Markdown of a model, made harmless to show in any editor.

Decides by construction: the text is parsed and written anew from the few things it may hold (paragraphs, headings,
lists, quotes, code). No HTML, images, links, emphasis: a web address stands beside its text in plain sight. Refuses
to know where it is shown.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from starcoder_ls.rewrite.hidden_characters import cleaned

_PARSER = MarkdownIt("commonmark", {"html": False, "maxNesting": 20})
_ACTIVE = re.compile(r"[\\`*\[\]<]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")
_ACTIVE_AT_START = re.compile(r"(?m)^([ \t]*)(#|>|\+|-|=|~|:|\|)|^([ \t]*\d+)([.)])")
_WEB_ADDRESS = re.compile(r"https?://[!-~]+", re.IGNORECASE)
_BACKTICKS = re.compile("`+")
_CLOSING_HASHES = re.compile(r"(^|[ \t])(#+[ \t]*)\Z")
_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]*")


def sanitize_markdown(text: str) -> str:
    """CommonMark that holds no HTML, image or link, whatever ``text`` holds. Pure; reads the same as ``text``."""
    tree = SyntaxTreeNode(_PARSER.parse(cleaned(text)))
    return _blocks(tree.children)


def _blocks(nodes: list[SyntaxTreeNode], is_tight: bool = False) -> str:
    written = [text for node in nodes if (text := _block(node))]
    return ("\n" if is_tight else "\n\n").join(written)


def _block(node: SyntaxTreeNode) -> str:
    kind = node.type
    if kind in ("fence", "code_block"):
        return _fenced(node.content, node.info if kind == "fence" else "")
    if kind == "heading":
        words = _CLOSING_HASHES.sub(r"\1\\\2", _inline(node).replace("\n", " "))
        return f"{'#' * int(node.tag[1:])} {words}".rstrip()
    if kind == "hr":
        return "---"
    if kind == "blockquote":
        return _prefixed(_blocks(node.children), "> ", "> ") or ""
    if kind in ("bullet_list", "ordered_list"):
        return _list(node)
    return _inline(node)


def _list(node: SyntaxTreeNode) -> str:
    first = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else None
    items = []
    for number, item in enumerate(node.children):
        mark = "- " if first is None else f"{first + number}. "
        items.append(
            _prefixed(_blocks(item.children, is_tight=_is_tight(item)), mark, " " * len(mark)) or mark.rstrip()
        )
    return "\n".join(items)


def _is_tight(item: SyntaxTreeNode) -> bool:
    """A paragraph right before a list, as in a list without blank lines; elsewhere blocks need their blank line."""
    kinds = [child.type for child in item.children]
    is_hidden = all(child.hidden for child in item.children if child.type == "paragraph")
    return is_hidden and kinds in (["paragraph"], ["paragraph", "bullet_list"], ["paragraph", "fence"])


def _prefixed(text: str, first: str, others: str) -> str:
    lines = text.split("\n") if text else []
    return "\n".join(((others if number else first) + line).rstrip() for number, line in enumerate(lines))


def _fenced(code: str, info: str) -> str:
    longest = max((len(run) for run in _BACKTICKS.findall(code)), default=0)
    fence = "`" * max(3, longest + 1)
    language = _LANGUAGE.match(info.strip())
    return f"{fence}{language[0] if language else ''}\n{code.removesuffix(chr(10))}\n{fence}"


def _inline(node: SyntaxTreeNode) -> str:
    """The words of a block, escaped where a line of them would begin something else."""
    text = "".join(_words(child) for inline in node.children for child in inline.children)
    lines = (line.strip(" \t") for line in text.split("\n"))
    return _ACTIVE_AT_START.sub(_escaped_start, "\n".join(line for line in lines if line))


def _words(node: SyntaxTreeNode) -> str:
    kind = node.type
    inside = "".join(_words(child) for child in node.children)
    if kind == "code_inline":
        return _code(node.content)
    if kind in ("softbreak", "hardbreak"):
        return "\n"
    if kind in ("em", "strong") and node.markup.startswith("_"):
        return f"{_escaped(node.markup)}{inside}{_escaped(node.markup)}"  # in words about code, a name like __init__
    if kind == "link":
        return _with_address(inside, str(node.attrs.get("href", "")))
    return inside or _escaped(node.content)


def _with_address(words: str, address: str) -> str:
    if not _WEB_ADDRESS.fullmatch(address) or _escaped(address) in words:
        return words
    return f"{words} ({_escaped(address)})" if words else _escaped(address)


def _code(content: str) -> str:
    longest = max((len(run) for run in _BACKTICKS.findall(content)), default=0)
    marks = "`" * (longest + 1)
    pad = " " if content.startswith("`") or content.endswith("`") or content != content.strip() else ""
    return f"{marks}{pad}{content}{pad}{marks}" if content.strip() else content


def _escaped(text: str) -> str:
    return _ACTIVE.sub(lambda match: "\\" + match[0], text)


def _escaped_start(match: re.Match[str]) -> str:
    if match[4]:
        return f"{match[3]}\\{match[4]}"
    return f"{match[1]}\\{match[2]}"
