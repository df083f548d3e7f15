"""Reads what a model writes in place of a window, and stops it after the first change.

Decides how confident the model is: by the tokens in which the answer differs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from starcoder_ls.context.secrets import contains_secret
from starcoder_ls.generation import Chunk, FinishReason
from starcoder_ls.hidden_characters import find_hidden_character
from starcoder_ls.next_edit.edit_window import EditWindow
from starcoder_ls.next_edit.line_change import LineChange, find_change, is_too_long
from starcoder_ls.next_edit.token_changes import Replacement

_MIN_REPEATED_CHARS = 20
"""Shorter lines, such as ``return None``, occur more than once in most code."""


@dataclass(slots=True)
class ModelAnswer:
    """The answer so far. ``closing`` is text that ends it."""

    window: EditWindow
    closing: str = ""
    text: str = ""
    change: LineChange | None = None
    has_ended: bool = False
    """Nothing that follows would change the result."""
    _tokens: list[tuple[int, int, float]] = field(default_factory=list)
    """Of each chunk: the length of the text after it, its number of tokens, their log probability."""

    def add(self, chunk: Chunk) -> None:
        """Read the next chunk of the answer."""
        self.text += chunk.text
        self._tokens.append((len(self.text), len(chunk.token_ids), chunk.logprob))
        is_closed = bool(self.closing) and self.closing in self.text
        if is_closed:
            self.text = self.text.partition(self.closing)[0]
        elif self.closing and self.text.startswith(self.closing.lstrip("\n")):
            self.text, is_closed = "", True
        is_complete = is_closed or chunk.finish_reason is FinishReason.END_OF_TEXT
        if not is_complete and chunk.finish_reason is None and "\n" not in chunk.text:
            return
        old = list(self.window.lines[self.window.kept :])
        new = self.text.split("\n")
        if is_complete:
            old, new = _without_blank_end(old), _without_blank_end(new)
        else:
            new.pop()
        self.change = find_change(old, new, is_complete)
        is_stopped = is_complete or chunk.finish_reason is not None
        self.has_ended = is_stopped or self.change is not None or is_too_long(old, new)

    def confidence(self) -> float:
        """The geometric mean of the probabilities of the tokens that differ; 0 without a change.

        For removed lines it is the probability of the token that follows them.
        """
        if self.change is None:
            return 0.0
        lines, change = self.text.split("\n"), self.change
        old = "\n".join(self.window.lines[self.window.kept :][change.start : change.old_end])
        new = "\n".join(lines[change.start : change.new_end])
        first_char, last_chars = _common_ends(old, new)
        start = sum(len(line) + 1 for line in lines[: change.start]) + first_char
        end = start + len(new) - first_char - last_chars
        tokens = probability = 0.0
        first = 0
        for last, count, logprob in self._tokens:
            if first < max(end, start + 1) and last > start:
                tokens, probability = tokens + count, probability + logprob
            first = last
        return math.exp(probability / tokens) if tokens else 0.0

    def replacement(self, text: str) -> Replacement | None:
        """The change as an edit of the document ``text``.

        None if there is none, if only blanks differ at the ends of lines or between them, if it repeats a line of the
        window, which means that the model has left others out, if it touches a masked line, or if it contains a secret
        or a hidden character.
        """
        if self.change is None:
            return None
        kept, starts = self.window.kept, (*self.window.starts, self.window.end + 1)
        first, after = kept + self.change.start, kept + self.change.old_end
        new = self.text.split("\n")[self.change.start : self.change.new_end]
        old = self.window.lines[first:after]
        if _without_blanks(new) == _without_blanks(old) or self._repeats_a_line(new, old):
            return None
        start, end = starts[first], starts[after] - 1
        masked = self.window.line_end.join(self.window.lines[first:after])
        written = self.window.line_end.join(new)
        if first == after:
            end, written = start, written + self.window.line_end
        elif not new:
            end = starts[after]
        elif text[start:end].removesuffix("\r") != masked:
            return None
        else:
            end = start + len(masked)
        if contains_secret(written) or find_hidden_character(written) is not None:
            return None
        return _trim(Replacement(start, end, text[start:end], written))

    def _repeats_a_line(self, new: Sequence[str], old: Sequence[str]) -> bool:
        """Whether ``new``, in place of ``old``, contains a long line that is elsewhere in the window."""
        others = {line for line in self.window.lines if len(line.strip()) >= _MIN_REPEATED_CHARS} - set(old)
        return not others.isdisjoint(new)


def _without_blanks(lines: Sequence[str]) -> list[str]:
    """``lines`` that are not blank, without the blanks at their ends."""
    return [line.rstrip() for line in lines if line.strip()]


def _without_blank_end(lines: list[str]) -> list[str]:
    """``lines`` without empty ones at the end."""
    while lines and not lines[-1]:
        lines = lines[:-1]
    return lines


def _trim(replacement: Replacement) -> Replacement:
    """``replacement`` without what both texts begin and end with."""
    old, new = replacement.old, replacement.text
    first, last = _common_ends(old, new)
    start, end = replacement.start + first, replacement.end - last
    return Replacement(start, end, old[first : len(old) - last], new[first : len(new) - last])


def _common_ends(old: str, new: str) -> tuple[int, int]:
    """How many characters both texts begin and end with."""
    first = _common_length(old, new)
    return first, _common_length(old[first:][::-1], new[first:][::-1])


def _common_length(left: str, right: str) -> int:
    length = 0
    while length < min(len(left), len(right)) and left[length] == right[length]:
        length += 1
    return length
