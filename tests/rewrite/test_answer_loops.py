from __future__ import annotations

import pytest

from starcoder_ls.rewrite import answer_loops


def numbers(count: int, step: int = 1, first: int = 1) -> str:
    return ", ".join(str(first + step * number) for number in range(count))


def growing(count: int, line: str = "assert f([{}]) == {}", step: int = 1) -> str:
    """Lines with 1 to ``count`` numbers in a list, each with the sum of them."""
    sums = (sum(range(1, 1 + step * size, step)) for size in range(1, count + 1))
    return "".join(f"{line.format(numbers(size, step), value)}\n" for size, value in enumerate(sums, 1))


def counted(line: str, count: int) -> str:
    return "".join(line.format(number, number + 1) + "\n" for number in range(1, count + 1))


@pytest.mark.parametrize(
    ("answer", "length"),
    [
        ("It is. " + "And so on. " * 40, len("It is. And so on. ")),
        ("Base" * 40, 4),
        ("-" * 119, None),
        ("a list: " + numbers(90), None),
        ("", None),
    ],
)
def test_find_repetition_returns_the_length_before_the_loop(answer: str, length: int | None) -> None:
    assert answer_loops.find_repetition(answer) == length
    assert answer_loops.find_loop(answer) == length


HEAD = "Here are tests:\n\n```python\n"

ENDLESS = {
    "list that counts up": (f"{HEAD}assert f([{numbers(140)}", f"{HEAD}assert f([1, "),
    "list that counts up by tens": (f"{HEAD}assert f([{numbers(140, 10)}, ", f"{HEAD}assert f([1, "),
    "list that counts down": (f"{HEAD}x = [{numbers(140, -3, 900)}", f"{HEAD}x = [900, "),
    "list of names": (
        f"{HEAD}x = [" + "".join(f'"a{number}", ' for number in range(90)) + '"a',
        f'{HEAD}x = ["a0", "a',
    ),
    "list with one element in a line": (f"{HEAD}x = [\n" + counted("    ({}, {}),", 50), f"{HEAD}x = [\n    (1, 2),\n"),
    "statements": (HEAD + counted("assert f({}) == {}", 40), HEAD + counted("assert f({}) == {}", 1)),
    "numbered sentences": (counted("{}. It calls the function.", 40), "1. It calls the function.\n"),
    "growing list": (HEAD + growing(12), HEAD + growing(3)),
    "growing list of every second number": (HEAD + growing(14, step=2), HEAD + growing(3, step=2)),
    "growing call": (HEAD + growing(12, "    assert f({}) == {}"), HEAD + growing(3, "    assert f({}) == {}")),
    "growing list in parameters": (HEAD + growing(12, "    ([{}], {}),"), HEAD + growing(3, "    ([{}], {}),")),
    "growing list after other lines": (
        f"{HEAD}import f\nassert f([]) == 0\n{growing(12)}",
        f"{HEAD}import f\nassert f([]) == 0\n{growing(3)}",
    ),
    "growing list before a line that was begun": (f"{HEAD}{growing(12)}assert f([1, 2, 3", HEAD + growing(3)),
    "growing list in functions": (
        HEAD + growing(12, "def test():\n    assert f([{}]) == {}\n"),
        HEAD + growing(3, "def test():\n    assert f([{}]) == {}\n").removesuffix("\n"),
    ),
    "growing text": (
        "".join(f'assert f("{"ab" * size}")\n' for size in range(1, 13)),
        "".join(f'assert f("{"ab" * size}")\n' for size in range(1, 4)),
    ),
    "growing nesting": (
        "".join(f"assert f({'[' * size}{']' * size}) == {size}\n" for size in range(1, 13)),
        "".join(f"assert f({'[' * size}{']' * size}) == {size}\n" for size in range(1, 4)),
    ),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_answer_that_counts_or_grows_without_end_is_cut(kind: str) -> None:
    answer, shown = ENDLESS[kind]
    length = answer_loops.find_loop(answer)
    assert answer[:length] == shown
    assert length is not None
    assert answer_loops.find_loop(answer, is_cut=True) == length
    assert answer_loops.find_loop("x = 1\n" * 7 + answer) == length + 42


LEGITIMATE = {
    "numbers to a hundred": f"assert sum([{numbers(100)}]) == 5050\n",
    "numbers to a hundred, not ended": f"assert sum([{numbers(100)}",
    "eleven growing lists": growing(11),
    "squares": "assert squares(60) == [" + ", ".join(str(number**2) for number in range(60)),
    "results that do not count": "".join(f"assert square({number}) == {number**2}\n" for number in range(60)),
    "twenty parameters": "[\n" + counted('    pytest.param({}, {}, id="case {}"),'.replace("{}", "{0}"), 20),
    "rows of a table": "".join(f'    ("item {number}", {number * 7 % 11}),\n' for number in range(60)),
    "words": "".join(f'assert complete("{"completion"[:size]}")\n' for size in range(1, 11)),
    "fixture": "users = [" + "".join(f'{{"id": {number}, "name": "user{number}"}}, ' for number in range(20)),
    "functions": "".join(f"def test_{name}():\n    assert f({name}) == 1\n\n" for name in "abcdefghijklmnopqrst"),
    "imports": "".join(f"from package import (module_{name},)\n" for name in "abcdefghijklmnopqrst"),
    "comments": "".join(f"# step {number}: {'the value is read ' * (number % 3)}\n" for number in range(40)),
}


@pytest.mark.parametrize("kind", LEGITIMATE)
def test_tests_with_many_similar_cases_are_not_cut(kind: str) -> None:
    for length in range(len(LEGITIMATE[kind]) + 1):  # as they are generated
        assert answer_loops.find_loop(LEGITIMATE[kind][:length]) is None


CUT = {
    "list that counts up": (f"assert f([{numbers(40)}", "assert f([1, "),
    "growing list": (f"{growing(8)}assert f([1", growing(3)),
    "short list": (f"assert f([{numbers(20)}", None),
    "few growing lists": (f"{growing(7)}assert f([1", None),
    "results that do not count": (LEGITIMATE["results that do not count"], None),
}


@pytest.mark.parametrize("kind", CUT)
def test_less_of_a_loop_is_needed_if_the_answer_was_cut(kind: str) -> None:
    answer, shown = CUT[kind]
    length = answer_loops.find_loop(answer, is_cut=True)
    assert (None if length is None else answer[:length]) == shown
    assert answer_loops.find_loop(answer) is None


def test_beginning_of_a_long_answer_is_never_cut() -> None:
    text = "".join(f"The function {name} is called.\n" for name in map(chr, range(0x4E00, 0x4E00 + 300)))
    length = answer_loops.find_loop(text + growing(12))
    assert length == len(text + growing(3))
    assert answer_loops.find_loop(growing(12) + text) is None
