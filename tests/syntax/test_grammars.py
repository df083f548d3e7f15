import gc
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import tree_sitter
import tree_sitter_python

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


def traced_growth(parse: Callable[[bytes], object], parses: int = 50) -> int:
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
    assert traced_growth(lambda source: grammars.parse(source, "python", budget_ms)) < 20_000  # the sources: 150 kB


def test_parses_that_end_with_an_error_keep_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reader(grammars._Reader):
        def read(self, start: int, point: object) -> bytearray:
            super().read(start, point)
            raise KeyboardInterrupt

    def parse(source: bytes) -> None:
        with pytest.raises(KeyboardInterrupt):
            grammars.parse(source, "python")

    with monkeypatch.context() as patch:
        patch.setattr(grammars, "_Reader", Reader)
        assert traced_growth(parse) < 20_000
    assert grammars.parse(b"x = 1\n", "python") is not None


@pytest.mark.parametrize("shift", range(4))
def test_a_source_of_several_chunks_has_the_tree_of_the_whole(shift: int) -> None:
    source = b"#" * shift + "# 😀é€\n".encode() * 20_000 + b"x = '\xe2\x82\xac'\n"
    tree = grammars.parse(source, "python", 60_000)
    whole = tree_sitter.Parser(tree_sitter.Language(tree_sitter_python.language())).parse(source)
    assert tree is not None
    assert str(tree.root_node) == str(whole.root_node)
    assert tree.root_node.end_point == whole.root_node.end_point


def test_trees_keep_their_shape_while_other_sources_are_parsed() -> None:
    trees = [grammars.parse(f"def f{number}(a):\n    return a\n".encode(), "python") for number in range(10)]
    grammars.parse(b"class A: pass\n", "python")
    for tree in trees:
        assert tree is not None
        assert [child.type for child in tree.root_node.children] == ["function_definition"]
        assert tree.root_node.end_byte == 24


def test_parses_at_the_same_time_do_not_share_a_buffer() -> None:
    sources = [b"".join(b"x%d = %d\n" % (line, number) for line in range(500 + number)) for number in range(40)]
    with ThreadPoolExecutor(4) as pool:
        trees = list(pool.map(lambda source: grammars.parse(source, "python", 60_000), sources))
    assert [tree and tree.root_node.child_count for tree in trees] == [500 + number for number in range(40)]
    assert not any(tree is None or tree.root_node.has_error for tree in trees)


def test_a_buffer_that_tree_sitter_locks_is_not_used_again() -> None:
    with grammars._Reader(b"a" * 70_000) as reader:
        locks = [memoryview(reader.read(start, None)) for start in (0, 1 << 16, 70_000)]
    with grammars._Reader(b"b") as other:
        assert other.read(0, None) == b"b"
    assert [bytes(lock) for lock in locks] == [b"a" * 65_536, b"a" * 4_464, b""]
