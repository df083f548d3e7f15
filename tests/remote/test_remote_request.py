from __future__ import annotations

import pytest

from fake_vllm import BUNDLED
from starcoder_ls.errors import ModelUnsupported, PromptTooLong
from starcoder_ls.generation import Request, SpecialToken
from starcoder_ls.remote.dialects.dialect import ServerFacts
from starcoder_ls.remote.dialects.vllm import VllmDialect
from starcoder_ls.remote.handshake import ServerModel
from starcoder_ls.remote.remote_request import prefill_call, prompt_ids
from starcoder_ls.remote.tokenizer_source import TokenizerSource

DIALECT = VllmDialect()
MODEL = ServerModel(ServerFacts(DIALECT, "coder", 64), TokenizerSource(BUNDLED, frozenset({0})), DIALECT.capabilities)


def test_special_tokens_in_a_document_stay_text() -> None:
    marker = SpecialToken("<fim_middle>")
    prompt = prompt_ids(Request(("<fim_middle>", marker), 8, end_tokens=(marker,)), MODEL)
    id_ = BUNDLED.special_token_id(marker)
    assert prompt.ids.count(id_) == 1
    assert prompt.ids[-1] == id_
    assert prompt.end_ids == {0, id_}


def test_prompt_is_refused_here_where_a_server_would_shorten_the_answer() -> None:
    words = "x " * 40
    assert len(prompt_ids(Request((words,), 10), MODEL).ids) <= 54
    with pytest.raises(PromptTooLong, match="context of 64"):
        prompt_ids(Request((words,), 40), MODEL)


def test_empty_prompt_begins_with_the_token_that_separates_texts() -> None:
    assert list(prompt_ids(Request((), 8), MODEL).ids) == [0]


def test_token_that_the_model_lacks_is_unsupported() -> None:
    with pytest.raises(ModelUnsupported):
        prefill_call(Request((SpecialToken("<none>"),), 0), MODEL)
