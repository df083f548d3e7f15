from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import starcoder_ls
from fake_vllm import BUNDLED, END_OF_TEXT
from starcoder_ls.errors import ModelInvalid, SettingsError
from starcoder_ls.generation import SpecialToken
from starcoder_ls.remote.dialects.dialect import ServerFacts
from starcoder_ls.remote.dialects.vllm import VllmDialect
from starcoder_ls.remote.tokenizer_source import (
    PROBE_PROMPT,
    PROBE_TEXT,
    probe_tokens,
    read_tokenizer,
    require_same_tokenizer,
)
from starcoder_ls.settings import Model, Remote, Settings

FILE = Path(starcoder_ls.__file__).parent / "bundled" / "tokenizer.json"
FACTS = ServerFacts(VllmDialect(), "coder", 2048)
END = BUNDLED.special_token_id(SpecialToken(END_OF_TEXT))


def settings(model: str = "bundled", **remote: str) -> Settings:
    return Settings(model=Model(name=model), remote=Remote(url="http://127.0.0.1:1", **remote))  # type: ignore[arg-type]


def answer(text: str, ids: list[int]) -> dict[str, Any]:
    return {"choices": [{"text": text, "token_ids": ids}]}


def test_tokenizer_is_that_of_the_model_unless_the_settings_name_one(tmp_path: Path) -> None:
    shutil.copy(FILE, tmp_path)
    for source in (settings(), settings(str(tmp_path)), settings("bigcode/x", tokenizer=str(tmp_path / FILE.name))):
        assert read_tokenizer(source).tokenizer.encode([PROBE_TEXT]) == BUNDLED.encode([PROBE_TEXT])
    with pytest.raises(SettingsError, match=r"remote\.tokenizer"):
        read_tokenizer(settings("bigcode/starcoder2-3b"))


def test_pinned_tokenizer_of_another_checksum_is_refused() -> None:
    digest = hashlib.sha256(FILE.read_bytes()).hexdigest()
    assert read_tokenizer(settings(tokenizer_sha256=digest)).tokenizer.vocabulary_size == BUNDLED.vocabulary_size
    with pytest.raises(ModelInvalid, match="SHA-256"):
        read_tokenizer(settings(tokenizer_sha256="0" * 64))


def test_end_tokens_come_from_the_configs_else_from_usual_names(tmp_path: Path) -> None:
    shutil.copy(FILE, tmp_path)
    assert read_tokenizer(settings(str(tmp_path))).end_ids == {END}
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": 5}))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [6, 7]}))
    assert read_tokenizer(settings(str(tmp_path))).end_ids == {5, 6, 7}


def test_equal_text_and_ids_pass_and_tell_whether_the_answer_was_forced() -> None:
    ids = BUNDLED.encode([PROBE_TEXT])
    assert len(ids) < probe_tokens()
    assert require_same_tokenizer(BUNDLED, FACTS, answer(PROBE_TEXT, [*ids, END]))
    assert not require_same_tokenizer(BUNDLED, FACTS, answer("x = 1", BUNDLED.encode(["x = 1"])))


@pytest.mark.parametrize(
    "wrong",
    [
        answer(PROBE_TEXT, [id_ + 1 for id_ in BUNDLED.encode([PROBE_TEXT])]),
        answer(PROBE_TEXT + "x", BUNDLED.encode([PROBE_TEXT])),
        {"choices": [{"text": "x"}]},
        {"choices": []},
        {},
    ],
)
def test_other_ids_or_none_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ModelInvalid, match=r"tokenizer|ids"):
        require_same_tokenizer(BUNDLED, FACTS, wrong)


def test_model_with_fewer_tokens_than_the_tokenizer_is_refused() -> None:
    facts = ServerFacts(VllmDialect(), "coder", 2048, vocabulary_size=BUNDLED.vocabulary_size - 1)
    with pytest.raises(ModelInvalid, match="tokens, the tokenizer here"):
        require_same_tokenizer(BUNDLED, facts, answer(PROBE_PROMPT, BUNDLED.encode([PROBE_PROMPT])))
