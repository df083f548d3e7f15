from __future__ import annotations

import torch

from starcoder_ls.engine.cuda_graphs.pass_graph import logits_of_rows
from starcoder_ls.text_tokens.candidate import SampledToken

VALUES = torch.arange(4 * 2 * 3.0).view(4, 2, 3)  # [rows, time, vocabulary]
LIKELIEST = [[SampledToken(10 * row + time, 0.0) for time in range(2)] for row in range(4)]


def test_logits_of_one_row_are_those_of_its_positions() -> None:
    logits = logits_of_rows(VALUES, LIKELIEST, [2], slice(0, 2))
    assert torch.equal(logits.values, VALUES[2])
    assert [token.id for token in logits.greedy()] == [20, 21]


def test_logits_of_several_rows_follow_one_another() -> None:
    logits = logits_of_rows(VALUES, LIKELIEST, [3, 0, 1], slice(1, 2))
    assert torch.equal(logits.values, VALUES[[3, 0, 1], 1])
    assert [token.id for token in logits.greedy()] == [31, 1, 11]
