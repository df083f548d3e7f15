"""Strings that look like secrets: where they are, the same text with them masked, whether a text holds one.

Decides by the published shapes of tokens and by names such as ``password``. Refuses to know files: a secret-looking
string excludes nothing.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

MASK = "x"

# A table of our own: detect-secrets 1.5.0 takes 0.6 ms a line, flags most lines of clean code as high entropy, and
# brings code that sends what it finds to web services to see whether it is valid.
_TOKENS = re.compile("|".join((
    r"(?<![A-Z0-9])(?:A[KS]IA|ABIA|ACCA)(?P<aws>[0-9A-Z]{16})(?![0-9A-Z])",  # AWS access key ids
    r"gh[pousr]_(?P<github>[A-Za-z0-9]{36,255})",
    r"github_pat_(?P<github_pat>\w{22,255})",
    r"gl(?:pat|dt|ft|rt|ptt|cbt|soat)-(?P<gitlab>[\w-]{20,60})",
    r"x(?:ox[abeoprs]|app)-(?P<slack>[A-Za-z0-9-]{15,250})",
    r"hooks\.slack\.com/services/(?P<slack_hook>T\w+/B\w+/\w+)",
    r"(?<![\w-])sk-(?P<openai>(?=[\w-]*\d)[\w-]{20,250})",  # OpenAI, Anthropic
    r"[rs]k_(?:live|test)_(?P<stripe>[0-9A-Za-z]{16,250})",
    r"whsec_(?P<stripe_hook>[0-9A-Za-z+/=]{24,80})",
    r"AIza(?P<google>[\w-]{35})",
    r"ya29\.(?P<google_oauth>[\w-]{20,500})",
    r"GOCSPX-(?P<google_client>[\w-]{20,60})",
    r"(?<!\w)hf_(?P<hugging_face>(?=\w*\d|\w*[a-z]\w*[A-Z])[A-Za-z0-9]{30,60})",
    r"(?<!\w)npm_(?P<npm>[A-Za-z0-9]{36})",
    r"pypi-AgE(?P<pypi>[\w-]{50,500})",
    r"dckr_pat_(?P<docker>[\w-]{20,60})",
    r"dop_v1_(?P<digital_ocean>[a-f0-9]{64})",
    r"shp(?:at|ss|ca|pa)_(?P<shopify>[a-fA-F0-9]{32})",
    r"sq0(?:csp|atp)-(?P<square>[\w-]{22,60})",
    r"(?<!\w)SG\.(?P<sendgrid>[\w-]{22}\.[\w-]{43})",
    r"AccountKey=(?P<azure>[A-Za-z0-9+/]{40,100}={0,2})",
    r"AGE-SECRET-KEY-1(?P<age>[0-9A-Z]{50,70})",
    r"eyJ(?P<jwt>[\w-]{8,2000}\.eyJ[\w-]{8,4000}\.[\w-]{16,1000})",  # signed JSON web tokens
)))  # fmt: skip
"""As their issuers publish them. What a group holds is secret, what stands before it says what it is."""

_RUN = re.compile(r"[\w+/=.-]{20,}")
"""Every token of the table lies in one: looking for these first is ten times as fast."""

_ROW, _BETWEEN = r"[A-Za-z0-9+/=]{24,}+", r"(?:[\s\"'`,]|\\[nr])*+"
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,20}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:((?:(?!-----(?:BEGIN|END)).){16,12000})(?=-----END)"
    rf"|{_BETWEEN}({_ROW}(?:{_BETWEEN}{_ROW})*+(?:{_BETWEEN}[A-Za-z0-9+/]{{1,23}}={{1,2}}(?![\w+/=]))?))",
    re.DOTALL,
)
"""All up to its end; where that is missing, as far as lines look like a key's: code that only names the mark stays."""

_IN_URL = re.compile(r"(?<=://)[^\s:@/'\"]{0,60}:((?![{<$%])[^\s:@/'\"]{4,100})(?=@[\w.-])")
_QUOTED = re.compile(r"(['\"`])([^\s'\"`]{8,200})\1")
_NAMED = re.compile(
    r"(?:passw|passphrase|pwd|secret|token|(?:api|access|account|private|auth)[_-]?key|credential)"
    r"[\w-]*['\"]?\]?\s{0,4}(?::\s?[\w.\[\]| ]{1,30})?(?:=>|:=|==?|:)\s{0,4}[rbu]?\Z",
    re.IGNORECASE,
)
_NAME_CHARS = 80
_LEAST_CHARS = 12
_MOST_SECRET_CHARS = 12_000
_MOST_REMEMBERED_CHARS = 40_000
_BARE = re.compile(
    r"^[ \t]*(?:export[ \t]+)?[A-Z0-9_]*(?:PASSW|PASSPHRASE|PWD|SECRET|TOKEN|KEY|CREDENTIAL)[A-Z0-9_]*="
    r"([^\s'\"`$()<>{}\[\],;]{8,200})(?=\s|\Z)",
)
"""As in shell and .env files: capital letters, no blanks."""

_HARMLESS = re.compile(r"[{}<>$%]|example|change|your|placeholder|dummy|\.\.\.|\*{3}|x{6}", re.IGNORECASE)
_MASKED = MASK * 8
_KEY_BEGINS = "-----BEGIN "


def masked(text: str) -> str:
    """``text`` with every secret-looking string replaced by as many ``x``; lengths and line ends stay."""
    return masked_part(text, 0, len(text))


def masked_part(text: str, start: int, end: int) -> str:
    """``text[start:end]`` with secrets masked, also those that begin before it or end behind it."""
    pieces: list[str] = []
    at = start
    for first, last in sorted(spans(text, start, end)):
        first, last = max(first, at), min(last, end)
        if last > first:
            pieces += text[at:first], _hidden(text[first:last])
            at = last
    return "".join((*pieces, text[at:end])) if pieces else text[start:end]


def restored(said: str, shown: str, original: str) -> str | None:
    """``said`` with the lines of ``original`` that ``shown`` has masked as they were.

    None where another line of it says a secret or a mask, or where nobody can tell which secret a mask stood for.
    """
    hidden: dict[str, set[str]] = {}
    for masked_line, line in zip(shown.split("\n"), original.split("\n"), strict=True):
        if masked_line != line:
            hidden.setdefault(masked_line.strip(), set()).add(line.strip())
    rows = []
    for row in said.split("\n"):
        known = hidden.get(row.strip(), ())
        was = next(iter(known)) if len(known) == 1 else None
        if was is None and holds(row):
            return None
        rows.append(row if was is None else row.replace(row.strip(), was))
    return "\n".join(rows)


def holds(text: str, before: str = "") -> bool:
    """Whether ``text`` says a secret, a mask, or, behind ``before`` on its line, the rest of a secret."""
    line = before.rpartition("\n")[2][-200:]
    return _MASKED in text or any(end > len(line) for _, end in spans(line + text))


def spans(text: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """Where secret-looking strings begin and end that touch ``start`` .. ``end``, in no order; they may overlap.

    Private keys go over many lines, all others stand in one.
    """
    end = len(text) if end is None else end
    at = text.find(_KEY_BEGINS, max(0, start - _MOST_SECRET_CHARS), end)
    while at >= 0:
        if key := _PRIVATE_KEY.match(text, at):
            yield key.span(key.lastindex or 0)
        at = text.find(_KEY_BEGINS, at + 1, end)
    begin = text.rfind("\n", 0, start) + 1
    last_line = max(begin, text.rfind("\n", 0, end) + 1)
    line_end = text.find("\n", end)
    above = _in_block if last_line - begin <= _MOST_REMEMBERED_CHARS else _in_lines
    for first, last in above(text[begin:last_line]):
        yield begin + first, begin + last
    for first, last in _in_lines(text[last_line : line_end if line_end >= 0 else len(text)]):
        yield last_line + first, last_line + last


def _in_lines(text: str) -> tuple[tuple[int, int], ...]:
    found, begin = [], 0
    for line in text.split("\n"):
        if len(line) >= _LEAST_CHARS:
            found += [(begin + first, begin + last) for first, last in _in_line(line)]
        begin += len(line) + 1
    return tuple(found)


_in_block = functools.lru_cache(maxsize=64)(_in_lines)
"""At each key the window's lines above the cursor's are the same, and so are those behind it."""


@functools.lru_cache(maxsize=20_000)
def _in_line(line: str) -> tuple[tuple[int, int], ...]:
    """Remembered: 100 KB take 10 ms the first time, and at the next key all lines but one are as they were."""
    found = [one.span(2) for one in _QUOTED.finditer(line) if _looks_random(one.group(2)) and _is_named(line, one)]
    found += [one.span(1) for one in _BARE.finditer(line) if _looks_random(one.group(1))]
    found += [one.span(1) for one in _IN_URL.finditer(line)]
    for run in _RUN.finditer(line):
        found += [one.span(str(one.lastgroup)) for one in _TOKENS.finditer(line, *run.span())]
    return tuple(found)


def _is_named(line: str, quoted: re.Match[str]) -> bool:
    return _NAMED.search(line, max(0, quoted.start() - _NAME_CHARS), quoted.start()) is not None


def _looks_random(value: str) -> bool:
    """Letters and digits, or letters and signs that no path, URL or name has: unlike ``password="username"``."""
    has_letter = any(char.isalpha() for char in value)
    has_more = any(char.isdigit() or char in "!#^&*+=~" for char in value)
    return has_letter and has_more and not _HARMLESS.search(value) and "(" not in value


def _hidden(secret: str) -> str:
    return re.sub(r"[^\r\n]", MASK, secret)
