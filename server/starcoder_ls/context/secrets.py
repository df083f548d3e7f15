"""Finds and masks strings that look like secrets.

Decides by the published formats of tokens and by names such as ``password``. A secret-looking string is masked; it does
not exclude its file.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

MASK = "x"

# Not detect-secrets 1.5.0, which takes 0.6 ms a line, reports most lines of clean code as high entropy, and contains
# code that sends what it finds to web services for verification.
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
"""The formats that the issuers publish. The named group is the secret; the text before it says what it is."""

_RUN = re.compile(r"[\w+/=.-]{20,}")
"""Every token of the table is inside such a run: finding runs first is ten times as fast."""

_ROW, _BETWEEN = r"[A-Za-z0-9+/=]{24,}+", r"(?:[\s\"'`,]|\\[nr])*+"
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,20}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:((?:(?!-----(?:BEGIN|END)).){16,12000})(?=-----END)"
    rf"|{_BETWEEN}({_ROW}(?:{_BETWEEN}{_ROW})*+(?:{_BETWEEN}[A-Za-z0-9+/]{{1,23}}={{1,2}}(?![\w+/=]))?))",
    re.DOTALL,
)
"""All up to its end mark; without one, as far as lines look like those of a key. Code that names the mark stays."""

_IN_URL = re.compile(r"(?<=://)[^\s:@/'\"]{0,60}:((?![{<$%])[^\s:@/'\"]{4,100})(?=@[\w.-])")
_QUOTED = re.compile(r"(['\"`])([^\s'\"`]{8,200})\1")
_NAMED = re.compile(
    r"(?:passw|passphrase|pwd|secret|token|(?:api|access|account|private|auth)[_-]?key|credential)"
    r"[\w-]*['\"]?\]?\s{0,4}(?::\s?[\w.\[\]| ]{1,30})?(?:=>|:=|==?|:)\s{0,4}[rbu]?\Z",
    re.IGNORECASE,
)
_NAME_CHARS = 80
_LINE_CHARS_BEFORE = 200
_MIN_LINE_CHARS = 12
_MAX_SECRET_CHARS = 12_000
_MAX_CACHED_CHARS = 40_000
_SHELL_ASSIGNMENT = re.compile(
    r"^[ \t]*(?:export[ \t]+)?[A-Z0-9_]*(?:PASSW|PASSPHRASE|PWD|SECRET|TOKEN|KEY|CREDENTIAL)[A-Z0-9_]*="
    r"([^\s'\"`$()<>{}\[\],;]{8,200})(?=\s|\Z)",
)
"""As in shell scripts and .env files: a name in capital letters, no blanks around ``=``."""

_PLACEHOLDER = re.compile(r"[{}<>$%]|example|change|your|placeholder|dummy|\.\.\.|\*{3}|x{6}", re.IGNORECASE)
_MIN_MASK = MASK * 8
_PRIVATE_KEY_START = "-----BEGIN "


def mask_secrets(text: str) -> str:
    """``text`` with each character of a secret-looking string replaced by ``x``; lengths and line ends stay."""
    return mask_secrets_in_range(text, 0, len(text))


def mask_secrets_in_range(text: str, start: int, end: int) -> str:
    """``text[start:end]`` with secrets masked, also those that begin before ``start`` or end after ``end``."""
    parts: list[str] = []
    done = start
    for first, last in sorted(find_secrets(text, start, end)):
        first, last = max(first, done), min(last, end)
        if last > first:
            parts += text[done:first], _mask(text[first:last])
            done = last
    return "".join((*parts, text[done:end])) if parts else text[start:end]


def restore_secrets(text: str, masked: str, original: str) -> str | None:
    """``text`` with its masked lines replaced by those of ``original``, whose masked form is ``masked``.

    None if another line contains a secret or a mask, or if a masked line may stand for several lines.
    """
    originals: dict[str, set[str]] = {}
    for masked_line, line in zip(masked.split("\n"), original.split("\n"), strict=True):
        if masked_line != line:
            originals.setdefault(masked_line.strip(), set()).add(line.strip())
    lines = []
    for line in text.split("\n"):
        candidates = originals.get(line.strip(), ())
        restored = next(iter(candidates)) if len(candidates) == 1 else None
        if restored is None and contains_secret(line):
            return None
        lines.append(line if restored is None else line.replace(line.strip(), restored))
    return "\n".join(lines)


def contains_secret(text: str, before: str = "") -> bool:
    """Whether ``text``, which follows ``before``, contains a secret, a mask, or the rest of a secret."""
    line = before.rpartition("\n")[2][-_LINE_CHARS_BEFORE:]
    return _MIN_MASK in text or any(end > len(line) for _, end in find_secrets(line + text))


def find_secrets(text: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """Start and end of the secret-looking strings that touch ``start`` .. ``end``, in no order; they may overlap.

    Private keys have many lines, all other secrets are within one.
    """
    end = len(text) if end is None else end
    index = text.find(_PRIVATE_KEY_START, max(0, start - _MAX_SECRET_CHARS), end)
    while index >= 0:
        if key := _PRIVATE_KEY.match(text, index):
            yield key.span(key.lastindex or 0)
        index = text.find(_PRIVATE_KEY_START, index + 1, end)
    first_line = text.rfind("\n", 0, start) + 1
    last_line = max(first_line, text.rfind("\n", 0, end) + 1)
    line_end = text.find("\n", end)
    find_above = _find_in_block if last_line - first_line <= _MAX_CACHED_CHARS else _find_in_lines
    for first, last in find_above(text[first_line:last_line]):
        yield first_line + first, first_line + last
    for first, last in _find_in_lines(text[last_line : line_end if line_end >= 0 else len(text)]):
        yield last_line + first, last_line + last


def _find_in_lines(text: str) -> tuple[tuple[int, int], ...]:
    found, line_start = [], 0
    for line in text.split("\n"):
        if len(line) >= _MIN_LINE_CHARS:
            found += [(line_start + first, line_start + last) for first, last in _find_in_line(line)]
        line_start += len(line) + 1
    return tuple(found)


_find_in_block = functools.lru_cache(maxsize=64)(_find_in_lines)
"""From key to key, the window's lines above and below the cursor's line stay the same."""


@functools.lru_cache(maxsize=20_000)
def _find_in_line(line: str) -> tuple[tuple[int, int], ...]:
    """Cached: 100 KB take 10 ms the first time, and at the next key only one line is different."""
    found = [
        match.span(2)
        for match in _QUOTED.finditer(line)
        if _looks_random(match.group(2)) and _follows_secret_name(line, match)
    ]
    found += [match.span(1) for match in _SHELL_ASSIGNMENT.finditer(line) if _looks_random(match.group(1))]
    found += [match.span(1) for match in _IN_URL.finditer(line)]
    for run in _RUN.finditer(line):
        found += [match.span(str(match.lastgroup)) for match in _TOKENS.finditer(line, *run.span())]
    return tuple(found)


def _follows_secret_name(line: str, quoted: re.Match[str]) -> bool:
    return _NAMED.search(line, max(0, quoted.start() - _NAME_CHARS), quoted.start()) is not None


def _looks_random(value: str) -> bool:
    """Letters and digits, or letters and signs that paths, URLs and names lack: unlike ``password="username"``."""
    has_letter = any(char.isalpha() for char in value)
    has_more = any(char.isdigit() or char in "!#^&*+=~" for char in value)
    return has_letter and has_more and not _PLACEHOLDER.search(value) and "(" not in value


def _mask(secret: str) -> str:
    return re.sub(r"[^\r\n]", MASK, secret)
