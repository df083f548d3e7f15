"""How git matches a path with a .gitignore, written after its sources (dir.c, wildmatch.c of git 2.39).

It backtracks as git does. ``TooManySteps`` is raised where that takes long; the tests compare it with git itself.
"""

from __future__ import annotations

import string

MAX_STEPS = 20_000

_MATCH, _NO_MATCH, _ABORT_ALL, _ABORT_TO_STARSTAR = range(4)
_SPECIAL = frozenset(b"*?[\\")
_CLASSES = {
    b"alnum": string.ascii_letters + string.digits,
    b"alpha": string.ascii_letters,
    b"blank": " \t",
    b"cntrl": "".join(map(chr, (*range(32), 127))),
    b"digit": string.digits,
    b"graph": string.ascii_letters + string.digits + string.punctuation,
    b"lower": string.ascii_lowercase,
    b"print": string.ascii_letters + string.digits + string.punctuation + " ",
    b"punct": string.punctuation,
    b"space": " \t\n\r\v\f",
    b"upper": string.ascii_uppercase,
    b"xdigit": string.hexdigits,
}


class TooManySteps(Exception):
    pass


def decide(content: bytes, path: bytes, is_folder: bool) -> bool | None:
    """True if the last pattern that matches ``path`` excludes it, False if it includes it, None if none matches."""
    for line in reversed(_lines(content)):
        is_negative = line.startswith(b"!")
        if _matches(line[is_negative:], path, is_folder):
            return not is_negative
    return None


def _lines(content: bytes) -> list[bytes]:
    content = content.removeprefix(b"\xef\xbb\xbf")
    lines = (content if content.endswith(b"\n") else content + b"\n").split(b"\n")[:-1]
    return [_trim(line.removesuffix(b"\r").partition(b"\0")[0]) for line in lines if line and not line.startswith(b"#")]


def _trim(line: bytes) -> bytes:
    """Without spaces at the end that no backslash escapes."""
    last_space, index = None, 0
    while index < len(line):
        if line[index : index + 1] == b" ":
            last_space = index if last_space is None else last_space
        else:
            if line[index : index + 1] == b"\\":
                index += 1
                if index == len(line):
                    return line
            last_space = None
        index += 1
    return line if last_space is None else line[:last_space]


def _matches(pattern: bytes, path: bytes, is_folder: bool) -> bool:
    if pattern.endswith(b"/"):
        pattern = pattern[:-1]
        if not is_folder:
            return False
    literal = next((index for index, byte in enumerate(pattern) if byte in _SPECIAL), len(pattern))
    if b"/" not in pattern:
        name = path.rpartition(b"/")[2]
        if literal == len(pattern):
            return pattern == name
        if pattern.startswith(b"*") and not _SPECIAL.intersection(pattern[1:]):
            return name.endswith(pattern[1:])
        return _Wildmatch(pattern, name, False).result()
    if pattern.startswith(b"/"):
        pattern, literal = pattern[1:], literal - 1
    if literal:
        if not path.startswith(pattern[:literal]):
            return False
        pattern, path = pattern[literal:], path[literal:]
        if not pattern and not path:
            return True
    return _Wildmatch(pattern, path, True).result()


class _Wildmatch:
    def __init__(self, pattern: bytes, text: bytes, is_path: bool) -> None:
        self._pattern, self._text, self._is_path = pattern + b"\0", text + b"\0", is_path
        self._steps = 0

    def result(self) -> bool:
        return self._match(0, 0, 0) == _MATCH

    def _match(self, pattern_start: int, p: int, t: int) -> int:
        pattern, text = self._pattern, self._text
        while pattern[p]:
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise TooManySteps
            char, found = pattern[p], text[t]
            if not found and char != ord("*"):
                return _ABORT_ALL
            if char == ord("*"):
                p, t, result = self._match_star(pattern_start, p, t)
                if result is not None:
                    return result
            elif char == ord("["):
                end = self._match_set(p, found)
                if end is None or end < 0:
                    return _ABORT_ALL if end is None else _NO_MATCH
                p = end
            elif char == ord("?"):
                if self._is_path and found == ord("/"):
                    return _NO_MATCH
            else:
                p += char == ord("\\")
                if found != pattern[p]:
                    return _NO_MATCH
            p, t = p + 1, t + 1
        return _NO_MATCH if text[t] else _MATCH

    def _match_star(self, pattern_start: int, star: int, t: int) -> tuple[int, int, int | None]:
        """The position of the slash behind the star in both, or the result."""
        pattern, text = self._pattern, self._text
        p = star + 1
        crosses_slashes = not self._is_path
        if pattern[p] == ord("*"):
            while pattern[p] == ord("*"):
                p += 1
            is_at_start = star - 1 < pattern_start or pattern[star - 1] == ord("/")
            is_before_slash = pattern[p] in (0, ord("/")) or pattern[p : p + 2] == b"\\/"
            if self._is_path and is_at_start and is_before_slash:
                if pattern[p] == ord("/") and self._match(p + 1, p + 1, t) == _MATCH:
                    return p, t, _MATCH
                crosses_slashes = True
        slash = text.find(b"/", t)
        if not pattern[p]:
            return p, t, _ABORT_TO_STARSTAR if not crosses_slashes and slash >= 0 else _MATCH
        if not crosses_slashes and pattern[p] == ord("/"):
            return p, slash, _ABORT_TO_STARSTAR if slash < 0 else None
        while text[t]:
            result = self._match(p, p, t)
            if result != _NO_MATCH:
                if not crosses_slashes or result != _ABORT_TO_STARSTAR:
                    return p, t, result
            elif not crosses_slashes and text[t] == ord("/"):
                return p, t, _ABORT_TO_STARSTAR
            t += 1
        return p, t, _ABORT_ALL

    def _match_set(self, start: int, found: int) -> int | None:
        """The index of the closing bracket; -1 if ``found`` is not in the set; None if the set has no end."""
        pattern = self._pattern
        p = start + 1
        is_negative = pattern[p] in b"!^"
        p += is_negative
        previous, is_in, is_first = 0, False, True
        while is_first or pattern[p] != ord("]"):
            is_first = False
            char = pattern[p]
            if char == ord("-") and previous and pattern[p + 1] not in (0, ord("]")):
                p += 1 + (pattern[p + 1] == ord("\\"))
                if not pattern[p]:
                    return None
                is_in |= previous <= found <= pattern[p]
                previous = 0
            elif char == ord("[") and pattern[p + 1] == ord(":"):
                end = pattern.find(b"]", p + 2)
                if end < 0:
                    return None
                name = pattern[p + 2 : end]
                if not name.endswith(b":"):
                    is_in |= found == char
                    previous = char
                elif name[:-1] not in _CLASSES:
                    return None
                else:
                    is_in |= chr(found) in _CLASSES[name[:-1]]
                    previous, p = 0, end
            else:
                p += char == ord("\\")
                if not pattern[p]:
                    return None
                is_in |= found == pattern[p]
                previous = pattern[p]
            p += 1
        return -1 if is_in == is_negative or (self._is_path and found == ord("/")) else p
