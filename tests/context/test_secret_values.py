from __future__ import annotations

import pytest

from starcoder_ls.context import secret_values


@pytest.mark.parametrize("value", ["aB3dE5fG7hI9jK1l", "3f786850e387550fdab8", "Kx9" + "mQ2vLp0" * 3])
def test_random_characters_are_generated(value: str) -> None:
    assert secret_values.is_generated(value)


@pytest.mark.parametrize(
    "value", ["xXF86VidModeGetAllModeLinesReq", "base64_url_encode_2", "short1A", "my-example-1A2b3C4d5E6f"]
)
def test_names_words_and_examples_are_not_generated(value: str) -> None:
    assert not secret_values.is_generated(value)


@pytest.mark.parametrize("value", ["", "${TOKEN}", "<your-key>", "********", "xxxxxxxx", "password", "my_secret", "%s"])
def test_placeholders_are_recognised(value: str) -> None:
    assert secret_values.is_placeholder(value) or not value


def test_words_and_paths_are_recognised() -> None:
    assert secret_values.is_wordy("prod/db-1")
    assert not secret_values.is_wordy("s3cr3t")
    assert secret_values.is_code_path("user.password2")
    assert not secret_values.is_code_path("hunter2!")
