"""Somebody who types a real file: bursts, typos, closed brackets, new lines, jumps, accepted suggestions. By a seed.

Decides what is typed when. Refuses to know servers: whoever replays the keys says what was suggested.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass, field

PAIRS = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'"}
TYPO, ACCEPT, LINE_MOVE = 0.03, 0.6, 0.3
LEAST_ACCEPTED_CHARS = 3


@dataclass(frozen=True, slots=True)
class Change:
    """Characters ``start`` .. ``end`` of the text become ``text``."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Key:
    """One key: what changes, the text and the cursor after it. ``gap_s`` passes before it is pressed."""

    kind: str
    changes: tuple[Change, ...]
    text: str
    offset: int
    gap_s: float
    is_asking: bool = True


@dataclass
class Typist:
    """Types the lines of ``target`` that were cut out of it, from the top to the bottom."""

    target: str
    seed: int
    spots: int = 4
    text: str = field(init=False)
    offset: int = field(init=False, default=0)
    shown: tuple[str, int] = field(init=False, default=("", 0))
    """The suggestion on the screen, and how many characters right of the cursor it replaces."""

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.lines = self.target.split("\n")
        self.holes = self._cut()
        gone = {line for first, last in self.holes for line in range(first, last)}
        self.text = "\n".join(line for number, line in enumerate(self.lines) if number not in gone)

    def pressed(self) -> Generator[Key, None, None]:
        for first, last in self.holes:
            self.offset = sum(len(line) + 1 for line in self.lines[:first]) - 1
            yield self._key("jump", (), 1.0, is_asking=False)
            yield from self._typed("\n" + "\n".join(self.lines[first:last]))
            if self.rng.random() < LINE_MOVE:
                yield from self._moved_line()

    def _cut(self) -> list[tuple[int, int]]:
        """Runs of 3 to 7 lines of code, none beside another."""
        wanted: list[tuple[int, int]] = []
        for _ in range(2000):
            first = self.rng.randrange(20, len(self.lines) - 20)
            last = first + self.rng.randint(3, 7)
            cut = self.lines[first:last]
            is_code = all(line.strip() and '"""' not in line and "#" not in line for line in cut)
            if is_code and self.lines[first - 1].strip() and all(last + 3 < f or first > e + 3 for f, e in wanted):
                wanted.append((first, last))
            if len(wanted) == self.spots:
                break
        return sorted(wanted)

    def _typed(self, text: str) -> Generator[Key, None, None]:
        """``text`` goes in at the cursor; ``right`` are closers that the editor put there."""
        at, right = 0, ""
        while at < len(text):
            said, replaced = self.shown
            is_right = len(said.strip()) >= LEAST_ACCEPTED_CHARS and text.startswith(said, at)
            if is_right and self.rng.random() < ACCEPT:
                yield self._replaced("accept", said, replaced, 0.4)
                at, right = at + len(said), right[replaced:]
                continue
            char = text[at]
            if char == "\n":
                if right:
                    yield self._replaced("delete", "", len(right), self._gap())
                    right = ""
                indent = self._auto_indent()
                yield self._replaced("newline", "\n" + indent, 0, 0.2 + self._gap())
                at += 1
                line = text[at:].split("\n", 1)[0]
                true = line[: len(line) - len(line.lstrip())]
                if len(true) < len(indent):
                    yield self._erased(len(indent) - len(true))
                elif len(true) > len(indent):
                    yield self._replaced("indent", true[len(indent) :], 0, self._gap())
                at += len(true)
            elif right.startswith(char):
                self.offset += 1
                at, right = at + 1, right[1:]
                yield self._key("overtype", (), self._gap())
            else:
                if char.isalpha() and self.rng.random() < TYPO:
                    yield self._replaced("typo", self.rng.choice("qxzj"), 0, self._gap())
                    yield self._erased(1)
                is_pair = char in PAIRS and not text[at + 1 : at + 2].isalnum()
                is_pair = is_pair and (char in "([{" or not text[at - 1 : at].isalnum())
                if is_pair:
                    yield self._replaced("pair", char + PAIRS[char], 0, self._gap(), back=1)
                    right = PAIRS[char] + right
                else:
                    yield self._replaced("key", char, 0, self._gap())
                at += 1

    def _moved_line(self) -> Generator[Key, None, None]:
        """The cursor's line goes up by one and down again, as editors do it with a key."""
        start = self.text.rfind("\n", 0, self.offset) + 1
        end = self.text.find("\n", self.offset)
        above = self.text.rfind("\n", 0, start - 1) + 1
        if end < 0 or above <= 0:
            return
        first, second = self.text[above : start - 1], self.text[start:end]
        for text in (f"{second}\n{first}", f"{first}\n{second}"):
            change = Change(above, end, text)
            self.text = self.text[:above] + text + self.text[end:]
            yield self._key("line move", (change,), 0.5, is_asking=False)

    def _auto_indent(self) -> str:
        line = self.text[: self.offset].rsplit("\n", 1)[-1]
        indent = line[: len(line) - len(line.lstrip())]
        return indent + ("    " if line.rstrip().endswith((":", "(", "[", "{")) else "")

    def _replaced(self, kind: str, text: str, right: int, gap_s: float, back: int = 0) -> Key:
        change = Change(self.offset, self.offset + right, text)
        self.text = self.text[: change.start] + text + self.text[change.end :]
        self.offset += len(text) - back
        return self._key(kind, (change,), gap_s)

    def _erased(self, chars: int) -> Key:
        change = Change(self.offset - chars, self.offset, "")
        self.text = self.text[: change.start] + self.text[change.end :]
        self.offset -= chars
        return self._key("backspace", (change,), self._gap())

    def _key(self, kind: str, changes: tuple[Change, ...], gap_s: float, is_asking: bool = True) -> Key:
        self.shown = ("", 0)
        return Key(kind, changes, self.text, self.offset, gap_s, is_asking)

    def _gap(self) -> float:
        """Seconds between two keys of a burst: lognormal around 0.13."""
        return min(max(self.rng.lognormvariate(-2.04, 0.5), 0.04), 0.6)
