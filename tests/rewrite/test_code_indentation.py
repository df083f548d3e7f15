from __future__ import annotations

import ast

import pytest

from starcoder_ls.languages.table import LANGUAGES, Language
from starcoder_ls.rewrite import edits
from starcoder_ls.rewrite.code_indentation import CodeLines
from starcoder_ls.rewrite.target import Target


@pytest.mark.parametrize(
    ("lines", "unit", "expected"),
    [
        (["a", "    b", "        c"], "  ", ["a", "  b", "    c"]),
        (["a", "  b", "    c"], "\t", ["a", "\tb", "\t\tc"]),
        (["a", "\tb", "\t\tc"], "    ", ["a", "    b", "        c"]),
        (["f(a,", "  b)", "     c"], "    ", ["f(a,", "    b)", "         c"]),
        (["a", "b"], "\t", ["a", "b"]),
        (["f(a,", "            b)"], "    ", ["f(a,", "            b)"]),
        (
            ["/*", " * a", " */", "b", "\t/*", "\t * c", "\t */"],
            "  ",
            ["/*", " * a", " */", "b", "  /*", "   * c", "   */"],
        ),
    ],
)
def test_reindent_replaces_whole_levels_and_keeps_alignment(lines: list[str], unit: str, expected: list[str]) -> None:
    assert CodeLines.read(lines, "c").reindent(unit).lines == expected


@pytest.mark.parametrize(
    ("language", "lines", "regions"),
    [
        ("python", ['"""a', " b", '"""', "c = '''", " d", "'''"], "code comment comment code string string"),
        ("python", ["f(", '"""a', " b", '""")'], "code code string string"),
        ("python", ["a = \\", '"""a', " b", '"""'], "code code string string"),
        ("typescript", ["`a", " b", "` // `", "/*", "c */ d"], "code string string code comment"),
        ("shellscript", ["it's", " a"], "code code"),
    ],
)
def test_region_is_what_a_line_begins_in(language: str, lines: list[str], regions: str) -> None:
    assert CodeLines.read(lines, language).regions == regions.split()


def replace_all(old: str, answer: str, language: str) -> str:
    target = Target(old, 0, len(old), language)
    return edits.apply_changes(old, edits.replace_target(target, answer))


DOC_BLOCK_LANGUAGES = [language for language in LANGUAGES if language.doc_comment and language.doc_comment.opening]
DOC_BLOCK = "/**\n * Adds.\n */\n"


def function(unit: str) -> str:
    return f"f(a) {{\n{unit}if (a) {{\n{unit * 2}b();\n{unit}}}\n}}"


@pytest.mark.parametrize("units", [("    ", "  "), ("  ", "    "), ("\t", "  "), ("  ", "\t"), ("    ", "    ")])
@pytest.mark.parametrize("language", DOC_BLOCK_LANGUAGES, ids=lambda language: language.id)
def test_doc_comment_does_not_change_the_indent_unit(language: Language, units: tuple[str, str]) -> None:
    old, new = map(function, units)
    assert replace_all(old, DOC_BLOCK + new, language.id) == DOC_BLOCK + old
    assert replace_all(DOC_BLOCK + old, new, language.id) == old
    inserted = edits.insert_below(Target(old, 0, len(old), language.id), DOC_BLOCK + new)[0].text
    assert inserted.strip() == DOC_BLOCK + old


STRINGS = {
    '"""': ('x = """', '"""'),
    "'''": ("x = '''", "'''"),
    "`": ("x = `", "`"),
    '"': ('x="', '"'),
    "'": ("x='", "'"),
    "$$": ("SELECT $$", "$$"),
}


def code_with_string(unit: str, opening: str, closing: str, indentation: str = "") -> str:
    """Two levels of code with a string whose lines have the same blanks whatever ``unit`` is."""
    content = f"\n{indentation}    a\n{indentation}      b\n{indentation}"
    code = f"if (a)\n{unit}if (b)\n{unit * 2}{opening}§{closing}\n{unit}c\nd"
    return "\n".join(indentation + line for line in code.split("\n")).replace("§", content)


@pytest.mark.parametrize("units", [("    ", "  "), ("  ", "    "), ("\t", "  "), ("  ", "\t")])
@pytest.mark.parametrize(
    ("language", "quote"), [(language.id, quote) for language in LANGUAGES for quote in language.multiline_quotes]
)
def test_lines_in_a_string_are_not_reindented(language: str, quote: str, units: tuple[str, str]) -> None:
    old, new = (code_with_string(unit, *STRINGS[quote]) for unit in units)
    assert replace_all(old, new, language) == old
    assert replace_all(old, f"{new}\n{units[1]}e", language) == f"{old}\n{units[0]}e"
    indented = code_with_string(units[0], *STRINGS[quote], indentation=units[0])
    assert replace_all(indented, new, language) == indented


def test_string_at_the_margin_stays_there() -> None:
    old = 'class A:\n  def f(self):\n    return """\na\n  b\n"""\n'
    target = Target(old, old.index("  def"), len(old) - 1, "python")
    for answer in (
        'def f(self):\n    return 1 + """\na\n  b\n"""',
        '    def f(self):\n        return 1 + """\na\n  b\n"""',
    ):
        changed = edits.apply_changes(old, edits.replace_target(target, answer))
        assert changed == old.replace("return", "return 1 +")


def test_docstring_is_reindented_with_its_function() -> None:
    changed = replace_all("def f():\n  return 1", 'def f():\n    """Adds.\n\n    Two.\n    """\n    return 1', "python")
    assert changed == 'def f():\n  """Adds.\n\n  Two.\n  """\n  return 1'
    ast.parse(changed)


@pytest.mark.parametrize(
    "answer",
    [
        "def f(self):\n    if a:\n        return 2",
        "def f(self):\n    if a:\n      return 2",
        "  def f(self):\n    if a:\n      return 2",
        "def f(self):\n  if a:\n    return 2",
    ],
)
def test_method_gets_the_indent_unit_of_its_class(answer: str) -> None:
    old = "class A:\n  def f(self):\n    if a:\n      return 1\n"
    target = Target(old, old.index("  def"), len(old) - 1, "python")
    assert edits.apply_changes(old, edits.replace_target(target, answer)) == old.replace("1", "2")
