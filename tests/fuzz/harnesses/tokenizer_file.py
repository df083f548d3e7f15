"""A checkpoint's tokenizer.json: read or refused with one sentence, and what is read encodes and decodes any text."""

from __future__ import annotations

import itertools
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fuzz.harnesses.checkpoint_files import check_message
from fuzz.input_bytes import decode_text, join_fields, split_fields
from starcoder_ls.errors import ModelError
from starcoder_ls.generation import SpecialToken
from starcoder_ls.text_tokens.tokenizer import Tokenizer

MAX_BYTES = 2048
MAX_DECODED_TOKENS = 64
INPUTS_PER_THREAD = 100

_VOCABULARY = {**{chr(code): code - 97 for code in range(97, 123)}, "Ġ": 26, "Ċ": 27, "ab": 28}
_TOKENIZER = {
    "version": "1.0",
    "added_tokens": [
        {"id": 29, "content": "<fim_prefix>", "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True},
    ],
    "normalizer": None,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    "post_processor": None,
    "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    "model": {"type": "BPE", "vocab": _VOCABULARY, "merges": ["a b"]},
}  # fmt: skip
_JSON = json.dumps(_TOKENIZER, separators=(",", ":"), ensure_ascii=False)
_NORMALIZER = '"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Prepend","prepend":"a"}]}'
_REPLACE = '"normalizer":{"type":"Replace","pattern":{"String":"a"},"content":"bb"}'
_SPLIT = '"pre_tokenizer":{"type":"Split","pattern":{"Regex":"\\\\d"},"behavior":"Isolated","invert":false}'
_BYTE_LEVEL = _JSON[_JSON.index('"pre_tokenizer"') : _JSON.index(',"post_processor"')]
SEEDS = (
    join_fields(_JSON, "ab c\nabc <fim_prefix>"),
    join_fields(_JSON.replace('"normalizer":null', _NORMALIZER), "abc"),
    join_fields(_JSON.replace('"normalizer":null', _REPLACE), "aaab"),
    join_fields(_JSON.replace(_BYTE_LEVEL, _SPLIT), "a1b2"),
    join_fields('{"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"}}', "a b"),
    join_fields('{"model":{"type":"Unigram","vocab":[["a",0.0],["b",-1.5]],"unk_id":0}}', "a b"),
    join_fields('{"added_tokens":[{"id":-1,"content":""}],"model":null}', ""),
)

_FOLDER = tempfile.TemporaryDirectory(prefix="starcoder-fuzz-")
_PATH = Path(_FOLDER.name)
_inputs, _pools = itertools.count(1), [ThreadPoolExecutor(1)]


def check(data: bytes) -> None:
    """In another thread, and in a new one after 100 inputs: the library keeps a cache for each tokenizer of a thread
    until the thread ends."""
    if next(_inputs) % INPUTS_PER_THREAD == 0:
        _pools.pop().shutdown()
        _pools.append(ThreadPoolExecutor(1))
    _pools[0].submit(_check, data).result()


def _check(data: bytes) -> None:
    raw_json, raw_text = split_fields(data, 2)
    (_PATH / "tokenizer.json").write_bytes(raw_json)
    try:
        tokenizer = Tokenizer.from_folder(_PATH, max_tokens=1000)
    except ModelError as error:
        check_message(str(error))
        return
    text = decode_text(raw_text)
    ids = tokenizer.encode([text])
    assert tokenizer.count_tokens(text) == len(ids)
    special_ids = {tokenizer.special_token_id(SpecialToken(literal)) for literal in tokenizer.special_tokens}
    assert special_ids.isdisjoint(ids), "text became a special token"
    state = tokenizer.initial_state()
    for id_ in ids[:MAX_DECODED_TOKENS]:
        state = tokenizer.append_token(state, id_)
    decoded = tokenizer.decode(ids[:MAX_DECODED_TOKENS])
    assert decoded.startswith(state.text) or "\ufffd" in decoded
