"""Which values look like secrets: random, generated, like a password, or like code, words and placeholders.

Pure functions of one value. All expressions are bounded, so that their time is linear.
"""

from __future__ import annotations

import itertools
import re

import re2

_PLACEHOLDER = re2.compile(
    rb"(?i)[{}<>$]|%[sd({]|%\w+%|example|change|your|placeholder|dummy|redacted|\.\.\.|\*\*\*|xxxxxx|\bENC\[|insert"
    rb"|replace|todo|fixme|foobar|lorem|sample"
    rb"|^[^a-z0-9]*(?:(?:my|the|new|old|some|user|db|root|admin|test|a|client|access|api|auth)?[_-]?"
    rb"(?:password|passwd|passphrase|passwort|pass|passw|pwd|pw|secret|token|user|username|key|host|port|none|null|nil"
    rb"|true|false|string|str|value|text|undefined|empty|required|optional|prompt|disabled|enabled|default|hidden|masked"
    rb"|hashed|env))[0-9]?[^a-z0-9]*$"
)
_WORDS = re.compile(r"(?:[A-Za-z][a-z]*|[A-Z]+)\d{0,2}|\d{1,4}|v\d+")
_CAMEL_CASE_WORDS = re.compile(r"[A-Z][a-z]{2,}|[a-z]{3,}")
_CODE_PATH = re.compile(r"[*&!@~./]{0,3}[A-Za-z_]\w*(?:(?:\.|->|::|/|\\)[A-Za-z_]\w*)+;?")
_SPECIAL = frozenset("!#^&*+=~@")
_URL = re.compile(r"[a-z][a-z+.-]{1,20}://")
_NOISE_CHARS = frozenset("!#$%&()*+=?@[]^{}~")
_TEMPLATE = re.compile(r"\$\{|\$\(|\{\{|%\(|\w\(\w*\)|<\w|\[[\d:]|\{\w|\w\[\w|xxxx")
_CODE_CHARS = frozenset("([{`")
_MIN_GENERATED = 16
_MAX_WORD_SHARE = 0.75
_MAX_CHECKED = 200


def is_any(value: str) -> bool:
    """The format alone is enough."""
    return bool(value)


def is_placeholder(value: str) -> bool:
    """A template, an example, a mask, or the name of what belongs there."""
    return _PLACEHOLDER.search(value[:_MAX_CHECKED].encode("ascii", "replace")) is not None


def is_random(value: str) -> bool:
    """Letters and digits, or letters and signs that paths, URLs and names lack: unlike ``password="username"``."""
    head = value[:_MAX_CHECKED]
    if _is_noise(head):
        return True
    has_more = any(char.isdigit() or char in _SPECIAL for char in head)
    return (
        has_more
        and any(char.isalpha() for char in head)
        and not _CODE_CHARS.intersection(head)
        and not is_placeholder(head)
    )


def _is_noise(value: str) -> bool:
    """Many different signs between letters and digits, as a generator of passwords makes them."""
    signs = set(value).intersection(_NOISE_CHARS)
    has_digits = sum(char.isdigit() for char in value) >= 2
    return len(value) >= 12 and len(signs) >= 4 and has_digits and not _TEMPLATE.search(value) and " " not in value


def is_mixed(value: str) -> bool:
    """Has a digit, or both small and capital letters."""
    head = value[:_MAX_CHECKED]
    return any(char.isdigit() for char in head) or not (head.islower() or head.isupper())


def is_key_of_openai(value: str) -> bool:
    """Has a digit and a capital letter, or no hyphen: unlike ``sk-ssh-ed25519-cert-v01``."""
    head = value[:_MAX_CHECKED]
    return any(char.isdigit() for char in head) and ("-" not in head or head.lower() != head)


def is_generated(value: str) -> bool:
    """At least 16 characters that change between small letters, capital letters and digits as random ones do.

    62 symbols at random change their class at 0.62 of the places, hex digits at 0.47; words and numbers at under 0.25.
    Of random symbols, 0.3 are in runs that look like words of a name in camel case; of such names, over 0.8 are.
    """
    head = value[:_MAX_CHECKED]
    if len(head) < _MIN_GENERATED or sum(char.isdigit() for char in head) < 2 or not is_random(head):
        return False
    classes = [_char_class(char) for char in head]
    changes = sum(first != second for first, second in itertools.pairwise(classes))
    if changes * 4 < len(head) or is_wordy(head):
        return False
    has_both_cases = not (head.upper() == head or head.lower() == head)
    return not has_both_cases or sum(map(len, _CAMEL_CASE_WORDS.findall(head))) < _MAX_WORD_SHARE * len(head)


def is_generated_of_all_classes(value: str) -> bool:
    """Generated, with digits, small and capital letters: unlike the hash of a file."""
    return not (value.upper() == value or value.lower() == value) and is_generated(value)


def is_password(value: str) -> bool:
    """For values in a place where nothing but a password can be: anything but a placeholder or code."""
    return not is_placeholder(value) and not _CODE_CHARS.intersection(value[:_MAX_CHECKED])


def is_random_or_password(value: str) -> bool:
    """Random, or only digits and at least six of them."""
    return is_random(value) or (len(value) >= 6 and value.isdigit())


def is_wordy(value: str) -> bool:
    """Words, perhaps with a number at the end of each: ``access_token2``, ``prod/db-1``."""
    parts = re.split(r"[-_./: =\\]", value[:_MAX_CHECKED])
    return all(not part or _WORDS.fullmatch(part) for part in parts)


def is_code_path(value: str) -> bool:
    """``user.password2``, ``self::token1``, ``/run/secrets/db1``; but not base64 with a slash."""
    if _URL.match(value):
        return True
    return _CODE_PATH.fullmatch(value[:_MAX_CHECKED]) is not None and not is_generated(value)


def _char_class(char: str) -> int:
    if char.isdigit():
        return 0
    if char.isalpha():
        return 2 if char.isupper() else 1
    return 3
