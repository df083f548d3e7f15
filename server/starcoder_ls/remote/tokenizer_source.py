"""The tokenizer of the model that a server runs: read from files of this machine, and compared with the server's.

Ids mean what the server's tokenizer says they mean. With another file at the client, suggestions would be wrong without
any error; so the file can be pinned, and a forced answer is decoded when the engine starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import starcoder_ls
from starcoder_ls.errors import ModelInvalid, SettingsError
from starcoder_ls.generation import ChatFormat, SpecialToken
from starcoder_ls.json_files import read_json_object
from starcoder_ls.remote.dialects.dialect import ServerFacts
from starcoder_ls.settings import BUNDLED, Settings
from starcoder_ls.text_tokens import chat_template
from starcoder_ls.text_tokens.prefix_index import REPLACEMENT_CHARACTER
from starcoder_ls.text_tokens.tokenizer import Tokenizer

PROBE_PROMPT = "# Token check\n"
PROBE_TEXT = "def é(x_1):\n\treturn '漢😀' + \"\\\\n\"  # 42\n"
"""Letters, digits, white space, quotes, and characters of two, three and four bytes, which are split over tokens."""

_END_TOKENS = ("<|endoftext|>", "</s>", "<｜end▁of▁sentence｜>", "<eos>", "<|end_of_text|>")
_PROBE_TOKENS_PER_BYTE = 2


@dataclass(frozen=True, slots=True)
class TokenizerSource:
    """A tokenizer, the ids that end a text in its model, and the format of its chats if there is one."""

    tokenizer: Tokenizer
    end_ids: frozenset[int]
    chat: ChatFormat | None = None


def read_tokenizer(settings: Settings) -> TokenizerSource:
    """The tokenizer that `remote.tokenizer` names, or that of `model.name` if it is empty.

    Raises SettingsError if neither is on this machine, ModelInvalid for an unreadable file or one with another checksum
    than `remote.tokenizer_sha256`, ModelUnsupported.
    """
    folder = _find_folder(settings)
    tokenizer = Tokenizer.from_folder(folder, sha256=settings.remote.tokenizer_sha256)
    has_config = (folder / chat_template.CONFIG_FILE).is_file() or (folder / chat_template.TEMPLATE_FILE).is_file()
    chat = chat_template.read_chat_format(folder, tokenizer.special_tokens) if has_config else None
    return TokenizerSource(tokenizer, _read_end_ids(folder, tokenizer), chat)


def require_same_tokenizer(tokenizer: Tokenizer, facts: ServerFacts, answer: Mapping[str, Any]) -> bool:
    """Compare the server's text in ``answer``, that to a probe, with what ``tokenizer`` makes of the ids in it.

    Returns whether the text is PROBE_TEXT: the server forces an answer as it is asked to. Raises ModelInvalid if text
    and ids differ, or if the server's model has fewer tokens than the tokenizer.
    """
    correction = "Set `remote.tokenizer` to the folder with the tokenizer.json of the server's model."
    if facts.vocabulary_size and facts.vocabulary_size < tokenizer.vocabulary_size:
        raise ModelInvalid(
            f"{facts.model} has {facts.vocabulary_size:,} tokens, the tokenizer here {tokenizer.vocabulary_size:,}. "
            f"{correction}"
        )
    try:
        text, ids = facts.dialect.read_probe(answer)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ModelInvalid(
            f"The server returned no token ids ({facts.dialect.name}). It is too old, or a proxy removes them."
        ) from error
    if tokenizer.decode(ids).rstrip(REPLACEMENT_CHARACTER) != text.rstrip(REPLACEMENT_CHARACTER):
        raise ModelInvalid(
            f"The tokenizer here is not that of {facts.model}: the server's ids mean another text. {correction}"
        )
    return text == PROBE_TEXT


def probe_tokens() -> int:
    """How many tokens the answer to the probe may have: one per byte at most, and an end token."""
    return len(PROBE_TEXT.encode()) * _PROBE_TOKENS_PER_BYTE


def _find_folder(settings: Settings) -> Path:
    name = settings.remote.tokenizer or settings.model.name
    if name == BUNDLED:
        return Path(starcoder_ls.__file__).parent / BUNDLED
    path = Path(name).expanduser()
    folder = path.parent if path.name == "tokenizer.json" else path
    if not (folder / "tokenizer.json").is_file():
        raise SettingsError(
            f"There is no {folder / 'tokenizer.json'}, which a remote model needs. Copy that of the server's model "
            "into a folder and name it in `remote.tokenizer`."
        )
    return folder


def _read_end_ids(folder: Path, tokenizer: Tokenizer) -> frozenset[int]:
    """The ids in the configs of the folder, as far as there are any; else those of tokens with a usual name.

    Raises ModelInvalid for a config that is not readable.
    """
    ids: set[int] = set()
    for name in ("config.json", "generation_config.json"):
        if (folder / name).is_file():
            value = read_json_object(folder / name).get("eos_token_id")
            ids.update(id_ for id_ in (value if isinstance(value, list) else [value]) if type(id_) is int)
    usual = [SpecialToken(literal) for literal in _END_TOKENS if literal in tokenizer.special_tokens]
    return frozenset(ids or map(tokenizer.special_token_id, usual))
