"""The names of the rules for where a suggestion ends and what of it is shown, in the order in which they run.

The rules themselves are in completion/output/stop_rules.py and completion/output/postprocess.py.
"""

from __future__ import annotations

from typing import Literal

CompletionRule = Literal[
    "special_tokens",
    "hidden_characters",
    "loop",
    "said_again",
    "next_line",
    "statement",
    "block",
    "prose",
    "lines",
    "half_words",
    "echo",
    "lines_above",
    "lines_below",
    "closing_line",
    "rest_of_line",
    "closers",
    "indentation",
    "tabs",
    "unclosed",
    "noise",
    "trailing_blanks",
]
