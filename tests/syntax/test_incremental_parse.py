from __future__ import annotations

import random

import pytest
import tree_sitter

from starcoder_ls.syntax import grammars, incremental_parse
from starcoder_ls.syntax.grammars import Node
from starcoder_ls.syntax.incremental_parse import ByteChange, ParsedSource, find_change

BUDGET_MS = 60_000.0
SOURCES = {
    "python": "def f(size, *, key=None):\n    '''ä'''\n    if size:\n        return [g(x, key=key) for x in size]\n    "
    "with a as b:\n        print(f'{size} {b!r}')\n\n\nclass C(f):\n    x: int = 1\n",
    "typescript": "const f = (a: number) => {\n  if (a) { return `é ${a}`; }\n};\nclass C { m(x = 1) { f(x) } }\n",
    "go": "package p\n\nfunc f(a int) int {\n\tfor i := range 3 {\n\t\ta += i\n\t}\n\treturn a\n}\n",
}


def parsed(source: bytes, language: str) -> ParsedSource:
    tree = grammars.parse(source, language, BUDGET_MS)
    assert tree is not None
    return ParsedSource(source, tree)


def describe(node: Node) -> list[tuple[str, int, int, tuple[int, int], bool]]:
    own = (node.type, node.start_byte, node.end_byte, tuple(node.start_point), node.is_missing)
    return [own, *(each for child in node.children for each in describe(child))]


@pytest.mark.parametrize("language", SOURCES)
def test_tree_from_an_earlier_one_is_that_of_a_full_parse(language: str) -> None:
    drawn = random.Random(1)
    earlier = [parsed(SOURCES[language].encode(), language)]
    for _ in range(150):
        text = earlier[-1].source.decode()
        start = drawn.randrange(len(text))
        end = min(len(text), start + drawn.choice((0, 0, 1, 5)))
        written = drawn.choice(("", "x", "é", "\n", "    ", "(a)", text[end : end + 9], "\nif x:\n  y\n"))
        source = (text[:start] + written + text[end:]).encode()
        tree = incremental_parse.parse(source, language, BUDGET_MS, earlier)
        assert tree is not None
        assert describe(tree.root_node) == describe(parsed(source, language).tree.root_node)
        if not tree.root_node.has_error:
            earlier = [*earlier[-2:], ParsedSource(source, tree)]
    assert len(earlier) == 3


def test_parse_continues_the_most_similar_tree_without_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[tree_sitter.Tree | None] = []
    parse = grammars.parse

    def recorded(
        source: bytes, language: str, budget_ms: float, edited: tree_sitter.Tree | None = None
    ) -> tree_sitter.Tree | None:
        used.append(edited)
        return parse(source, language, budget_ms, edited)

    earlier = [parsed(code, "python") for code in (b"a = 1\nb = 22\n", b"a = 1\nb = 2\n", b"a = 1\nb = (2\n")]
    monkeypatch.setattr(grammars, "parse", recorded)
    incremental_parse.parse(b"a = 1\nb = 23\n", "python", BUDGET_MS, earlier)
    incremental_parse.parse(b"a = 1\nb = [\n", "python", BUDGET_MS, earlier)
    incremental_parse.parse(b"a = 1\n" * 2_000, "python", BUDGET_MS, earlier)
    edited = [tree and tree.root_node.has_changes for tree in used]
    assert edited == [True, True, None, None]  # the second has an error, so that it is parsed again


def test_nodes_of_the_earlier_tree_stay_valid() -> None:
    earlier = parsed(b"a = 1\nb = 2\n", "python")
    node = earlier.tree.root_node.children[1]
    incremental_parse.parse(b"abc = 1\nb = 2\n", "python", BUDGET_MS, [earlier])
    assert (node.start_byte, node.end_byte) == (6, 11)
    assert earlier.tree.root_node.end_byte == 12


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        (b"abcd", b"abxd", ByteChange(2, 3, 3)),
        (b"aaaa", b"aaaaaa", ByteChange(4, 4, 6)),
        (b"aaaa", b"aa", ByteChange(2, 4, 2)),
        (b"", b"ab", ByteChange(0, 0, 2)),
        (b"same", b"same", ByteChange(4, 4, 4)),
    ],
)
def test_change_between_two_sources_is_the_smallest(old: bytes, new: bytes, change: ByteChange) -> None:
    assert find_change(old, new) == change
