"""The facts about one programming language that the rules of this package use.

A language is described by plain values (names, marks, patterns), so that adding one needs no code.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

FunctionRule = Literal["braces", "indentation", "none"]


class ImportRule(enum.Enum):
    """Which rule of ``context.imports`` reads the import statements of a language."""

    PYTHON = enum.auto()
    ECMASCRIPT = enum.auto()
    GO = enum.auto()
    RUST = enum.auto()
    JVM = enum.auto()
    INCLUDE = enum.auto()


@dataclass(frozen=True, slots=True)
class DocComment:
    """How a doc comment above a function is written: a first line, the mark of each line of text, a last line."""

    opening: str = ""
    line: str = ""
    closing: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Language:
    """One entry of the table. Entries are compared by identity. Every field but ``id`` may be left at its default."""

    id: str = ""
    """The id of the LSP specification, or the one VS Code uses where the specification has none."""
    aliases: tuple[str, ...] = ()
    """Other ids that editors send for it, in lower case."""
    name: str | None = None
    """How a prompt names it; None: by the editor's id. Empty: not at all."""
    suffixes: tuple[str, ...] = ()
    """Of its files, in lower case, with the dot."""
    file_names: tuple[str, ...] = ()
    """Names of its files that do not end in one of ``suffixes``, in lower case. A dot at the end stands for any suffix
    that belongs to no language: ``Dockerfile.dev``."""
    family: str = ""
    """Files of one family can serve as context for each other. Without a family, only open files of the same language
    can."""
    import_rule: ImportRule | None = None
    grammar: str = ""
    """The module of the tree-sitter grammar, and after a colon its function where that is not ``language``."""

    line_comments: tuple[str, ...] = ("//",)
    block_comments: tuple[tuple[str, str], ...] = (("/*", "*/"),)
    comment_needs_blank: bool = False
    """The line comment mark inside a word (``$#``) does not begin a comment."""
    doc_comment: DocComment | None = None
    """None where it is not known (and for Python, whose docstrings stand inside the function)."""

    quotes: str = "\"'"
    """Delimiters of strings that end with their line at the latest."""
    multiline_quotes: tuple[str, ...] = ()
    """Delimiters of strings over several lines; they are tried in this order, before the short ones."""
    has_character_literals: bool = False
    """``'`` quotes one character; a single one is a lifetime, a digit separator or an apostrophe."""
    interpolation: str = ""
    """What begins code inside a string: ``{``, ``${``, ``#{``."""
    interpolated_string: str = ""
    """A pattern for the beginning of a string that may contain such code, up to its quote."""
    angle_brackets: Literal["", "types", "tags"] = ""
    """What ``<`` and ``>`` may enclose: the arguments of a type, or a tag with its attributes."""
    has_regex_literals: bool = False
    """Regular expressions stand between slashes."""
    is_scanner_exact: bool = False
    """Quotes and comment marks alone decide what is a string or a comment, so the syntax tree need not be asked."""

    block_opener: str = r"[{]"
    """A pattern for the end of a line that opens a block."""
    block_closer: str = r"[)\]}]"
    """A pattern for the beginning of a line that closes a block."""
    block_end_words: tuple[str, ...] = ()
    """Blocks end with these words, so that brackets cannot close what a text leaves open."""
    has_indented_blocks: bool = False
    """Blocks end by indentation alone."""
    requires_tabs: bool = False
    """Indentation must be made of tabs, or always is."""
    recipe_opener: str = ""
    """A pattern for a line below which each indented line must begin with a tab (a rule of a makefile)."""
    has_method_chains: bool = False
    """A statement without a semicolon continues where the next line begins with a dot."""
    has_optional_semicolons: bool = False
    """A statement may end with its line."""
    directive: str = ""
    """A pattern for what ends a statement without a semicolon, such as a line for the preprocessor."""
    function_head: str = ""
    """A pattern in what stands before the braces of every function; empty: parentheses do."""
    is_data: bool = False
    """Files of it hold data or settings: their contents are what their names say, such as ``secrets``."""
    is_prose: bool = False
    """Brackets and quotes do not tell where a statement ends."""
    function_rule: FunctionRule = "braces"
    """Which rule of ``rewrite.enclosing_function`` finds the function around an offset."""
    blank_lines_between_functions: int = 1
    """At the left margin."""

    @property
    def has_single_quoted_strings(self) -> bool:
        return bool(self.id) and "'" in self.quotes and not self.has_character_literals

    @property
    def comment_marks(self) -> tuple[str, str]:
        """What to write before and after a line to make it a comment; ``//`` where no mark is known."""
        if self.line_comments:
            return f"{self.line_comments[0]} ", ""
        if self.block_comments:
            opening, closing = self.block_comments[0]
            return f"{opening} ", f" {closing}"
        return (self.doc_comment.line, "") if self.doc_comment and self.doc_comment.line else ("// ", "")
