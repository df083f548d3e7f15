import gc
import subprocess
import sys
import tracemalloc
from collections.abc import Callable

import pytest

from starcoder_ls.languages.table import LANGUAGES
from starcoder_ls.syntax import grammars


@pytest.mark.parametrize("language", [language.id for language in LANGUAGES if language.grammar])
def test_grammar_of_each_language_loads_and_parses(language: str) -> None:
    tree = grammars.parse(b"\n", language)
    assert tree is not None
    assert not tree.root_node.has_error


def test_parse_returns_none_without_a_grammar() -> None:
    assert grammars.parse(b"a", "cobol") is None


def test_grammars_are_not_imported_before_their_first_parse() -> None:
    code = (
        "import sys, starcoder_ls.syntax.grammars as g; print([m for m in sys.modules if m.startswith('tree_sitter_')])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def traced_growth(parse: Callable[[bytes], object], parses: int = 200) -> int:
    """Bytes that are still allocated after so many parses of different sources."""
    sources = [b"x = [" + b"1, " * 1000 + str(number).encode() + b"]\n" for number in range(parses)]
    parse(sources[0])
    tracemalloc.start()
    try:
        for source in sources:
            parse(bytes(bytearray(source)))  # a copy, which is traced
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("budget_ms", [60_000.0, 0.0], ids=["finished", "cancelled"])
def test_parses_keep_no_memory(budget_ms: float) -> None:
    assert traced_growth(lambda source: grammars.parse(source, "python", budget_ms)) < 100_000  # the sources: 600 kB


def test_tree_is_usable_after_its_source_was_released() -> None:
    tree = grammars.parse(b"def f(a):\n    return a\n", "python")
    assert tree is not None
    gc.collect()
    assert [child.type for child in tree.root_node.children] == ["function_definition"]
    assert tree.root_node.end_byte == 23


def test_nothing_is_released_if_tree_sitter_releases_it_itself() -> None:
    class Parser:
        """tree-sitter without the fault."""

        def __init__(self, _language: object) -> None:
            pass

        def parse(self, read: Callable[[int, object], bytes], **_options: object) -> None:
            read(0, None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grammars.tree_sitter, "Parser", Parser)
        grammars._leaked_references.cache_clear()
        assert grammars._leaked_references() == 0
    grammars._leaked_references.cache_clear()
