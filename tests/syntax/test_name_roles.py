from __future__ import annotations

import pytest

from starcoder_ls.languages.table import by_id
from starcoder_ls.syntax import grammars
from starcoder_ls.syntax.grammars import Node
from starcoder_ls.syntax.name_roles import classify, renamed
from starcoder_ls.syntax.scope_rules import ScopeRules, rules_of


def leaves_named(name: str, text: str, language: str) -> tuple[list[Node], ScopeRules]:
    source, rules = grammars.encode(text), rules_of(by_id(language).grammar)
    tree = grammars.parse(source, language, 10_000)
    assert tree is not None
    assert rules is not None
    starts = [at for at in range(len(text)) if text.startswith(name, at)]
    found = [tree.root_node.descendant_for_byte_range(at, at + len(name)) for at in starts]
    return [leaf for leaf in found if leaf is not None], rules


@pytest.mark.parametrize(
    ("code", "language", "roles"),
    [
        ("import n, m.n\nfrom n import n as m\nx.n(n=n)\n", "python",
         ["variable import", "other", "other", "imported", "member", "keyword", "variable"]),
        ("for n, (n, x) in n: n += 1\n", "python", ["variable variable"] * 2 + ["variable", "variable variable"]),
        ("def f(n, *n, k: n = n): pass\n", "python", ["variable parameter"] * 2 + ["variable"] * 2),
        ("export { n, n as m, m as n };\nexport { n } from 'x';\nexport * as n from 'y';\n", "javascript",
         ["variable", "variable", "other", "other", "other"]),
        ("const { n, m: n, n: k, o = n, n = 1 } = { n, n: n };\n", "javascript",
         ["variable variable", "variable variable", "other", "variable", "variable variable", "variable", "other",
          "variable"]),
        ("class A { n() { this.n(n); } }\n", "typescript", ["member function", "member", "variable"]),
        ("package m\nvar k = T{n: n}\n", "go", ["other", "variable"]),
    ],
)  # fmt: skip
def test_role_and_binding_follow_from_the_nodes_around(code: str, language: str, roles: list[str]) -> None:
    leaves, rules = leaves_named("n", code, language)
    found = [" ".join(classify(leaf, rules)).strip() for leaf in leaves if leaf.end_byte - leaf.start_byte == 1]
    assert found == roles


def test_renamed_property_and_export_keep_their_names() -> None:
    leaves, rules = leaves_named("size", "export { size, size as s };\nuse({ size, s: size });\n", "javascript")
    texts = [renamed(leaf, "size", "count", rules) for leaf in leaves]
    assert texts == ["count as size", "count", "size: count", "count"]
