from __future__ import annotations

import re

import pytest

from starcoder_ls.languages.table import by_id
from starcoder_ls.syntax import grammars
from starcoder_ls.syntax.name_resolution import NameResolver
from starcoder_ls.syntax.scope_rules import rules_of


def resolver(text: str, language: str) -> NameResolver:
    rules, source = rules_of(by_id(language).grammar), grammars.encode(text)
    tree = grammars.parse(source, language, 10_000)
    assert rules is not None
    assert tree is not None
    return NameResolver(tree, source, rules)


def referenced(marked: str, language: str) -> str:
    """The code with the references of the name in ``«»`` in brackets, as the resolver finds them."""
    start = marked.index("«")
    end = marked.index("»") - 1
    text = re.sub("[«»]", "", re.sub(r"\[\[|\]\]", "", marked))
    name_start = len(re.sub(r"\[\[|\]\]|[«»]", "", marked[:start]).encode())
    names = resolver(text, language)
    found = names.at(name_start, name_start + len(re.sub(r"\[\[|\]\]", "", marked[start : end + 1]).encode()) - 2)
    assert found is not None
    result = text.encode()
    for each in reversed(names.references(found)):
        if each.start_byte != name_start:
            result = (
                result[: each.start_byte]
                + b"[["
                + result[each.start_byte : each.node.end_byte]
                + b"]]"
                + result[each.node.end_byte :]
            )
    return result.decode()


PYTHON = {
    "local variable of one function": """
def f(data):
    return data
def g(«data»=data):
    x = [[data]] + 1
    return lambda y: [[data]], lambda data: data
print(data)
""",
    "name of a module used in functions": """
«limit» = 3
def f(limit=[[limit]]):
    return limit
def g():
    return [[limit]], x.limit, f(limit=[[limit]]), "limit"  # limit
def h():
    limit = 4
    return limit
def i():
    global [[limit]]
    [[limit]] += 1
""",
    "function called before and after": """
def a():
    return [[run]](1)
def «run»(x):
    return [[run]](x - 1)
class C:
    go = run
    run = run
    def m(self):
        return [[run]](2) + self.run
""",
    "members through self and the class": """
class C:
    def «size»(self):
        return 1
    def m(self, other):
        size = self.[[size]]() + C.[[size]](self) + other.size()
        return size
class D:
    def size(self):
        return self.size()
x = C.[[size]]
""",
    "variable of a comprehension": """
def f(x, rows):
    a = [[[x]] for «x» in x if [[x]]]
    return x
""",
    "nonlocal variable": """
def f():
    «n» = 0
    def g():
        nonlocal [[n]]
        [[n]] += 1
    def h():
        n = 1
    return [[n]]
""",
    "import and its uses": """
from m import «foo», bar
from n import foo as baz
[[foo]](bar, baz)
""",
    "targets of with, except, for and case": """
def f(v):
    with open(v) as («h», z):
        pass
    for [[h]] in z:
        pass
    match v:
        case P(h=[[h]]):
            return [[h]]
""",
    "annotation and default are outside": """
x = 1
def f(«x»: x, y=x):
    return [[x]]
""",
    "code in an f-string": """
def f(«width»):
    return f"{[[width]]} width {other.width}"
""",
}
SCRIPT = {
    "block scopes and shorthand": """
const «n» = 1;
function f() { const n = 2; return n; }
function g() { if (x) { let n = 3; use(n); } return { [[n]], n: [[n]] }; }
""",
    "members through this": """
class A {
  «go»(a) { return this.[[go]](a) + other.go(a); }
  run() { return this.[[go]](1); }
}
""",
    "var belongs to the function": """
function f() { if (x) { var «v» = 1; } return [[v]]; }
var v = 2;
""",
    "parameter of an arrow function": """
const f = («row») => { return [[row]].id + rows.row; };
const g = row => row;
""",
    "import": """
import { «read», write } from "./files";
[[read]](write);
""",
}
GO = {
    "parameter and field": """
package m
func f(«size» int) int {
	x := T{size: [[size]]}
	return x.size + [[size]]
}
func g(size int) int { return size }
""",
    "function": """
package m
func «run»(a int) int { return [[run]](a) + x.run(a) }
func h() int { run := 2; return run }
""",
}


@pytest.mark.parametrize(
    ("language", "code"),
    [
        pytest.param(language, code, id=f"{language}: {name}")
        for language, cases in (("python", PYTHON), ("typescript", SCRIPT), ("javascript", SCRIPT), ("go", GO))
        for name, code in cases.items()
    ],
)
def test_references_of_a_name_follow_the_scopes(language: str, code: str) -> None:
    assert referenced(code, language) == re.sub("[«»]", "", code)


def test_second_binding_of_a_block_is_no_reference_outside_python() -> None:
    text = "function f(a) {}\nfunction f(b) {}\nf(1);\n"
    names = resolver(text, "typescript")
    assert [each.key for each in names.occurrences(b"f")] == [None, None, None]


def test_name_is_visible_only_in_and_below_its_scope() -> None:
    text = "a = 1\ndef f(b):\n    use()\ndef g():\n    use()\n"
    names = resolver(text, "python")
    first, second = (each.node for each in names.occurrences(b"use"))
    scopes = [names.scope_of(name, first) for name in (b"a", b"b", b"c")]
    assert [scope and scope[2] for scope in scopes] == ["module", "function_definition", None]
    assert [names.scope_of(name, second) for name in (b"a", b"b")] == [scopes[0], None]


def test_name_with_several_bindings_is_bound_in_their_scope() -> None:
    names = resolver("package m\nfunc f() {\n\ta, n := g()\n\tb, n := g()\n\tuse(a, b)\n}\n", "go")
    first = names.occurrences(b"n")[0]
    scope = names.scope_of(b"n", names.occurrences(b"use")[0].node)
    assert first.key is None
    assert scope is not None
    assert names.is_bound(b"n", scope)


def test_call_of_an_occurrence_is_found_alone_and_as_a_member() -> None:
    names = resolver("f(1)\nx = f\nself.f(2)\n", "python")
    calls = [names.call_of(each) for each in names.occurrences(b"f")]
    assert [call and names.text(call) for call in calls] == [b"f(1)", None, b"self.f(2)"]
