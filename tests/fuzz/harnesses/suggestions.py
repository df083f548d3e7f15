"""From what a model generates to what is shown at the cursor: stop rules token by token, then all filters.

A suggestion consists of generated text, in order; only blanks may be added. It has no hidden characters, no special
tokens and no secrets, and replaces nothing but closers right of the cursor.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from fuzz.input_bytes import InputReader, decode_text, join_fields, split_fields
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.output import stop_rules, unsafe_text
from starcoder_ls.completion.output.generated_answer import GeneratedAnswer
from starcoder_ls.completion.suggestion import Suggestion, build_suggestions
from starcoder_ls.context.secrets import contains_secret
from starcoder_ls.generation import FinishReason, Timings
from starcoder_ls.hidden_characters import strip_hidden_characters
from starcoder_ls.settings import MAX_LINES

MAX_BYTES = 768
LANGUAGES = (
    "python", "javascript", "typescript", "rust", "go", "java", "c", "cpp", "html", "shellscript", "makefile", "sql",
    "yaml", "markdown", "lua", "ruby", "", "php", "csharp", "toml",
)  # fmt: skip
REASONS = (FinishReason.END_OF_TEXT, FinishReason.LENGTH, FinishReason.DEADLINE)
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_TOKEN = re.compile(r"\n[ \t]*|[ \t]?[^\W\d_]+|[ \t]?[^\w\s]{1,2}|.", re.DOTALL)

SEEDS = (
    join_fields(b"\0\0", "def f(x):\n    ", "\n\nprint(f(1))\n", "return x + 1\n\n\ndef g():\n    pass"),
    join_fields(b"\1\0", "foo(", ");\nbar();\n", "a, b);\nbar();"),
    join_fields(b"\3\1", "let v: Vec<Vec<", ">> = x;", "isize>> = vec![1];"),
    join_fields(b"\10\0", '<a href="', '"></a>\n<p>', 'x.html">About</a>'),
    join_fields(b"\0\0", 'x = f"{', '}"\r\n', "a}\u202e<|endoftext|>b"),
    join_fields(b"\12\2", "all: a\n\tcc a\n\n", "\nclean:\n", "    rm -f a\n    rm b"),
    join_fields(b"\0\0", "# words\nfor i in range(3):\n", "    print(i)", "    a👩\u200d\U0001f467 = '0, 0, 0, 0'"),
)


def _golden_seeds() -> list[bytes]:
    """The recorded answers of tests/completion/golden, for the fuzzer; the tests there run them."""
    seeds = []
    for file in sorted((Path(__file__).parents[2] / "completion" / "golden").glob("*.toml")):
        for case in tomllib.loads(file.read_text(encoding="utf-8"))["case"]:
            before, after = case["document"].split("<|cursor|>")
            language = LANGUAGES.index(case["language"]) if case["language"] in LANGUAGES else 16
            seeds.append(join_fields(bytes((language, 0)), before, after, case["raw"]))
    return [seed for seed in seeds if len(seed) <= MAX_BYTES]


MORE_SEEDS = _golden_seeds


def check(data: bytes) -> None:
    options, raw_before, raw_after, raw_answer = split_fields(data, 4)
    reader = InputReader(options)
    language, reason = reader.choice(LANGUAGES), reader.choice(REASONS)
    before, after, answer = decode_text(raw_before), decode_text(raw_after), decode_text(raw_answer)
    cursor = Cursor(before + after, len(before), language)
    divided = cursor.divided
    point = cursor.insertion_point(divided.before, divided.closers + divided.after)
    stop = stop_rules.build_stop_rule(point)
    text = ""
    for token in _TOKEN.findall(answer):
        text += token
        kept = stop(text)
        if kept is not None:
            assert 0 <= kept <= len(text)
            assert stop(text) == kept
            text, reason = text[:kept], FinishReason.STOP_RULE
            break
    answers = [GeneratedAnswer(text, 3, reason, -0.5), GeneratedAnswer(text[: len(text) // 2], 2, reason, -0.9)]
    for suggestion in build_suggestions(answers, Timings(), cursor, point):
        check_suggestion(suggestion, cursor, text)
        assert unsafe_text.find_special_token(suggestion.text, point) is None


def check_suggestion(suggestion: Suggestion, cursor: Cursor, generated: str) -> None:
    text = suggestion.text
    assert text.strip()
    assert cursor.offset == suggestion.start <= suggestion.end <= len(cursor.text)
    check_replaced(cursor.text[suggestion.start : suggestion.end], text, cursor)
    assert is_subsequence("".join(text.split()), "".join(generated.split()))
    assert len(text.split("\n")) <= MAX_LINES + 1
    assert not contains_secret(text, cursor.divided.before)
    shown = text.replace("\r", "")
    assert strip_hidden_characters(f"{shown}\n") == f"{shown}\n"


def check_replaced(replaced: str, text: str, cursor: Cursor) -> None:
    """Closers at the end of the cursor's line, or the end of empty brackets that lines of ``text`` fill and end."""
    if cursor.divided.closers.startswith(replaced):
        return
    opener = cursor.text[: cursor.offset].rpartition("\n")[2].rstrip()[-1:]
    assert _CLOSING[opener] == replaced.lstrip(" \t") == text.rstrip()[-1:]
    assert text.lstrip(" \t").startswith("\n")


def is_subsequence(part: str, whole: str) -> bool:
    """Whether ``part`` is left of ``whole`` when characters are removed."""
    remaining = iter(whole)
    return all(char in remaining for char in part)
