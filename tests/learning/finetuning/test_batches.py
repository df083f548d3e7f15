import torch

from starcoder_ls.learning.finetuning.batches import stack_rows


def test_rows_are_padded_at_the_end_with_weight_zero() -> None:
    batch = stack_rows([([1, 2, 3], [1.0, 1.0, 4.0], [False, False, True]), ([5], [1.0], [False])])
    assert batch.ids.tolist() == [[1, 2, 3], [5, 0, 0]]
    assert batch.weights.tolist() == [[1.0, 1.0, 4.0], [1.0, 0.0, 0.0]]
    assert torch.equal(batch.is_middle, torch.tensor([[False, False, True], [False, False, False]]))
