"""What a language looks like to plain rules: its comments, strings, and how its blocks open and close.

Decides nothing about a text. Languages are named by LSP's ids; one without an entry gets rules that fit most.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """``opens`` and ``closes`` are patterns for the end and the beginning of a line."""

    grammar: str = ""
    """The module of the grammar's wheel, and after a colon its function where that is not ``language``."""
    line_comments: tuple[str, ...] = ("//",)
    block_comments: tuple[tuple[str, str], ...] = (("/*", "*/"),)
    quotes: str = "\"'"
    """Strings that end with their line at the latest."""
    long_quotes: tuple[str, ...] = ()
    """Strings over several lines; each is tried before a shorter one."""
    has_characters: bool = False
    """``'`` quotes one character (and a lone one is a lifetime, a digit separator, an apostrophe)."""
    has_patterns: bool = False
    """Regular expressions between slashes."""
    opens: str = r"[{(\[]"
    closes: str = r"[)\]}]"
    comment_needs_blank: bool = False
    """``#`` inside a word (``$#``) begins no comment."""
    has_word_blocks: bool = False
    """Blocks end with words, so that nobody can close what a text leaves open."""
    has_chains: bool = False
    """A statement without a semicolon goes on where the next line begins with a dot."""
    is_indented: bool = False
    """Blocks end by indentation alone."""
    is_told_by_quotes: bool = False
    """Quotes and comment marks say where strings and comments are, and nothing else does."""
    is_prose: bool = False
    """Brackets and quotes say nothing about where a statement ends."""


_C = Language(has_characters=True, opens=r"[{]")
_SCRIPT = Language(long_quotes=("`",), opens=r"[{]")
_PYTHON = Language(
    "tree_sitter_python",
    ("#",),
    (),
    is_indented=True,
    is_told_by_quotes=True,
    long_quotes=('"""', "'''"),
    opens=r":",
    closes=r"[)\]}]+[,:]?\s*\Z",
)
_SHELL = Language(
    "tree_sitter_bash",
    ("#",),
    (),
    quotes="",
    long_quotes=('"', "'"),
    opens=r"(?:\bthen|\bdo|\belse|\bin|\{)",
    closes=r"(?:fi|done|esac|else|elif|;;|\}|\))(?!\w)",
    comment_needs_blank=True,
    has_word_blocks=True,
)
_MARKUP = Language(
    "tree_sitter_html", (), (("<!--", "-->"),), quotes="", opens=r"<[a-zA-Z][^<>/]*>", closes=r"</", is_prose=True
)
_SQL = Language("", ("--",), (("/*", "*/"),), quotes="", long_quotes=("'", "$$"), opens=r"(?:\(|\bBEGIN|\bbegin)")
_WORDS = Language(
    "", ("#",), (), opens=r"(?:\bdo|\bthen|\belse|^\s*(?:def|class|module)\b.*|\|)", closes=r"(?:end|else)\b"
)
_HASH = Language("", ("#",), (), opens=r"[:{(\[]")

PLAIN = Language("", ("//", "#"), (("/*", "*/"),), opens=r"[{:]")
"""For a language that we know nothing of."""

LANGUAGES: dict[str, Language] = {
    "python": _PYTHON,
    "javascript": Language(
        "tree_sitter_javascript", has_patterns=True, has_chains=True, long_quotes=("`",), opens=r"[{]"
    ),
    "javascriptreact": Language(
        "tree_sitter_javascript", has_patterns=True, has_chains=True, long_quotes=("`",), opens=r"[{]"
    ),
    "typescript": Language(
        "tree_sitter_typescript:language_typescript",
        has_patterns=True,
        has_chains=True,
        long_quotes=("`",),
        opens=r"[{]",
    ),
    "typescriptreact": Language(
        "tree_sitter_typescript:language_tsx", has_patterns=True, has_chains=True, long_quotes=("`",), opens=r"[{]"
    ),
    "java": Language("tree_sitter_java", long_quotes=('"""',), has_characters=True, opens=r"[{]"),
    "go": Language("tree_sitter_go", long_quotes=("`",), has_characters=True, opens=r"[{]"),
    "rust": Language(
        "tree_sitter_rust", has_chains=True, quotes="", long_quotes=('"',), has_characters=True, opens=r"[{]"
    ),
    "c": Language("tree_sitter_c", has_characters=True, opens=r"[{]"),
    "cpp": Language("tree_sitter_cpp", has_characters=True, opens=r"[{]"),
    "shellscript": _SHELL,
    "html": _MARKUP,
    "xml": _MARKUP,
    "vue": _MARKUP,
    "sql": _SQL,
    "markdown": Language("", (), (("<!--", "-->"),), quotes="", opens=r"(?!)", is_prose=True),
    "plaintext": Language("", (), (), quotes="", opens=r"(?!)", is_prose=True),
    "ruby": _WORDS,
    "lua": Language(
        "", ("--",), (("--[[", "]]"),), opens=r"(?:\bdo|\bthen|\belse|\bfunction\b.*\))", closes=r"(?:end|else)\b"
    ),
    "yaml": _HASH,
    "toml": _HASH,
    "makefile": _HASH,
    "dockerfile": _HASH,
    "json": Language("", (), (), quotes='"', opens=r"[{\[]"),
    "css": Language("", (), (("/*", "*/"),), opens=r"[{]"),
    "csharp": _C,
    "kotlin": Language("", long_quotes=('"""',), has_characters=True, opens=r"[{]"),
    "swift": Language("", long_quotes=('"""',), opens=r"[{]"),
    "scala": Language("", long_quotes=('"""',), has_characters=True, opens=r"[{]"),
    "php": Language("", ("//", "#"), opens=r"[{:]"),
    "dart": _SCRIPT,
}


def known(language_id: str) -> Language:
    return LANGUAGES.get(language_id, PLAIN)
