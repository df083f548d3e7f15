"""A simulated user who types a file: bursts, typos, closed brackets, new lines, jumps, accepted suggestions.

The keys depend only on the file, the seed and the suggestions, which the caller sets.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass, field

PAIRS = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'"}
TYPO_PROBABILITY, ACCEPT_PROBABILITY, LINE_MOVE_PROBABILITY = 0.03, 0.6, 0.3
MIN_ACCEPTED_CHARS = 3


@dataclass(frozen=True, slots=True)
class Change:
    """Characters ``start`` to ``end`` of the document are replaced by ``text``."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its changes, and the document and cursor offset after it. It is pressed after ``delay_s``."""

    kind: str
    changes: tuple[Change, ...]
    text: str
    offset: int
    delay_s: float
    requests_suggestion: bool = True


@dataclass
class Typist:
    """Removes ``hole_count`` runs of lines from ``target`` and types them again, from the top to the bottom."""

    target: str
    seed: int
    hole_count: int = 4
    text: str = field(init=False)
    offset: int = field(init=False, default=0)
    suggestion: tuple[str, int] = field(init=False, default=("", 0))
    """Text of the suggestion on the screen, and how many characters after the cursor it replaces."""

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.lines = self.target.split("\n")
        self.holes = self._choose_holes()
        removed = {line for first, last in self.holes for line in range(first, last)}
        self.text = "\n".join(line for number, line in enumerate(self.lines) if number not in removed)

    def type_keys(self) -> Generator[Key, None, None]:
        """The keys in order. The caller may set ``suggestion`` before it takes the next one."""
        for first, last in self.holes:
            self.offset = sum(len(line) + 1 for line in self.lines[:first]) - 1
            yield self._key("jump", (), 1.0, requests_suggestion=False)
            yield from self._type("\n" + "\n".join(self.lines[first:last]))
            if self.rng.random() < LINE_MOVE_PROBABILITY:
                yield from self._move_line()

    def _choose_holes(self) -> list[tuple[int, int]]:
        """Runs of 3 to 7 lines of code with at least three lines between them, as (first, last + 1)."""
        holes: list[tuple[int, int]] = []
        for _ in range(2000):
            first = self.rng.randrange(20, len(self.lines) - 20)
            last = first + self.rng.randint(3, 7)
            removed = self.lines[first:last]
            is_code = all(line.strip() and '"""' not in line and "#" not in line for line in removed)
            if is_code and self.lines[first - 1].strip() and all(last + 3 < f or first > e + 3 for f, e in holes):
                holes.append((first, last))
            if len(holes) == self.hole_count:
                break
        return sorted(holes)

    def _type(self, text: str) -> Generator[Key, None, None]:
        """Type ``text`` at the cursor. ``right`` holds the closing characters that the editor inserted after it."""
        at, right = 0, ""
        while at < len(text):
            suggested, replaced = self.suggestion
            is_correct = len(suggested.strip()) >= MIN_ACCEPTED_CHARS and text.startswith(suggested, at)
            if is_correct and self.rng.random() < ACCEPT_PROBABILITY:
                yield self._replace("accept", suggested, replaced, 0.4)
                at, right = at + len(suggested), right[replaced:]
                continue
            char = text[at]
            if char == "\n":
                if right:
                    yield self._replace("delete", "", len(right), self._delay_s())
                    right = ""
                indent = self._auto_indent()
                yield self._replace("newline", "\n" + indent, 0, 0.2 + self._delay_s())
                at += 1
                line = text[at:].split("\n", 1)[0]
                intended = line[: len(line) - len(line.lstrip())]
                if len(intended) < len(indent):
                    yield self._erase(len(indent) - len(intended))
                elif len(intended) > len(indent):
                    yield self._replace("indent", intended[len(indent) :], 0, self._delay_s())
                at += len(intended)
            elif right.startswith(char):
                self.offset += 1
                at, right = at + 1, right[1:]
                yield self._key("overtype", (), self._delay_s())
            else:
                if char.isalpha() and self.rng.random() < TYPO_PROBABILITY:
                    yield self._replace("typo", self.rng.choice("qxzj"), 0, self._delay_s())
                    yield self._erase(1)
                is_pair = char in PAIRS and not text[at + 1 : at + 2].isalnum()
                is_pair = is_pair and (char in "([{" or not text[at - 1 : at].isalnum())
                if is_pair:
                    yield self._replace("pair", char + PAIRS[char], 0, self._delay_s(), back=1)
                    right = PAIRS[char] + right
                else:
                    yield self._replace("key", char, 0, self._delay_s())
                at += 1

    def _move_line(self) -> Generator[Key, None, None]:
        """Move the line of the cursor up by one and down again, as editors do with one key each."""
        start = self.text.rfind("\n", 0, self.offset) + 1
        end = self.text.find("\n", self.offset)
        above = self.text.rfind("\n", 0, start - 1) + 1
        if end < 0 or above <= 0:
            return
        first, second = self.text[above : start - 1], self.text[start:end]
        for text in (f"{second}\n{first}", f"{first}\n{second}"):
            change = Change(above, end, text)
            self.text = self.text[:above] + text + self.text[end:]
            yield self._key("line move", (change,), 0.5, requests_suggestion=False)

    def _auto_indent(self) -> str:
        line = self.text[: self.offset].rsplit("\n", 1)[-1]
        indent = line[: len(line) - len(line.lstrip())]
        return indent + ("    " if line.rstrip().endswith((":", "(", "[", "{")) else "")

    def _replace(self, kind: str, text: str, right: int, delay_s: float, back: int = 0) -> Key:
        change = Change(self.offset, self.offset + right, text)
        self.text = self.text[: change.start] + text + self.text[change.end :]
        self.offset += len(text) - back
        return self._key(kind, (change,), delay_s)

    def _erase(self, chars: int) -> Key:
        change = Change(self.offset - chars, self.offset, "")
        self.text = self.text[: change.start] + self.text[change.end :]
        self.offset -= chars
        return self._key("backspace", (change,), self._delay_s())

    def _key(self, kind: str, changes: tuple[Change, ...], delay_s: float, requests_suggestion: bool = True) -> Key:
        self.suggestion = ("", 0)
        return Key(kind, changes, self.text, self.offset, delay_s, requests_suggestion)

    def _delay_s(self) -> float:
        """Seconds between two keys of a burst, from a lognormal distribution around 0.13."""
        return min(max(self.rng.lognormvariate(-2.04, 0.5), 0.04), 0.6)
