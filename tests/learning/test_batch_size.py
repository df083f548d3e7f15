from __future__ import annotations

import pytest

from starcoder_ls.learning.batch_size import MAX_TOKENS, batch_tokens

GB = 1 << 30


@pytest.mark.parametrize(("free_bytes", "tokens"), [
    (130 * GB, MAX_TOKENS), (24 * GB, 32_768), (12 * GB, 16_384), (100, 2048),
])  # fmt: skip
def test_batch_is_a_power_of_two_that_fits_the_memory(free_bytes: int, tokens: int) -> None:
    assert batch_tokens(8, 512, 16_384, 2048, free_bytes) == tokens
