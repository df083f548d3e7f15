from __future__ import annotations

import pytest

from starcoder_ls.languages.table import by_id
from starcoder_ls.syntax import grammars
from starcoder_ls.syntax.scope_rules import rules_of


@pytest.mark.parametrize("language", ["python", "javascript", "typescript", "typescriptreact", "go"])
def test_node_types_and_fields_of_the_rules_exist_in_the_grammar(language: str) -> None:
    rules = rules_of(by_id(language).grammar)
    tree = grammars.parse(b"", language)
    assert rules is not None
    assert tree is not None
    grammar = tree.language
    types = {grammar.node_kind_for_id(index) for index in range(grammar.node_kind_count)}
    fields = {grammar.field_name_for_id(index) for index in range(1, grammar.field_count + 1)}
    used_fields = {name for names in rules.scopes.values() for name in names}
    used_fields |= {name for names in rules.bindings.values() for name in names if name}
    assert used_fields - fields <= ({"pattern", "return_type"} if language == "javascript" else set())
    known = {*rules.scopes, *rules.bindings, *rules.patterns, *rules.members, *rules.calls, *rules.functions}
    only_in_typescript = {
        "required_parameter",
        "optional_parameter",
        "interface_declaration",
        "type_alias_declaration",
        "enum_declaration",
        "function_signature",
    }
    assert known - types <= (only_in_typescript if language == "javascript" else set())


def test_language_without_rules_has_none() -> None:
    assert rules_of("tree_sitter_bash") is None
    assert rules_of("") is None
