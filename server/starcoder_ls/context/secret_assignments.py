"""Values that are assigned to names such as ``password`` or ``api_key``, in the notations of code and configuration.

Decides by the name, by what is between name and value, and by the value. A line is read from left to right once; from
each name, a bounded number of characters is read.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from enum import IntEnum

from starcoder_ls.context.secret_patterns import MAX_MATCHES_PER_LINE, NAMED
from starcoder_ls.context.secret_values import (
    is_code_path,
    is_generated,
    is_password,
    is_placeholder,
    is_random,
    is_random_or_password,
    is_wordy,
)

_MAX_VALUE_CHARS = 400
_MAX_NAME_CHARS = 60

_NAME_CHARS = string.ascii_letters + string.digits + "_.$:-"
_NAME_END = re.compile(r"[\w.-]{0,80}+")
_LINK = re.compile(
    r"""(?P<quote>["'`])?[\])*]{0,3}[ \t]{0,8}
    (?:(?P<attribute>value[ \t]{0,2}=)
      |(?P<type>[:][ \t]{0,2}[\w.\[\]|? ]{1,30}?(?==[^=]))?
       (?P<sign>=>|:=|===?|!==?|=|:|,|>|\(|\|\||\?\?|is[ ]|or[ ]|))
    [*]{0,2}[ \t]{0,8}(?P<prefix>0x|[rbufL@$]{1,2}(?=["']))?""",
    re.VERBOSE,
)
"""What is between a name and its value: a closing quote or bracket, a type, a sign."""

_QUOTED = re.compile(r"""(["'`])(?:0x)?((?:\\.|(?!\1)[^\\\r\n]){1,400}+)\1""")
_PLAIN = re.compile(r"""[^\s"'`,;&<>(){}\[\]|\\]{1,400}+""")
_PLAIN_LINE = re.compile(r"""[^\s"'`(){}\[\]]{1,400}+(?=\s{0,80}(?:[#]|\Z))""")
_LINE_START = re.compile(
    r"[ \t]*(?:[-*>][ \t]+)*(?:export |set |setx |set -x |setenv |ENV |ARG |\$env:|(?:#|//|--|;|\*|REM)[ \t]*)?"
    r"(?:[-*>][ \t]+|\*\*)?"
    r"(?:[\w.$:/ -]{0,60}[ :/.])?\Z"
)
_STRICT_LINE_START = re.compile(r"[ \t]*(?:-[ \t]+)?(?:export |set |ENV |ARG )?\Z")

_LOGIN = re.compile(r"\b(?:login|machine|user|username)[ \t]")

_METADATA = re.compile(
    r"""(?:_|-|(?<=[a-z])(?=[A-Z]))(?:hash(?:ers?)?|fields?|name|type|ur[li]|endpoint|path|file(?:name)?|dir|len(?:gth)?|size|min|max|count|timeout
    |expir\w*|ttl|age|policy|label|placeholder|prompt|hint|regex|pattern|format|validat\w+|errors?|message|msg|input|index
    |reset|title|help|text|class|header|param|prefix|suffix|version|algorithm|alg|provider|manager|arn|ref|env|var|mode|kind|usage|rules?
    |confirm\w*|required|enabled|strength|column|template|view|form|limit|budget|ids?|const|check|encryption)\Z|tokeni[sz]\w*\Z""",
    re.VERBOSE | re.IGNORECASE,
)
"""Ends of names that say something about a secret: ``token_url``, ``passwordField``."""

_STRONG = re.compile(
    r"passw|passphrase|pwd|mnemonic|phrase|\bpsk|contrase|kennwort|wachtwoord|senha|(?:\b|_|[a-z](?=P))(?:pass|pw)\b",
    re.IGNORECASE,
)
_WEAK = re.compile(r"\A(?:[A-Za-z0-9]+_)*(?:KEY|AUTH|SALT|salt|auth|DSN)\Z|[a-z]Key\Z|session|cookie", re.ASCII)
_KNOWN_KEY = re.compile(
    r"(?:api|access|account|private|auth|encrypt\w*|signing|master|shared|secret)[_.-]?key|token|secret", re.IGNORECASE
)
_TYPE_WORDS = re.compile(
    r"(?:str|string|bytes?|int|integer|bool|boolean|any|object|number|char|text|varchar|secretstr|optional|required|none|null"
    r"|nil|true|false|undefined|void|hidden|masked|yes|no|on|off|never|always|invalid|missing|wrong|empty|self|this|password\w*"
    r"|passwd|pwd|secret|token|hash|hashed|plain\w*|encrypt\w*|default|generated|unknown|vault|env|input|value|prompt|file"
    r"|options?|requires?|flags?|param\w*|arguments?|instead|should|cannot|together|without|available|needed)",
    re.IGNORECASE,
)  # fmt: skip
_SECRET_WORDS = re.compile(r"pass|pwd|secret|token|auth|user|login|key|cred|crypt|field|input|mode|type", re.IGNORECASE)
_PHRASE_WORDS = re.compile(r"(?:[a-z]{3,8}[ ]){5,24}[a-z]{3,8}")
_PHRASE_NAME = re.compile(r"mnemonic|phrase|seed", re.IGNORECASE)


class _Strength(IntEnum):
    WEAK = 0
    """A key, a salt: only generated values count."""
    MEDIUM = 1
    """A token, a secret, an API key: random values count."""
    STRONG = 2
    """A password: short ones and numbers count, too."""


def find_assigned(line: str, data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of the secret-looking values in ``line``; ``data`` is the same with ``?`` for what is not ASCII.

    A line with more than MAX_MATCHES_PER_LINE names is data: the rest of it counts as secret, which bounds the time.
    """
    for count, match in enumerate(NAMED.finditer(data)):
        start = match.start(1)
        if count == MAX_MATCHES_PER_LINE:
            yield start, len(line)
            return
        before = line[max(0, start - _MAX_NAME_CHARS) : start]
        name_start = start - (len(before) - len(before.rstrip(_NAME_CHARS)))
        tail = _NAME_END.match(line, start)
        name_end = tail.end() if tail else start
        while name_end > start and line[name_end - 1] in ".-":
            name_end -= 1
        name = line[name_start:name_end]
        if span := _find_value(line, name_start, name, name_end):
            yield span


def _strength(name: str) -> _Strength:
    if _STRONG.search(name):
        return _Strength.STRONG
    if _WEAK.search(name) and not _KNOWN_KEY.search(name):
        return _Strength.WEAK
    return _Strength.MEDIUM


def _find_value(line: str, name_start: int, name: str, name_end: int) -> tuple[int, int] | None:
    link = _LINK.match(line, name_end)
    if link is None or _METADATA.search(name):
        return None
    strength, sign = _strength(name), (link["sign"] or "").strip()
    is_attribute = link["attribute"] is not None
    if quoted := _QUOTED.match(line, link.end()):
        if _accepts_quoted(quoted[2], name, strength, "value" if is_attribute else sign, link["quote"] is not None):
            return quoted.span(2)
        return None
    if is_attribute or sign in ("(", ",", "=>", ":=", "==", "===", "!=", "!=="):
        return None
    if sign in ("||", "??", "or", "is") and sign != "is":
        return None
    return _find_plain(line, name_start, name, link, strength)


def _accepts_quoted(value: str, name: str, strength: _Strength, sign: str, is_name_quoted: bool) -> bool:
    if _PHRASE_NAME.search(name) and _PHRASE_WORDS.fullmatch(value):
        return True
    if any(char.isspace() for char in value):
        return strength is _Strength.STRONG and sign in ("=", ":", "=>", ":=") and _is_phrase(value)
    if sign == ">" or (sign == "," and not is_name_quoted):
        return False
    if sign == "" and name == "pass":  # the word
        return False
    if sign == "(" and not (strength is _Strength.STRONG and _is_setter(name)):
        return False
    if strength is _Strength.STRONG:
        if sign in (",", "==", "===", "!=", "!==", "(", ""):
            return len(value) >= 6 and is_random(value) and not is_wordy(value)
        is_random_value = len(value) >= 4 and is_random_or_password(value) and not is_code_path(value)
        return is_random_value or _is_letters(value, 6)
    if strength is _Strength.MEDIUM and sign in ("=", ":", "=>", ":=", "value"):
        is_random_value = len(value) >= 8 and is_random(value) and not is_wordy(value) and not is_code_path(value)
        return is_random_value or (len(value) >= 10 and value.isdigit()) or _is_letters(value, 20)
    return is_generated(value)


def _is_letters(value: str, shortest: int) -> bool:
    """One word of small or of capital letters that says nothing about a secret: ``letmein``."""
    is_word = value.isascii() and value.isalpha() and (value.islower() or value.isupper())
    return is_word and len(value) >= shortest and is_password(value) and not _TYPE_WORDS.fullmatch(value) and (
        not _SECRET_WORDS.search(value)
    )  # fmt: skip


def _is_phrase(value: str) -> bool:
    """``p@ss w0rd``: a digit, a sign, and a single blank, unlike a message to the user."""
    has_sign = any(char in "@#$^&*+=~" for char in value)
    return value.count(" ") == 1 and has_sign and any(char.isdigit() for char in value) and is_password(value)


def _is_setter(name: str) -> bool:
    return re.search(r"(?:\A|\.)(?:set|with|add)?[_]?[Pp]ass(?:word|phrase|wd)?\Z", name) is not None


def _find_plain(
    line: str, name_start: int, name: str, link: re.Match[str], strength: _Strength
) -> tuple[int, int] | None:
    """A value without quotes: at the end of a line, in a command, in a URL, in a connection string, in XML."""
    sign, start = (link["sign"] or "").strip(), link.end()
    plain = _PLAIN.match(line, start)
    if plain is None:
        return None
    value, before = plain[0], line[max(0, name_start - _MAX_NAME_CHARS) : name_start]
    if is_placeholder(value):
        return None
    if sign == ">":
        is_closed = line.startswith("</", plain.end())
        return plain.span() if is_closed and _accepts_plain(value, strength) else None
    if name.startswith("-") or before.endswith("-"):
        return plain.span() if _accepts_option(value, strength) else None
    whole = _PLAIN_LINE.match(line, start)
    if whole and sign in (":", "=") and _LINE_START.match(before) and len(before) < _MAX_NAME_CHARS:
        is_first = _STRICT_LINE_START.match(before) is not None and link["quote"] is None
        if _accepts_line(whole[0], name, strength, sign, is_first, has_blank=line[start - 1 : start].isspace()):
            return whole.start(), whole.start() + len(whole[0].rstrip(",;"))
    if sign == "=" and not line[start - 1 : start].isspace():
        follower = line[plain.end() : plain.end() + 1]
        if follower in ("", *"\"'&;#<\\`") or follower.isspace():
            is_joined = before.endswith((";", "; ")) or (name.isupper() and before.endswith(" "))
            is_good = _accepts_plain(value, strength) or (
                is_joined and strength is _Strength.STRONG and _is_letters(value, 3)
            )
            return plain.span() if is_good else None
    is_good = False
    if sign in ("is", ":"):
        is_wordy_password = sign == "is" and strength is _Strength.STRONG and len(value) >= 6 and is_random(value)
        is_good = is_wordy_password or _is_clear(value, strength)
    elif sign == "" and (name.isupper() or _LOGIN.search(before)):
        is_good = _is_clear(value, strength) if strength is _Strength.STRONG else is_generated(value)
    return plain.span() if is_good and not is_code_path(value) else None


def _accepts_plain(value: str, strength: _Strength) -> bool:
    if strength is _Strength.STRONG:
        return len(value) >= 4 and is_random_or_password(value) and not is_wordy(value) and not is_code_path(value)
    return is_generated(value)


def _accepts_option(value: str, strength: _Strength) -> bool:
    """The value of ``--password`` or ``--token``."""
    if strength is _Strength.STRONG:
        is_random_value = len(value) >= 4 and is_random_or_password(value) and not is_wordy(value)
        return is_random_value or _is_letters(value, 6)
    return len(value) >= 12 and is_random(value) and not is_wordy(value)


def _accepts_line(value: str, name: str, strength: _Strength, sign: str, is_first: bool, has_blank: bool) -> bool:
    """The value is the rest of the line, as in YAML, .env and .properties files."""
    value = value.rstrip(",;") if value.endswith((",", ";")) else value
    if is_placeholder(value) or is_code_path(value):
        return False
    if strength is _Strength.STRONG:
        if is_random_or_password(value) and len(value) >= 4:
            return not is_wordy(value) or (sign == ":" and is_first and not _TYPE_WORDS.fullmatch(value))
        return is_first and (sign == ":" or not has_blank) and value.islower() and _is_letters(value, 6)
    if name.isupper() and not has_blank and strength is _Strength.MEDIUM:
        return (len(value) >= 8 and is_random(value) and not is_wordy(value)) or _is_letters(value, 16)
    return is_generated(value)


def _is_clear(value: str, strength: _Strength) -> bool:
    """In prose: a password of letters and digits that is no word with a number."""
    if strength is _Strength.STRONG:
        return len(value) >= 6 and is_random(value) and not is_wordy(value) and any(char.isdigit() for char in value)
    return is_generated(value)
