"""The row of a suggestion in the feedback store.

Decides how much text it has: with the user's consent, as much on both sides as a prompt may have, with masked secrets.
"""

from __future__ import annotations

from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggestion import Suggestion
from starcoder_ls.completion.suggestion_features import Features
from starcoder_ls.context import secrets
from starcoder_ls.feedback_store.store import ShownSuggestion
from starcoder_ls.settings import Settings

_CHARS_PER_TOKEN = 4  # of code there are fewer, so that a prompt of these texts is as long as the one that was used
_MAX_SIDE_CHARS = 32_768
_START_STEP_CHARS = 1_024  # the start moves rarely: what was masked before is then found in a cache


def build_record(
    cursor: Cursor,
    suggestion: Suggestion,
    settings: Settings,
    *,
    key: str,
    request: str,
    candidate: int,
    model: str,
    features: Features,
    probability: float | None,
) -> ShownSuggestion:
    """The row ``key`` of ``suggestion`` at ``cursor``, with texts if ``feedback.keep`` allows them.

    ``request`` is the key of the request's first candidate, ``probability`` that of keeping it (None: not estimated).
    """
    texts = None
    if settings.feedback.keep == "text":
        before, after = _surrounding_texts(cursor, suggestion, settings.inline_completion.prompt_tokens)
        texts = before, after, secrets.mask_secrets(suggestion.text)
    return ShownSuggestion(
        key,
        cursor.language,
        model,
        cursor.adapter,
        str(suggestion.source),
        len(suggestion.text),
        suggestion.text.count("\n") + 1,
        texts,
        request,
        candidate,
        cursor.path,
        features,
        probability,
    )


def _surrounding_texts(cursor: Cursor, suggestion: Suggestion, prompt_tokens: int) -> tuple[str, str]:
    chars = min(prompt_tokens * _CHARS_PER_TOKEN, _MAX_SIDE_CHARS)
    start = max(0, suggestion.start - chars) // _START_STEP_CHARS * _START_STEP_CHARS
    end = min(suggestion.end + chars, len(cursor.text))
    return secrets.mask_secrets_around(cursor.text, start, suggestion.start, suggestion.end, end)
