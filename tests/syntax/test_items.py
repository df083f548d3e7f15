from __future__ import annotations

import pytest

from starcoder_ls.syntax.items import Item, find_definitions, has_items, read_items

PYTHON = """# a
from x import y

@p
class A:
    z = 1

    def f(self): return self.z

if __name__ == "__main__":
    A()
"""


def outline(text: str, language: str) -> str:
    """Kind and name of each statement."""
    items = read_items(text, language)
    assert items is not None
    return ", ".join(f"{item.kind} {item.name}".rstrip() for item in items)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("python", PYTHON, "comment, import, definition A, main"),
        ("python", "LIMIT = 1\nprint(LIMIT)\n", "other LIMIT, other"),
        ("typescript", "const a = () => 1, b = 2;", "other a"),
        ("typescript", "export const a = (): number => 1;", "definition a"),
        ("typescript", "import 'x';\ntype T = number;\nenum E { A }", "import, definition T, definition E"),
        ("javascript", "const { a } = require('a');\nif (require.main === module) f();", "import, main"),
        ("typescriptreact", "export default function App() { return <p/>; }", "definition App"),
        ("go", "package a\nconst C = 1\ntype T int\nfunc (t T) F() {}", "header, other C, definition T, definition F"),
        ("java", "package a;\nint f() { return 1; }\nrecord R(int a) {}", "header, definition f, definition R"),
        (
            "rust",
            "#![a]\nuse b::C;\n#[x]\nimpl A for B {}\nconst D: i32 = 1;",
            "header, import, definition impl A for B, other D",
        ),
    ],
)
def test_statements_have_their_kind_and_name(language: str, text: str, expected: str) -> None:
    assert outline(text, language) == expected


def test_members_are_definitions_with_offsets_in_characters() -> None:
    text = "# é😀\n" + PYTHON
    items = read_items(text, "python")
    assert items is not None
    found = {item.name: item for item in find_definitions(items)}
    assert text[found["f"].start : found["f"].end] == "def f(self): return self.z"
    assert text[found["A"].start : found["A"].head_end] == "@p\n"
    assert found["A"].is_type


@pytest.mark.parametrize(
    ("language", "text", "head"),
    [
        ("java", "@Override public int f() { return 1; }", "@Override public "),
        ("rust", "#[inline]\npub(crate) async fn f() {}", "#[inline]\npub(crate) "),
        ("typescript", "export default async function f() {}", "export default "),
        ("go", "func f() {}", ""),
    ],
)
def test_modifiers_stand_before_the_definition(language: str, text: str, head: str) -> None:
    items = read_items(text, language)
    assert items is not None
    assert text[items[0].start : items[0].head_end] == head


def test_method_alone_is_read_as_in_a_class() -> None:
    text = "f(a: number): number {\n  return a;\n}"
    items = read_items(text, "typescript")
    assert items == [Item("definition", 0, len(text), "f")]
    assert items[0].is_method
    assert items[0].fragment is not None
    assert items[0].fragment.names() == {"f", "a"}


@pytest.mark.parametrize(
    ("text", "language"), [("def f(:", "python"), ("x = 1", "lua"), ("x", ""), ("fn f( {", "rust")]
)
def test_unknown_languages_and_broken_texts_have_no_items(text: str, language: str) -> None:
    assert read_items(text, language) is None
    assert has_items(language) == (language in ("python", "rust"))
