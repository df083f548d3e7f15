"""Completions of token ids, as remote engines and the gateway request them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fake_vllm import BUNDLED, TOKEN
from fakes import SCRIPTED_SETTINGS
from http_api_client import Api, serving_api
from remote_engines import answer_of, chunks_of, ready_engine, settings_for
from starcoder_ls.generation import Capabilities, Request, Sampling, SpecialToken
from starcoder_ls.http_api.engine_source import EngineSource
from token_engine import LossyTokenEngine, TokenEngine

BODY = {"model": "scripted", "prompt": BUNDLED.encode(["def f(x):\n"]), "max_tokens": 40, "logprobs": 0}


@contextmanager
def api_of(engine: TokenEngine, has_tokenizer: bool = True) -> Iterator[Api]:
    source = EngineSource(lambda _: engine, SCRIPTED_SETTINGS)
    api = Api(engine, source, (lambda: BUNDLED) if has_tokenizer else None)
    source.start()
    while api.client.get("/health").status_code != 200:
        pass
    yield api
    source.close()


def post(api: Api, **changes: Any) -> Any:
    return api.post("/v1/completions", **BODY | changes).json()


def test_answer_has_ids_text_and_log_probabilities() -> None:
    with api_of(TokenEngine(("é = '漢'\n",))) as api:
        answer = post(api)
    ids = BUNDLED.encode(["é = '漢'\n"])
    assert answer["choices"] == [{"index": 0, "text": "é = '漢'\n", "token_ids": ids, "finish_reason": "stop",
                                  "logprobs": {"token_logprobs": [-0.5] * len(ids) }}]  # fmt: skip
    assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 7}
    assert answer["usage"]["completion_tokens"] == len(ids)


def test_events_join_to_the_answer_and_end_with_the_counts() -> None:
    with api_of(TokenEngine()) as api:
        whole = post(api)["choices"][0]
        text = api.post("/v1/completions", **BODY, stream=True, stream_options={"include_usage": True}).text
    *events, usage, done = [line[6:] for line in text.split("\n\n") if line]
    choices = [json.loads(event)["choices"][0] for event in events]
    assert [id_ for choice in choices for id_ in choice["token_ids"]] == whole["token_ids"]
    assert "".join(choice["text"] for choice in choices) == whole["text"]
    assert [choice["finish_reason"] for choice in choices][-1] == "stop"
    assert (json.loads(usage)["choices"], done) == ([], "[DONE]")


def test_several_choices_are_all_drawn() -> None:
    with api_of(TokenEngine(("greedy", "one", "two"))) as api:
        choices = post(api, n=2, temperature=0.5)["choices"]
        assert [(choice["index"], choice["text"]) for choice in choices] == [(0, "one"), (1, "two")]
        assert api.engine.requests[-1].sampling.temperature == 0.5


def test_request_has_the_session_of_its_header_and_the_salt_of_its_user() -> None:
    with api_of(TokenEngine()) as api:
        for salt, session in (("one", "a"), ("one", "b"), ("two", "a")):
            api.client.post("/v1/completions", json=BODY | {"cache_salt": salt}, headers={"x-session-id": session})
        assert len({request.document for request in api.engine.requests}) == 3
        assert len({request.client for request in api.engine.requests}) == 3


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"prompt": [999_999]}, 400, "not those of a text"),
        ({"model": "other"}, 404, "no model 'other'"),
        ({"echo": True}, 400, "`echo`"),
        ({"prompt": [1, "a"]}, 400, "`prompt.1`: "),
    ],
)
def test_request_that_cannot_be_obeyed_is_refused(changes: dict[str, Any], status: int, message: str) -> None:
    with api_of(TokenEngine()) as api:
        response = api.post("/v1/completions", **BODY | changes)
    assert response.status_code == status
    assert message in response.json()["error"]["message"]


def test_ids_are_refused_where_the_tokenizer_is_not_known() -> None:
    with api_of(TokenEngine(), has_tokenizer=False) as api:
        assert "token ids are not accepted" in post(api)["error"]["message"]


def test_remote_engine_has_the_answers_of_the_engine_behind_the_api(tmp_path: Path) -> None:
    engine = TokenEngine(("urn value\n",), adapters=("style",))
    with serving_api(engine, TOKEN) as url, ready_engine(settings_for(url, tmp_path)) as remote:
        status = remote.status()
        assert status.capabilities == Capabilities(document_ngrams=False, prefill_delay_s=None, attach=False)
        assert [adapter.name for adapter in status.adapters] == ["style"]
        assert (status.model, status.context_tokens) == ("scripted", 8192)
        markers = [SpecialToken(f"<fim_{name}>") for name in ("prefix", "suffix", "middle")]
        request = Request(
            (markers[0], markers[1], "\n", markers[2], "def f(value):\n   "), 20, forced_prefix=" ret", adapter="style",
            end_tokens=(markers[0],), prefix_parts=(4,),
        )  # fmt: skip
        assert answer_of(remote, request) == "urn value\n"
        received = engine.requests[-1]
        assert (received.parts, received.prefix_parts) == (request.parts, request.prefix_parts)
        assert (received.forced_prefix, received.adapter) == (" ret", "style")
        assert SpecialToken("<fim_prefix>") in received.end_tokens
        engine.texts = ("greedy", "one", "two")
        chunks = asyncio.run(chunks_of(remote, Request(("a",), 9, candidates=3, sampling=Sampling(0.5))))
        texts = ["".join(chunk.text for chunk in chunks if chunk.candidate == number) for number in range(3)]
        assert texts == ["greedy", "one", "two"]


def test_text_of_an_engine_without_exact_ids_is_tokenized_again(tmp_path: Path) -> None:
    engine = LossyTokenEngine(("漢(x)\n",))
    with serving_api(engine, TOKEN) as url, ready_engine(settings_for(url, tmp_path)) as remote:
        assert answer_of(remote, Request(("a",), 40, forced_prefix="é ")) == "漢(x)\n"
        assert answer_of(remote, Request(("a",), 40)) == "漢(x)\n"
        engine.texts = ("",)
        assert answer_of(remote, Request(("a",), 40, forced_prefix="é ")) == ""
    with api_of(LossyTokenEngine(("é\n",))) as api:
        choice = post(api)["choices"][0]
    assert (choice["text"], BUNDLED.decode(choice["token_ids"])) == ("é\n", "é\n")
