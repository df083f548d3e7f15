import pytest

from starcoder_ls.completion.insertion_point import InsertionPoint
from starcoder_ls.completion.output import stop_rules


def ended(prefix: str, suffix: str, generated: str, step: int = 1, language: str = "python") -> str:
    """What the rule keeps of a text that arrives ``step`` characters at a time."""
    rule = stop_rules.rule(InsertionPoint.at(prefix, suffix, language))
    for length in range(0, len(generated) + step, step):
        keep = rule(generated[:length])
        if keep is not None:
            return generated[:keep]
    return generated


def test_statement_that_has_begun_ends_with_its_line() -> None:
    assert ended("    return ", "\n", "self.size\n\n    def more(self):\n") == "self.size"


def test_call_that_the_suggestion_opened_goes_on_until_it_is_closed() -> None:
    assert ended("x = ", "\n", "make(\n    1,\n    2,\n)\ny = 3\n") == "make(\n    1,\n    2,\n)"


def test_bracket_in_a_string_opens_nothing() -> None:
    assert ended("x = ", "\n", "'('\ny = 3\n") == "'('"


def test_next_line_after_a_complete_one_is_one_statement() -> None:
    assert ended("x = 1", "", "\ny = 2\nz = 3\n") == "\ny = 2"


def test_block_ends_at_the_dedent() -> None:
    assert ended("def f(a):\n    ", "", "b = a\n    return b\n\ndef g():\n") == "b = a\n    return b"


def test_block_keeps_deeper_lines_and_blank_ones() -> None:
    body = "if a:\n        return 1\n\n    return 2"
    assert ended("def f(a):\n    ", "", body + "\n\n\nclass C:\n") == body


def test_brace_that_closes_the_block_belongs_to_it() -> None:
    assert ended("function f() {\n  ", "", "return 1;\n}\nfunction g() {\n", language="javascript") == "return 1;\n}"


def test_block_ends_before_the_line_that_the_file_has_next() -> None:
    suffix = "\n    total = done(a)\n"
    assert ended("def f(a):\n    ", suffix, "a += 1\n    total = done(a)\n    return\n") == "a += 1"


def test_block_on_a_line_without_indentation_yet() -> None:
    assert ended("def f(a):\n", "", "    return a\n\nprint(1)\n") == "    return a"


def test_no_suggestion_is_longer_than_anybody_reads() -> None:
    generated = "".join(f"x{i} = {i}\n    " for i in range(100))
    assert ended("def f():\n    ", "", generated).count("\n") + 1 <= stop_rules.MAX_LINES


@pytest.mark.parametrize("step", [1, 2, 3, 7, 50])
@pytest.mark.parametrize(
    ("prefix", "generated"),
    [
        ("x = ", "make(\n    1,\n)\ny = 3\nz = 4\n"),
        ("def f(a):\n    ", "if a:\n        return 1\n    return 2\n\ndef g():\n    pass\n"),
    ],
)
def test_end_does_not_depend_on_how_the_text_arrives(prefix: str, generated: str, step: int) -> None:
    assert ended(prefix, "", generated, step).rstrip() == ended(prefix, "", generated, 1).rstrip()


@pytest.mark.parametrize(
    ("text", "is_loop"),
    [
        ('style.get("color_style.get("color_style.get("color_style.get("color_', True),
        ("value = value = value = value = value", True),
        ("[0, 0, 0, 0, 0, 0, 0, 0]", False),
        ("# " + "-" * 60, False),
        ("(None, None, None)", False),
        ("a = 1\nb = 2\nc = 3\nd = 4\n", False),
    ],
)
def test_loop_is_what_says_the_same_four_times(text: str, is_loop: bool) -> None:
    gap = InsertionPoint("", "")
    assert any(stop_rules.loop(text[:end], gap) is not None for end in range(len(text) + 1)) is is_loop


def test_nothing_of_a_loop_is_kept() -> None:
    assert ended("x = ", "", 'get("color_style.' * 9) == ""
