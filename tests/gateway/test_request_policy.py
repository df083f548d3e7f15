from __future__ import annotations

import json
from typing import Any

import pytest

from starcoder_ls.gateway.request_policy import Limits, checked_body
from starcoder_ls.http_api.http_errors import HttpError

LIMITS = Limits(max_prompt_tokens=100, max_new_tokens=16, max_candidates=2)
VALID = {
    "model": "m", "prompt": [1, 2], "max_tokens": 16, "temperature": 0.0, "top_p": 1.0, "seed": 0, "n": 1,
    "logprobs": 0, "stop_token_ids": [0], "return_token_ids": True, "skip_special_tokens": False, "stream": True,
    "structured_outputs": {"regex": r"a\(b\n[\s\S]*"},
}  # fmt: skip


def check(**changes: Any) -> dict[str, Any]:
    data, _ = checked_body(json.dumps(VALID | changes).encode(), LIMITS, "salt")
    result: dict[str, Any] = json.loads(data)
    return result


def test_fields_of_the_client_pass_with_the_salt_of_the_site() -> None:
    passed = check()
    assert {name: passed[name] for name in VALID} == VALID
    assert passed["cache_salt"] == "salt"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": "text"}, "`prompt`"),
        ({"prompt": ["text"]}, "`prompt.0`"),
        ({"prompt": [True]}, "`prompt.0`"),
        ({"prompt": [-1]}, "`prompt.0`"),
        ({"prompt": []}, "`prompt`"),
        ({"prompt": [1] * 101}, "`prompt`: 101 is over"),
        ({"max_tokens": 17}, "`max_tokens`: 17 is over"),
        ({"n": 3}, "`n`: 3 is over"),
        ({"cache_salt": "mine"}, "`cache_salt`"),
        ({"priority": 0}, "`priority`"),
        ({"logits_processors": []}, "`logits_processors`"),
        ({"structured_outputs": {"regex": r"(a+)+[\s\S]*"}}, "`structured_outputs.regex`"),
        ({"structured_outputs": {"regex": "a*"}}, "`structured_outputs.regex`"),
        ({"structured_outputs": {"json": {}}}, "`structured_outputs.regex`"),
        ({"logprobs": 20}, "`logprobs`"),
    ],
)
def test_other_fields_and_values_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(HttpError) as raised:
        check(**changes)
    assert raised.value.status == 400
    assert str(raised.value).startswith(message)
