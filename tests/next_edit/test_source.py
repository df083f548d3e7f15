from __future__ import annotations

from starcoder_ls.next_edit.source import MAX_SOURCE_CHARS, Source


def test_characters_and_bytes_are_converted_in_both_directions() -> None:
    source = Source("ä = '😀'\nb = ä\n", "python")
    offset = source.text.index("b")
    assert source.encoded[source.byte_at(offset) :].startswith(b"b")
    assert source.offset_of(source.byte_at(offset)) == offset
    node = source.node_between(offset + 4, offset + 5)
    assert node is not None
    assert source.text_of(node) == "ä"
    assert source.span_of(node) == (offset + 4, offset + 5)


def test_text_that_is_too_long_or_has_no_grammar_has_no_tree() -> None:
    assert Source("x = 1\n" * (MAX_SOURCE_CHARS // 6 + 1), "python").tree is None
    assert Source("x = 1\n", "unheard-of").tree is None
    assert Source("x = 1\n", "unheard-of").node_between(0, 1) is None


def test_language_without_scope_rules_has_a_tree_but_no_names() -> None:
    source = Source("int x = 1;\n", "c")
    assert source.tree is not None
    assert source.names is None
