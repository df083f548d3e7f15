"""Checks tokenizer.json before the ``tokenizers`` library reads it.

The library's time grows exponentially with the nesting of its steps and quadratically with the added tokens, and some
steps multiply the length of a text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from starcoder_ls.errors import ModelInvalid
from starcoder_ls.json_files import read_json

MAX_FILE_BYTES = 64 << 20
"""Qwen2.5-Coder's file has 7 MB; the largest published ones have 33."""

MAX_ADDED_TOKENS = 4096
MAX_TOKEN_CHARS = 256
MAX_STEP_DEPTH = 6
"""Lists and objects within each other in a normalizer, pre-tokenizer, decoder or post-processor."""

MAX_STEP_VALUES = 4096
MAX_GROWTH = 16
"""Factor by which all normalizers together may lengthen a text."""

_STEPS = ("normalizer", "pre_tokenizer", "decoder", "post_processor")


def read_tokenizer_file(file: Path, sha256: str = "") -> dict[str, Any]:
    """The contents of tokenizer.json. ``sha256``, if not empty, is the checksum that the file must have.

    Raises ModelInvalid if it is unreadable, has another checksum or exceeds a limit of this module.
    """
    declared = read_json(file, MAX_FILE_BYTES, sha256)
    if problem := find_problem(declared):
        raise ModelInvalid(
            f"{file} is not a readable tokenizer: it {problem}. Copy it from the checkpoint the model was made from."
        )
    return cast(dict[str, Any], declared)


def find_problem(declared: object) -> str | None:
    """What is wrong with the contents of a tokenizer.json, as a phrase; None if nothing is."""
    if not isinstance(declared, dict):
        return "does not contain a JSON object"
    if problem := _find_problem_in_tokens(declared.get("added_tokens") or []):
        return problem
    for key in _STEPS:
        for values, (depth, value) in enumerate(_walk(declared.get(key)), start=1):
            if depth > MAX_STEP_DEPTH:
                return f"nests its `{key}` more than {MAX_STEP_DEPTH} levels deep"
            if values > MAX_STEP_VALUES:
                return f"has more than {MAX_STEP_VALUES:,} values in its `{key}`"
            if isinstance(value, dict) and not isinstance(value.get("type", ""), str):
                return f"has a step in its `{key}` whose type is not a text"
    growth = 1.0
    for _, value in _walk(declared.get("normalizer")):
        growth *= _growth_of(value)
    if growth > MAX_GROWTH:
        return f"has normalizers that make a text more than {MAX_GROWTH} times as long"
    return None


def find_shared_id(declared: Mapping[str, Any], special_ids: Mapping[str, int]) -> str | None:
    """A token of the vocabulary that has the id of a special token with another text; None if there is none.

    ``tokenizers`` numbers added tokens from the length of the vocabulary on, which is taken if the ids have gaps.
    """
    model = declared.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocabulary, dict):  # in a list, the position is the id
        return None
    literals = {id_: literal for literal, id_ in special_ids.items()}
    return next((token for token, id_ in vocabulary.items() if literals.get(id_, token) != token), None)


def _find_problem_in_tokens(tokens: object) -> str | None:
    if not isinstance(tokens, list):
        return "has `added_tokens` that are not a list"
    if len(tokens) > MAX_ADDED_TOKENS:
        return f"adds {len(tokens):,} tokens, and {MAX_ADDED_TOKENS:,} are the limit"
    for token in tokens:
        content = token.get("content") if isinstance(token, dict) else None
        if not isinstance(content, str) or type(token.get("id")) is not int or len(content) > MAX_TOKEN_CHARS:
            return f"adds a token that is not an id with a text of at most {MAX_TOKEN_CHARS} characters"
    return None


def _walk(value: object) -> Iterator[tuple[int, object]]:
    """Every value in ``value`` with the number of lists and objects around it; without recursion."""
    pending = [(0, value)]
    while pending:
        depth, item = pending.pop()
        yield depth, item
        if isinstance(item, dict):
            pending.extend((depth + 1, child) for child in item.values())
        elif isinstance(item, list):
            pending.extend((depth + 1, child) for child in item)


def _growth_of(step: object) -> float:
    """By how much a ``Replace`` lengthens a text at most; 1 for other steps, which grow it by a constant or less."""
    if not isinstance(step, dict) or step.get("type") != "Replace" or not isinstance(step.get("content"), str):
        return 1.0
    pattern = step.get("pattern")
    text = pattern.get("String") if isinstance(pattern, dict) else None
    replaced = len(text) if isinstance(text, str) and text else 1  # a regular expression may match one character
    return max(1.0, len(step["content"]) / replaced)
