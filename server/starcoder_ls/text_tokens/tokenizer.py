"""The checkpoint's tokenizer: text to token ids, and token ids to text incrementally.

Plain text never becomes a special token, and a character split over several tokens is decoded only when it is complete.
"""

from __future__ import annotations

import functools
import json
import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as HfTokenizer

from starcoder_ls.errors import ModelInvalid, ModelUnsupported
from starcoder_ls.generation import PromptPart, SpecialToken
from starcoder_ls.printable import escape_control_characters
from starcoder_ls.text_tokens import tokenizer_checks
from starcoder_ls.text_tokens.prefix_index import REPLACEMENT_CHARACTER, PrefixIndex
from starcoder_ls.text_tokens.token_bytes import read_token_bytes

# Qwen2.5-Coder and DeepSeek-Coder declare their FIM tokens as not special; DeepSeek-Coder also has plain letters among
# its added tokens, which must stay text. A token in brackets is a marker, any other token is text.
_BRACKETED = re.compile(r"▁?(<.+>|\[[A-Z_]+\])", re.DOTALL)

MAX_CACHED_FIRST_TOKENS = 1 << 14
"""Short texts whose first token is cached: 2 MB."""

MAX_CACHED_PREFIXES = 16
"""Forced prefixes whose compatible tokens are cached."""

MAX_CACHED_PARTS = 64
"""Prompt parts whose ids are cached. While a user types, suffix and snippets stay the same from key to key; tokenizing
a whole window takes 0.8 ms. Enough for the 16 requests that can run at once."""

MAX_CACHED_PART_CHARS = 12_000
"""3,000 tokens of code. The ids of a text take ten times its memory, those of emoji 100 bytes a character:
all cached parts and beginnings together take at most 120 MB."""

MAX_CACHED_FIRST_TEXT_CHARS = 64

MAX_CACHED_HEADS = 32
"""Beginnings of long texts whose ids are cached, for two in each of 16 documents."""

MIN_HEAD_CHARS = 400
"""Shorter texts are encoded whole."""

_WORD_ENDING_NEWLINE = re.compile(r"(?<=[!-~])\n")
"""A line end after a character that is not whitespace: there a word of GPT-2's pre-tokenizer ends, whatever follows."""

_FIRST_WORD = re.compile(r" ?[A-Za-z]+(?=[ \t\r\n!-@\[-`{-~])|[ \t\r\n]*[!-~]+(?=[ \t\r\n])")
"""A stretch that contains the first token of a text: letters up to a character that is not one, or anything up to
whitespace. A shorter cache key is found more often: of 14 look-ups per generated token 5 are left."""


_UNUSUAL_TEXT = "\ue000 \t\n(0é漢😀"
"""Encoded once when a tokenizer is loaded: some fail at characters that they do not know."""


@dataclass(frozen=True, slots=True)
class DetokenizerState:
    """State of incremental decoding: the text so far, and the newest ids that the next token is decoded together with.

    The first ``decoded_count`` of ``recent_ids`` decode to ``recent_text``, which is part of ``text`` already; the
    others are the tokens of an incomplete character.
    """

    text: str
    recent_ids: tuple[int, ...]
    decoded_count: int
    recent_text: str

    @property
    def is_complete(self) -> bool:
        """Whether no incomplete character is pending."""
        return len(self.recent_ids) == self.decoded_count


class Tokenizer:
    """The tokenizer of one checkpoint. Every method may be called from any thread.

    tokenizer.json is read by the ``tokenizers`` library itself: transformers 5 rebuilds the tokenizers of some families
    from defaults of their class, and this module needs no torch.
    """

    def __init__(self, tokenizer_json: str, max_tokens: int | None = None) -> None:
        """Added tokens with ids from ``max_tokens`` on are left out: the model has no embeddings for them.

        Raises ModelUnsupported if the text of a special token would be tokenized to that token.
        """
        self._load(json.loads(tokenizer_json), max_tokens)

    def _load(self, declared: dict[str, Any], max_tokens: int | None) -> None:
        if max_tokens is not None and declared.get("added_tokens"):
            declared["added_tokens"] = [token for token in declared["added_tokens"] if token["id"] < max_tokens]
        for token in declared.get("added_tokens") or ():
            token["special"] = bool(token.get("special") or _BRACKETED.fullmatch(token["content"]))
        self._tokenizer = HfTokenizer.from_str(json.dumps(declared))
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._special_ids = {
            token.content: id_ for id_, token in self._tokenizer.get_added_tokens_decoder().items() if token.special
        }
        self.special_tokens_by_id = {id_: SpecialToken(literal) for literal, id_ in self._special_ids.items()}
        """For programs that read token ids; to encode, ``special_token_id``."""
        self.vocabulary_size = self._tokenizer.get_vocab_size(with_added_tokens=True)
        self._splits_at_newlines = _splits_words_at_newlines(declared)
        self._heads: deque[tuple[str, tuple[int, ...]]] = deque(maxlen=MAX_CACHED_HEADS)
        self._encode_part = functools.lru_cache(MAX_CACHED_PARTS)(self._encode_incrementally)
        # Decoders such as Llama's drop the first space of a text; after a letter no space is the first.
        letter_ids = tuple(self.encode(["a"]))
        self._initial_state = DetokenizerState("", letter_ids, len(letter_ids), self._decode(letter_ids))
        self._first_token_id = functools.lru_cache(MAX_CACHED_FIRST_TOKENS)(lambda text: self._encode_text(text)[0])
        self.prefix_compatible_ids = functools.lru_cache(MAX_CACHED_PREFIXES)(
            lambda data: self._index.find_compatible(data)
        )
        """Ids of the tokens that bytes begin with, and of those that begin with them. Cached, since a forced prefix is
        looked up several times, and half of a vocabulary begins with a space."""
        self._encode_text(_UNUSUAL_TEXT)
        self._require_text_stays_text(declared)

    @classmethod
    def from_folder(cls, folder: Path, max_tokens: int | None = None, sha256: str = "") -> Tokenizer:
        """Load the tokenizer of a checkpoint folder; ``max_tokens`` as in the constructor. ``sha256``, if not empty, is
        the checksum that its tokenizer.json must have: ids sent to another machine mean something else there if not.

        Raises ModelInvalid if tokenizer.json is missing, unreadable, another file than ``sha256`` says or exceeds a
        limit of ``tokenizer_checks``, ModelUnsupported as the constructor does.
        """
        file = folder / "tokenizer.json"
        declared = tokenizer_checks.read_tokenizer_file(file, sha256)
        tokenizer = cls.__new__(cls)
        try:
            tokenizer._load(declared, max_tokens)
            return tokenizer
        except (ModelUnsupported, MemoryError):
            raise
        except BaseException as error:
            if not _is_library_error(error):
                raise
            cause = error.__cause__ if isinstance(error, ModelInvalid) else error
            reason = escape_control_characters(f"{cause!s:.200}")
            raise ModelInvalid(f"{file} is not a readable tokenizer: {reason}. Download it again.") from error

    @property
    def special_tokens(self) -> frozenset[str]:
        """Literals of the special tokens."""
        return frozenset(self._special_ids)

    def encode(self, parts: Iterable[PromptPart]) -> list[int]:
        """Return the ids of the parts, concatenated. Raises ModelUnsupported for a special token the model lacks."""
        ids: list[int] = []
        for part in parts:
            if isinstance(part, SpecialToken):
                ids.append(self.special_token_id(part))
            elif part:
                is_cached = len(part) <= MAX_CACHED_PART_CHARS
                ids.extend(self._encode_part(part) if is_cached else self._encode_text(part))
        return ids

    def _encode_incrementally(self, text: str) -> tuple[int, ...]:
        """Return what ``_encode_text`` returns, encoding only the text after the longest cached beginning.

        A beginning ends at a line end where words end, so that the ids of both parts can be concatenated. Threads may
        share the cache: a beginning that one of them evicts is encoded again by the other.
        """
        if not self._splits_at_newlines or len(text) < MIN_HEAD_CHARS:
            return self._encode_text(text)
        head_ids, start = tuple[int, ...](), 0
        for head, ids in list(self._heads):
            if start < len(head) and text.startswith(head) and text.startswith("\n", len(head)):
                head_ids, start = ids, len(head)
        cut = text.rfind("\n")
        while cut > start and not _WORD_ENDING_NEWLINE.match(text, cut):
            cut = text.rfind("\n", 0, cut)
        if cut > start:
            head_ids, start = head_ids + self._encode_text(text[start:cut]), cut
            self._heads.append((text[:cut], head_ids))
        return head_ids + self._encode_text(text[start:])

    def _encode_text(self, text: str) -> tuple[int, ...]:
        """Raises ModelInvalid if the tokenizer cannot encode ``text``."""
        try:
            return tuple(self._tokenizer.encode(_replace_surrogates(text), add_special_tokens=False).ids)
        except BaseException as error:
            if not _is_library_error(error):
                raise
            raise ModelInvalid("The tokenizer cannot encode this text: the model's tokenizer.json is wrong.") from error

    def first_token_id(self, text: str) -> int:
        """Return the first token of ``text``, which is not empty.

        Cached: a key changes little of a document, and its n-grams are looked up again.
        """
        match = _FIRST_WORD.match(text) if self._splits_at_newlines else None
        stretch = text if match is None else match[0]
        if len(stretch) > MAX_CACHED_FIRST_TEXT_CHARS:
            return self._encode_text(stretch)[0]
        return self._first_token_id(stretch)

    def special_token_id(self, special: SpecialToken) -> int:
        """Return the id of a special token. Raises ModelUnsupported if the model lacks it."""
        try:
            return self._special_ids[special.literal]
        except KeyError:
            raise ModelUnsupported(
                f"This model has no token {special.literal}. Choose a model that was trained for this request."
            ) from None

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of ``text`` as plain text."""
        return len(self.encode([text]))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ``ids``; special tokens have none."""
        state = self._initial_state
        return self._decode((*state.recent_ids, *ids))[len(state.recent_text) :]

    def remaining_prefix(self, state: DetokenizerState, forced_prefix: str) -> bytes:
        """Return the bytes of ``forced_prefix`` that the tokens of ``state``, which begin with it, have not made."""
        if len(state.text) >= len(forced_prefix):
            return b""
        pending = b"".join(self._index.token_bytes[id_] for id_ in state.recent_ids[state.decoded_count :])
        return _replace_surrogates(forced_prefix).encode()[len(state.text.encode()) + len(pending) :]

    @functools.cached_property
    def _index(self) -> PrefixIndex:
        """Decodes every token once: 0.2 s for 49,152 tokens."""
        special_ids = set(self._special_ids.values())
        return PrefixIndex(read_token_bytes(self._tokenizer, lambda id_: self.decode([id_]), special_ids))

    def initial_state(self) -> DetokenizerState:
        """Return the state of decoding before any token."""
        return self._initial_state

    def append_token(self, state: DetokenizerState, token_id: int) -> DetokenizerState:
        """Return ``state`` after one more token. A character split over tokens appears with the last of them."""
        recent_ids = (*state.recent_ids, token_id)
        decoded = self._decode(recent_ids)
        new_text = decoded[len(state.recent_text) :]
        if decoded.endswith(REPLACEMENT_CHARACTER) or not new_text:
            return DetokenizerState(state.text, recent_ids, state.decoded_count, state.recent_text)
        # Only the newest ids stay as context of the next token: the work per token is constant.
        newest = recent_ids[state.decoded_count :]
        return DetokenizerState(state.text + new_text, newest, len(newest), self._decode(newest))

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True)

    def _require_text_stays_text(self, declared: dict[str, Any]) -> None:
        """Raise ModelUnsupported if text can still be tokenized to a special token."""
        special_ids = set(self._special_ids.values())
        if (token := tokenizer_checks.find_shared_id(declared, self._special_ids)) is not None:
            raise ModelUnsupported(
                f"The tokenizer gives {token[:40]!r} the id of a control token. Choose another model."
            )
        for literal in self._special_ids:
            if not special_ids.isdisjoint(self.encode([literal])):
                raise ModelUnsupported(
                    f"The tokenizer turns {literal} in a document into a control token. Choose another model."
                )


def _is_library_error(error: BaseException) -> bool:
    """``tokenizers`` raises bare Exception; a panic in its Rust code is not even that."""
    is_panic = type(error).__name__ == "PanicException"
    return is_panic or (isinstance(error, Exception) and not isinstance(error, MemoryError))


def _splits_words_at_newlines(declared: Any) -> bool:
    """Whether text is split into words as StarCoder's is, so that no token spans a line end that ends a word."""
    pre_tokenizer = declared.get("pre_tokenizer") or {}
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    kinds = {step.get("type") for step in steps}
    is_byte_level = "ByteLevel" in kinds <= {"ByteLevel", "Digits"} and not declared.get("normalizer")
    is_default = all(not step.get("add_prefix_space") and step.get("use_regex", True) for step in steps)
    return is_byte_level and is_default and all(token["special"] for token in declared.get("added_tokens", ()))


def _replace_surrogates(text: str) -> str:
    """Return ``text`` with U+FFFD for lone surrogates, which JSON can carry and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
