"""Preferences as token ids of a model family, with the prompts that the server builds.

Texts are tokenized once, as plain text: what looks like a special token in a user's code stays text.
"""

from __future__ import annotations

from dataclasses import dataclass

from starcoder_ls.completion.anchor import normalize_line_ends
from starcoder_ls.completion.prompt import fim, token_healing, window
from starcoder_ls.completion.prompt.families import find_family
from starcoder_ls.learning.preference_selection import JudgedSuggestion, PreferencePair
from starcoder_ls.text_tokens.tokenizer import Tokenizer

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PairIds:
    """A pair as ids. No end token follows the completions: the server's stop rules end suggestions."""

    prompt: Ids
    chosen: Ids
    rejected: Ids
    group: str


@dataclass(frozen=True, slots=True)
class JudgedIds:
    """A judged suggestion as ids."""

    prompt: Ids
    completion: Ids
    is_desirable: bool
    group: str


class PreferenceTokenizer:
    """Tokenizes for the family of ``tokenizer``.

    ``prompt_tokens`` and ``suffix_percent`` are those of `inline_completion`; completions are cut to
    ``completion_tokens``. Raises ModelUnsupported if the tokenizer is of no family that can fill in the middle.
    """

    def __init__(
        self, tokenizer: Tokenizer, prompt_tokens: int = 1024, suffix_percent: int = 25, completion_tokens: int = 128
    ) -> None:
        self._tokenizer, self._family = tokenizer, find_family(tokenizer.special_tokens)
        self._prompt_tokens, self._suffix_share = prompt_tokens, suffix_percent / 100
        self._completion_tokens = completion_tokens

    def pair(self, pair: PreferencePair) -> PairIds | None:
        """None if both completions have the same ids, as they can after they were cut."""
        prompt, forced_prefix = self._prompt(pair.prefix, pair.suffix)
        chosen, rejected = (self._completion(forced_prefix + text) for text in (pair.chosen, pair.rejected))
        return None if chosen == rejected else PairIds(prompt, chosen, rejected, pair.group)

    def judged(self, judged: JudgedSuggestion) -> JudgedIds:
        prompt, forced_prefix = self._prompt(judged.prefix, judged.suffix)
        return JudgedIds(prompt, self._completion(forced_prefix + judged.text), judged.is_desirable, judged.group)

    def _prompt(self, prefix: str, suffix: str) -> tuple[Ids, str]:
        """The ids of the prompt, and the removed end of a half-typed word, which the completion begins with."""
        prefix, suffix = normalize_line_ends(prefix), normalize_line_ends(suffix)
        count = self._tokenizer.count_tokens
        view = window.fit_window(prefix + suffix, len(prefix), "", self._prompt_tokens, self._suffix_share, count)
        before, forced_prefix = token_healing.split_unfinished_word(view.prefix, self._family.joins_punctuation)
        layout = fim.build_parts(
            self._family, self._tokenizer.special_tokens, before, view.suffix, "", fim.resolve_order(self._family, None)
        )
        return tuple(self._tokenizer.encode(layout.parts)), forced_prefix

    def _completion(self, text: str) -> Ids:
        return tuple(self._tokenizer.encode([normalize_line_ends(text)])[: self._completion_tokens])
