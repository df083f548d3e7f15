"""Code actions of a real server process that replays recorded answers: each gives the right text or a clear error."""

from __future__ import annotations

import asyncio
import json
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest

from actions import ADAPTER, EDITOR, apply_action, lsp_range, resolve_action
from harness import FAKE_SERVER_COMMAND, wait_until_ready
from starcoder_ls.lsp.client import ResponseFailed, start


@dataclass(frozen=True)
class Case:
    """A recorded answer. ``after`` is the text after the edit or, if ``is_refused``, a part of the error message.

    ``NAME`` in the texts stands for the name of the case. With ``is_slow`` each token is one character, so that the
    limit on new tokens cuts the answer off.
    """

    name: str
    title: str
    before: str
    answer: str
    after: str
    is_refused: bool = False
    language: str = "python"
    is_slow: bool = False


ADD = "def add_NAME(a, b):\n    return a - b\n"
FIXED = "def add_NAME(a, b):\n    return a + b\n"
METHOD = "class Sum:\n    def add_NAME(self, a):\n        x = a\n        return x\n\n    size = 1\n"
SHORTER = "class Sum:\n    def add_NAME(self, a):\n        return a\n\n    size = 1\n"
TABS = "class Sum:\n\tdef add_NAME(self, a):\n\t\tx = a\n\t\treturn x\n"
SHORTER_TABS = "class Sum:\n\tdef add_NAME(self, a):\n\t\treturn a\n"
BRACES = "int add_NAME(int a) {\n  int b = a;\n  return b;\n}\n"

CASES = [
    Case("bare", "Simplify", ADD, " def add_NAME(a, b):\n    return a + b", FIXED),
    Case(
        "prose",
        "Simplify",
        ADD,
        " Sure! Here is the simplified code:\n\n```python\ndef add_NAME(a, b):\n    return a + b\n```\n\nIt now adds.",
        FIXED,
    ),
    Case(
        "prose_bare",
        "Simplify",
        ADD,
        " Here is the code:\ndef add_NAME(a, b):\n    return a + b\nThis function now adds both.",
        FIXED,
    ),
    Case("unclosed", "Simplify", ADD, "\n```python\ndef add_NAME(a, b):\n    return a + b\n", FIXED),
    Case(
        "unclosed_prose",
        "Simplify",
        ADD,
        "\n```python\ndef add_NAME(a, b):\n    return a + b\n\nThis function now adds both.",
        FIXED,
    ),
    Case("cut", "Simplify", ADD, " def add_NAME(a, b):\n    return a +" + " b" * 200, "cut", True, is_slow=True),
    Case(
        "cut_fence", "Simplify", ADD, "```\ndef add_NAME(a, b):\n    return a +" + " b" * 99, "cut", True, is_slow=True
    ),
    Case(
        "cut_later",
        "Simplify",
        ADD,
        "```\ndef add_NAME(a, b):\n    return a + b\n```\nThis is" + " so" * 99,
        FIXED,
        is_slow=True,
    ),
    Case("dedented", "Simplify", METHOD, " def add_NAME(self, a):\n    return a", SHORTER),
    Case("first_dedented", "Simplify", METHOD, "def add_NAME(self, a):\n        return a", SHORTER),
    Case(
        "first_dedented_deep",
        "Simplify",
        METHOD,
        "def add_NAME(self, a):\n        if a:\n            while a:\n                a = 0\n        return a",
        SHORTER.replace("        return", "        if a:\n            while a:\n                a = 0\n        return"),
    ),
    Case(
        "over_indented", "Simplify", METHOD, "```\n        def add_NAME(self, a):\n            return a\n```", SHORTER
    ),
    Case("over_indented_bare", "Simplify", METHOD, "\n        def add_NAME(self, a):\n            return a", SHORTER),
    Case("two_spaces", "Simplify", METHOD, "```\ndef add_NAME(self, a):\n  return a\n```", SHORTER),
    Case("tabs_in_document", "Simplify", TABS, "def add_NAME(self, a):\n    return a", SHORTER_TABS),
    Case("tabs_in_answer", "Simplify", METHOD, "def add_NAME(self, a):\n\treturn a", SHORTER),
    Case(
        "repeats",
        "Simplify",
        ADD,
        "Question: Simplify this Python code.\ndef add_NAME(a, b):\n    return a - b\n\nAnswer: ```\n" + FIXED + "```",
        FIXED,
    ),
    Case("calls_it", "Simplify", ADD, ADD + "\n\nadd_NAME(1, 2)", "returned the code unchanged", is_refused=True),
    Case(
        "doc_echo",
        "Write docstring",
        ADD,
        ADD + "\nAdd two numbers.",
        ADD.replace(":\n", ':\n    """Add two numbers."""\n'),
    ),
    Case(
        "doc_repetition",
        "Write docstring",
        ADD,
        "Add them. " + "And so on. " * 50,
        ADD.replace(":\n", ':\n    """Add them. And so on."""\n'),
    ),
    Case("same", "Simplify", ADD, ADD, "unchanged", True),
    Case("empty", "Simplify", ADD, " \n", "answer is empty", True),
    Case(
        "several",
        "Simplify",
        ADD,
        "The original:\n```python\n" + ADD + "```\nThe fix:\n```python\n" + FIXED + "```\nTest:\n```\nprint(1)\n```",
        FIXED,
    ),
    Case("continues", "Simplify", ADD, FIXED + "\nQuestion: What is 2 + 2?\n\nAnswer: 4", FIXED),
    Case("words", "Simplify", ADD, "I cannot simplify this function any further.", "in words", True),
    Case("broken", "Simplify", ADD, "```\ndef add_NAME(a, b:\n    return a\n```", "syntax", True),
    Case("crlf", "Simplify", ADD.replace("\n", "\r\n"), FIXED, FIXED.replace("\n", "\r\n")),
    Case(
        "hidden",
        "Simplify",
        ADD,
        "def add_NAME(a, b):\n    return a \u202e+\u200b b  # \x1b[31m",
        "def add_NAME(a, b):\n    return a + b  # [31m\n",
    ),
    Case(
        "braces",
        "Simplify",
        BRACES,
        "int add_NAME(int a) {\n    return a;\n}",
        "int add_NAME(int a) {\n  return a;\n}\n",
        language="c",
    ),
    Case("doc", "Write docstring", ADD, " Add two numbers.", ADD.replace(":\n", ':\n    """Add two numbers."""\n')),
    Case(
        "doc_code",
        "Write docstring",
        METHOD,
        '```python\ndef add_NAME(self, a):\n    """Give it back.\n\n    Args:\n        a: it\n    """\n'
        "    return a\n```",
        METHOD.replace("a):\n", 'a):\n        """Give it back.\n\n        Args:\n            a: it\n        """\n'),
    ),
    Case(
        "doc_exists",
        "Write docstring",
        'def add_NAME(a):\n    """Old."""\n    return a\n',
        'Here is the docstring:\n\n"""New\n"quoted"."""',
        'def add_NAME(a):\n    """New\n    "quoted".\n    """\n    return a\n',
    ),
    Case(
        "doc_line",
        "Write docstring",
        "def add_NAME(a): pass\n",
        "It does nothing.",
        'def add_NAME(a):\n    """It does nothing."""\n    pass\n',
    ),
    Case(
        "doc_cut",
        "Write docstring",
        ADD,
        "Add two numbers. Then" + " so" * 99,
        ADD.replace(":\n", ':\n    """Add two numbers."""\n'),
        is_slow=True,
    ),
    Case("doc_cut_early", "Write docstring", ADD, "Add" + " so" * 99, "cut", True, is_slow=True),
    Case("doc_empty", "Write docstring", ADD, "\n\n", "empty", True),
    Case(
        "doc_braces", "Write docstring", BRACES, "Gives a back.", "/**\n * Gives a back.\n */\n" + BRACES, language="c"
    ),
]


def with_name(case: Case, text: str) -> str:
    return text.replace("NAME", case.name)


def run_all(encodings: list[str]) -> dict[str, Any]:
    """Run all cases in one server process. By case: the text after the edit, or the error."""
    replies = {}
    for case in CASES:
        answer = with_name(case, case.answer)
        replies[with_name(case, "add_NAME(")] = list(answer) if case.is_slow else [answer]
    engine = {"adapters": ["astraios"], "replies": replies}
    short = {"max_new_tokens": 100}
    options = {**ADAPTER, "actions": {"simplify": short, "document": {**short, "max_new_tokens": 60}}}

    async def run_cases() -> dict[str, Any]:
        results: dict[str, Any] = {}
        async with start([*FAKE_SERVER_COMMAND, json.dumps(engine)], stderr=subprocess.DEVNULL) as client:
            await client.initialize(options, {**EDITOR, "general": {"positionEncodings": encodings}})
            await wait_until_ready(client)
            for case in CASES:
                uri, text = f"file:///{case.name}", with_name(case, case.before)
                client.open(uri, text, case.language)
                row = next(number for number, line in enumerate(text.split("\n")) if "add_" in line)
                try:
                    action = await resolve_action(client, case.title, lsp_range(row, row), uri)
                    results[case.name] = apply_action(text, action)
                except ResponseFailed as error:
                    results[case.name] = error
            assert not client.unmatched_responses
            assert await client.shutdown() == 0
        return results

    return asyncio.run(asyncio.wait_for(run_cases(), 600))


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return run_all(["utf-16"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_recorded_answer_gives_right_text_or_clear_error(case: Case, results: dict[str, Any]) -> None:
    result = results[case.name]
    if case.is_refused and isinstance(result, ResponseFailed):
        assert result.code == -32803
        assert case.after in result.message
    else:
        assert result == with_name(case, case.after)
