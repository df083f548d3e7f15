"""What a suggestion is worth against the text that stood there, and how sure a mean of such scores is.

Refuses to know where suggestions come from.
"""

from __future__ import annotations

import itertools
import keyword
import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_STRING = re.compile(r"""\"(?:\\.|[^"\\\n])*\"|'(?:\\.|[^'\\\n])*'|`[^`]*`""")
_NAME = re.compile(r"[^\W\d]\w*")
_KEYWORDS = frozenset(keyword.kwlist) | frozenset(
    [
        "abstract",
        "auto",
        "bool",
        "boolean",
        "byte",
        "case",
        "catch",
        "char",
        "const",
        "default",
        "defer",
        "delete",
        "do",
        "double",
        "enum",
        "export",
        "extends",
        "extern",
        "final",
        "float",
        "fn",
        "for",
        "func",
        "function",
        "go",
        "goto",
        "impl",
        "implements",
        "int",
        "interface",
        "let",
        "long",
        "match",
        "mod",
        "mut",
        "namespace",
        "new",
        "nil",
        "null",
        "package",
        "private",
        "protected",
        "pub",
        "public",
        "select",
        "short",
        "signed",
        "sizeof",
        "static",
        "struct",
        "super",
        "switch",
        "template",
        "this",
        "throw",
        "throws",
        "trait",
        "true",
        "false",
        "type",
        "typedef",
        "typename",
        "union",
        "unsigned",
        "use",
        "using",
        "var",
        "virtual",
        "void",
        "volatile",
        "where",
    ]
)
"""Of the common languages together: a name that is a keyword next door is rare, and counts for nobody."""


def is_exact(suggestion: str, truth: str) -> bool:
    """The whole text, without the blanks around it."""
    return suggestion.strip() == truth.strip()


def first_line(text: str) -> str:
    """The first line with content, without the blanks around it."""
    return next((line.strip() for line in text.split("\n") if line.strip()), "")


def is_first_line_match(suggestion: str, truth: str) -> bool:
    return first_line(suggestion) == first_line(truth)


def edit_similarity(suggestion: str, truth: str) -> float:
    """0 to 1: twice the matching characters over all characters, of the stripped texts (difflib's ratio)."""
    return SequenceMatcher(None, suggestion.strip(), truth.strip(), autojunk=False).ratio()


def identifiers(text: str) -> frozenset[str]:
    """Names outside strings that are no keyword."""
    return frozenset(_NAME.findall(_STRING.sub(" ", text))) - _KEYWORDS


def identifier_f1(suggestion: str, truth: str) -> float | None:
    """Of the sets of names, as CrossCodeEval counts them (Ding et al. 2023); None where the truth has none."""
    wanted, found = identifiers(truth), identifiers(suggestion)
    return 2 * len(wanted & found) / (len(wanted) + len(found)) if wanted else None


def kept_chars(suggestion: str, truth: str) -> int:
    """How many characters somebody keeps who accepts the suggestion and deletes from the first wrong one on."""
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(suggestion, truth, strict=False))
    return sum(1 for _ in pairs)


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} ({100 * self.low:.1f}–{100 * self.high:.1f})"


def share(successes: Sequence[bool]) -> Mean:
    """Wilson's interval, which holds for small shares too."""
    count, z = len(successes), 1.96
    if not count:
        return Mean(0.0, 0.0, 1.0)
    p = sum(successes) / count
    centre = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return Mean(p, max(0.0, centre - half), min(1.0, centre + half))


def mean(values: Sequence[float]) -> Mean:
    """Student's interval of a mean; one value alone has none."""
    value, count = (statistics.fmean(values) if values else 0.0), len(values)
    half = _student(count - 1) * statistics.stdev(values) / math.sqrt(count) if count > 1 else 0.0
    return Mean(value, value - half, value + half)


def _student(freedom: int) -> float:
    """The two-sided 95 % point, by Fisher's expansion around the normal one (Abramowitz and Stegun, 26.7.5)."""
    z = 1.96
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def quantile(values: Sequence[float], which: float) -> Mean:
    """The value that a share of ``which`` does not exceed, with the order statistics between which the true one lies.

    Free of any distribution (Conover, Practical Nonparametric Statistics, 3.2; the binomial by its normal form).
    """
    ordered, count = sorted(values), len(values)
    if not count:
        return Mean(0.0, 0.0, 0.0)
    half = 1.96 * math.sqrt(count * which * (1 - which))
    places = (count * which, count * which - half, count * which + half + 1)
    return Mean(*(ordered[min(count, max(1, math.ceil(place))) - 1] for place in places))
