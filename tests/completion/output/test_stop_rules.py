import pytest

from starcoder_ls.completion.insertion_point import InsertionPoint
from starcoder_ls.completion.output import stop_rules
from starcoder_ls.settings import MAX_LINES


def stopped(prefix: str, suffix: str, generated: str, step: int = 1, language: str = "python") -> str:
    """What the stop rule keeps of a text that grows by ``step`` characters."""
    rule = stop_rules.build_stop_rule(InsertionPoint.at(prefix, suffix, language))
    for length in range(0, len(generated) + step, step):
        kept = rule(generated[:length])
        if kept is not None:
            return generated[:kept]
    return generated


def test_statement_stops_at_its_line_end() -> None:
    assert stopped("    return ", "\n", "self.size\n\n    def more(self):\n") == "self.size"


def test_opened_call_continues_until_it_is_closed() -> None:
    assert stopped("x = ", "\n", "make(\n    1,\n    2,\n)\ny = 3\n") == "make(\n    1,\n    2,\n)"


def test_bracket_in_a_string_does_not_count() -> None:
    assert stopped("x = ", "\n", "'('\ny = 3\n") == "'('"


def test_line_after_a_complete_one_is_one_statement() -> None:
    assert stopped("x = 1", "", "\ny = 2\nz = 3\n") == "\ny = 2"


def test_block_stops_at_the_dedent() -> None:
    assert stopped("def f(a):\n    ", "", "b = a\n    return b\n\ndef g():\n") == "b = a\n    return b"


def test_block_keeps_deeper_and_blank_lines() -> None:
    body = "if a:\n        return 1\n\n    return 2"
    assert stopped("def f(a):\n    ", "", body + "\n\n\nclass C:\n") == body


def test_brace_that_closes_the_block_is_kept() -> None:
    assert stopped("function f() {\n  ", "", "return 1;\n}\nfunction g() {\n", language="javascript") == "return 1;\n}"


def test_block_stops_before_the_next_line_of_the_document() -> None:
    suffix = "\n    total = done(a)\n"
    assert stopped("def f(a):\n    ", suffix, "a += 1\n    total = done(a)\n    return\n") == "a += 1"


def test_block_starts_on_a_line_without_indentation() -> None:
    assert stopped("def f(a):\n", "", "    return a\n\nprint(1)\n") == "    return a"


def test_block_stops_after_maximum_number_of_lines() -> None:
    generated = "".join(f"x{i} = {i}\n    " for i in range(100))
    assert stopped("def f():\n    ", "", generated).count("\n") + 1 <= MAX_LINES


@pytest.mark.parametrize("step", [1, 2, 3, 7, 50])
@pytest.mark.parametrize(
    ("prefix", "generated"),
    [
        ("x = ", "make(\n    1,\n)\ny = 3\nz = 4\n"),
        ("def f(a):\n    ", "if a:\n        return 1\n    return 2\n\ndef g():\n    pass\n"),
    ],
)
def test_stop_does_not_depend_on_how_the_text_grows(prefix: str, generated: str, step: int) -> None:
    assert stopped(prefix, "", generated, step).rstrip() == stopped(prefix, "", generated, 1).rstrip()


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
def test_loop_is_text_repeated_four_times(text: str, is_loop: bool) -> None:
    point = InsertionPoint("", "")
    assert any(stop_rules.stop_at_loop(text[:end], point) is not None for end in range(len(text) + 1)) is is_loop


def test_loop_on_the_first_line_leaves_no_text() -> None:
    assert stopped("x = ", "", 'get("color_style.' * 9) == ""


def test_disabled_rule_does_not_stop() -> None:
    point = InsertionPoint.at("x = ", "", "python", ["statement"])
    assert stop_rules.build_stop_rule(point)("1\ny") is None


def test_rules_see_text_that_was_generated_before() -> None:
    texts: list[str] = []
    rule = stop_rules.build_stop_rule(InsertionPoint.at("x = ", "\n", "python"), "make(", texts.append)
    assert [rule("1,"), rule("1,\n"), rule("1,\n)\ny")] == [None, None, 4]
    assert texts == ["1,", "1,\n", "1,\n)"]


def test_one_line_ends_at_the_line_of_the_cursor() -> None:
    point = InsertionPoint.at("x = [", "", "python", max_lines=1)
    assert stop_rules.build_stop_rule(point)("1,\n2,\n]\n") == 2
    assert stop_rules.build_stop_rule(point)("\n    1,\n") == 0
