"""From the token ids of a prompt to the parts that an engine reads, with the text that the answer continues.

The engine encodes the parts to the same ids again; ids that no text has are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starcoder_ls.completion.prompt.families import Family
from starcoder_ls.generation import PromptPart, SpecialToken
from starcoder_ls.http_api.http_errors import HttpError
from starcoder_ls.text_tokens.tokenizer import Tokenizer

_MAX_TEXTS = 8
"""A client encodes a file's path, snippets and the text above the cursor one by one: tokens end where they meet."""
_NEAR_TOKENS = 8


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """``prefix_parts`` are the indices of the parts that the answer continues, as in ``generation.Request``."""

    parts: tuple[PromptPart, ...]
    prefix_parts: tuple[int, ...]


def read_token_prompt(tokenizer: Tokenizer, family: Family | None, ids: Sequence[int]) -> TokenPrompt:
    """The parts that encode to ``ids``. ``family`` is that of the model; None if it has no fill-in-the-middle tokens.

    Raises HttpError (400) for ids that the tokenizer makes of no text.
    """
    special = tokenizer.special_tokens_by_id
    stretches: list[SpecialToken | list[int]] = []
    for id_ in ids:
        if id_ in special:
            stretches.append(special[id_])
        elif stretches and isinstance(stretches[-1], list):
            stretches[-1].append(id_)
        else:
            stretches.append([id_])
    parts: list[PromptPart] = []
    indices: list[tuple[int, ...]] = []  # of the parts of each stretch of text; none for a special token
    for stretch in stretches:
        added = [stretch] if isinstance(stretch, SpecialToken) else _texts(tokenizer, stretch)
        is_text = isinstance(stretch, list)
        indices.append(tuple(range(len(parts), len(parts) + len(added))) if is_text else ())
        parts += added
    continued = _continued(stretches, family)
    return TokenPrompt(tuple(parts), tuple(index for at in continued for index in indices[at]))


def _continued(stretches: Sequence[SpecialToken | list[int]], family: Family | None) -> list[int]:
    """The stretches before the cursor: in front of the suffix (PSM) and after the middle token (SPM, and PSM with the
    cursor's line there); in a prompt without a hole the last one."""
    last = len(stretches) - 1
    if family is None:
        return [last]
    marks = [SpecialToken(family.suffix), SpecialToken(family.middle)]
    if any(stretches.count(mark) != 1 for mark in marks):
        return [last]
    suffix, middle = (stretches.index(mark) for mark in marks)
    return [at for at in (suffix - 1, last) if at >= 0 and (at < suffix or at > middle)]


def _texts(tokenizer: Tokenizer, ids: Sequence[int]) -> list[PromptPart]:
    """Texts whose ids, one after the other, are ``ids``: one, or more where the client encoded two apart."""
    texts: list[PromptPart] = []
    rest = list(ids)
    while rest and len(texts) < _MAX_TEXTS:
        length = _encoded_length(tokenizer, rest)
        texts.append(tokenizer.decode(rest[:length]))
        rest = rest[length:]
    if rest:
        raise _no_text()
    return texts


def _encoded_length(tokenizer: Tokenizer, ids: list[int]) -> int:
    """How many of ``ids`` the ids of one text are: all, or those up to about the first that another text would have."""
    encoded = tokenizer.encode([tokenizer.decode(ids)])
    if encoded == ids:
        return len(ids)
    same = next((at for at, (own, given) in enumerate(zip(encoded, ids, strict=False)) if own != given), len(encoded))
    near = (same + offset for distance in range(_NEAR_TOKENS) for offset in (-distance, distance))
    for length in near:
        if 0 < length < len(ids) and tokenizer.encode([tokenizer.decode(ids[:length])]) == ids[:length]:
            return length
    raise _no_text()


def _no_text() -> HttpError:
    return HttpError(400, "`prompt`: these ids are not those of a text. Is the client's tokenizer that of this model?")
