"""Blocks of a shown answer: tests contain no copy of what they test, and a block that was cut is closed."""

from __future__ import annotations

import pytest

from starcoder_ls.rewrite.answer_blocks import end_last_block, remove_known_definitions, settled_length
from starcoder_ls.rewrite.target import Target

DOCUMENT = "import csv\n\n\nclass Item: ...\n\n\ndef read(path):\n    return list(csv.reader(path))\n"
TARGET = Target(DOCUMENT, DOCUMENT.index("def read"), len(DOCUMENT) - 1, "python", "/a/stock.py")
JAVA = "class Pad {\n    static int twice(int a) {\n        return a + a;\n    }\n}\n"
JAVA_TARGET = Target(JAVA, JAVA.index("static"), JAVA.index("    }\n}") + 5, "java", "Pad.java")


def block(code: str, info: str = "python") -> str:
    return f"Tests:\n\n```{info}\n{code}\n```\n\nThey test `read`."


@pytest.mark.parametrize("info", ["python", "py", "Python", ""])
def test_copy_of_the_target_is_removed_from_tests(info: str) -> None:
    tests = "def test_read():\n    assert read('') == []"
    copy = "# Reads.\ndef read(path):\n    return []"
    answer = block(f"import csv\nimport pytest\n\n{copy}\n\n{tests}", info)
    shown, removed = remove_known_definitions(answer, TARGET)
    assert removed == ["read"]
    assert shown == block(f"import csv\nimport pytest\n\n\n{tests}", info)


def test_import_that_only_the_copy_uses_is_removed() -> None:
    copy = "def read(path):\n    return list(csv.reader(path))"
    shown, _ = remove_known_definitions(block(f"import csv\n{copy}\n\nassert not read('')"), TARGET)
    assert shown == block("assert not read('')")


def test_types_of_the_document_are_removed_and_named() -> None:
    answer = block("class Item:\n    a = 1\n\ndef read(path): ...\n\ndef test(): assert read(Item())")
    shown, removed = remove_known_definitions(answer, TARGET)
    assert removed == ["Item", "read"]
    assert shown == block("def test(): assert read(Item())")


def test_copy_inside_of_a_test_class_is_removed() -> None:
    copy = "    static int twice(int a) { return a + a; }\n"
    test = "    @Test void doubles() { assertEquals(4, twice(2)); }\n}"
    shown, removed = remove_known_definitions(block(f"class PadTest {{\n{copy}{test}", "java"), JAVA_TARGET)
    assert removed == ["twice"]
    assert shown == block(f"class PadTest {{\n{test}", "java")


@pytest.mark.parametrize(
    "answer",
    [
        block("import csv\n# A quotation:\ndef read(path): ..."),
        block("def test_read():\n    assert read"),
        block("def read(path): ...\n\ntest(", "python"),
        block("def read(path): ...\n\nprint(1)", "bash"),
        "No code.",
    ],
)
def test_other_blocks_stay_as_they_are(answer: str) -> None:
    assert remove_known_definitions(answer, TARGET) == (answer, [])


def test_block_that_was_cut_ends_with_a_statement_and_is_closed() -> None:
    answer = "Tests:\n~~~~python\ndef test():\n    a = 1\n    b ="
    assert end_last_block(answer, "go", is_cut=True) == "Tests:\n~~~~python\ndef test():\n    a = 1\n~~~~"


def test_block_without_a_complete_statement_is_closed_as_it_is() -> None:
    assert end_last_block("```\na =", "python", is_cut=True) == "```\na =\n```"


def test_block_that_the_model_did_not_close_is_closed() -> None:
    assert end_last_block("```go\na := 1", "go", is_cut=False) == "```go\na := 1\n```"


@pytest.mark.parametrize("is_cut", [False, True])
def test_answer_with_closed_blocks_stays_as_it_is(is_cut: bool) -> None:
    assert end_last_block(block("a = 1"), "python", is_cut) == block("a = 1")


def test_settled_text_ends_before_a_block_that_has_not_ended() -> None:
    ended = block("a = 1")
    assert settled_length(ended) == len(ended)
    assert settled_length(f"{ended}\n```python\nb = 1\n") == len(ended) + 1
    assert settled_length(ended, may_lose_definitions=True) == len("Tests:\n\n")
