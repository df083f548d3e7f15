"""Training examples from edits, in the format in which the base has seen edits, or else can learn to see them.

Only the answer is learned. Most of its tokens are copies, so those that the edit changes have a larger weight.
"""

from __future__ import annotations

import difflib
import random
from collections.abc import Sequence

from starcoder_ls import edit_formats
from starcoder_ls.edit_formats import EditFormat
from starcoder_ls.learning.finetuning.commit_spans import CommitSpan
from starcoder_ls.learning.finetuning.instruction_batches import Example
from starcoder_ls.text_tokens.tokenizer import Tokenizer

CHANGED_WEIGHT = 4.0
"""As much as a middle's tokens have in the training of completion."""

_DEDENTED_SHARE = 0.5
"""An action dedents its lines; a next edit, and StarCoder's training data, have them as they are in the file."""


class EditEncoder:
    """Encodes edits for a base. ``end_id`` is the token that ends the answer."""

    def __init__(self, edit_format: EditFormat, tokenizer: Tokenizer, end_id: int) -> None:
        self._format, self._tokenizer, self._end_id = edit_format, tokenizer, end_id

    def encode(self, span: CommitSpan) -> Example:
        """The same example for the same span, in any process."""
        before, after = span.before, span.after
        if random.Random(f"{span.commit}/{span.name}").random() < _DEDENTED_SHARE:
            before, after = dedent_both(before, after)
        parts, _, _ = edit_formats.build_edit_parts(self._format, before, span.subject, "")
        prompt = self._tokenizer.encode(edit_formats.adapt_to_tokens(parts, self._tokenizer.special_tokens))
        answer = [*self._tokenizer.encode([after]), *self._closing_ids(), self._end_id]
        return Example(tuple(prompt), tuple(answer), weigh_changes(self._tokenizer.encode([before]), answer))

    def _closing_ids(self) -> Sequence[int]:
        closing = edit_formats.closing_text(self._format)
        return self._tokenizer.encode([closing]) if closing else ()


def dedent_both(before: str, after: str) -> tuple[str, str]:
    """Both texts without the indentation that all their lines share; blank lines become empty."""
    old, new = before.split("\n"), after.split("\n")
    lines = [line for line in (*old, *new) if line.strip()]
    shared = min((line[: len(line) - len(line.lstrip(" \t"))] for line in lines), key=len, default="")
    while not all(line.startswith(shared) for line in lines):
        shared = shared[:-1]
    first, second = ("\n".join(line[len(shared) :] if line.strip() else "" for line in text) for text in (old, new))
    return first, second


def weigh_changes(before: Sequence[int], answer: Sequence[int]) -> tuple[float, ...]:
    """The weight of each token of ``answer``: larger where it differs from ``before``, and where a copy goes on."""
    weights = [1.0] * len(answer)
    matcher = difflib.SequenceMatcher(None, before, answer, autojunk=False)
    for kind, _, _, start, end in matcher.get_opcodes():
        if kind != "equal":
            for index in range(start, min(end + 1, len(answer))):
                weights[index] = CHANGED_WEIGHT
    return tuple(weights)
