from __future__ import annotations

import json

import httpx2
import pytest

from starcoder_ls.errors import EngineBusy, EngineError, EngineNotReady, EngineUnreachable, PromptTooLong
from starcoder_ls.remote.http_errors import error_of_response, error_of_transport

TOO_LONG = "This model's maximum context length is 2048 tokens."


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (401, "no", EngineNotReady),
        (403, "no", EngineNotReady),
        (404, "The model `x` does not exist.", EngineNotReady),
        (400, TOO_LONG, PromptTooLong),
        (400, "the request exceeds the available context size", PromptTooLong),
        (400, "logit_bias is wrong", EngineError),
        (413, "", PromptTooLong),
        (429, "slow down", EngineBusy),
        (503, "loading", EngineBusy),
        (500, "oops", EngineUnreachable),
        (302, "", EngineError),
    ],
)
def test_status_code_becomes_the_error_of_its_meaning(status: int, message: str, expected: type[Exception]) -> None:
    error = error_of_response(status, json.dumps({"error": {"message": message}}), {}, "models:8000")
    assert type(error) is expected
    assert "models:8000" in str(error)


def test_busy_server_says_how_long_to_wait() -> None:
    waits = {"7": 7.0, "0.5": 0.5, "Wed, 21 Oct 2026 07:28:00 GMT": 1.0, "": 1.0, "-4": 1.0}
    for value, expected in waits.items():
        error = error_of_response(429, "", {"retry-after": value}, "h")
        assert isinstance(error, EngineBusy)
        assert error.retry_after_s == expected


@pytest.mark.parametrize("body", ["{", "[1]", '{"error": "text"}', '{"detail": 5}', "<html>", "[" * 50_000])
def test_body_of_any_form_is_quoted_without_control_characters(body: str) -> None:
    message = str(error_of_response(418, body + "\x1b[31m", {}, "h"))
    assert "\x1b" not in message
    assert len(message) < 500


def test_broken_connection_says_what_happened_and_where() -> None:
    for error in (httpx2.ConnectTimeout("x"), httpx2.ReadTimeout("x"), httpx2.ReadError(""), OSError(111, "refused")):
        found = error_of_transport(error, "models:8000")
        assert str(found).startswith("models:8000 cannot be reached: ")
