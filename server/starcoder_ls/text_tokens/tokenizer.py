"""Text to token ids and back, in the checkpoint's own vocabulary.

Decides that plain text never becomes a special token, and when a character is whole enough to show. Refuses to know
prompt layouts, which token ends a text, and torch.
"""

from __future__ import annotations

import functools
import json
import re
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as HfTokenizer

from starcoder_ls.errors import ModelInvalid, ModelUnsupported
from starcoder_ls.generation import PromptPart, SpecialToken

# Qwen2.5-Coder and DeepSeek-Coder mark their FIM tokens as not special; DeepSeek-Coder also keeps plain letters
# among the added tokens, which must stay text. What is bracketed is a marker, what is not is text.
_BRACKETED = re.compile(r"▁?(<.+>|\[[A-Z_]+\])", re.DOTALL)

_UNFINISHED = "\ufffd"
_FIRST_KEPT = 1 << 14  # of short texts, 2 MB

_OPENINGS_KEPT = 16

_KNOWN_PARTS = 32
"""While somebody types, suffix and snippets are the same at every key: a window is 0.8 ms of tokenizing."""

_KNOWN_HEADS, _LEAST_CHARS = 8, 400
_LINE_END = re.compile(r"(?<=[!-~])\n")
"""Behind what is no blank: there GPT-2's words end, whatever follows."""
_FIRST_WORD = re.compile(r" ?[A-Za-z]+(?=[ \t\r\n!-@\[-`{-~])|[ \t\r\n]*[!-~]+(?=[ \t\r\n])")
"""What the first token of a text lies in: letters up to what is none, or anything up to a blank behind it. The shorter
what is looked up, the sooner it is known: of a token's 14 look-ups 5 are left."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The text of the tokens so far, and the newest ids, whose first ``shown_ids`` are the part ``shown`` of it."""

    text: str
    held: tuple[int, ...]
    shown_ids: int
    shown: str

    @property
    def is_whole(self) -> bool:
        """No part of a character waits for its rest."""
        return len(self.held) == self.shown_ids


class _Beginnings:
    """Tokens by their text, in order."""

    def __init__(self, texts: Iterable[tuple[str, int]]) -> None:
        pairs = sorted((text, id_) for text, id_ in texts if text and _UNFINISHED not in text)
        self._texts, self._ids = [text for text, _ in pairs], array("q", [id_ for _, id_ in pairs])

    def of(self, text: str) -> array[int]:
        found = self._between(text, text + chr(0x10FFFF))
        for end in range(1, len(text)):
            found += self._between(text[:end], text[:end] + "\0")
        return found

    def _between(self, first: str, after: str) -> array[int]:
        start = bisect_left(self._texts, first)
        return self._ids[start : bisect_left(self._texts, after, start)]


class Tokenizer:
    """One checkpoint's tokenizer. Every method may be called from any thread.

    tokenizer.json is read by ``tokenizers`` itself: transformers 5 rebuilds some families' tokenizers from their
    class's defaults, and this way the text side needs no torch.
    """

    def __init__(self, tokenizer_json: str) -> None:
        declared = json.loads(tokenizer_json)
        for token in declared.get("added_tokens", ()):
            token["special"] = bool(token["special"] or _BRACKETED.fullmatch(token["content"]))
        self._tokenizer = HfTokenizer.from_str(json.dumps(declared))
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._special_ids = {
            token.content: id_ for id_, token in self._tokenizer.get_added_tokens_decoder().items() if token.special
        }
        self.size = self._tokenizer.get_vocab_size(with_added_tokens=True)
        self._has_line_ends = _ends_words_at_line_ends(declared)
        self._heads: deque[tuple[str, tuple[int, ...]]] = deque(maxlen=_KNOWN_HEADS)
        self._part = functools.lru_cache(_KNOWN_PARTS)(self._grown)
        # Decoders such as Llama's drop the first space of a text: behind a letter, none is the first.
        anchor = tuple(self.encode(["a"]))
        self._start = Decoded("", anchor, len(anchor), self._decode(anchor))
        self._beginnings: _Beginnings | None = None
        self._first_of = functools.lru_cache(_FIRST_KEPT)(lambda text: self._encoded(text)[0])
        self.able_to_begin = functools.lru_cache(_OPENINGS_KEPT)(self._able_to_begin)
        """Ids of the tokens that a text begins with, and of those that begin with it. A demanded word is asked about
        several times, and half of a vocabulary begins with a blank."""
        self._refuse_leaks()

    @classmethod
    def of(cls, folder: Path) -> Tokenizer:
        """The vocabulary of a checkpoint folder. Raises ModelInvalid, ModelUnsupported."""
        file = folder / "tokenizer.json"
        try:
            return cls(file.read_text(encoding="utf-8"))
        except (ModelUnsupported, MemoryError):
            raise
        except Exception as error:  # tokenizers raises bare Exception
            raise ModelInvalid(f"{file} is not a readable tokenizer: {error}. Download it again.") from error

    @property
    def special_literals(self) -> frozenset[str]:
        """Literals that are one token and never text."""
        return frozenset(self._special_ids)

    def encode(self, parts: Iterable[PromptPart]) -> list[int]:
        """Token ids of the parts, one after another. Raises ModelUnsupported for a Special the model lacks."""
        ids: list[int] = []
        for part in parts:
            if isinstance(part, SpecialToken):
                ids.append(self.id_of(part))
            elif part:
                ids.extend(self._part(part))
        return ids

    def _grown(self, text: str) -> tuple[int, ...]:
        """As ``_encoded``, from the last line end on up to which the text is known: the rest of it is new at a key.

        Threads may share what is known: what one drops the other encodes again.
        """
        if not self._has_line_ends or len(text) < _LEAST_CHARS:
            return self._encoded(text)
        begun, start = tuple[int, ...](), 0
        for head, ids in list(self._heads):
            if start < len(head) and text.startswith(head) and text.startswith("\n", len(head)):
                begun, start = ids, len(head)
        cut = text.rfind("\n")
        while cut > start and not _LINE_END.match(text, cut):
            cut = text.rfind("\n", 0, cut)
        if cut > start:
            begun, start = begun + self._encoded(text[start:cut]), cut
            self._heads.append((text[:cut], begun))
        return begun + self._encoded(text[start:])

    def _encoded(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(_encodable(text), add_special_tokens=False).ids)

    def first_of(self, text: str) -> int:
        """The first token of a text. Remembered: a key changes little of a document, and its n-grams ask again."""
        found = _FIRST_WORD.match(text) if self._has_line_ends else None
        return self._first_of(text if found is None else found[0])

    def id_of(self, special: SpecialToken) -> int:
        """Its id. Raises ModelUnsupported."""
        try:
            return self._special_ids[special.literal]
        except KeyError:
            raise ModelUnsupported(
                f"This model has no token {special.literal}. Choose a model trained for what was asked."
            ) from None

    def count(self, text: str) -> int:
        """Tokens of ``text`` as plain text."""
        return len(self.encode([text]))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ``ids``; special tokens have none."""
        return self._decode((*self._start.held, *ids))[len(self._start.shown) :]

    def _able_to_begin(self, text: str) -> array[int]:
        if self._beginnings is None:  # decodes every token once: 0.2 s for 49,152
            markers = set(self._special_ids.values())
            texts = ((self.decode([id_]), id_) for id_ in range(self.size) if id_ not in markers)
            self._beginnings = _Beginnings(texts)
        return self._beginnings.of(text)

    def start(self) -> Decoded:
        """No tokens yet."""
        return self._start

    def extended(self, decoded: Decoded, id_: int) -> Decoded:
        """``decoded`` and one token more. A character split over tokens appears with the last of them."""
        held = (*decoded.held, id_)
        text = self._decode(held)
        if text.endswith(_UNFINISHED):
            return Decoded(decoded.text, held, decoded.shown_ids, decoded.shown)
        fresh = text[len(decoded.shown) :]
        if not fresh:
            return Decoded(decoded.text, held, decoded.shown_ids, decoded.shown)
        # Only the newest ids stay as the context of the next: the work per token is constant.
        newest = held[decoded.shown_ids :]
        return Decoded(decoded.text + fresh, newest, len(newest), self._decode(newest))

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True)

    def _refuse_leaks(self) -> None:
        """Raise ModelUnsupported if the text of a special token still tokenizes to it."""
        markers = set(self._special_ids.values())
        for literal in self._special_ids:
            if not markers.isdisjoint(self.encode([literal])):
                raise ModelUnsupported(
                    f"The tokenizer turns {literal} in a document into a control token. Choose another model."
                )


def _ends_words_at_line_ends(declared: Any) -> bool:
    """Whether text is cut into words as StarCoder's is, so that no token goes on over a line end that ends a word."""
    cutter = declared.get("pre_tokenizer") or {}
    steps = cutter.get("pretokenizers", [cutter])
    kinds = {step.get("type") for step in steps}
    is_cut = "ByteLevel" in kinds <= {"ByteLevel", "Digits"} and not declared.get("normalizer")
    is_plain = all(not step.get("add_prefix_space") and step.get("use_regex", True) for step in steps)
    return is_cut and is_plain and all(token["special"] for token in declared.get("added_tokens", ()))


def _encodable(text: str) -> str:
    """``text`` without lone surrogates, which JSON can carry and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
