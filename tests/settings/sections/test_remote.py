from __future__ import annotations

import pytest
from pydantic import ValidationError

from starcoder_ls.settings import Remote, Settings


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("url", "models.example"),
        ("url", "ftp://h"),
        ("url", "https://"),
        ("tokenizer_sha256", "a"),
        ("dialect", "tgi"),
    ],
)
def test_impossible_value_is_rejected(key: str, value: str) -> None:
    with pytest.raises(ValidationError, match=key):
        Remote.model_validate({key: value})


def test_remote_model_has_no_bundled_adapter_and_is_another_engine() -> None:
    local, remote = Settings(), Settings(remote=Remote(url="https://models.example"))
    assert list(local.resident_adapters()) == ["explain"]
    assert list(remote.resident_adapters()) == []
    assert not local.has_engine_of(remote)
    assert local.has_engine_of(Settings())
