from __future__ import annotations

import pytest

from starcoder_ls.languages.table import by_id
from starcoder_ls.syntax import grammars
from starcoder_ls.syntax.call_arguments import (
    calls_of,
    find_calls,
    parameter_list_around,
    parameter_lists_of,
    read_arguments,
    read_parameters,
)
from starcoder_ls.syntax.name_resolution import NameResolver
from starcoder_ls.syntax.scope_rules import rules_of


def resolver(text: str, language: str) -> NameResolver:
    rules, source = rules_of(by_id(language).grammar), grammars.encode(text)
    tree = grammars.parse(source, language, 10_000)
    assert rules is not None
    assert tree is not None
    return NameResolver(tree, source, rules)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("python", "def f(a, b: int, c=1, d: str = '', *e, g, **h): pass", "a b c d *e g! *h!"),
        ("python", "def f(a, /, b, *, c): pass", "a b c!"),
        ("typescript", "function f(a: number, b?: string, c = 1, ...d) {}", "a b c *d"),
        ("javascript", "function f(a, b = 1, ...c) {}", "a b *c"),
        ("javascript", "function f({ a }) {}", None),
        ("go", "package m\nfunc f(a, b int, c ...string) {}", "a b *c"),
    ],
)
def test_parameters_have_names_and_say_what_they_take(language: str, text: str, expected: str | None) -> None:
    names = resolver(text, language)
    name = names.occurrences(b"f")[0].node
    assert name.parent is not None
    parameters = name.parent.child_by_field_name("parameters")
    assert parameters is not None
    read = read_parameters(names, parameters)
    if expected is None:
        assert read is None
        return
    assert read is not None
    marks = [f"{'*' * each.is_variadic}{each.name.decode()}{'!' * each.is_keyword_only}" for each in read]
    assert " ".join(marks) == expected


def test_arguments_of_a_call_have_keywords_and_splats() -> None:
    names = resolver("f(1, *x, b=2, **y)\nf(z for z in y)\n", "python")
    calls = [names.call_of(each) for each in names.occurrences(b"f")]
    assert calls[0] is not None
    assert calls[1] is not None
    read = read_arguments(names, calls[0])
    assert read is not None
    assert [(each.keyword, each.is_splat) for each in read] == [(b"", False), (b"", True), (b"b", False), (b"", True)]
    assert read_arguments(names, calls[1]) is None


def test_calls_of_a_constructor_are_those_of_its_class() -> None:
    names = resolver("class C:\n    def __init__(self, a):\n        pass\nC(1)\nx = [C(2)]\ny.C(3)\n", "python")
    (parameter,) = names.occurrences(b"a")
    assert [names.text(call) for call in find_calls(names, parameter.node)] == [b"C(1)", b"C(2)"]
    (constructor,) = names.occurrences(b"__init__")
    assert calls_of(names, constructor) == find_calls(names, parameter.node)
    name = names.occurrences(b"C")[0]
    assert [names.text(each) for each in parameter_lists_of(names, name)] == [b"(self, a)"]


def test_list_of_parameters_around_a_node_is_that_of_a_named_function() -> None:
    names = resolver("def f(a):\n    return lambda b: b\n", "python")
    found = [parameter_list_around(names.occurrences(name)[0].node) for name in (b"a", b"b")]
    assert [node and names.text(node) for node in found] == [b"(a)", None]
