from __future__ import annotations

import pytest

from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.kv_cache.cache import KvCache


@pytest.mark.parametrize(
    ("logits_for", "positions"), [(LogitsFor.NONE, []), (LogitsFor.LAST, [2]), (LogitsFor.ALL, [0, 1, 2])]
)
def test_logit_positions_are_the_tokens_that_logits_are_computed_for(
    logits_for: LogitsFor, positions: list[int]
) -> None:
    forward_pass = ForwardPass([[7, 8, 9], [7, 8, 9]], KvCache(1, 4), logits_for)
    assert list(range(3))[forward_pass.logit_positions] == positions


def test_tokens_counts_the_new_tokens_of_all_rows() -> None:
    assert ForwardPass([[7, 8, 9], [7, 8, 9]], KvCache(1, 4)).tokens == 6
