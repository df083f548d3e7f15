"""Requests of real clients, and the answers they read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from http_api_client import Api
from starcoder_ls.errors import EngineClosed, OutOfMemory
from starcoder_ls.generation import Priority, SpecialToken
from starcoder_ls.http_api import engine_requests
from starcoder_ls.http_api.application import MAX_BODY_BYTES

OpenApi = Callable[..., Api]

LLAMA_VIM = {
    "input_prefix": "import os\n\n\ndef double(x):\n",
    "input_suffix": "\n\nprint(double(2))\n",
    "input_extra": [{"text": "def triple(x):\n    return 3 * x\n", "time": [1, 2], "filename": "triple.py"}],
    "prompt": "    return ",
    "n_predict": 128,
    "n_indent": 4,
    "top_k": 40,
    "top_p": 0.99,
    "stream": False,
    "samplers": ["top_k", "top_p", "infill"],
    "cache_prompt": True,
    "t_max_prompt_ms": 500,
    "t_max_predict_ms": 1500,
    "response_fields": [
        "content",
        *(f"timings/prompt_{unit}" for unit in ("n", "ms", "per_token_ms", "per_second")),
        *(f"timings/predicted_{unit}" for unit in ("n", "ms", "per_token_ms", "per_second")),
        "truncated",
        "tokens_cached",
    ],
}  # fmt: skip
"""A request of llama.vim (autoload/llama.vim of ggml-org/llama.vim, 02e6a4f)."""

ZED = {
    "model": "scripted",
    "prompt": "<fim_prefix>def double(x):\n    return <fim_suffix>\n\nprint(double(2))\n<fim_middle>",
    "max_tokens": 64,
    "temperature": None,
    "stop": ["<|endoftext|>", "<|fim_prefix|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<PRE>"],
}
"""A request of Zed's provider ``open_ai_compatible_api`` with the prompt format ``star_coder``."""


def events_of(text: str) -> list[Any]:
    return [json.loads(data) if data != "[DONE]" else data for data in text.replace("data: ", "").split("\n\n") if data]


def test_request_of_llama_vim_is_answered_with_the_fields_it_reads(open_api: OpenApi) -> None:
    api = open_api(scripts=[["x", " *", " 2", "\n", "more"]])
    answer = api.post("/infill", **LLAMA_VIM).json()
    assert set(answer) == set(LLAMA_VIM["response_fields"])  # type: ignore[arg-type]
    assert (answer["content"], answer["truncated"]) == ("x * 2", False), "it ends where a suggestion ends"
    (request,) = api.engine.requests
    text = "".join(part for part in request.parts if isinstance(part, str))
    assert "triple" in text or "triple" in "".join(request.lookup_text)
    assert request.deadline_s is not None
    assert request.deadline_s - time.monotonic() > 60, "the limit is that of the generation, not of the prompt"


def test_requests_without_a_session_are_not_of_one_document(open_api: OpenApi) -> None:
    api = open_api(scripts=[["x"]])
    api.post("/v1/completions", prompt="a = ", suffix="\n")
    api.client.post("/v1/completions", json={"prompt": "a = ", "suffix": "\n"}, headers={"x-session-id": "s"})
    assert [request.document for request in api.engine.requests] == ["", "http:s"]


def test_request_that_gets_no_turn_in_time_gets_503(open_api: OpenApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_requests, "MAX_ANSWER_S", -1.0)
    response = open_api(scripts=[["x"]]).post("/v1/completions", prompt="a = ", suffix="\n")
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert "waited too long" in response.json()["error"]["message"]


def test_values_of_clients_that_change_nothing_are_accepted(open_api: OpenApi) -> None:
    api = open_api(scripts=[["x"], ["y"]])
    answer = api.post("/v1/completions", prompt="a = ", suffix="\n", n=2, best_of=2, seed=-1).json()
    assert len(answer["choices"]) == 2
    assert api.client.get("/v1/models").json()["data"][0]["created"] > 1_600_000_000


def test_request_of_llama_vim_that_only_reads_context_generates_nothing(open_api: OpenApi) -> None:
    api = open_api()
    body = LLAMA_VIM | {"input_prefix": "", "input_suffix": "", "prompt": "", "n_predict": 0, "response_fields": [""]}
    assert api.post("/infill", **body).json() == {}
    assert [(request.priority, request.max_new_tokens) for request in api.engine.all_requests] == [
        (Priority.PREFILL, 0)
    ]


def test_request_of_zed_becomes_a_prompt_of_the_loaded_model(open_api: OpenApi) -> None:
    api = open_api(scripts=[["x", " * 2", "\n", "more"]])
    answer = api.post("/v1/completions", **ZED).json()
    assert answer["choices"] == [{"index": 0, "text": "x * 2", "logprobs": None, "finish_reason": "stop"}]
    (request,) = api.engine.requests
    assert [part for part in request.parts if isinstance(part, SpecialToken)] == [
        SpecialToken("<fim_prefix>"),
        SpecialToken("<fim_suffix>"),
        SpecialToken("<fim_middle>"),
    ]
    assert not any("<fim" in part for part in request.parts if isinstance(part, str))


def test_markers_inside_code_are_text(open_api: OpenApi) -> None:
    api = open_api()
    api.post("/v1/completions", prompt="mark = '<fim_suffix>'\n", suffix="<fim_middle>")
    (request,) = api.engine.requests
    text = "".join(part for part in request.parts if isinstance(part, str))
    assert "<fim_suffix>" in text
    assert "<fim_middle>" in text


def test_text_is_continued_until_a_stop_text_or_the_limit(open_api: OpenApi) -> None:
    api = open_api(scripts=[["one", " two", " th", "ree"]])
    stopped = api.post("/v1/completions", prompt="zero ", stop=" three").json()
    assert stopped["choices"][0] == {"index": 0, "text": "one two", "logprobs": None, "finish_reason": "stop"}
    limited = api.post("/v1/completions", prompt="zero ", max_tokens=2).json()
    assert (limited["choices"][0]["text"], limited["choices"][0]["finish_reason"]) == ("one two", "length")
    assert limited["usage"]["completion_tokens"] == 2


def test_stop_rules_can_be_left_out(open_api: OpenApi) -> None:
    api = open_api(scripts=[["x", "\n", "y", "\n"]])
    answer = api.post("/v1/completions", prompt="a = ", suffix="\n", stop_rules=False).json()
    assert answer["choices"][0]["text"] == "x\ny\n"


def test_candidates_are_different_choices(open_api: OpenApi) -> None:
    api = open_api(scripts=[["a"], ["b"]])
    answer = api.post("/v1/completions", prompt="x = ", n=2, temperature=0.5).json()
    assert [(choice["index"], choice["text"]) for choice in answer["choices"]] == [(0, "a"), (1, "b")]


def test_streamed_events_join_to_the_answer(open_api: OpenApi) -> None:
    api = open_api(scripts=[["one", " two", "\n", "end"]])
    body = {"prompt": "zero ", "stream": True, "stop": ["\nend"], "stream_options": {"include_usage": True}}
    response = api.post("/v1/completions", **body)
    assert response.headers["content-type"].startswith("text/event-stream")
    *events, usage, done = events_of(response.text)
    assert "".join(event["choices"][0]["text"] for event in events) == "one two"
    assert [event["choices"][0]["finish_reason"] for event in events][-1] == "stop"
    assert (usage["choices"], usage["usage"]["completion_tokens"], done) == ([], 4, "[DONE]")


def test_infill_can_be_streamed(open_api: OpenApi) -> None:
    events = events_of(open_api(scripts=[["x", " * 2", "\n"]]).post("/infill", **LLAMA_VIM | {"stream": True}).text)
    assert "".join(event.get("content", "") for event in events) == "x * 2"
    assert events[-1]["timings/predicted_n"] >= 2


def test_adapter_is_chosen_by_name(open_api: OpenApi) -> None:
    api = open_api(adapters=["ours"], adapter_scripts={"ours": ["adapted"]})
    assert [model["id"] for model in api.client.get("/v1/models").json()["data"]] == ["scripted", "ours"]
    assert api.post("/v1/completions", prompt="x", model="ours").json()["choices"][0]["text"] == "adapted"
    response = api.post("/v1/completions", prompt="x", model="other")
    assert (response.status_code, response.json()["error"]["message"]) == (
        404,
        "There is no model 'other' here. Loaded: scripted, ours.",
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "`prompt` is missing."),
        ({"prompt": 1}, "`prompt`: input should be a valid string."),
        ({"prompt": ["a", "b"]}, "`prompt`: input should be a valid string."),
        ({"prompt": "", "max_tokens": 10**9}, "`max_tokens`: input should be less than"),
        ({"prompt": "", "n": 9}, "`n`: "),
        ({"prompt": "", "echo": True}, "`echo` can only be false."),
        ({"prompt": "", "logprobs": 5}, "`logprobs`"),
        ({"prompt": "", "best_of": 4}, "`best_of`"),
        ({"prompt": "", "stop": ["x"] * 33}, "`stop`: "),
    ],
)
def test_body_that_cannot_be_obeyed_is_refused(open_api: OpenApi, body: dict[str, Any], message: str) -> None:
    response = open_api().post("/v1/completions", **body)
    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith(message)


def test_path_or_method_that_does_not_exist_is_one_sentence(open_api: OpenApi) -> None:
    client = open_api().client
    for method, path, status, message in (
        ("POST", "/v1/chat/completions", 404, "There is no /v1/chat/completions here. There are /v1/completions, "),
        ("GET", "/infill", 405, "/infill takes POST, not GET."),
    ):
        response = client.request(method, path)
        assert (response.status_code, response.json()["error"]["message"][: len(message)]) == (status, message)


def test_body_that_is_no_json_or_too_large_is_refused(open_api: OpenApi) -> None:
    client = open_api().client
    for content, message in ((b"{", "The body is not JSON: "), (b"[]", "The body must be a JSON object.")):
        response = client.post("/infill", content=content)
        assert (response.status_code, response.json()["error"]["message"][: len(message)]) == (400, message)
    response = client.post("/infill", content=b"x" * (MAX_BODY_BYTES + 1))
    assert (response.status_code, response.json()["error"]["code"]) == (413, 413)


def test_errors_of_the_engine_say_whether_to_try_again(open_api: OpenApi) -> None:
    response = open_api(error=OutOfMemory("no room")).post("/v1/completions", prompt="x")
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    response = open_api(error=ValueError("secret text")).post("/v1/completions", prompt="x")
    assert response.status_code == 500
    assert "secret" not in response.text


def test_streaming_request_that_fails_gets_the_status_of_its_error(open_api: OpenApi) -> None:
    response = open_api(error=EngineClosed("ended")).post("/v1/completions", prompt="x", stream=True)
    assert (response.status_code, response.json()["error"]["message"]) == (503, "ended")
